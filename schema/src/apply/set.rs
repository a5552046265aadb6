//! Sets of paths: a tree whose levels are sorted by element, so that every operation is one pass over both.
//!
//! A path in a set says nothing about its parents: a manager may own `.spec.replicas` and not `.spec`.
//! Upstream: structured-merge-diff/v6/fieldpath/set.go, which keeps members and children in two lists.

use std::cmp::Ordering;

use super::element::{Element, Path};

/// A set of paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Ascending by element; none without a member at it or below.
    nodes: Vec<Node>,
}

/// An element, whether the path to it is in the set, and what is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub element: Element,
    pub member: bool,
    pub below: Set,
}

// === impl Node ===

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

// === impl Set ===

impl Set {
    pub fn new() -> Set {
        Set::default()
    }

    /// A set of these nodes in whatever order; nodes with the same element become one, empty ones go.
    pub fn of(mut nodes: Vec<Node>) -> Set {
        if nodes.iter().any(Node::is_empty) {
            nodes.retain(|n| !n.is_empty());
        }
        if !nodes.is_sorted_by(|a, b| a.element < b.element) {
            nodes.sort_by(|a, b| a.element.cmp(&b.element));
            nodes.dedup_by(|next, kept| {
                let twice = next.element == kept.element;
                if twice {
                    kept.member |= next.member;
                    kept.below = kept.below.union(&next.below);
                }
                twice
            });
        }
        Set { nodes }
    }

    /// A set of paths of member names: `["metadata.labels", "status"]`.
    pub fn of_names(paths: &[&str]) -> Set {
        let mut set = Set::new();
        for path in paths {
            set.insert(&Path(path.split('.').map(Element::field).collect()));
        }
        set
    }

    pub fn insert(&mut self, path: &Path) {
        let mut set = self;
        for (i, element) in path.0.iter().enumerate() {
            let place = set.place(element).unwrap_or_else(|place| {
                set.nodes.insert(place, Node { element: element.clone(), member: false, below: Set::new() });
                place
            });
            let node = &mut set.nodes[place];
            node.member |= i + 1 == path.0.len();
            set = &mut node.below;
        }
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many paths are in it.
    pub fn len(&self) -> usize {
        self.nodes.iter().map(|n| usize::from(n.member) + n.below.len()).sum()
    }

    /// Whether a path is in it.
    pub fn has(&self, path: &Path) -> bool {
        let Some((last, parents)) = path.0.split_last() else { return false };
        let parent = parents.iter().try_fold(self, |set, element| set.below(element));
        parent.and_then(|set| set.node(last)).is_some_and(|n| n.member)
    }

    pub fn node(&self, element: &Element) -> Option<&Node> {
        self.place(element).ok().map(|i| &self.nodes[i])
    }

    /// What begins with an element, without it.
    pub fn below(&self, element: &Element) -> Option<&Set> {
        self.node(element).map(|n| &n.below).filter(|s| !s.is_empty())
    }

    fn place(&self, element: &Element) -> Result<usize, usize> {
        self.nodes.binary_search_by(|n| n.element.cmp(element))
    }

    pub fn union(&self, other: &Set) -> Set {
        if self.is_empty() {
            return other.clone();
        }
        let both = |a: &Node, b: &Node| Node {
            element: a.element.clone(),
            member: a.member || b.member,
            below: a.below.union(&b.below),
        };
        self.zip(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Some(both(a, b)),
            (one, None) | (None, one) => one.cloned(),
        })
    }

    pub fn intersection(&self, other: &Set) -> Set {
        self.zip(other, |a, b| {
            let (a, b) = a.zip(b)?;
            let below = a.below.intersection(&b.below);
            Some(Node { element: a.element.clone(), member: a.member && b.member, below })
        })
    }

    /// Whether a path is in both: whether the intersection has any.
    pub fn meets(&self, other: &Set) -> bool {
        let (mut left, mut right) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let order = a.element.cmp(&b.element);
            if order.is_eq() && (a.member && b.member || a.below.meets(&b.below)) {
                return true;
            }
            if order.is_le() {
                left.next();
            }
            if order.is_ge() {
                right.next();
            }
        }
        false
    }

    /// Whether every path is in the other, too: whether the difference has none.
    pub fn is_within(&self, other: &Set) -> bool {
        self.nodes.iter().all(|node| match other.node(&node.element) {
            Some(theirs) => (!node.member || theirs.member) && node.below.is_within(&theirs.below),
            None => false,
        })
    }

    /// Takes paths out, in place: for a large set and a small other one.
    pub fn subtract(&mut self, other: &Set) {
        self.take_out(other, false);
    }

    /// Takes paths out with everything below them, in place.
    pub fn subtract_recursively(&mut self, other: &Set) {
        self.take_out(other, true);
    }

    fn take_out(&mut self, other: &Set, recursively: bool) {
        for theirs in &other.nodes {
            let Ok(i) = self.place(&theirs.element) else { continue };
            let node = &mut self.nodes[i];
            if theirs.member && recursively {
                node.below = Set::new();
            }
            node.member &= !theirs.member;
            node.below.take_out(&theirs.below, recursively);
            if node.is_empty() {
                self.nodes.remove(i);
            }
        }
    }

    /// What is in this set and not in the other. A parent in the other takes nothing below it away.
    pub fn difference(&self, other: &Set) -> Set {
        if other.is_empty() {
            return self.clone();
        }
        self.zip(other, |a, b| match (a?, b) {
            (a, None) => Some(a.clone()),
            (a, Some(b)) => {
                let below = a.below.difference(&b.below);
                Some(Node { element: a.element.clone(), member: a.member && !b.member, below })
            }
        })
    }

    /// As [`Set::difference`], but a path in the other takes everything below it away, too.
    pub fn recursive_difference(&self, other: &Set) -> Set {
        if other.is_empty() {
            return self.clone();
        }
        self.zip(other, |a, b| match (a?, b) {
            (a, None) => Some(a.clone()),
            (_, Some(b)) if b.member => None,
            (a, Some(b)) => {
                let below = a.below.recursive_difference(&b.below);
                Some(Node { element: a.element.clone(), member: a.member, below })
            }
        })
    }

    /// The paths that have none below them.
    pub fn leaves(&self) -> Set {
        let leaf = |n: &Node| Node {
            element: n.element.clone(),
            member: n.member && n.below.is_empty(),
            below: n.below.leaves(),
        };
        Set { nodes: self.nodes.iter().map(leaf).filter(|n| !n.is_empty()).collect() }
    }

    /// All paths; on each level first the level's own, then what is below.
    pub fn paths(&self) -> Vec<Path> {
        let mut out = Vec::with_capacity(self.len());
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect(&self, at: &mut Vec<Element>, out: &mut Vec<Path>) {
        for node in self.nodes.iter().filter(|n| n.member) {
            let mut path = at.clone();
            path.push(node.element.clone());
            out.push(Path(path));
        }
        for node in &self.nodes {
            at.push(node.element.clone());
            node.below.collect(at, out);
            at.pop();
        }
    }

    /// Walks both levels in order and keeps what `merge` makes of each element.
    fn zip(&self, other: &Set, merge: impl Fn(Option<&Node>, Option<&Node>) -> Option<Node>) -> Set {
        let (mut left, mut right) = (self.nodes.iter().peekable(), other.nodes.iter().peekable());
        let mut nodes = Vec::with_capacity(self.nodes.len());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => return Set { nodes },
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.element.cmp(&b.element),
            };
            let a = if order.is_le() { left.next() } else { None };
            let b = if order.is_ge() { right.next() } else { None };
            nodes.extend(merge(a, b).filter(|n| !n.is_empty()));
        }
    }
}
