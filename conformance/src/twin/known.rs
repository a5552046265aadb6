//! `differences.tsv`: the differences that are known, each with who owes its end and why it is there. It only shrinks.

use anyhow::{Result, ensure};

use super::compare::Difference;

/// One line. A cell that ends with `*` stands for all that begin as it does; one that ends with `[*]` is a list's item.
/// ` or ` stands between several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub resource: String,
    pub field: String,
    pub what: String,
    /// One of [`OWED`].
    pub owed: String,
    /// It comes with how two loops of upstream's race: a run that does not show it says nothing.
    pub by_chance: bool,
    pub reason: String,
}

/// Which part of the project owes the end of a difference.
pub const OWED: &[&str] = &["CEL", "CRD", "webhook", "aggregation", "PodSecurity", "fairness", "other"];
/// When a difference is seen: in every run of enough requests, or in some.
const SEEN: [&str; 2] = ["always", "by chance"];
pub const HEAD: &str = "resource\tfield\twhat\towed\tseen\treason";

/// All lines of a file.
pub fn read(text: &str) -> Result<Vec<Known>> {
    ensure!(text.lines().next() == Some(HEAD), "line 1 is not the head: {}", HEAD.replace('\t', ", "));
    let lines = text.lines().enumerate().filter(|(i, line)| *i > 0 && !line.trim().is_empty());
    lines.map(|(i, line)| line_of(i + 1, line)).collect()
}

fn line_of(number: usize, line: &str) -> Result<Known> {
    let cells: Vec<&str> = line.split('\t').collect();
    ensure!(cells.len() == 6, "line {number}: {} cells instead of 6", cells.len());
    ensure!(OWED.contains(&cells[3]), "line {number}: `{}` is none of {}", cells[3], OWED.join(", "));
    ensure!(SEEN.contains(&cells[4]), "line {number}: `{}` is none of {}", cells[4], SEEN.join(", "));
    ensure!(!cells[5].trim().is_empty(), "line {number}: a reason is owed");
    let cell = |i: usize| cells[i].trim().to_owned();
    Ok(Known {
        resource: cell(0),
        field: cell(1),
        what: cell(2),
        owed: cell(3),
        by_chance: cells[4] == SEEN[1],
        reason: cell(5),
    })
}

// === impl Known ===

impl Known {
    pub fn fits(&self, resource: &str, difference: &Difference) -> bool {
        is_like(&self.resource, resource)
            && is_like(&self.field, &difference.field)
            && is_like(&self.what, &difference.what)
    }
}

fn is_like(pattern: &str, text: &str) -> bool {
    pattern.split(" or ").any(|one| match one.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => text == one,
    })
}

#[cfg(test)]
mod tests {
    use super::{Difference, HEAD, read};

    /// The list only shrinks: whoever strikes lines lowers this.
    const LINES_MAX: usize = 13;

    #[test]
    fn lines_stand_for_differences() {
        let text = format!("{HEAD}\napps/*\tspec.a[*]\t200 for 422*\tCEL\talways\tno expressions yet\n");
        let known = read(&text).expect("the line is whole");
        let of =
            |field: &str| Difference { field: field.into(), what: "200 for 422 (x)".into(), detail: String::new() };
        assert!(known[0].fits("apps/deployments", &of("spec.a[*]")));
        assert!(!known[0].fits("apps/deployments", &of("spec.a[*].b")));
        assert!(!known[0].fits("core/pods", &of("spec.a[*]")));
    }

    #[test]
    fn the_list_is_whole_and_swallows_no_unseen_kind_of_difference() {
        let known = read(include_str!("../../differences.tsv")).expect("every line says who owes it and why");
        assert!(known.len() <= LINES_MAX, "{} lines", known.len());
        let broad = known.iter().find(|line| ["", "*"].contains(&&*line.what));
        assert_eq!(broad, None, "it says what differs");
        let broad = known.iter().find(|line| ["*", "metadata.*", "spec.*", "status.*"].contains(&&*line.field));
        assert_eq!(broad, None, "it says where");
    }

    #[test]
    fn a_cell_may_name_several() {
        let text = format!("{HEAD}\na/b\ta.b or a.c*\tlength or missing\tCRD\talways\tr\n");
        let known = read(&text).expect("the line is whole");
        let fits = |field: &str, what: &str| {
            known[0].fits("a/b", &Difference { field: field.into(), what: what.into(), detail: String::new() })
        };
        assert!(fits("a.b", "length") && fits("a.c[*]", "missing"));
        assert!(!fits("a.b.d", "length") && !fits("a.b", "value"));
    }

    #[test]
    fn a_line_says_who_owes_it_and_why() {
        assert!(read(&format!("{HEAD}\na\tb\tc\tnobody\talways\tr\n")).is_err());
        assert!(read(&format!("{HEAD}\na\tb\tc\tCEL\talways\t\n")).is_err());
        assert!(read(&format!("{HEAD}\na\tb\tc\tCEL\tnow\tr\n")).is_err());
        assert!(read(&format!("{HEAD}\na\tb\tc\n")).is_err());
    }
}
