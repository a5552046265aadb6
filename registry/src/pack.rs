//! gzip, for clients that take it and answers that are long enough.
//!
//! Upstream: apiserver/pkg/endpoints/handlers/responsewriters/{compression,writers}.go, and for watches that begin with a
//! list handlers/watch.go perFlushGzipWriter.

mod gzip;

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use self::gzip::Gzip;
use crate::present::Content;

/// Shorter answers go out as they are. Upstream: `defaultGzipThresholdBytes`.
const SHORT_LEN_MAX: usize = 128 << 10;
/// The cheapest level. Upstream: `gzipContentEncodingLevel`.
const LEVEL: u32 = 1;
/// What has been packed goes on its way when there is about so much.
const PACKED_LEN: usize = 16 << 10;
/// A body that is whole is packed in pieces of this length, so that no thread is kept long.
const PIECE_LEN: usize = 64 << 10;

/// Pieces of a body, as one gzip stream.
struct Packed<I> {
    pieces: I,
    encoder: Option<Gzip>,
}

/// A body in gzip when it is long enough, and whether it is.
pub fn content(content: Content) -> (Content, bool) {
    let pieces: Box<dyn Iterator<Item = Bytes> + Send> = match content {
        Content::Whole(bytes) if bytes.len() <= SHORT_LEN_MAX => return (Content::Whole(bytes), false),
        Content::Whole(bytes) => {
            let starts = (0..bytes.len()).step_by(PIECE_LEN);
            Box::new(starts.map(move |start| bytes.slice(start..bytes.len().min(start + PIECE_LEN))))
        }
        Content::Pieces(mut pieces) => {
            let (mut begun, mut len) = (Vec::new(), 0);
            while len <= SHORT_LEN_MAX {
                let Some(piece) = pieces.next() else { return (Content::Pieces(Box::new(begun.into_iter())), false) };
                len += piece.len();
                begun.push(piece);
            }
            Box::new(begun.into_iter().chain(pieces))
        }
    };
    (Content::Pieces(Box::new(Packed { pieces, encoder: Some(Gzip::new()) })), true)
}

/// A gzip stream of some bytes alone; several behind one another are one stream to whoever reads them.
///
/// Its bytes are flushed before it ends: a reader that meets the end together with the last bytes (Go's) asks for the
/// next stream's head before it hands them out, and would tell each event only with the one after it.
pub fn whole(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.flush().expect("memory takes everything");
    encoder.finish().expect("memory takes everything").into()
}

impl<I: Iterator<Item = Bytes>> Iterator for Packed<I> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut encoder = self.encoder.take()?;
        for piece in self.pieces.by_ref() {
            encoder.write(&piece);
            if encoder.out.len() >= PACKED_LEN {
                let out = std::mem::take(&mut encoder.out);
                self.encoder = Some(encoder);
                return Some(out.into());
            }
        }
        Some(encoder.finish().into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::MultiGzDecoder;

    use super::*;

    fn bytes(content: Content) -> Vec<u8> {
        match content {
            Content::Whole(bytes) => bytes.to_vec(),
            Content::Pieces(pieces) => pieces.collect::<Vec<_>>().concat(),
        }
    }

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        MultiGzDecoder::new(bytes).read_to_end(&mut out).expect("it is gzip");
        out
    }

    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * i % 251) as u8).collect()
    }

    fn pieces(text: &[u8]) -> Content {
        let pieces: Vec<Bytes> = text.chunks(1000).map(Bytes::copy_from_slice).collect();
        Content::Pieces(Box::new(pieces.into_iter()))
    }

    #[test]
    fn what_is_longer_than_upstreams_threshold_is_packed() {
        for len in [SHORT_LEN_MAX + 1, 1_000_000] {
            let text = text(len);
            for (packed, is_packed) in [content(Content::Whole(text.clone().into())), content(pieces(&text))] {
                assert!(is_packed);
                assert!(unpacked(&bytes(packed)) == text, "{len}");
            }
        }
    }

    #[test]
    fn what_is_short_stays_as_it_is() {
        for len in [0, 10, SHORT_LEN_MAX] {
            let text = text(len);
            for (kept, is_packed) in [content(Content::Whole(text.clone().into())), content(pieces(&text))] {
                assert!(!is_packed);
                assert!(bytes(kept) == text, "{len}");
            }
        }
    }

    #[test]
    fn the_bytes_of_a_stream_are_there_before_its_end_is() {
        let packed = whole(b"one\n");
        // What ends a stream: an empty last block, and eight bytes of check sum and length.
        let (head, end) = (10, packed.len() - 8 - 2);
        let (mut inflate, mut out) = (flate2::Decompress::new(false), Vec::with_capacity(64));
        let sync = flate2::FlushDecompress::Sync;
        let status = inflate.decompress_vec(&packed[head..end], &mut out, sync).expect("it is deflate");
        assert_eq!((status, out.as_slice()), (flate2::Status::Ok, b"one\n".as_slice()));
    }

    #[test]
    fn streams_behind_one_another_are_one() {
        let joined = [whole(b"one\n"), whole(b"two\n")].concat();
        assert_eq!(unpacked(&joined), b"one\ntwo\n");
    }
}
