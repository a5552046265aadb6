//! What calls of the libraries' functions will cost. Upstream: apiserver/pkg/cel/library/cost.go EstimateCallCost; cel-go
//! ext/lists.go, ext/sets.go.

use crate::functions::Cost;
use crate::library::lists::is_text;
use crate::types::Type;
use crate::value::Value;

use super::estimate::{Estimated, Node, SizeEstimator};
use super::{Bounds, FORMAT_PATTERN_MAX, LIST, PATTERN, STRUCT, TEXT};

/// Of parsing a selector of this length.
pub(super) fn selector(len: Bounds) -> Bounds {
    let requirements = len.scaled(0.5).scaled((LIST + STRUCT) as f64);
    Bounds::exactly(LIST).plus(len.scaled(TEXT)).plus(requirements)
}

/// What a call is estimated by.
pub(super) struct Given<'a> {
    pub target: Option<&'a Node<'a>>,
    pub arguments: &'a [Node<'a>],
    pub estimator: &'a dyn SizeEstimator,
}

impl Given<'_> {
    fn size(&self, node: &Node<'_>) -> Bounds {
        node.size.or_else(|| self.estimator.estimate(&node.path, &node.t)).unwrap_or(Bounds::UNKNOWN)
    }

    fn argument(&self, index: usize) -> Option<Bounds> {
        self.arguments.get(index).map(|node| self.size(node))
    }

    fn target(&self) -> Option<Bounds> {
        self.target.map(|node| self.size(node))
    }

    /// The elements of the list that the function is called on.
    fn elements(&self) -> Option<Node<'static>> {
        let target = self.target?;
        let t = target.t.parameters().first()?.clone();
        let mut path = target.path.clone();
        if !path.is_empty() {
            path.push("@items".into());
        }
        Some(Node { path, t, expr: None, size: None })
    }

    /// A literal number, not less than zero.
    fn number(&self, index: usize, otherwise: u64) -> u64 {
        match self.arguments.get(index).and_then(|node| node.expr?.literal()) {
            Some(Value::Int(value)) => u64::try_from(*value).unwrap_or(0),
            _ => otherwise,
        }
    }
}

fn only(cost: Bounds) -> Option<Estimated> {
    Some(Estimated { cost, size: None })
}

fn sized(cost: Bounds, size: Bounds) -> Option<Estimated> {
    Some(Estimated { cost, size: Some(size) })
}

/// What a call of a library's function costs; `None`: as the language's own do.
pub(super) fn estimate(cost: Cost, function: &str, overload: &str, given: &Given<'_>) -> Option<Estimated> {
    match cost {
        Cost::Standard => None,
        Cost::Fixed(cost) => only(Bounds::exactly(cost)),
        Cost::Scan(times) => scan(function, overload, times, given),
        Cost::Replace => replace(given),
        Cost::Split => {
            let text = given.target()?;
            let most =
                given.arguments.get(1).map_or(text.max, |_| match given.arguments[1].expr.and_then(|e| e.literal()) {
                    Some(Value::Int(limit)) => *limit as u64,
                    _ => text.max,
                });
            sized(text.scaled(2.0 * TEXT), Bounds { min: 0, max: most })
        }
        Cost::Join => join(given),
        Cost::Traverse => traverse(function, given),
        Cost::Find => {
            let text = given.target()?;
            let cost = text.plus(Bounds::ONE).scaled(TEXT).times(given.argument(0)?.scaled(PATTERN));
            sized(cost, Bounds { min: 0, max: text.max })
        }
        Cost::ContainsIp(as_text) => only(in_network(given, as_text)?),
        Cost::ContainsCidr(as_text) => {
            let address = Bounds { min: 4, max: 16 };
            only(in_network(given, as_text)?.plus(address.scaled(TEXT)).plus(Bounds::ONE))
        }
        Cost::Validate => only(given.argument(0)?.scaled(TEXT).scaled(FORMAT_PATTERN_MAX * PATTERN)),
        Cost::Selector => only(selector(given.argument(0)?)),
        Cost::Sets(factor) => {
            let pairs = given.argument(0)?.times(given.argument(1)?);
            only(pairs.scaled(factor).plus(Bounds::ONE))
        }
        Cost::Slice => {
            let list = given.target()?;
            let (start, end) = (given.number(0, 0), given.number(1, list.max));
            allocated(1.0, Bounds::exactly(end.wrapping_sub(start)))
        }
        Cost::Range => allocated(1.0, Bounds::exactly(given.number(0, u64::MAX))),
        Cost::Reverse => allocated(1.0, given.target()?),
        Cost::Flatten => {
            let depth = if given.arguments.is_empty() { 1 } else { given.number(0, u64::MAX) };
            allocated(depth as f64, given.target()?)
        }
        Cost::Distinct => {
            let list = given.target()?;
            allocated(2.0, list.times(list))
        }
        Cost::Sort(index, reads_text) => {
            let keys = if index == 0 { given.target()? } else { given.argument(0)? };
            let factor = if reads_text { 2.0 + TEXT } else { 2.0 };
            allocated(factor, keys.times(keys))
        }
    }
}

fn allocated(factor: f64, size: Bounds) -> Option<Estimated> {
    sized(size.scaled(factor).plus(Bounds::ONE).plus(Bounds::exactly(LIST)), size)
}

fn scan(function: &str, overload: &str, times: u64, given: &Given<'_>) -> Option<Estimated> {
    if overload == "cidr_ip" {
        return only(Bounds::ONE);
    }
    let is_on_target = matches!(function, "lowerAscii" | "upperAscii" | "substring" | "trim");
    let text = if is_on_target { given.target()? } else { given.argument(0)? };
    let cost = text.scaled(times as f64 * TEXT);
    let is_sized = is_on_target || matches!(function, "url" | "jsonpatch.escapeKey");
    if is_sized { sized(cost, text) } else { only(cost) }
}

fn in_network(given: &Given<'_>, as_text: bool) -> Option<Bounds> {
    let address = Bounds { min: 4, max: 16 };
    let compared = address.plus(address).scaled(TEXT);
    Some(if as_text { compared.plus(given.argument(0)?.scaled(TEXT)) } else { compared })
}

fn replace(given: &Given<'_>) -> Option<Estimated> {
    let (text, from, to) = (given.target()?, given.argument(0)?, given.argument(1)?);
    let times = |len: u64, each: u64| (len as f64 / each as f64).ceil() as u64;
    let (mut count, mut kept) = (Bounds::ZERO, Bounds::ZERO);
    if from.min == 0 {
        (count.max, kept.max) = (text.max.saturating_add(1), text.max);
    } else if to.max <= from.min {
        kept.max = text.max;
    } else {
        count.max = times(text.max, from.min);
    }
    if from.max == 0 {
        (count.min, kept.min) = (text.min.saturating_add(1), text.min);
    } else if from.max <= to.min {
        kept.min = text.min;
    } else {
        count.min = times(text.min, from.max);
    }
    sized(text.scaled(2.0 * TEXT), count.times(to).plus(kept))
}

fn join(given: &Given<'_>) -> Option<Estimated> {
    let list = given.target()?;
    let mut size = match given.elements() {
        Some(element) => list.times(given.size(&element)),
        None => Bounds::ZERO,
    };
    if let Some(separator) = given.argument(0) {
        let separators = Bounds { min: list.min.saturating_sub(1), max: list.max.saturating_sub(1) };
        size = size.plus(separator.times(separators));
    }
    sized(size.scaled(TEXT), size)
}

fn traverse(function: &str, given: &Given<'_>) -> Option<Estimated> {
    let list = given.target()?;
    let cost = match given.elements() {
        Some(element) => {
            let text = if is_text(&element.t) { given.size(&element).scaled(TEXT) } else { Bounds::ZERO };
            list.times(Bounds::ONE.plus(text))
        }
        None if function == "includes" => list,
        None => list.scaled(TEXT),
    };
    only(cost)
}

/// Of comparing two values of a library's type; `None`: as others are compared.
pub(super) fn equality(given: &Given<'_>) -> Option<Estimated> {
    let (Some(a), Some(b)) = (given.arguments.first(), given.arguments.get(1)) else { return None };
    if a.t.runtime_name() != b.t.runtime_name() {
        return None;
    }
    match &a.t {
        Type::Opaque(name, _) if matches!(&**name, "net.IP" | "net.CIDR") => only(Bounds::ONE),
        // Upstream means these to cost as much, but compares identities of types that it makes anew.
        Type::Object(name) => match &**name {
            "kubernetes.Quantity" | "kubernetes.Semver" => only(Bounds::ONE),
            "kubernetes.NamedFormat" => only(Bounds { min: 1, max: super::FORMAT_MAX }.scaled(TEXT)),
            "kubernetes.URL" => {
                let most = b.size.map_or(1, |size| size.max);
                only(Bounds { min: 1, max: most }.scaled(TEXT))
            }
            name if name.starts_with("kubernetes.authorization.") => only(Bounds::ONE),
            _ => None,
        },
        _ => None,
    }
}
