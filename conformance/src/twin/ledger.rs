//! What a run comes to: counts by resource and class, differences by cause, and what is known of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write},
    sync::Arc,
};

use super::{
    case::{Case, Class},
    compare::{self, Difference, Refusal},
    known::Known,
    run::Outcome,
};

/// All that was compared.
#[derive(Default)]
pub struct Ledger {
    resources: BTreeMap<Arc<str>, Tally>,
    classes: BTreeMap<Class, Tally>,
    groups: BTreeMap<(String, String), Group>,
    pub matrix: Share,
    /// Words about what there is no more to ask of.
    pub remarks: Vec<String>,
    /// What should have been asked and was not, or went wrong beside the answers: a run with one is no good run.
    pub faults: Vec<String>,
    /// What upstream's source can refuse, by resource.
    pub known: BTreeMap<Arc<str>, BTreeSet<Refusal>>,
}

/// How many ran of those that there are.
#[derive(Default)]
pub struct Share {
    pub ran: usize,
    pub of: usize,
}

#[derive(Default)]
struct Tally {
    requests: usize,
    accepted: usize,
    refusals: BTreeSet<Refusal>,
    differences: usize,
}

/// Differences of one cause.
#[derive(Default)]
struct Group {
    resources: BTreeMap<Arc<str>, usize>,
    /// The shortest request that shows it, and what it showed.
    request: String,
    detail: String,
    /// That request, until it was tried to make it shorter.
    case: Option<Case>,
    tried: bool,
    /// All of them, for the report.
    all: Vec<String>,
}

/// How a run stands to what is known.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Differences in no line.
    pub new: usize,
    /// Differences by who owes them.
    pub owed: BTreeMap<String, usize>,
    /// Lines that nothing fits any more.
    pub stale: Vec<String>,
    /// What was not asked as it should have been.
    pub holes: usize,
    /// Resources that were asked too little, or too much alike.
    pub thin: Vec<String>,
}

/// A resource is asked so often, and so large a share of it is accepted, and refused, by upstream.
const REQUESTS_MIN: usize = 200;
const SHARE: usize = 3;
/// Of which there is no more to ask.
const THIN: &[(&str, &str)] = &[("core/componentstatuses", "they are only read")];

// === impl Verdict ===

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.new == 0 && self.stale.is_empty() && self.holes == 0 && self.thin.is_empty()
    }
}

// === impl Ledger ===

impl Ledger {
    pub fn add(&mut self, outcome: &Outcome) {
        let accepted = outcome.theirs.status < 300;
        let refusals = compare::refusals(&outcome.theirs);
        let resource = outcome.case.resource.clone();
        for tally in
            [self.resources.entry(resource.clone()).or_default(), self.classes.entry(outcome.case.class).or_default()]
        {
            tally.requests += 1;
            tally.accepted += usize::from(accepted);
            tally.refusals.extend(refusals.iter().cloned());
            tally.differences += usize::from(outcome.difference.is_some());
        }
        let Some(Difference { field, what, detail }) = &outcome.difference else { return };
        let group = self.groups.entry((field.clone(), what.clone())).or_default();
        *group.resources.entry(resource).or_default() += 1;
        let request = told(&outcome.case);
        group.all.push(format!("{request}\n=> {detail}"));
        if group.request.is_empty() || request.len() < group.request.len() {
            (group.request, group.detail) = (request, detail.clone());
            // A sequence cannot be asked again by itself.
            group.case = (!group.tried && outcome.case.class != Class::Sequence).then(|| outcome.case.clone());
        }
    }

    /// The requests of new causes that are still as long as they were drawn; each cause is given once.
    pub fn to_shorten(&mut self, known: &[Known]) -> Vec<(Difference, Case)> {
        let mut out = Vec::new();
        for ((field, what), group) in &mut self.groups {
            let difference = Difference { field: field.clone(), what: what.clone(), detail: String::new() };
            let is_known =
                group.resources.keys().all(|resource| known.iter().any(|line| line.fits(resource, &difference)));
            if let Some(case) = group.case.take_if(|_| !is_known) {
                group.tried = true;
                out.push((difference, case));
            }
        }
        out
    }

    /// A shorter request of a cause.
    pub fn shortened(&mut self, difference: &Difference, case: &Case) {
        let Some(group) = self.groups.get_mut(&(difference.field.clone(), difference.what.clone())) else { return };
        let request = told(case);
        if request.len() < group.request.len() {
            group.request = request;
        }
    }

    pub fn differences(&self) -> usize {
        self.groups.values().map(Group::count).sum()
    }

    pub fn requests(&self) -> usize {
        self.resources.values().map(|tally| tally.requests).sum()
    }

    /// `whole`: all requests of all resources were sent, so that a line that nothing fits is out of date.
    pub fn judge(&self, known: &[Known], whole: bool) -> Verdict {
        let mut verdict = Verdict { holes: self.faults.len(), ..Verdict::default() };
        let mut used = vec![false; known.len()];
        for ((field, what), group) in &self.groups {
            let difference = Difference { field: field.clone(), what: what.clone(), detail: String::new() };
            for (resource, count) in &group.resources {
                let mut owed = None;
                for (line, used) in known.iter().zip(&mut used).filter(|(line, _)| line.fits(resource, &difference)) {
                    *used = true;
                    owed = owed.or(Some(&line.owed));
                }
                match owed {
                    Some(owed) => *verdict.owed.entry(owed.clone()).or_default() += count,
                    None => verdict.new += count,
                }
            }
        }
        if whole {
            let unused = known.iter().zip(used).filter(|(line, used)| !used && !line.by_chance);
            verdict.stale =
                unused.map(|(line, _)| format!("{}\t{}\t{}", line.resource, line.field, line.what)).collect();
            let is_excused = |name: &str| THIN.iter().any(|(thin, _)| *thin == name);
            verdict.thin = self.thin().filter(|name| !is_excused(name)).map(str::to_owned).collect();
        }
        verdict
    }

    /// Resources that were asked less, or more of one sort, than a whole run asks.
    fn thin(&self) -> impl Iterator<Item = &str> {
        let thin = self.resources.iter().filter(|(_, tally)| tally.requests < REQUESTS_MIN || tally.is_uneven());
        thin.map(|(name, _)| &**name)
    }

    /// What stands in no line, as lines that lack who owes it and why.
    pub fn unknown(&self, known: &[Known]) -> String {
        let mut out = String::new();
        for ((field, what), group) in &self.groups {
            let difference = Difference { field: field.clone(), what: what.clone(), detail: String::new() };
            let resources = group.resources.keys();
            for resource in resources.filter(|resource| !known.iter().any(|line| line.fits(resource, &difference))) {
                let _ = writeln!(out, "{resource}\t{field}\t{what}");
            }
        }
        out
    }

    /// Every difference whole, cause by cause.
    pub fn whole(&self) -> String {
        let mut out = String::new();
        for ((field, what), group) in &self.groups {
            let _ = writeln!(out, "### {field:?} {what}\n{}\n", group.all.join("\n"));
        }
        out
    }

    /// Differences by cause, the most frequent first; `known` ones come with who owes them.
    pub fn causes(&self, known: &[Known]) -> String {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count()));
        let mut out = String::new();
        for ((field, what), group) in groups {
            let difference = Difference { field: field.clone(), what: what.clone(), detail: String::new() };
            let owed: BTreeSet<&str> = group
                .resources
                .keys()
                .filter_map(|resource| known.iter().find(|line| line.fits(resource, &difference)))
                .map(|line| line.owed.as_str())
                .collect();
            let mark = if owed.is_empty() { String::new() } else { format!(" (known: {owed:?})") };
            let mut resources: Vec<String> =
                group.resources.iter().map(|(name, count)| format!("{name} {count}")).collect();
            let more = resources.len().saturating_sub(8);
            resources.truncate(8);
            let more = if more > 0 { format!(" and {more} more resources") } else { String::new() };
            let _ = writeln!(
                out,
                "{:>5} × {field:?} {what}{mark}\n      {}{more}\n      {}\n      => {}",
                group.count(),
                resources.join(", "),
                if owed.is_empty() { group.request.clone() } else { cut(&group.request, 1500) },
                cut(&group.detail, 1000),
            );
        }
        out
    }
}

impl Tally {
    fn is_uneven(&self) -> bool {
        let refused = self.requests - self.accepted;
        SHARE * self.accepted < self.requests || SHARE * refused < self.requests
    }
}

impl Group {
    fn count(&self) -> usize {
        self.resources.values().sum()
    }
}

/// A request with what it was made for.
fn told(case: &Case) -> String {
    format!("{} [{}] {}", case.shown(), case.class, case.title)
}

fn cut(text: &str, len: usize) -> String {
    let mut out: String = text.chars().take(len).collect();
    if out.len() < text.len() {
        out += "…";
    }
    out
}

impl fmt::Display for Ledger {
    /// The tables by resource and by class.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = |f: &mut fmt::Formatter<'_>, name: &str| {
            writeln!(
                f,
                "{name:<55} {:>8} {:>8} {:>8} {:>9} {:>6} {:>8} {:>11}",
                "requests", "accepted", "refused", "refusals", "known", "of these", "differences"
            )
        };
        let line = |f: &mut fmt::Formatter<'_>, name: &str, tally: &Tally| {
            let Tally { requests, accepted, refusals, differences } = tally;
            let refused = requests - accepted;
            let known = self.known.get(name);
            let (of_known, known) = match known {
                Some(known) => (known.intersection(refusals).count().to_string(), known.len().to_string()),
                None => Default::default(),
            };
            let len = refusals.len();
            writeln!(
                f,
                "{name:<55} {requests:>8} {accepted:>8} {refused:>8} {len:>9} {known:>6} {of_known:>8} {differences:>11}"
            )
        };
        head(f, "resource")?;
        for (resource, tally) in &self.resources {
            line(f, resource, tally)?;
        }
        head(f, "\nclass")?;
        for (class, tally) in &self.classes {
            line(f, &class.to_string(), tally)?;
        }
        writeln!(f, "\nof the matrix of verbs and forms {} of {} requests ran", self.matrix.ran, self.matrix.of)?;
        writeln!(
            f,
            "\nrefusals: distinct by field and error type; known: those that upstream's source was found to have"
        )?;
        let thin: Vec<&str> = self.thin().collect();
        writeln!(
            f,
            "\nwith fewer than {REQUESTS_MIN} requests, or less than a third of them accepted or refused: {}",
            if thin.is_empty() { "none".to_owned() } else { thin.join(", ") }
        )?;
        for remark in &self.remarks {
            writeln!(f, "{remark}")?;
        }
        for fault in &self.faults {
            writeln!(f, "a hole: {fault}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, Tally};

    #[test]
    fn a_hole_fails_a_run_without_differences() {
        let mut ledger = Ledger::default();
        ledger.remarks.push("core/componentstatuses: no sample, it is only read".into());
        assert!(ledger.judge(&[], true).is_good(), "what nobody can create is no hole");
        ledger.faults.push("core/pods: a dry run changed the live object".into());
        assert!(!ledger.judge(&[], true).is_good());
        assert!(ledger.to_string().contains("a hole: core/pods"), "it is told");
    }

    #[test]
    fn a_whole_run_asks_each_resource_enough_of_both_sorts() {
        let asked = |requests, accepted| {
            let mut ledger = Ledger::default();
            for name in ["core/pods", "core/componentstatuses"] {
                ledger.resources.insert(name.into(), Tally { requests, accepted, ..Tally::default() });
            }
            (ledger.judge(&[], true).thin, ledger.judge(&[], false).is_good())
        };
        let pods = vec!["core/pods".to_owned()];
        assert_eq!(asked(300, 100), (vec![], true));
        assert_eq!(asked(199, 100), (pods.clone(), true), "too few; a run that is not whole may ask less");
        assert_eq!(asked(300, 99), (pods.clone(), true), "too many were refused");
        assert_eq!(asked(300, 201), (pods, true), "too many were accepted");
    }
}
