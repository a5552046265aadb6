//! What the cluster looks like: nodes with the pods on them, those just assumed among them.
//!
//! Upstream: pkg/scheduler/backend/cache (cache.go, snapshot.go, node_tree.go).

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use api::{EcoString, Value, meta};

use crate::{
    Node, Pod,
    taints::Sorts,
    tally::{Carried, Sort, Tallies},
};

/// A node's place. It stays the node's as long as the node or a pod on it is there.
pub type Slot = u32;

/// The domain of a node that lacks a topology's label.
pub const NOWHERE: u32 = u32::MAX;

/// Nodes by slot.
pub type Nodes = Vec<Node>;

/// All nodes.
#[derive(Debug, Default)]
pub struct Snapshot {
    nodes: Nodes,
    by_name: HashMap<EcoString, Slot>,
    free: Vec<Slot>,
    /// Nodes that are there, the zones taking turns.
    order: Vec<Slot>,
    is_order_stale: bool,
    places: HashMap<EcoString, (Slot, Arc<Pod>)>,
    /// Pods that wait for room that was made for them, by node.
    nominated: BTreeMap<EcoString, Vec<Arc<Pod>>>,
    carried: Carried,
    /// On how many nodes an image is.
    images: HashMap<EcoString, u32>,
    tallies: RefCell<Tallies>,
    topologies: RefCell<HashMap<EcoString, Arc<Topology>>>,
    taints: Sorts,
}

/// More sorts of taints than this, and than nodes, are numbered anew: some of them are nobody's any more.
const SORTS_KEPT: usize = 64;

/// Which nodes belong together by a label.
#[derive(Debug, Default)]
pub struct Topology {
    /// By slot: the number of the domain, or [`NOWHERE`].
    pub domains: Vec<u32>,
    pub count: usize,
}

// === impl Snapshot ===

impl Snapshot {
    pub fn new() -> Snapshot {
        Snapshot::default()
    }

    // --- reading

    pub fn node(&self, slot: Slot) -> &Node {
        &self.nodes[slot as usize]
    }

    pub fn slot(&self, name: &str) -> Option<Slot> {
        let slot = *self.by_name.get(name)?;
        self.node(slot).object.is_some().then_some(slot)
    }

    /// The nodes that are there, the zones taking turns.
    pub fn order(&self) -> &[Slot] {
        debug_assert!(!self.is_order_stale, "settle comes before reading");
        &self.order
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The pod as it stands on its node.
    pub fn placed(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.places.get(uid).map(|(_, pod)| pod)
    }

    pub fn carried(&self) -> &Carried {
        &self.carried
    }

    /// On how many nodes an image is.
    pub fn spread_of_image(&self, name: &str) -> u32 {
        self.images.get(name).copied().unwrap_or(0)
    }

    /// Pods that wait for room on a node.
    pub fn nominated(&self, node: &str) -> &[Arc<Pod>] {
        self.nominated.get(node).map_or(&[], Vec::as_slice)
    }

    /// Nodes that others than this pod wait for.
    pub fn awaited_by_others(&self, uid: &str) -> impl Iterator<Item = Slot> {
        let by_others = self.nominated.iter().filter(move |(_, pods)| pods.iter().any(|pod| pod.uid != uid));
        by_others.filter_map(|(name, _)| self.slot(name))
    }

    /// The sorts of taints that nodes have.
    pub fn taints(&self) -> &Sorts {
        &self.taints
    }

    /// How many pods of a sort are on each slot.
    pub fn tally(&self, sort: &Sort) -> Arc<Vec<u32>> {
        self.tallies.borrow_mut().ask(sort, &self.nodes)
    }

    /// Which nodes belong together by this label.
    pub fn topology(&self, key: &str) -> Arc<Topology> {
        let mut known = self.topologies.borrow_mut();
        if let Some(topology) = known.get(key) {
            return topology.clone();
        }
        let topology = Arc::new(Topology::of(&self.nodes, key));
        known.insert(key.into(), topology.clone());
        topology
    }

    // --- nodes

    /// Puts a node in, or takes over how it has changed.
    pub fn set_node(&mut self, object: Arc<Value>) {
        let slot = self.slot_for(meta::of(&object).name());
        let node = &mut self.nodes[slot as usize];
        let is_new = node.object.is_none();
        let relabelled = node.labels() != meta::of(&object).labels();
        for name in std::mem::take(&mut node.images).into_keys() {
            forget_image(&mut self.images, &name);
        }
        node.taints = self.taints.number(object.at("spec").list("taints"));
        node.set(object);
        for name in node.images.keys() {
            *self.images.entry(name.clone()).or_default() += 1;
        }
        if is_new || relabelled {
            self.is_order_stale = true;
            self.topologies.get_mut().clear();
        }
        if self.taints.count() > SORTS_KEPT + 2 * self.nodes.len() {
            self.number_taints();
        }
    }

    fn number_taints(&mut self) {
        self.taints = Sorts::default();
        for node in &mut self.nodes {
            let taints = node.object.as_deref().map_or(&[][..], |object| object.at("spec").list("taints"));
            node.taints = self.taints.number(taints);
        }
    }

    pub fn remove_node(&mut self, name: &str) {
        let Some(&slot) = self.by_name.get(name) else { return };
        let node = &mut self.nodes[slot as usize];
        for name in std::mem::take(&mut node.images).into_keys() {
            forget_image(&mut self.images, &name);
        }
        node.object = None;
        self.is_order_stale = true;
        self.topologies.get_mut().clear();
        self.free_if_unused(slot);
    }

    /// Has to be called after nodes changed and before the next cycle.
    pub fn settle(&mut self) {
        if std::mem::take(&mut self.is_order_stale) {
            self.order = by_turns(&self.nodes);
        }
    }

    // --- pods

    /// Puts a pod on its node, whether or not that is known; one that is there already is replaced.
    pub fn put(&mut self, pod: Arc<Pod>) {
        self.take(&pod.uid);
        let slot = self.slot_for(&pod.node);
        self.put_at(pod, slot);
    }

    /// Puts a pod on a node that it does not name yet.
    pub fn put_at(&mut self, pod: Arc<Pod>, slot: Slot) {
        self.tallies.get_mut().change(&pod, slot, 1);
        self.carried.change(&pod, slot, 1);
        self.places.insert(pod.uid.clone(), (slot, pod.clone()));
        self.nodes[slot as usize].put(pod);
    }

    /// Takes a pod off its node.
    pub fn take(&mut self, uid: &str) -> Option<Arc<Pod>> {
        let (slot, pod) = self.places.remove(uid)?;
        self.nodes[slot as usize].take(uid);
        self.tallies.get_mut().change(&pod, slot, -1);
        self.carried.change(&pod, slot, -1);
        self.free_if_unused(slot);
        Some(pod)
    }

    /// Says that a pod waits for room on a node; "" that it no longer does.
    pub fn nominate(&mut self, pod: &Arc<Pod>, node: &str) {
        self.nominated.retain(|_, pods| {
            pods.retain(|other| other.uid != pod.uid);
            !pods.is_empty()
        });
        if !node.is_empty() {
            self.nominated.entry(node.into()).or_default().push(pod.clone());
        }
    }

    fn slot_for(&mut self, name: &str) -> Slot {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::default());
            Slot::try_from(self.nodes.len() - 1).expect("there are fewer nodes than that")
        });
        self.nodes[slot as usize] = Node { name: name.into(), ..Node::default() };
        self.by_name.insert(name.into(), slot);
        slot
    }

    fn free_if_unused(&mut self, slot: Slot) {
        let node = &self.nodes[slot as usize];
        if node.object.is_none() && node.pods.is_empty() {
            self.by_name.remove(&node.name);
            self.free.push(slot);
        }
    }
}

// === impl Topology ===

impl Topology {
    fn of(nodes: &Nodes, key: &str) -> Topology {
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut domains = Vec::with_capacity(nodes.len());
        for node in nodes {
            let next = u32::try_from(numbers.len()).unwrap_or(NOWHERE);
            domains.push(node.labels().opt_str(key).map_or(NOWHERE, |value| *numbers.entry(value).or_insert(next)));
        }
        Topology { domains, count: numbers.len() }
    }

    /// The domain of a slot; none when its node lacks the label.
    pub fn domain(&self, slot: Slot) -> Option<usize> {
        self.domains.get(slot as usize).filter(|d| **d != NOWHERE).map(|d| *d as usize)
    }

    /// Sums of what is counted by slot, by domain.
    pub fn sums(&self, counts: &[u32]) -> Vec<i64> {
        let mut sums = vec![0; self.count];
        for (domain, count) in self.domains.iter().zip(counts).filter(|(domain, _)| **domain != NOWHERE) {
            sums[*domain as usize] += i64::from(*count);
        }
        sums
    }
}

fn forget_image(images: &mut HashMap<EcoString, u32>, name: &str) {
    if let Some(count) = images.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            images.remove(name);
        }
    }
}

/// One node of each zone after the other, so that a run of them is spread over zones. Upstream: `nodeTree.list`.
fn by_turns(nodes: &Nodes) -> Vec<Slot> {
    let mut zones: Vec<(String, Vec<Slot>)> = Vec::new();
    for (slot, node) in nodes.iter().enumerate().filter(|(_, node)| node.object.is_some()) {
        let label = |new: &str, old: &str| node.labels().opt_str(new).or(node.labels().opt_str(old)).unwrap_or("");
        let region = label("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region");
        let zone = label("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone");
        let zone = format!("{region}:\u{0}:{zone}");
        let slot = Slot::try_from(slot).expect("slots are numbered so");
        match zones.iter_mut().find(|(name, _)| *name == zone) {
            Some((_, slots)) => slots.push(slot),
            None => zones.push((zone, vec![slot])),
        }
    }
    let rounds = zones.iter().map(|(_, slots)| slots.len()).max().unwrap_or(0);
    (0..rounds).flat_map(|round| zones.iter().filter_map(move |(_, slots)| slots.get(round).copied())).collect()
}
