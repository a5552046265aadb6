//! From markers to plans.
//!
//! The order of checks is that of upstream's generator: markers by name, those that stop first, what concerns a whole
//! list last. Upstream: code-generator/cmd/validation-gen/validators.

use api::EcoString;

use super::{
    Change, Check, Constraints, Format, Head, Matching, Member, Need, Plan, Rule, Stage, custom,
    marker::{self, Marker},
};
use crate::types::{Field, Schemas, Shape, Type, TypeId};

pub static FEATURES: &str = include_str!("../../facts/features.json");

/// Compiles all types of a catalog.
pub fn all(schemas: &Schemas, is_on: &dyn Fn(&str) -> bool) -> Constraints {
    let mut unknown = vec![];
    let mut plans: Vec<Plan> = schemas.iter().map(|(_, kind)| plan(kind, schemas, is_on, &mut unknown)).collect();
    reach(&mut plans);
    prune(&mut plans);
    Constraints { plans, unknown }
}

/// For each type whether an error can come of it: the least fixed point over references.
fn reach(plans: &mut [Plan]) {
    for plan in plans.iter_mut() {
        plan.reaches = plan.values.as_ref().is_some_and(|v| v.0 == Stage::Enforced)
            || !plan.heads.is_empty()
            || plan.members.iter().any(|m| m.checks.iter().any(is_seen));
    }
    loop {
        let before: Vec<bool> = plans.iter().map(|p| p.reaches).collect();
        let below = |m: &Member| m.below.is_some_and(|id| before[id as usize]);
        let found: Vec<usize> =
            (0..plans.len()).filter(|i| !before[*i] && plans[*i].members.iter().any(below)).collect();
        if found.is_empty() {
            return;
        }
        found.into_iter().for_each(|i| plans[i].reaches = true);
    }
}

/// Leaves out what nobody would ever see.
fn prune(plans: &mut [Plan]) {
    let reaches: Vec<bool> = plans.iter().map(|p| p.reaches).collect();
    for plan in plans {
        for member in &mut plan.members {
            member.below = member.below.filter(|id| reaches[*id as usize]);
        }
        plan.members.retain(|m| m.below.is_some() || m.checks.iter().any(is_seen));
    }
}

/// Whether a check's error is shown.
fn is_seen(check: &Check) -> bool {
    let inner = match &check.rule {
        Rule::EachValue(inner) => is_seen(inner),
        Rule::Subfield(_, inner) => inner.iter().any(is_seen),
        _ => true,
    };
    inner && check.stage == Stage::Enforced && !check.silent
}

fn plan(kind: &Type, schemas: &Schemas, is_on: &dyn Fn(&str) -> bool, unknown: &mut Vec<String>) -> Plan {
    if kind.scalar.is_some() {
        return scalar(kind);
    }
    let mut plan = Plan { heads: heads(kind), ..Plan::default() };
    for (i, field) in kind.fields.iter().enumerate() {
        let mut markers: Vec<Marker<'_>> = field.markers.iter().map(|m| marker::parse(m)).collect();
        markers.sort_by(|a, b| a.name.cmp(b.name));
        let owner = kind.name.as_str();
        let mut reader =
            Reader { owner, field, is_on, item: false, checks: vec![], late: vec![], opaque: false, unknown };
        markers.iter().for_each(|m| reader.read(m, Stage::Enforced));
        reader.list(&markers);
        let Reader { mut checks, late, opaque, .. } = reader;
        checks.extend(late);
        checks.sort_by_key(|c| !c.stops);
        let below = if opaque { None } else { below(field, &field.shape, schemas) };
        plan.members.push(Member { field: i as u16, checks, matching: matching(&markers), below });
    }
    plan
}

/// The values of a named scalar, when they are declared to be all.
fn scalar(kind: &Type) -> Plan {
    let found = kind.markers.iter().map(|m| marker::parse(m)).find_map(|m| match (m.name, &m.inner) {
        ("enum", _) => Some(Stage::Enforced),
        ("beta", Some(inner)) if inner.name == "enum" => Some(Stage::Enforced),
        ("alpha", Some(inner)) if inner.name == "enum" => Some(Stage::Alpha),
        _ => None,
    });
    let mut values = kind.values.clone();
    values.sort();
    Plan { values: found.map(|stage| (stage, values)), ..Plan::default() }
}

/// The type that goes on below a field, its elements or its values.
fn below(field: &Field, shape: &Shape, schemas: &Schemas) -> Option<TypeId> {
    match shape {
        Shape::Struct(id) => Some(*id),
        Shape::List(item) | Shape::Map(item) => below(field, item, schemas),
        _ if field.alias.is_empty() => None,
        _ => schemas.id(&field.alias),
    }
}

/// A marker without its stage.
fn unwrap<'m, 'a>(marker: &'m Marker<'a>) -> (Stage, &'m Marker<'a>) {
    match (marker.name, &marker.inner) {
        ("alpha", Some(inner)) => (Stage::Alpha, inner),
        ("beta", Some(inner)) => (Stage::Enforced, inner),
        _ => (Stage::Enforced, marker),
    }
}

fn matching(markers: &[Marker<'_>]) -> Matching {
    let bare: Vec<&Marker<'_>> = markers.iter().map(|m| unwrap(m).1).collect();
    let kinds = || bare.iter().filter(|m| matches!(m.name, "listType" | "unique"));
    if kinds().any(|m| m.value == "map") {
        Matching::Keys(bare.iter().filter(|m| m.name == "listMapKey").map(|m| m.value.into()).collect())
    } else if kinds().any(|m| m.value == "set") {
        Matching::Equal
    } else {
        Matching::None
    }
}

// --- rules about several members

fn heads(kind: &Type) -> Vec<Head> {
    let mut union: (Stage, Vec<u16>) = (Stage::Enforced, vec![]);
    let mut by = None;
    let mut modes: Vec<(u16, Vec<(EcoString, Need)>)> = vec![];
    for (i, field) in kind.fields.iter().enumerate() {
        let i = i as u16;
        let mut rules = vec![];
        for marker in field.markers.iter().map(|m| marker::parse(m)) {
            let (stage, bare) = unwrap(&marker);
            match bare.name {
                "unionMember" => {
                    union.0 = stage;
                    union.1.push(i);
                }
                "modeDiscriminator" => by = Some((stage, i)),
                "ifMode" => rules.push((bare.arg().into(), need(bare))),
                _ => {}
            }
        }
        if !rules.is_empty() {
            modes.push((i, rules));
        }
    }
    modes.sort_by(|a, b| kind.fields[a.0 as usize].name.cmp(&kind.fields[b.0 as usize].name));
    let mut heads = vec![];
    if let Some((stage, by)) = by.filter(|b| b.0 == Stage::Enforced) {
        heads.extend(modes.into_iter().map(|(member, rules)| Head::Mode { stage, by, member, rules }));
    }
    if union.0 == Stage::Enforced && !union.1.is_empty() {
        heads.push(Head::Union { stage: union.0, members: union.1 });
    }
    heads
}

fn need(marker: &Marker<'_>) -> Need {
    match marker.inner.as_ref().map(|i| i.name) {
        Some("required") => Need::Required,
        _ => Need::Optional,
    }
}

// --- rules about one member

/// Reads the markers of one member.
struct Reader<'a> {
    /// The name of the type whose member it is.
    owner: &'a str,
    field: &'a Field,
    is_on: &'a dyn Fn(&str) -> bool,
    /// The markers are about the elements.
    item: bool,
    checks: Vec<Check>,
    late: Vec<Check>,
    opaque: bool,
    unknown: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn read(&mut self, marker: &Marker<'_>, stage: Stage) {
        let inner = marker.inner.as_deref();
        match (marker.name, inner) {
            ("alpha", Some(inner)) => self.read(inner, Stage::Alpha),
            ("beta", Some(inner)) => self.read(inner, Stage::Enforced),
            ("ifEnabled", Some(inner)) if (self.is_on)(marker.arg()) => self.read(inner, stage),
            ("ifDisabled", Some(inner)) if !(self.is_on)(marker.arg()) => self.read(inner, stage),
            ("ifEnabled" | "ifDisabled", Some(_)) => {}
            ("optional", _) if self.has_default() => self.stop(Rule::Present, stage),
            ("optional", _) => self.silent(stage),
            ("required", _) => self.stop(Rule::Present, stage),
            ("forbidden", _) => {
                self.stop(Rule::Absent, stage);
                self.silent(stage);
            }
            ("immutable", _) => self.stop(Rule::Immutable, stage),
            ("maxItems", _) => self.stop(Rule::ItemsMax(number(marker) as usize), stage),
            ("minimum", _) => self.plain(Rule::Minimum(number(marker)), stage),
            ("maximum", _) => self.plain(Rule::Maximum(number(marker)), stage),
            ("maxLength", _) => self.plain(Rule::LengthMax(number(marker) as usize), stage),
            ("maxBytes", _) => self.plain(Rule::BytesMax(number(marker) as usize), stage),
            ("monotonic", _) => self.plain(Rule::Monotonic, stage),
            ("format", _) => self.format(marker, stage),
            ("eachKey", Some(inner)) => match Format::named(inner.value) {
                Some(format) => self.plain(Rule::EachKey(format), stage),
                None => self.unknown(marker),
            },
            ("eachVal", Some(inner)) => self.each(inner, stage),
            ("subfield", Some(inner)) => self.subfield(marker.arg(), inner, stage),
            ("opaqueType", _) => self.opaque = true,
            // Read elsewhere: `list`, `matching`, `heads`.
            ("listType" | "listMapKey" | "unique" | "customUnique" | "update" | "item", _) => {}
            ("unionMember" | "modeDiscriminator" | "ifMode", _) => {}
            // What no error can come of yet.
            ("customValidation", _) if stage == Stage::Alpha => {}
            ("customValidation", _) => match custom::of(self.owner, &self.field.name) {
                Some(judge) => self.plain(Rule::Custom(judge), stage),
                None => self.unknown(marker),
            },
            // Of kinds that are alpha, whose rules say it by hand.
            ("dependentRequired" | "dependentForbidden", _) => {}
            _ => self.unknown(marker),
        }
    }

    fn unknown(&mut self, marker: &Marker<'_>) {
        self.unknown.push(format!("{}: {marker:?}", self.field.name));
    }

    fn has_default(&self) -> bool {
        !self.item && self.field.default.is_some()
    }

    fn plain(&mut self, rule: Rule, stage: Stage) {
        self.checks.push(Check { stage, stops: false, silent: false, rule });
    }

    fn stop(&mut self, rule: Rule, stage: Stage) {
        self.checks.push(Check { stage, stops: true, silent: false, rule });
    }

    fn silent(&mut self, stage: Stage) {
        self.checks.push(Check { stage, stops: true, silent: true, rule: Rule::Present });
    }

    fn format(&mut self, marker: &Marker<'_>, stage: Stage) {
        match Format::named(marker.value) {
            Some(format) => self.plain(Rule::Format(format), stage),
            None => self.unknown(marker),
        }
    }

    /// What one inner marker says about a value of its own.
    fn inside(&mut self, inner: &Marker<'_>, stage: Stage) -> Vec<Check> {
        let mut reader = Reader {
            owner: self.owner,
            field: self.field,
            is_on: self.is_on,
            item: true,
            checks: vec![],
            late: vec![],
            opaque: false,
            unknown: self.unknown,
        };
        reader.read(inner, stage);
        let Reader { checks, opaque, .. } = reader;
        self.opaque |= opaque;
        checks
    }

    fn each(&mut self, inner: &Marker<'_>, stage: Stage) {
        for check in self.inside(inner, stage) {
            self.plain(Rule::EachValue(Box::new(check)), stage);
        }
    }

    /// Several markers about the same member of a member are one check, as they stop one another.
    fn subfield(&mut self, name: &str, inner: &Marker<'_>, stage: Stage) {
        let found = self.inside(inner, stage);
        let known = self.checks.iter_mut().find_map(|c| match &mut c.rule {
            Rule::Subfield(known, checks) if known == name => Some(checks),
            _ => None,
        });
        match known {
            Some(checks) => checks.extend(found),
            None => self.plain(Rule::Subfield(name.into(), found), stage),
        }
    }

    /// What concerns all elements together, and changes.
    fn list(&mut self, markers: &[Marker<'_>]) {
        let bare: Vec<(Stage, &Marker<'_>)> = markers.iter().map(unwrap).collect();
        let unique = bare.iter().find(|(_, m)| m.name == "unique").or(bare.iter().find(|(_, m)| m.name == "listType"));
        let custom = bare.iter().any(|(_, m)| m.name == "customUnique");
        if let Some((stage, _)) = unique.filter(|(_, m)| m.value != "atomic" && !custom) {
            self.late.push(Check { stage: *stage, stops: false, silent: false, rule: Rule::Unique });
        }
        let mut changes: Vec<Change> =
            bare.iter().filter(|(_, m)| m.name == "update").filter_map(|(_, m)| change(m.value)).collect();
        changes.sort_by(|a, b| a.partial_cmp(b).expect("plain names have an order"));
        if let Some((stage, _)) = bare.iter().find(|(_, m)| m.name == "update") {
            self.late.push(Check { stage: *stage, stops: true, silent: false, rule: Rule::Update(changes) });
        }
        let items: Vec<&(Stage, &Marker<'_>)> = bare.iter().filter(|(_, m)| m.name == "item").collect();
        if let Some((stage, _)) = items.first() {
            let field = &self.field.name;
            let terms = items.iter().filter_map(|(_, m)| m.args.first()).map(|(key, value)| {
                (EcoString::from(*key), EcoString::from(*value), format!("{field}[{{\"{key}\": \"{value}\"}}]"))
            });
            self.late.push(Check { stage: *stage, stops: false, silent: false, rule: Rule::OneItem(terms.collect()) });
        }
    }
}

fn change(name: &str) -> Option<Change> {
    Some(match name {
        "NoSet" => Change::NoSet,
        "NoUnset" => Change::NoUnset,
        "NoModify" => Change::NoModify,
        "NoAddItem" => Change::NoAddItem,
        "NoRemoveItem" => Change::NoRemoveItem,
        _ => return None,
    })
}

fn number(marker: &Marker<'_>) -> i64 {
    marker.value.parse().unwrap_or_default()
}
