//! A gzip encoder for texts whose parts are alike, as the objects of a list are.
//!
//! Clients of Go's ask for gzip whenever they list, so this is how most lists go out, and general encoders spend most of
//! their time on finding what is known here beforehand: what comes next stood just as far back as what came last. So that
//! distance is tried first, and a match goes on for as long as it holds; a table of places is asked only where it ends. The
//! codes are those that the format fixes, as other encoders have them at their cheapest level. RFC 1951, RFC 1952.

use crc32fast::Hasher;

/// How far back a match may begin.
const WINDOW_LEN: usize = 32 << 10;
/// The window slides when so much lies before what is looked at.
const SLIDE_LEN: usize = 4 * WINDOW_LEN;
/// Where texts begin: farther from 0, which stands in an empty table, than any match reaches.
const BASE: u32 = 2 * WINDOW_LEN as u32;
/// A shorter match is not looked for.
const MATCH_LEN_MIN: usize = 4;
/// One code says no more.
const MATCH_LEN_MAX: usize = 258;
const PLACES_BITS: u32 = 15;
/// After so many bytes in a row that match nothing, not each place is looked up any more, and twice as many are left out
/// after twice as many: what is packed already must not cost more than what can be.
const PATIENCE_SHIFT: usize = 6;

/// Begins a stream: no name, no time, no system, at the cheapest level.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];
/// The heads of a block with fixed codes, the last one and another. Three bits, the first is the lowest.
const BLOCK: u64 = 0b010;
const LAST_BLOCK: u64 = 0b011;
/// What ends such a block has seven bits, all of them 0.
const BLOCK_END_BITS: u32 = 7;

/// Bits of a code, the first is the lowest, and how many there are.
#[derive(Clone, Copy)]
struct Code {
    bits: u32,
    len: u32,
}

const LITERALS: [Code; 256] = literals();
/// By the length of a match.
const LENGTHS: [Code; MATCH_LEN_MAX + 1] = lengths();

/// A stream that is being made. What is ready of it lies in `out`.
pub struct Gzip {
    pub out: Vec<u8>,
    bits: u64,
    bits_len: u32,
    window: Vec<u8>,
    /// Of the window, what has been told.
    at: usize,
    /// The place in the text at which the window begins. Only differences count, so that it may wrap.
    base: u32,
    /// Where in the text four bytes of this hash stood last.
    places: Box<[u32; 1 << PLACES_BITS]>,
    /// That of the last match.
    distance: usize,
    /// Bytes in a row that matched nothing.
    misses: usize,
    sum: Hasher,
}

// === impl Gzip ===

impl Gzip {
    pub fn new() -> Gzip {
        let mut gzip = Gzip {
            out: HEAD.to_vec(),
            bits: 0,
            bits_len: 0,
            window: Vec::with_capacity(SLIDE_LEN + WINDOW_LEN),
            at: 0,
            base: BASE,
            places: Box::new([0; 1 << PLACES_BITS]),
            distance: 0,
            misses: 0,
            sum: Hasher::new(),
        };
        gzip.put(BLOCK, 3);
        gzip
    }

    /// Appends a text.
    pub fn write(&mut self, text: &[u8]) {
        self.sum.update(text);
        // In parts, so that the window stays short however long the text is.
        for part in text.chunks(WINDOW_LEN) {
            self.slide();
            self.window.extend_from_slice(part);
            self.pack();
        }
    }

    /// Ends the stream and hands out what has not been taken.
    pub fn finish(mut self) -> Vec<u8> {
        while self.at < self.window.len() {
            self.literal();
        }
        self.put(0, BLOCK_END_BITS);
        self.put(LAST_BLOCK, 3);
        self.put(0, BLOCK_END_BITS);
        // What is left of the last byte is nobody's.
        self.put(0, self.bits_len.wrapping_neg() % 8);
        while self.bits_len > 0 {
            self.out.push(self.bits as u8);
            (self.bits, self.bits_len) = (self.bits >> 8, self.bits_len - 8);
        }
        let len = self.base.wrapping_sub(BASE).wrapping_add(self.window.len() as u32);
        self.out.extend_from_slice(&self.sum.finalize().to_le_bytes());
        self.out.extend_from_slice(&len.to_le_bytes());
        self.out
    }

    /// Forgets what no match reaches any more.
    fn slide(&mut self) {
        if self.at < SLIDE_LEN {
            return;
        }
        let gone = self.at - WINDOW_LEN;
        self.window.drain(..gone);
        self.at -= gone;
        self.base = self.base.wrapping_add(gone as u32);
    }

    /// Tells all of the window but the last bytes, which something may yet follow.
    fn pack(&mut self) {
        while let Some(next) = four(&self.window, self.at) {
            let before = match self.distance {
                0 => None,
                distance => four(&self.window, self.at - distance),
            };
            let distance = if before == Some(next) { Some(self.distance) } else { self.look_up(next) };
            match distance {
                Some(distance) => self.repeat(distance),
                None => self.miss(),
            }
        }
    }

    /// Notes this place; how far back the one is that was known before.
    fn note(&mut self, next: u32) -> usize {
        let place = self.base.wrapping_add(self.at as u32);
        let known = &mut self.places[(next.wrapping_mul(0x9e37_79b1) >> (32 - PLACES_BITS)) as usize];
        place.wrapping_sub(std::mem::replace(known, place)) as usize
    }

    /// Notes this place, and says how far back the same four bytes stood before.
    fn look_up(&mut self, next: u32) -> Option<usize> {
        let distance = self.note(next);
        let is_there =
            (1..=WINDOW_LEN.min(self.at)).contains(&distance) && four(&self.window, self.at - distance) == Some(next);
        is_there.then_some(distance)
    }

    /// Tells what stands here as what stood there.
    fn repeat(&mut self, distance: usize) {
        let (past, rest) = (&self.window[self.at - distance..], &self.window[self.at..]);
        let mut len = common_len(past, rest);
        (self.distance, self.misses) = (distance, 0);
        let far = code_of_distance(distance);
        while len >= MATCH_LEN_MIN {
            let taken = len.min(MATCH_LEN_MAX);
            let near = LENGTHS[taken];
            self.put(u64::from(near.bits) | u64::from(far.bits) << near.len, near.len + far.len);
            self.at += taken;
            len -= taken;
            // What comes later may be like this from here on.
            if let Some(next) = four(&self.window, self.at) {
                self.note(next);
            }
        }
    }

    fn miss(&mut self) {
        let left_out = self.misses >> PATIENCE_SHIFT;
        self.misses += 1;
        for _ in 0..=left_out.min(self.window.len() - self.at - 1) {
            self.literal();
        }
    }

    fn literal(&mut self) {
        let Code { bits, len } = LITERALS[usize::from(self.window[self.at])];
        self.put(u64::from(bits), len);
        self.at += 1;
    }

    /// Appends up to 32 bits.
    fn put(&mut self, bits: u64, len: u32) {
        self.bits |= bits << self.bits_len;
        self.bits_len += len;
        if self.bits_len >= 32 {
            self.out.extend_from_slice(&(self.bits as u32).to_le_bytes());
            (self.bits, self.bits_len) = (self.bits >> 32, self.bits_len - 32);
        }
    }
}

fn four(text: &[u8], at: usize) -> Option<u32> {
    text.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

/// How many bytes two texts have in common at their beginning. The second one is not the longer.
fn common_len(past: &[u8], rest: &[u8]) -> usize {
    let whole = past.as_chunks::<32>().0.iter().zip(rest.as_chunks::<32>().0).take_while(|(a, b)| a == b).count() * 32;
    let words = past[whole..].as_chunks::<8>().0.iter().zip(rest[whole..].as_chunks::<8>().0);
    let mut len = whole;
    for (a, b) in words {
        let other = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if other != 0 {
            return len + other.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + past[len..].iter().zip(&rest[len..]).take_while(|(a, b)| a == b).count()
}

// === codes: RFC 1951, 3.2.5 and 3.2.6 ===

/// A code as it goes out: of a Huffman code the first bit is the highest.
const fn huffman(code: u32, len: u32) -> Code {
    Code { bits: code.reverse_bits() >> (32 - len), len }
}

const fn literals() -> [Code; 256] {
    let mut codes = [Code { bits: 0, len: 0 }; 256];
    let mut byte = 0;
    while byte < 256 {
        codes[byte] = match byte {
            0..144 => huffman(0x30 + byte as u32, 8),
            _ => huffman(0x190 + byte as u32 - 144, 9),
        };
        byte += 1;
    }
    codes
}

const fn lengths() -> [Code; MATCH_LEN_MAX + 1] {
    let mut codes = [Code { bits: 0, len: 0 }; MATCH_LEN_MAX + 1];
    let mut len = 3;
    while len <= MATCH_LEN_MAX {
        // 257 is a match of 3; four codes have one more bit, the next four two, and so on. 258 has one of its own.
        let over = len as u32 - 3;
        let extra = if over < 8 { 0 } else { 29 - over.leading_zeros() };
        let (symbol, extra) = match len {
            MATCH_LEN_MAX => (285, 0),
            _ => (257 + 4 * extra + (over >> extra), extra),
        };
        let Code { bits, len: bits_len } = match symbol {
            257..280 => huffman(symbol - 256, 7),
            _ => huffman(0xc0 + symbol - 280, 8),
        };
        let rest = over & ((1 << extra) - 1);
        codes[len] = Code { bits: bits | rest << bits_len, len: bits_len + extra };
        len += 1;
    }
    codes
}

fn code_of_distance(distance: usize) -> Code {
    let over = distance as u32 - 1;
    let extra = if over < 4 { 0 } else { 30 - over.leading_zeros() };
    let Code { bits, len } = huffman(2 * extra + (over >> extra), 5);
    let rest = over & ((1 << extra) - 1);
    Code { bits: bits | rest << len, len: len + extra }
}

#[cfg(test)]
mod tests;
