//! Ranges of pod addresses, cut into pieces of one size for nodes.
//!
//! Upstream: pkg/controller/nodeipam/ipam/cidrset; the settings: cmd/kube-controller-manager/app/core.go.

use std::{collections::BTreeSet, net::IpAddr, ops::RangeInclusive};

use api::names::ip::{Cidr, parse_cidr};

/// Upstream: defaultNodeMaskCIDRIPv4, defaultNodeMaskCIDRIPv6.
const NODE_BITS: (u8, u8) = (24, 64);
/// An IPv6 range has no more than 2^16 pieces. Upstream: clusterSubnetMaxDiff.
const BITS_MAX: u8 = 16;

/// How large a node's piece is, as the flags say it; 0 where they say nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeBits {
    /// Upstream: `--node-cidr-mask-size`.
    pub any: u8,
    /// Upstream: `--node-cidr-mask-size-ipv4`.
    pub v4: u8,
    /// Upstream: `--node-cidr-mask-size-ipv6`.
    pub v6: u8,
}

/// A range of pod addresses of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    cluster: Cidr,
    /// The length of the prefix of a node's piece.
    node_bits: u8,
    /// Pieces that lie within ranges of services, which nodes never get.
    services: Vec<RangeInclusive<u64>>,
}

/// Which pieces of a range are free.
#[derive(Debug)]
pub struct Pieces {
    range: Range,
    taken: BTreeSet<u64>,
    next: u64,
}

/// Ranges as `--cluster-cidr` gives them, without what is the services'. The error is upstream's.
pub fn ranges(cluster: &str, services: &[String], bits: NodeBits) -> Result<Vec<Range>, String> {
    let mut all = Vec::new();
    for (i, text) in cluster.trim().split(',').enumerate() {
        let cidr = parse_cidr(text);
        all.push(cidr.ok_or_else(|| format!("invalid CIDR[{i}]: <nil> (invalid CIDR address: {text})"))?);
    }
    let has = |six: bool| all.iter().any(|cidr| is_six(*cidr) == six);
    if all.len() > 1 && !(has(true) && has(false)) {
        let count = all.len();
        return Err(format!(
            "len of ClusterCIDRs=={count} and they are not configured as dual stack (at least one from each IPFamily"
        ));
    }
    if all.len() > 2 {
        return Err(format!("length of clusterCIDRs is:{} more than max allowed of 2", all.len()));
    }
    let (v4, v6) = node_bits(bits, all.len() > 1, is_six(all[0]))?;
    let services: Vec<Cidr> = services.iter().filter_map(|text| parse_cidr(text)).collect();
    all.into_iter().map(|cidr| Range::new(cidr, if is_six(cidr) { v6 } else { v4 }, &services)).collect()
}

/// Upstream: setNodeCIDRMaskSizes.
fn node_bits(bits: NodeBits, is_dual: bool, is_six: bool) -> Result<(u8, u8), String> {
    let or = |given: u8, default: u8| if given == 0 { default } else { given };
    if bits.any != 0 {
        return match (is_dual, bits.v4 | bits.v6) {
            (true, _) => Err("usage of --node-cidr-mask-size is not allowed with dual-stack clusters".into()),
            (false, 0) => Ok((bits.any, bits.any)),
            _ => Err("usage of --node-cidr-mask-size-ipv4 and --node-cidr-mask-size-ipv6 is not allowed if \
                 --node-cidr-mask-size is set. For dual-stack clusters please unset it and use IPFamily specific flags"
                .into()),
        };
    }
    if !is_dual && bits.v4 != 0 && is_six {
        return Err("usage of --node-cidr-mask-size-ipv4 is not allowed for a single-stack IPv6 cluster".into());
    }
    if !is_dual && bits.v6 != 0 && !is_six {
        return Err("usage of --node-cidr-mask-size-ipv6 is not allowed for a single-stack IPv4 cluster".into());
    }
    Ok((or(bits.v4, NODE_BITS.0), or(bits.v6, NODE_BITS.1)))
}

fn is_six(cidr: Cidr) -> bool {
    cidr.network().is_ipv6()
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u32::from(four).into(),
        IpAddr::V6(six) => six.into(),
    }
}

// === impl Range ===

impl Range {
    fn new(cluster: Cidr, node_bits: u8, services: &[Cidr]) -> Result<Range, String> {
        let width = if is_six(cluster) { 128 } else { 32 };
        let more = node_bits.checked_sub(cluster.prefix_length()).filter(|_| node_bits <= width);
        let Some(more) = more else {
            return Err("Controller: Invalid --cluster-cidr, mask size of cluster CIDR must be less than or equal to \
                 --node-cidr-mask-size configured for CIDR family"
                .into());
        };
        if is_six(cluster) && more > BITS_MAX {
            return Err("New CIDR set failed; the node CIDR size is too big".into());
        }
        let mut range = Range { cluster, node_bits, services: Vec::new() };
        range.services = services.iter().filter_map(|service| range.places(*service).ok()).collect();
        Ok(range)
    }

    fn count(&self) -> u64 {
        1 << (self.node_bits - self.cluster.prefix_length())
    }

    /// By how much an address is shifted to become the number of its piece.
    fn shift(&self) -> u32 {
        let width = if is_six(self.cluster) { 128 } else { 32 };
        width - u32::from(self.node_bits)
    }

    /// A piece as a CIDR.
    pub fn piece(&self, place: u64) -> String {
        let address = number(self.cluster.network()) + (u128::from(place) << self.shift());
        let address = match u32::try_from(address) {
            Ok(four) if !is_six(self.cluster) => IpAddr::V4(four.into()),
            _ => IpAddr::V6(address.into()),
        };
        format!("{address}/{}", self.node_bits)
    }

    /// The pieces that an address range touches. Upstream: getBeginningAndEndIndices.
    fn places(&self, cidr: Cidr) -> Result<RangeInclusive<u64>, String> {
        let (first, base) = (cidr.network(), self.cluster.network());
        if first.is_ipv6() != base.is_ipv6() || !self.cluster.contains(first) && !cidr.contains(base) {
            let (cidr, cluster) = (cidr.canonical(), self.cluster.canonical());
            return Err(format!("cidr {cidr} is out the range of cluster cidr {cluster}"));
        }
        if self.cluster.prefix_length() >= cidr.prefix_length() {
            return Ok(0..=self.count() - 1);
        }
        let place = |address: u128| u64::try_from((address - number(base)) >> self.shift()).unwrap_or(u64::MAX);
        let width = if is_six(cidr) { 128 } else { 32 };
        let rest = (1u128 << (width - u32::from(cidr.prefix_length()))) - 1;
        Ok(place(number(first))..=place(number(first) | rest))
    }
}

// === impl Pieces ===

impl Pieces {
    pub fn new(range: &Range) -> Pieces {
        let taken = range.services.iter().cloned().flatten().collect();
        Pieces { range: range.clone(), taken, next: 0 }
    }

    pub fn range(&self) -> &Range {
        &self.range
    }

    /// What `text` covers is somebody's.
    pub fn occupy(&mut self, text: &str) -> Result<RangeInclusive<u64>, String> {
        let cidr = parse_cidr(text).ok_or_else(|| format!("invalid CIDR address: {text}"))?;
        let places = self.range.places(cidr)?;
        self.taken.extend(places.clone());
        Ok(places)
    }

    /// A free piece, the one after the last that was found first, so that none comes back soon.
    pub fn take(&mut self) -> Option<u64> {
        let count = self.range.count();
        let free = |place: &u64| !self.taken.contains(place);
        let found = (self.next..count).find(free).or_else(|| (0..self.next).find(free))?;
        self.taken.insert(found);
        self.next = (found + 1) % count;
        Some(found)
    }

    /// What is the services' stays theirs.
    pub fn release(&mut self, places: RangeInclusive<u64>) {
        for place in places.filter(|place| !self.range.services.iter().any(|kept| kept.contains(place))) {
            self.taken.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(cluster: &str, bits: u8) -> Range {
        let bits = NodeBits { any: bits, ..NodeBits::default() };
        ranges(cluster, &[], bits).expect("it is a range").remove(0)
    }

    #[test]
    fn ranges_are_cut_into_pieces() {
        let four = range("10.244.7.9/16", 0);
        assert_eq!(
            (four.count(), four.piece(0), four.piece(255)),
            (256, "10.244.0.0/24".into(), "10.244.255.0/24".into())
        );
        let six = range("fd00:1::/56", 0);
        assert_eq!((six.count(), six.piece(2)), (256, "fd00:1:0:2::/64".into()));
        let across = range("fd00::/60", 68);
        assert_eq!((across.piece(1), across.piece(17)), ("fd00::1000:0:0:0/68".into(), "fd00:0:0:1:1000::/68".into()));
        assert_eq!(range("0.0.0.0/0", 8).count(), 256);
    }

    #[test]
    fn pieces_go_around_and_come_back() {
        let mut pieces = Pieces::new(&range("10.0.0.0/22", 24));
        assert_eq!(pieces.occupy("10.0.1.0/24"), Ok(1..=1));
        assert_eq!((pieces.take(), pieces.take(), pieces.take(), pieces.take()), (Some(0), Some(2), Some(3), None));
        pieces.release(0..=0);
        pieces.release(3..=3);
        assert_eq!((pieces.take(), pieces.take(), pieces.take()), (Some(0), Some(3), None));
        assert_eq!(pieces.occupy("10.0.2.0/23"), Ok(2..=3), "larger than a piece");
        assert_eq!(pieces.occupy("10.0.3.128/25"), Ok(3..=3), "smaller than a piece");
        assert_eq!(pieces.occupy("10.0.0.0/8"), Ok(0..=3), "larger than the range");
        let out = "cidr 10.0.4.0/24 is out the range of cluster cidr 10.0.0.0/22";
        assert_eq!(pieces.occupy("10.0.4.0/24"), Err(out.into()));
        assert_eq!(
            pieces.occupy("fd00::/64"),
            Err("cidr fd00::/64 is out the range of cluster cidr 10.0.0.0/22".into())
        );
    }

    #[test]
    fn services_keep_their_pieces() {
        let services = ["10.0.1.0/24".to_string(), "fd00::/108".to_string()];
        let range = ranges("10.0.0.0/23", &services, NodeBits::default()).expect("it is a range").remove(0);
        let mut pieces = Pieces::new(&range);
        assert_eq!((pieces.take(), pieces.take()), (Some(0), None));
        pieces.release(0..=1);
        assert_eq!((pieces.take(), pieces.take()), (Some(0), None));
    }

    #[test]
    fn wrong_settings_are_told_as_upstream_does() {
        let bits = |any, v4, v6| NodeBits { any, v4, v6 };
        let cases = [
            ("", bits(0, 0, 0), "invalid CIDR[0]: <nil> (invalid CIDR address: )"),
            ("10.0.0.0/25", bits(0, 0, 0), "Controller: Invalid --cluster-cidr, mask size"),
            ("10.0.0.0/16", bits(40, 0, 0), "Controller: Invalid --cluster-cidr, mask size"),
            ("fd00::/40", bits(0, 0, 0), "New CIDR set failed; the node CIDR size is too big"),
            ("10.0.0.0/16,10.1.0.0/16", bits(0, 0, 0), "len of ClusterCIDRs==2 and they are not configured"),
            ("10.0.0.0/16,fd00::/56,fd01::/56", bits(0, 0, 0), "length of clusterCIDRs is:3 more than max"),
            ("10.0.0.0/16,fd00::/56", bits(24, 0, 0), "usage of --node-cidr-mask-size is not allowed with dual"),
            ("10.0.0.0/16", bits(24, 24, 0), "usage of --node-cidr-mask-size-ipv4 and"),
            ("fd00::/56", bits(0, 24, 0), "usage of --node-cidr-mask-size-ipv4 is not allowed for a single-stack IPv6"),
            (
                "10.0.0.0/16",
                bits(0, 0, 64),
                "usage of --node-cidr-mask-size-ipv6 is not allowed for a single-stack IPv4",
            ),
        ];
        for (cluster, bits, wanted) in cases {
            let why = ranges(cluster, &[], bits).expect_err(cluster);
            assert!(why.starts_with(wanted), "{cluster}: {why}");
        }
        assert_eq!(ranges("10.0.0.0/16,fd00::/56", &[], bits(0, 26, 0)).map(|all| all.len()), Ok(2));
    }
}
