//! The figures, one file each; [`ALL`] is their order.

use std::{future::Future, pin::Pin};

use anyhow::{Result, bail};

use super::{Plan, Table};

mod create;
mod crowd;
mod deploy;
mod fan_out;
mod get;
mod hold;
mod idle;
mod lease;
mod list;
mod pod;
mod schedule;
mod start;
mod suite;
mod watch;
mod who_asks;

/// One figure.
pub struct Figure {
    pub name: &'static str,
    pub measure: Measure,
    most: Most,
}

/// How far a figure can be scaled.
struct Most {
    scale: f64,
    why: &'static str,
    /// Memory of all sides together for each time that it is scaled, in GB.
    gigabytes: f64,
}

/// What is left of a machine's memory for servers, and what they take before they hold anything, in GB.
const LEFT: f64 = 0.8;
const BARE: f64 = 1.0;

const STILL: Most = Most { scale: 1.0, why: "nothing in it grows", gigabytes: 0.0 };

const fn memory(gigabytes: f64) -> Most {
    Most { scale: f64::INFINITY, why: "", gigabytes }
}

/// A figure's measurement.
pub type Measure = for<'a> fn(&'a Plan, &'a mut Table) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// The figures by number.
pub const ALL: &[Figure] = &[
    Figure { name: "P1", measure: |plan, table| Box::pin(start::measure(plan, table)), most: STILL },
    Figure { name: "P2", measure: |plan, table| Box::pin(idle::measure(plan, table)), most: STILL },
    Figure { name: "P3", measure: |plan, table| Box::pin(create::measure(plan, table)), most: memory(0.12) },
    Figure { name: "P4", measure: |plan, table| Box::pin(list::measure(plan, table)), most: memory(1.1) },
    Figure { name: "P5a", measure: |plan, table| Box::pin(watch::measure(plan, table)), most: memory(0.15) },
    Figure { name: "P5b", measure: |plan, table| Box::pin(fan_out::measure(plan, table)), most: memory(0.05) },
    Figure { name: "P6", measure: |plan, table| Box::pin(get::measure(plan, table)), most: memory(0.12) },
    Figure {
        name: "P7",
        measure: |plan, table| Box::pin(schedule::measure(plan, table)),
        most: Most { scale: 10.0, why: "upstream takes longer than is waited for", gigabytes: 0.3 },
    },
    Figure { name: "P8", measure: |plan, table| Box::pin(lease::measure(plan, table)), most: memory(0.03) },
    Figure { name: "P9", measure: |plan, table| Box::pin(pod::measure(plan, table)), most: STILL },
    Figure { name: "P10", measure: |plan, table| Box::pin(hold::measure(plan, table)), most: memory(8.9) },
    Figure {
        name: "P11",
        measure: |plan, table| Box::pin(crowd::measure(plan, table)),
        most: Most { scale: 10.0, why: "nodes' ranges of addresses are so many", gigabytes: 1.0 },
    },
    Figure { name: "P12", measure: |plan, table| Box::pin(suite::measure(plan, table)), most: STILL },
    Figure {
        name: "P13",
        measure: |plan, table| Box::pin(deploy::measure(plan, table)),
        most: Most { scale: 24.0, why: "a network has addresses for so many nodes", gigabytes: 0.2 },
    },
    Figure { name: "A1", measure: |plan, table| Box::pin(who_asks::measure(plan, table)), most: memory(0.05) },
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
    /// The scale at which it is measured when another is asked for, on a machine of so much memory, and why it is less.
    pub fn scale(&self, asked: f64, machine_gigabytes: f64) -> (f64, Option<String>) {
        let Most { scale, why, gigabytes } = &self.most;
        let room = (machine_gigabytes * LEFT - BARE) / gigabytes;
        // Round numbers; on a machine that is too small even for one, what it has room for.
        let room = if room >= 1.0 { room.floor() } else { (room * 10.0).floor().max(1.0) / 10.0 };
        let most = scale.min(room);
        if asked <= most {
            return (asked, None);
        }
        let why = match scale <= &room {
            true => (*why).to_owned(),
            false => format!("its servers take {gigabytes} GB each time, and the machine has {machine_gigabytes:.0}"),
        };
        (most, Some(format!("{}: at scale {most} and not {asked}, {why}", self.name)))
    }

    fn is_called(&self, name: &str) -> bool {
        let number = self.name.trim_end_matches(|last: char| last.is_ascii_lowercase());
        [self.name, number].iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// The number behind a word and a blank, in what a program of a figure's own has said.
fn number_after(said: &str, word: &str) -> Result<f64> {
    let found = said.split_once(word).and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    found.ok_or_else(|| anyhow::anyhow!("{said}: nothing after {word:?}"))
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
    fn numbers_are_read_from_what_programs_say() {
        let said =
            "A1: 5000 roles: certificate 2.50 µs, token 3.25 µs\nA1: ES256 9000 /s, RS256 25000 /s of 5000 tokens\n";
        let of = |word| number_after(said, word).ok();
        assert_eq!((of("certificate "), of("token "), of("RS256 ")), (Some(2.5), Some(3.25), Some(25000.0)));
        assert_eq!(of("nothing "), None);
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

    #[test]
    fn a_scale_that_a_machine_cannot_bear_is_less_and_says_so() {
        let at = |name: &str, asked: f64, machine: f64| {
            let figure = ALL.iter().find(|figure| figure.name == name).expect("there is one");
            figure.scale(asked, machine)
        };
        assert_eq!(at("P10", 1.0, 24.0), (1.0, None));
        let less = "P10: at scale 2 and not 10, its servers take 8.9 GB each time, and the machine has 24".to_owned();
        assert_eq!(at("P10", 10.0, 24.0), (2.0, Some(less)));
        assert_eq!((at("P10", 1.0, 8.0).0, at("P10", 1.0, 0.5).0), (0.6, 0.1));
        assert_eq!(at("P1", 100.0, 24.0), (1.0, Some("P1: at scale 1 and not 100, nothing in it grows".to_owned())));
        assert_eq!((at("P13", 100.0, 24.0).0, at("P13", 0.1, 24.0).0), (24.0, 0.1));
        for name in ["P3", "P5a", "P5b", "P6", "P8"] {
            assert_eq!(at(name, 100.0, 24.0), (100.0, None), "{name}");
        }
        assert_eq!(at("P4", 10.0, 24.0), (10.0, None));
    }
}
