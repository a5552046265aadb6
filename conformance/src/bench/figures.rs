//! The figures, one file each; [`ALL`] is their order.

use std::{future::Future, pin::Pin};

use anyhow::{Result, bail};

use super::{Plan, Table};

mod create;
mod deploy;
mod fan_out;
mod get;
mod hold;
mod idle;
mod lease;
mod list;
mod schedule;
mod start;
mod watch;

/// One figure.
pub struct Figure {
    pub name: &'static str,
    pub measure: Measure,
}

/// A figure's measurement.
pub type Measure = for<'a> fn(&'a Plan, &'a mut Table) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// The figures by number.
pub const ALL: &[Figure] = &[
    Figure { name: "P1", measure: |plan, table| Box::pin(start::measure(plan, table)) },
    Figure { name: "P2", measure: |plan, table| Box::pin(idle::measure(plan, table)) },
    Figure { name: "P3", measure: |plan, table| Box::pin(create::measure(plan, table)) },
    Figure { name: "P4", measure: |plan, table| Box::pin(list::measure(plan, table)) },
    Figure { name: "P5a", measure: |plan, table| Box::pin(watch::measure(plan, table)) },
    Figure { name: "P5b", measure: |plan, table| Box::pin(fan_out::measure(plan, table)) },
    Figure { name: "P6", measure: |plan, table| Box::pin(get::measure(plan, table)) },
    Figure { name: "P7", measure: |plan, table| Box::pin(schedule::measure(plan, table)) },
    Figure { name: "P8", measure: |plan, table| Box::pin(lease::measure(plan, table)) },
    Figure { name: "P10", measure: |plan, table| Box::pin(hold::measure(plan, table)) },
    Figure { name: "P13", measure: |plan, table| Box::pin(deploy::measure(plan, table)) },
];

/// The figures of these names, all when there are none; `P5` is both of its halves.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Figure>> {
    if let Some(name) = names.iter().find(|name| !ALL.iter().any(|figure| figure.is_called(name))) {
        let known: Vec<&str> = ALL.iter().map(|figure| figure.name).collect();
        bail!("{name} is no figure that is measured here; there are {}", known.join(", "));
    }
    let is_chosen = |figure: &&Figure| names.is_empty() || names.iter().any(|name| figure.is_called(name));
    Ok(ALL.iter().filter(is_chosen).collect())
}

// === impl Figure ===

impl Figure {
    fn is_called(&self, name: &str) -> bool {
        let number = self.name.trim_end_matches(|last: char| last.is_ascii_lowercase());
        [self.name, number].iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

const MEGABYTE: f64 = 1_000_000.0;
/// Of the CPU that the load generator takes.
const LOAD_UNIT: &str = "% of both's CPU";

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str]) -> Result<Vec<&'static str>> {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        Ok(chosen(&only)?.iter().map(|figure| figure.name).collect())
    }

    #[test]
    fn a_number_means_all_of_its_letters_and_nothing_that_begins_with_it() -> Result<()> {
        assert_eq!(names(&["P5", "p1"])?, ["P1", "P5a", "P5b"]);
        assert_eq!(names(&["p5B"])?, ["P5b"]);
        assert_eq!(names(&[])?.len(), ALL.len());
        let unknown = names(&["P3", "P99"]).expect_err("there is none").to_string();
        assert!(unknown.starts_with("P99 is no figure that is measured here; there are P1, P2, P3,"), "{unknown}");
        Ok(())
    }
}
