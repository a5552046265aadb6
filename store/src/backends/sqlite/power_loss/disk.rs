//! A disk that lies as disks do: what was not synced is dropped, kept out of order or torn when the power goes.
//!
//! A write is visible at once and durable once its file is synced. At a power loss each write that was not synced is
//! kept, dropped, or kept in part, sector by sector and sometimes within one, as the seed says. Bytes outside a write
//! are never harmed: that is the promise of real disks on which SQLite relies here as on the system's own VFS.

use std::collections::BTreeMap;

/// SplitMix64: small, and the same everywhere for the same seed.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

/// What happens at a given operation of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It and everything after it fails, and what was not synced is at the mercy of the dice.
    PowerLoss,
    /// This one write or sync fails.
    Io,
    /// No write succeeds until there is room again.
    Full,
}

#[derive(Debug, Default)]
pub struct Disk {
    pub files: BTreeMap<String, File>,
    /// Writes, truncations and syncs so far.
    pub operations: u64,
    pub fault: Option<(u64, Fault)>,
    pub dead: bool,
}

#[derive(Clone, Debug, Default)]
pub struct File {
    pub bytes: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

const SECTOR_BYTES: usize = 512;

// === impl Dice ===

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

// === impl Disk ===

impl Disk {
    /// Counts an operation that changes something; an error when it fails.
    pub fn operation(&mut self) -> Result<(), Fault> {
        self.operations += 1;
        if self.dead {
            return Err(Fault::Io);
        }
        match self.fault {
            Some((at, Fault::PowerLoss)) if self.operations >= at => {
                self.dead = true;
                Err(Fault::PowerLoss)
            }
            Some((at, Fault::Io)) if self.operations == at => Err(Fault::Io),
            _ => Ok(()),
        }
    }

    /// As [`Disk::operation`], for one that takes room.
    pub fn write(&mut self) -> Result<(), Fault> {
        self.operation()?;
        match self.fault {
            Some((at, Fault::Full)) if self.operations >= at => Err(Fault::Full),
            _ => Ok(()),
        }
    }

    /// What is found when the power is back.
    pub fn after_power_loss(&self, dice: &mut Dice) -> Disk {
        let survive = |(name, file): (&String, &File)| (name.clone(), file.survivor(dice));
        Disk { files: self.files.iter().map(survive).collect(), ..Disk::default() }
    }
}

// === impl File ===

impl File {
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let change = Change::Write { offset, bytes: bytes.to_vec() };
        change.apply(&mut self.bytes);
        self.unsynced.push(change);
    }

    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
        self.unsynced.push(Change::Truncate { len });
    }

    pub fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn survivor(&self, dice: &mut Dice) -> File {
        let mut bytes = self.durable.clone();
        // Now and then everything arrived, or nothing did: both are as likely on a real machine as a mixture.
        let (all, none) = (dice.one_in(6), dice.one_in(6));
        for change in &self.unsynced {
            match dice.below(4) {
                _ if all => change.apply(&mut bytes),
                _ if none => {}
                0 => {}
                1 => change.apply(&mut bytes),
                _ => change.apply_torn(&mut bytes, dice),
            }
        }
        File { durable: bytes.clone(), bytes, unsynced: Vec::new() }
    }
}

// === impl Change ===

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => put(to, *offset, bytes),
            Change::Truncate { len } => to.truncate(*len),
        }
    }

    fn apply_torn(&self, to: &mut Vec<u8>, dice: &mut Dice) {
        let Change::Write { offset, bytes } = self else { return };
        for (index, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
            let len = match dice.below(8) {
                0..4 => sector.len(),
                4..7 => 0,
                _ => dice.below(sector.len() as u64 + 1) as usize,
            };
            if len > 0 {
                put(to, offset + index * SECTOR_BYTES, &sector[..len]);
            }
        }
    }
}

fn put(to: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[offset..end].copy_from_slice(bytes);
}
