//! Node ports: one stored bitmap that every server compares and swaps.
//!
//! The object and its key are upstream's, so that a server of upstream goes on with it. The lower part of the range is
//! left to those who name a port. Upstream: pkg/registry/core/service/{portallocator,allocator}.

use api::{Gvk, Status, Value};
use base64::{Engine, prelude::BASE64_STANDARD};
use store::{Entry, Guard, Op, Outcome, Txn};

use crate::{Registry, storage, tally::Wish, unavailable};

/// Under the server's prefix.
const KEY: &str = "ranges/servicenodeports";
/// What a service that has a port says of it.
const SAYS_PORT: [&[u8]; 2] = [b"\"nodePort\":", b"\"healthCheckNodePort\":"];
/// How often a swap is tried again.
const ATTEMPTS_MAX: usize = 256;

/// Ports that node ports come from, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

/// Why there is no port.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("range is full")]
    Full,
    #[error("provided port is already allocated")]
    Allocated,
    #[error("provided port is not in the valid range. The range of valid ports is {0}")]
    NotInRange(PortRange),
    #[error("the provided range does not match the current range")]
    Mismatch,
}

/// One bit for each port of a range, by its offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(Vec<u8>);

/// Where one service takes its ports.
pub struct Desk {
    range: PortRange,
    bits: Bits,
    taken: Vec<u16>,
    /// What was wished, and whether it could be had.
    wishes: Vec<(Wish, bool)>,
    dry_run: bool,
    /// The stored range is not this server's.
    mismatch: bool,
    draw: Box<dyn FnMut(u64) -> u64 + Send>,
}

/// The bitmap as it is stored.
pub struct Stored {
    /// `30000-32767`
    pub range: String,
    pub bits: Bits,
    /// 0: it is not there yet.
    pub revision: u64,
}

/// Fills in a service's ports with `fill`, as often as others are faster, and answers which it took.
pub async fn take(
    registry: &Registry,
    service: &mut Value,
    dry_run: bool,
    fill: impl Fn(&mut Value, &mut Desk) -> Result<(), Status> + Send,
) -> Result<Vec<u16>, Status> {
    // In one process they queue here; between processes the store decides.
    let _turn = registry.ports.lock().await;
    let mut stored = read(registry).await?;
    for _ in 0..ATTEMPTS_MAX {
        let seeds: Vec<u64> = (0..8).map(|_| registry.draw(u64::MAX)).collect();
        let mut draft = service.clone();
        let mut desk = Desk::new(registry.config.node_ports, &stored, dry_run, seeds);
        let filled = fill(&mut draft, &mut desk);
        let counted = |wishes: &[(Wish, bool)]| {
            let wishes = wishes.iter().filter(|_| !dry_run);
            wishes.for_each(|(wish, is_taken)| registry.tally.node_port(*wish, *is_taken));
        };
        filled.inspect_err(|_| counted(&desk.wishes))?;
        if dry_run || desk.taken.is_empty() {
            *service = draft;
            return Ok(Vec::new());
        }
        let Desk { bits, taken, wishes, range, .. } = desk;
        match swap(registry, &range.to_string(), &bits, stored.revision).await? {
            Ok(()) => {
                counted(&wishes);
                *service = draft;
                return Ok(taken);
            }
            Err(found) => stored = found,
        }
    }
    Err(Status::server_timeout(&api::GroupResource::new("", "services"), "create", 1))
}

/// Gives ports back.
pub async fn release(registry: &Registry, ports: &[u16]) -> Result<(), Status> {
    let range = registry.config.node_ports;
    let offsets: Vec<usize> = ports.iter().filter_map(|port| range.offset(i64::from(*port))).collect();
    if offsets.is_empty() {
        return Ok(());
    }
    let _turn = registry.ports.lock().await;
    let mut stored = read(registry).await?;
    for _ in 0..ATTEMPTS_MAX {
        let mut bits = stored.bits.clone();
        offsets.iter().for_each(|offset| bits.set(*offset, false));
        if bits == stored.bits || stored.range != range.to_string() {
            return Ok(());
        }
        match swap(registry, &stored.range, &bits, stored.revision).await? {
            Ok(()) => return Ok(()),
            Err(found) => stored = found,
        }
    }
    Err(Status::server_timeout(&api::GroupResource::new("", "services"), "delete", 1))
}

/// The ports of the range that services hold by what they say.
pub fn held(registry: &Registry) -> Bits {
    let mut bits = Bits::default();
    let services = registry.catalog.get(&api::GroupResource::new("", "services"));
    let objects = services.map(|definition| definition.cache.snapshot(0).objects).unwrap_or_default();
    // Most have none, which is told without taking them apart.
    for entry in objects.values().filter(|entry| SAYS_PORT.iter().any(|said| holds(&entry.json, said))) {
        let service = entry.tree();
        let ports = super::node_ports(&service).into_iter().chain(super::health_port(&service));
        let offsets = ports.filter_map(|port| registry.config.node_ports.offset(i64::from(port)));
        offsets.for_each(|offset| bits.set(offset, true));
    }
    bits
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// How many ports are given out, and how many are left. Upstream: `PortAllocator.Used`, `PortAllocator.Free`.
pub fn usage(registry: &Registry) -> (usize, usize) {
    let used = held(registry).iter().count();
    (used, registry.config.node_ports.len() - used)
}

/// The bitmap as it is now.
pub async fn read(registry: &Registry) -> Result<Stored, Status> {
    let (found, _) = registry.store.get(&key(registry)).await.map_err(|e| failed(e, "get"))?;
    decode(registry, found.as_ref())
}

/// Writes the bitmap where it stands at a revision; the inner error is what was found instead.
pub async fn swap(registry: &Registry, range: &str, bits: &Bits, revision: u64) -> Result<Result<(), Stored>, Status> {
    let object = api::value!({
        "kind": "RangeAllocation", "apiVersion": "v1", "metadata": {},
        "range": range, "data": (BASE64_STANDARD.encode(bits.to_bytes()))
    });
    let value = storage::encode_as(&object, &gvk(), schema::builtin(), registry.config.storage_media);
    let key = key(registry);
    let guard = match revision {
        0 => Guard::Absent(key.clone()),
        revision => Guard::AtRevision(key.clone(), revision),
    };
    let txn = Txn { guards: vec![guard], ops: vec![Op::Put { key, value, lease: 0 }] };
    match registry.store.commit(txn).await.map_err(|e| failed(e, "update"))? {
        Outcome::Committed(_) => Ok(Ok(())),
        Outcome::Refused(mut found) => Ok(Err(decode(registry, found.pop().flatten().as_ref())?)),
    }
}

fn decode(registry: &Registry, found: Option<&Entry>) -> Result<Stored, Status> {
    let Some(entry) = found else {
        return Ok(Stored { range: registry.config.node_ports.to_string(), bits: Bits::default(), revision: 0 });
    };
    let object = storage::decode_as(&entry.value, &gvk(), schema::builtin()).map_err(Status::internal)?;
    let data = BASE64_STANDARD.decode(object.str("data")).map_err(Status::internal)?;
    Ok(Stored { range: object.str("range").into(), bits: Bits::from_bytes(&data), revision: entry.mod_revision })
}

fn failed(error: store::Error, operation: &str) -> Status {
    unavailable(error, &api::GroupResource::new("", "servicenodeportallocations"), operation)
}

fn key(registry: &Registry) -> String {
    format!("{}/{KEY}", registry.config.prefix)
}

fn gvk() -> Gvk {
    Gvk::new("", "v1", "RangeAllocation")
}

// === impl PortRange ===

impl PortRange {
    /// Reads `30000-32767`, `30000+2767` or one port. Upstream: `PortRange.Set` of apimachinery's util/net.
    pub fn parse(text: &str) -> Option<PortRange> {
        let (first, last) = match (text.split_once('-'), text.split_once('+')) {
            (Some((first, last)), _) => (first.trim().parse().ok()?, last.trim().parse().ok()?),
            (None, Some((first, more))) => {
                let first: u16 = first.trim().parse().ok()?;
                (first, first.saturating_add(more.trim().parse().ok()?))
            }
            (None, None) => {
                let only = text.trim().parse().ok()?;
                (only, only)
            }
        };
        (first <= last).then_some(PortRange { first, last })
    }

    pub fn len(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    pub fn is_empty(self) -> bool {
        false
    }

    pub fn offset(self, port: i64) -> Option<usize> {
        let offset = usize::try_from(port - i64::from(self.first)).ok()?;
        (offset < self.len()).then_some(offset)
    }

    /// How many from the first on are left to those who name one. Upstream: `calculateRangeOffset`.
    fn named_len(self) -> usize {
        const MIN: usize = 16;
        const MAX: usize = 128;
        const STEP: usize = 32;
        if self.len() <= MIN { 0 } else { (self.len() / STEP).clamp(MIN, MAX) }
    }

    fn port(self, offset: usize) -> u16 {
        self.first + offset as u16
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

// === impl Bits ===

impl Bits {
    /// Of a big-endian number, as Go's `big.Int` keeps it.
    pub fn from_bytes(bytes: &[u8]) -> Bits {
        let mut bits = Bits(bytes.iter().rev().copied().collect());
        bits.trim();
        bits
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().rev().copied().collect()
    }

    pub fn has(&self, offset: usize) -> bool {
        self.0.get(offset / 8).is_some_and(|byte| byte >> (offset % 8) & 1 == 1)
    }

    pub fn set(&mut self, offset: usize, on: bool) {
        if offset / 8 >= self.0.len() {
            self.0.resize(offset / 8 + 1, 0);
        }
        match on {
            true => self.0[offset / 8] |= 1 << (offset % 8),
            false => self.0[offset / 8] &= !(1 << (offset % 8)),
        }
        self.trim();
    }

    /// The offsets that are set.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.0.len() * 8).filter(|offset| self.has(*offset))
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

// === impl Desk ===

impl Desk {
    pub fn new(range: PortRange, stored: &Stored, dry_run: bool, seeds: Vec<u64>) -> Desk {
        let mut at = 0;
        let draw = move |below: u64| {
            let seed = seeds[at % seeds.len()].rotate_left((at / seeds.len()) as u32);
            at += 1;
            seed % below.max(1)
        };
        Desk {
            range,
            bits: stored.bits.clone(),
            taken: Vec::new(),
            wishes: Vec::new(),
            dry_run,
            mismatch: stored.range != range.to_string(),
            draw: Box::new(draw),
        }
    }

    /// Takes a port that the client named. On dry run its range is not asked for, as upstream's is not.
    pub fn take(&mut self, port: i64) -> Result<(), Refusal> {
        let taken = self.take_named(port);
        self.wishes.push((Wish::Named, taken.is_ok()));
        taken
    }

    /// Takes any free port, one that clients name last.
    pub fn take_any(&mut self) -> Result<i64, Refusal> {
        let taken = self.find_any();
        self.wishes.push((Wish::Any, taken.is_ok()));
        taken
    }

    fn take_named(&mut self, port: i64) -> Result<(), Refusal> {
        let offset = self.range.offset(port);
        let Some(offset) = offset else {
            let again = u16::try_from(port).is_ok_and(|port| self.taken.contains(&port));
            return match self.dry_run {
                true if again => Err(Refusal::Allocated),
                true => {
                    self.taken.extend(u16::try_from(port));
                    Ok(())
                }
                false => Err(Refusal::NotInRange(self.range)),
            };
        };
        if self.mismatch && !self.dry_run {
            return Err(Refusal::Mismatch);
        }
        if self.bits.has(offset) {
            return Err(Refusal::Allocated);
        }
        self.mark(offset);
        Ok(())
    }

    fn find_any(&mut self) -> Result<i64, Refusal> {
        if self.dry_run {
            // A stand-in: nobody looks for a free one.
            let port = self.taken.iter().max().map_or(32768, |port| *port).saturating_add(1);
            self.taken.push(port);
            return Ok(i64::from(port));
        }
        if self.mismatch {
            return Err(Refusal::Mismatch);
        }
        let (len, named) = (self.range.len(), self.range.named_len());
        for (first, count) in [(named, len - named), (0, named)] {
            let start = (self.draw)(count as u64) as usize;
            let free = (0..count).map(|step| first + (start + step) % count).find(|offset| !self.bits.has(*offset));
            if let Some(offset) = free {
                self.mark(offset);
                return Ok(i64::from(self.range.port(offset)));
            }
        }
        Err(Refusal::Full)
    }

    fn mark(&mut self, offset: usize) {
        self.bits.set(offset, true);
        self.taken.push(self.range.port(offset));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: PortRange = PortRange { first: 30000, last: 32767 };

    fn desk(range: PortRange, bits: Bits, dry_run: bool) -> Desk {
        Desk::new(range, &Stored { range: range.to_string(), bits, revision: 1 }, dry_run, vec![7, 11, 13])
    }

    #[test]
    fn bits_are_a_big_endian_number() {
        let mut bits = Bits::default();
        bits.set(0, true);
        bits.set(10, true);
        assert_eq!(bits.to_bytes(), [4, 1]);
        assert_eq!(Bits::from_bytes(&[0, 4, 1]), bits);
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 10]);
        bits.set(10, false);
        assert_eq!(bits.to_bytes(), [1]);
    }

    #[test]
    fn named_ports_are_checked() {
        let mut desk = desk(RANGE, Bits::default(), false);
        assert_eq!(desk.take(30080), Ok(()));
        assert_eq!(desk.take(30080).expect_err("30080 is taken").to_string(), "provided port is already allocated");
        let text = "provided port is not in the valid range. The range of valid ports is 30000-32767";
        assert_eq!(desk.take(80).expect_err("80 is outside").to_string(), text);
    }

    #[test]
    fn the_lower_part_goes_last_and_then_it_is_full() {
        let range = PortRange { first: 100, last: 131 };
        let mut desk = desk(range, Bits::default(), false);
        let upper: Vec<i64> = (0..16).map(|_| desk.take_any().expect("there is room")).collect();
        assert!(upper.iter().all(|port| *port >= 116), "{upper:?}");
        let lower: Vec<i64> = (0..16).map(|_| desk.take_any().expect("there is room")).collect();
        assert!(lower.iter().all(|port| *port < 116), "{lower:?}");
        assert_eq!(desk.take_any(), Err(Refusal::Full));
    }

    #[test]
    fn a_dry_run_shows_stand_ins() {
        let mut desk = desk(RANGE, Bits::default(), true);
        assert_eq!(desk.take_any(), Ok(32769));
        assert_eq!(desk.take_any(), Ok(32770));
        assert_eq!(desk.take(80), Ok(()));
    }
}
