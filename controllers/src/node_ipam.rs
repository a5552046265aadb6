//! Nodes get a range of pod addresses each, when the cluster has ranges to give.
//!
//! Not a plan: what is given away has to be known at once, not when a mirror shows it.
//! Upstream: pkg/controller/nodeipam/ipam/range_allocator.go.

pub mod ranges;

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc, time::Duration};

use api::{EcoString, Value, value};
use async_trait::async_trait;
use client::{Client, Mirror, Patch, Resource};
use parking_lot::Mutex;

use crate::driver::{Failed, Parts, Spec, Steps, Wake, Work, events::Recorder, plan::Event, world::World};
use ranges::{Pieces, Range};

const NODES: &str = "v1/nodes";

pub const SPEC: Spec = Spec {
    name: "node-ipam-controller",
    alias: "nodeipam",
    acts_for: "node-controller",
    tells_as: "cidrAllocator",
    wakes_on: &[Wake::Itself(NODES)],
    // Upstream: cidrUpdateWorkers.
    workers: 30,
    work: Work::Steps(|parts| Arc::new(Allocator::new(parts))),
};

struct Allocator {
    recorder: Recorder,
    books: Mutex<Books>,
}

/// Who has what.
struct Books {
    pieces: Vec<Pieces>,
    /// What each node has, by name: places by their range.
    given: BTreeMap<EcoString, Vec<RangeInclusive<u64>>>,
    /// What nodes had when this one came is known.
    is_complete: bool,
}

/// What is to be done about a node.
enum Decision {
    Nothing,
    /// A piece of each range.
    Give(Arc<Value>, Vec<String>),
    /// Nothing is left; why.
    Full(Arc<Value>, String),
    /// It has what it cannot have; why.
    Wrong(String),
}

// === impl Books ===

impl Books {
    fn new(ranges: &[Range]) -> Books {
        Books { pieces: ranges.iter().map(Pieces::new).collect(), given: BTreeMap::new(), is_complete: false }
    }

    /// Before anything is given away, what nodes have already is known. What is wrong with one comes up with its own key.
    fn complete(&mut self, nodes: &Mirror) {
        if !self.is_complete {
            for node in nodes.all() {
                let _ = self.occupy(&node);
            }
            self.is_complete = true;
        }
    }

    /// What a node has is its own. Upstream: occupyCIDRs.
    fn occupy(&mut self, node: &Value) -> Result<(), String> {
        let name = api::meta::of(node).name();
        let mut given = Vec::new();
        for (i, cidr) in cidrs(node).enumerate() {
            let Some(pieces) = self.pieces.get_mut(i) else {
                return Err(format!(
                    "node:{name} has an allocated cidr: {cidr} at index:{i} that does not exist in cluster cidrs configuration"
                ));
            };
            given.push(pieces.occupy(cidr).map_err(|why| {
                format!("failed to mark cidr[{cidr}] at idx [{i}] as occupied for node: {name}: {why}")
            })?);
        }
        if !given.is_empty() {
            self.given.insert(name.into(), given);
        }
        Ok(())
    }

    fn release(&mut self, name: &str) {
        let given = self.given.remove(name).unwrap_or_default();
        self.pieces.iter_mut().zip(given).for_each(|(pieces, places)| pieces.release(places));
    }

    /// A piece of each range for a node that has none; what was found for it before stays its own.
    fn allocate(&mut self, name: &str) -> Result<Vec<String>, String> {
        if !self.given.contains_key(name) {
            let mut found = Vec::new();
            for (i, pieces) in self.pieces.iter_mut().enumerate() {
                match pieces.take() {
                    Some(place) => found.push(place..=place),
                    None => {
                        self.pieces.iter_mut().zip(found).for_each(|(pieces, places)| pieces.release(places));
                        return Err(format!(
                            "failed to allocate cidr from cluster cidr at idx:{i}: CIDR allocation failed; there are no \
                             remaining CIDRs left to allocate in the accepted range"
                        ));
                    }
                }
            }
            self.given.insert(name.into(), found);
        }
        let given = self.given[name].iter();
        Ok(self.pieces.iter().zip(given).map(|(pieces, places)| pieces.range().piece(*places.start())).collect())
    }
}

fn cidrs(node: &Value) -> impl Iterator<Item = &str> {
    node.at("spec").list("podCIDRs").iter().filter_map(Value::as_str)
}

// === impl Allocator ===

impl Allocator {
    fn new(parts: &Parts) -> Allocator {
        let recorder = Recorder::new(parts.client.clone(), parts.clock.clone(), SPEC.tells_as);
        Allocator { recorder, books: Mutex::new(Books::new(&parts.settings.pod_ranges)) }
    }

    /// What a node is to be given, if anything.
    fn decide(&self, world: &World<'_>) -> Decision {
        let mut books = self.books.lock();
        books.complete(world.mirror(NODES));
        let Some(node) = world.itself(NODES) else {
            books.release(&world.key.name);
            return Decision::Nothing;
        };
        if books.pieces.is_empty() || api::meta::of(&node).is_terminating() {
            return Decision::Nothing;
        }
        if cidrs(&node).next().is_some() {
            return books.occupy(&node).map_or_else(Decision::Wrong, |()| Decision::Nothing);
        }
        match books.allocate(&world.key.name) {
            Ok(cidrs) => Decision::Give(node, cidrs),
            Err(why) => Decision::Full(node, why),
        }
    }

    async fn tell(&self, node: &Arc<Value>, reason: &str) {
        let message = format!("Node {} status is now: {reason}", api::meta::of(node).name());
        self.recorder.record(&Event::normal(node, reason, message)).await;
    }
}

#[async_trait]
impl Steps for Allocator {
    async fn step(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        let (node, cidrs) = match self.decide(world) {
            Decision::Nothing => return Ok(None),
            Decision::Give(node, cidrs) => (node, cidrs),
            Decision::Full(node, why) => {
                self.tell(&node, "CIDRNotAvailable").await;
                return Err(Failed(why));
            }
            Decision::Wrong(why) => return Err(Failed(why)),
        };
        let meta = api::meta::of(&node);
        // Upstream: component-helpers PatchNodeCIDRs.
        let patch =
            value!({"metadata": {"uid": meta.uid()}, "spec": {"podCIDR": cidrs[0].as_str(), "podCIDRs": cidrs}});
        match client.patch(Resource::new("", "v1", "nodes").named("", meta.name()), Patch::Strategic, &patch).await {
            Ok(_) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => {
                self.tell(&node, "CIDRAssignmentFailed").await;
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ranges::NodeBits;

    fn node(name: &str, cidrs: &[&str]) -> Value {
        value!({"metadata": {"name": name}, "spec": {"podCIDRs": cidrs.to_vec()}})
    }

    #[test]
    fn a_node_keeps_what_it_was_given_and_gives_it_back() {
        let ranges = ranges::ranges("10.0.0.0/23,fd00::/63", &[], NodeBits::default()).expect("they are ranges");
        let mut books = Books::new(&ranges);
        books.occupy(&node("a", &["10.0.0.0/24", "fd00:0:0:1::/64"])).expect("they are in the ranges");
        books.occupy(&node("b", &[])).expect("it has nothing yet");
        let b = vec!["10.0.1.0/24".to_string(), "fd00::/64".to_string()];
        assert_eq!(books.allocate("b"), Ok(b.clone()));
        assert_eq!(books.allocate("b"), Ok(b), "a patch that failed is tried again with the same");
        let why = books.allocate("c").expect_err("nothing is left");
        assert!(
            why.starts_with("failed to allocate cidr from cluster cidr at idx:0: CIDR allocation failed;"),
            "{why}"
        );
        books.release("a");
        assert_eq!(books.allocate("c"), Ok(vec!["10.0.0.0/24".into(), "fd00:0:0:1::/64".into()]));
    }

    #[test]
    fn what_one_range_gave_goes_back_when_another_has_nothing() {
        let ranges = ranges::ranges("10.0.0.0/23,fd00::/64", &[], NodeBits::default()).expect("they are ranges");
        let mut books = Books::new(&ranges);
        assert!(books.allocate("a").is_ok());
        assert!(books.allocate("b").expect_err("no IPv6 is left").contains("at idx:1"));
        books.release("a");
        assert_eq!(books.allocate("b").map(|c| c.len()), Ok(2));
    }

    #[test]
    fn ranges_that_are_not_the_clusters_are_told() {
        let ranges = ranges::ranges("10.0.0.0/23", &[], NodeBits::default()).expect("it is a range");
        let mut books = Books::new(&ranges);
        let two = books.occupy(&node("a", &["10.0.0.0/24", "fd00::/64"])).expect_err("there is one range");
        assert!(two.starts_with("node:a has an allocated cidr: fd00::/64 at index:1"), "{two}");
        let out = books.occupy(&node("a", &["10.9.0.0/24"])).expect_err("it is elsewhere");
        assert!(out.starts_with("failed to mark cidr[10.9.0.0/24] at idx [0] as occupied for node: a: cidr"), "{out}");
    }
}
