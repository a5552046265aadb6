//! What is packed is what comes out of another decoder, whatever it is and however it comes.

use std::io::Read;

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::{Gzip, SLIDE_LEN, WINDOW_LEN};

fn packed(text: &[u8], part_len: usize) -> Vec<u8> {
    let mut gzip = Gzip::new();
    let mut out = Vec::new();
    for part in text.chunks(part_len.max(1)) {
        gzip.write(part);
        // As an answer takes it: whenever there is something.
        out.append(&mut gzip.out);
    }
    out.append(&mut gzip.finish());
    out
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let (mut decoder, mut out) = (GzDecoder::new(bytes), Vec::new());
    decoder.read_to_end(&mut out).expect("it is gzip, with the sum and the length that it says");
    out
}

/// Bytes that nothing can be made of.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// As lists are: the same but for a few members.
fn rows(count: usize) -> Vec<u8> {
    let row = |i: usize| {
        let fill = "\"image\":\"registry.example.com/web:1\",".repeat(40);
        format!(
            "{{\"metadata\":{{\"name\":\"web-{i}\",\"uid\":\"{:016x}\"}},{fill}\"ip\":\"10.0.{}.{}\"}},",
            i * i,
            i / 250,
            i % 250
        )
    };
    (0..count).flat_map(|i| row(i).into_bytes()).collect()
}

#[test]
fn every_length_and_every_distance_has_its_code() {
    for len in 0..600 {
        let text = [b"abc".as_slice(), &b"x".repeat(len), b"abc"].concat();
        assert!(unpacked(&packed(&text, text.len())) == text, "{len}");
    }
    // What stands in between is never the same, so the end is like the beginning or like nothing.
    for distance in [4, 5, 300, 1_024, 1_025, 4_097, 24_577, WINDOW_LEN - 1, WINDOW_LEN, WINDOW_LEN + 1] {
        let mut text = noise(distance);
        text.extend_from_within(..distance.min(500));
        assert!(unpacked(&packed(&text, text.len())) == text, "{distance}");
    }
}

#[test]
fn what_is_longer_than_the_window_is_whole() {
    for len in [WINDOW_LEN, SLIDE_LEN - 1, SLIDE_LEN, SLIDE_LEN + 1, 5 * SLIDE_LEN + 77] {
        for text in [noise(len), b"q".repeat(len), rows(len / 1_500)] {
            for part_len in [1_000, 65_536, usize::MAX] {
                assert!(unpacked(&packed(&text, part_len)) == text, "{len} in parts of {part_len}");
            }
        }
    }
}

#[test]
fn rows_become_short_and_noise_hardly_longer() {
    let rows = rows(2_000);
    assert!(packed(&rows, 65_536).len() * 20 < rows.len());
    // Of bytes above 143 the fixed codes have nine bits.
    let noise = noise(1 << 20);
    assert!(packed(&noise, 65_536).len() < noise.len() * 17 / 16);
}

proptest! {
    #[test]
    fn whatever_goes_in_comes_out(
        words in prop::collection::vec("[a-e]{0,9}|[a-z\"{}:,0-9]{0,40}|.{0,5}", 0..400),
        part_len in 1_usize..5_000,
    ) {
        let text = words.concat().into_bytes();
        prop_assert_eq!(unpacked(&packed(&text, part_len)), text);
    }
}
