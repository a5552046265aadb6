//! Frames of SPDY/3.1 and the compressed headers in them.

use std::{
    io::{self, ErrorKind},
    sync::LazyLock,
};

use bytes::{Buf, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::dictionary;

/// Names, in lower case, and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    SynStream {
        id: u32,
        headers: Headers,
        last: bool,
    },
    SynReply {
        id: u32,
        headers: Headers,
        last: bool,
    },
    Reset {
        id: u32,
        status: u32,
    },
    Ping(u32),
    GoAway {
        last_good: u32,
        status: u32,
    },
    /// More headers of a stream; nobody here has use for them.
    Headers {
        id: u32,
        last: bool,
    },
    /// Bytes of a stream: a whole frame, or a piece of it as it came.
    Data {
        id: u32,
        bytes: Bytes,
        last: bool,
    },
    /// Settings and windows, which nobody keeps.
    Other,
}

/// Reads frames.
pub struct Decoder<R> {
    io: R,
    buffer: BytesMut,
    data: Option<Open>,
    inflate: Decompress,
}

/// A frame of data that is being read.
struct Open {
    id: u32,
    left: usize,
    last: bool,
}

/// Writes frames.
pub struct Encoder<W> {
    io: W,
    deflate: Compress,
}

const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RESET: u16 = 3;
const PING: u16 = 6;
const GO_AWAY: u16 = 7;
const HEADERS: u16 = 8;
const LAST: u8 = 1;

/// Longer frames other than data are none of Kubernetes.
const CONTROL_LEN_MAX: usize = 64 << 10;
/// What headers may come to.
const HEADERS_LEN_MAX: usize = 64 << 10;
const HEADERS_MAX: u32 = 100;
/// So much of a frame of data is handed on, or written, at a time.
const PIECE_LEN_MAX: usize = 32 << 10;
/// Room for so much is made before each read.
const READ_LEN: usize = 16 << 10;

static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(dictionary::bytes);

// === impl Headers ===

impl Headers {
    pub fn new(lines: &[(&str, &str)]) -> Headers {
        Headers(lines.iter().map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned())).collect())
    }

    /// The value of a header; `""` when it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    fn encode(&self) -> Vec<u8> {
        let mut block = Vec::new();
        let mut put = |bytes: &[u8]| {
            block.extend(u32::try_from(bytes.len()).unwrap_or_default().to_be_bytes());
            block.extend(bytes);
        };
        for (name, value) in &self.0 {
            put(name.as_bytes());
            put(value.as_bytes());
        }
        let mut all = u32::try_from(self.0.len()).unwrap_or_default().to_be_bytes().to_vec();
        all.extend(block);
        all
    }

    fn decode(mut block: &[u8]) -> io::Result<Headers> {
        let mut take = |len: Option<usize>| -> io::Result<&[u8]> {
            let len = match len {
                Some(len) => len,
                None => usize::try_from(block.try_get_u32().map_err(|_| wrong("headers that end early"))?)
                    .unwrap_or(usize::MAX),
            };
            let (bytes, rest) = block.split_at_checked(len).ok_or_else(|| wrong("headers that end early"))?;
            block = rest;
            Ok(bytes)
        };
        let count = take(Some(4))?.get_u32();
        if count > HEADERS_MAX {
            return Err(wrong("too many headers"));
        }
        let mut headers = Headers::default();
        for _ in 0..count {
            let name = String::from_utf8_lossy(take(None)?).to_ascii_lowercase();
            let value = String::from_utf8_lossy(take(None)?).into_owned();
            // Several values of a name stand in one, with zeros between them.
            headers.0.extend(value.split('\0').map(|value| (name.clone(), value.to_owned())));
        }
        Ok(headers)
    }
}

// === impl Decoder ===

impl<R: AsyncRead + Unpin> Decoder<R> {
    pub fn new(io: R) -> Decoder<R> {
        Decoder { io, buffer: BytesMut::new(), data: None, inflate: Decompress::new(true) }
    }

    /// What comes next; none when the connection ended between two frames. It may be dropped while it waits.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.read()? {
                return Ok(Some(frame));
            }
            self.buffer.reserve(READ_LEN);
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.is_empty() && self.data.is_none() {
                    true => Ok(None),
                    false => Err(ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    fn read(&mut self) -> io::Result<Option<Frame>> {
        if self.data.is_some() {
            return Ok(self.piece());
        }
        if self.buffer.len() < 8 {
            return Ok(None);
        }
        let mut head = &self.buffer[..8];
        let (word, flags_and_len) = (head.get_u32(), head.get_u32());
        let len = usize::try_from(flags_and_len & 0x00ff_ffff).unwrap_or_default();
        let last = (flags_and_len >> 24) as u8 & LAST != 0;
        if word & 0x8000_0000 == 0 {
            if word == 0 {
                return Err(wrong("data of stream 0"));
            }
            self.buffer.advance(8);
            self.data = Some(Open { id: word, left: len, last });
            return Ok(self.piece());
        }
        if (word >> 16) as u16 & 0x7fff != VERSION {
            return Err(wrong("a version that is not 3"));
        }
        if len > CONTROL_LEN_MAX {
            return Err(wrong("a frame that is too long"));
        }
        if self.buffer.len() < 8 + len {
            return Ok(None);
        }
        self.buffer.advance(8);
        let body = self.buffer.split_to(len).freeze();
        self.control((word & 0xffff) as u16, body, last).map(Some)
    }

    fn piece(&mut self) -> Option<Frame> {
        let open = self.data.as_mut()?;
        let len = open.left.min(self.buffer.len()).min(PIECE_LEN_MAX);
        if len == 0 && open.left > 0 {
            return None;
        }
        open.left -= len;
        let (id, ended, last) = (open.id, open.left == 0, open.last);
        if ended {
            self.data = None;
        }
        Some(Frame::Data { id, bytes: self.buffer.split_to(len).freeze(), last: ended && last })
    }

    fn control(&mut self, kind: u16, mut body: Bytes, last: bool) -> io::Result<Frame> {
        let word = |body: &mut Bytes| body.try_get_u32().map_err(|_| wrong("a frame that ends early"));
        Ok(match kind {
            SYN_STREAM => {
                let id = word(&mut body)? & 0x7fff_ffff;
                // The stream that it belongs to, its priority and slot.
                if body.len() < 6 {
                    return Err(wrong("a frame that ends early"));
                }
                body.advance(6);
                Frame::SynStream { id, headers: self.headers(&body)?, last }
            }
            SYN_REPLY => Frame::SynReply { id: word(&mut body)? & 0x7fff_ffff, headers: self.headers(&body)?, last },
            HEADERS => {
                let id = word(&mut body)? & 0x7fff_ffff;
                // They have to be read: what is compressed later refers to them.
                self.headers(&body)?;
                Frame::Headers { id, last }
            }
            RESET => Frame::Reset { id: word(&mut body)? & 0x7fff_ffff, status: word(&mut body)? },
            PING => Frame::Ping(word(&mut body)?),
            GO_AWAY => Frame::GoAway { last_good: word(&mut body)?, status: word(&mut body)? },
            _ => Frame::Other,
        })
    }

    fn headers(&mut self, mut block: &[u8]) -> io::Result<Headers> {
        let mut out = Vec::with_capacity(1024);
        loop {
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress_vec(block, &mut out, FlushDecompress::Sync);
            let taken = usize::try_from(self.inflate.total_in() - before_in).unwrap_or_default();
            block = &block[taken.min(block.len())..];
            match status {
                Ok(Status::StreamEnd) => break,
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.inflate.set_dictionary(&DICTIONARY).map_err(|_| wrong("headers with another dictionary"))?;
                    continue;
                }
                Err(_) => return Err(wrong("headers that cannot be read")),
            }
            let stuck = taken == 0 && self.inflate.total_out() == before_out;
            if block.is_empty() && out.len() < out.capacity() || stuck && out.len() < out.capacity() {
                break;
            }
            if out.len() >= HEADERS_LEN_MAX {
                return Err(wrong("headers that are too long"));
            }
            out.reserve(out.len().max(1024));
        }
        Headers::decode(&out)
    }
}

// === impl Encoder ===

impl<W: AsyncWrite + Unpin> Encoder<W> {
    pub fn new(io: W) -> Encoder<W> {
        let mut deflate = Compress::new(Compression::best(), true);
        // A fresh compressor takes any dictionary; without it, peers read the headers all the same.
        let _ = deflate.set_dictionary(&DICTIONARY);
        Encoder { io, deflate }
    }

    /// Writes a frame. It is on its way after [`Encoder::flush`].
    pub async fn send(&mut self, frame: Frame) -> io::Result<()> {
        match frame {
            Frame::Data { id, mut bytes, last } => loop {
                let piece = bytes.split_to(bytes.len().min(PIECE_LEN_MAX));
                let flags = if last && bytes.is_empty() { LAST } else { 0 };
                self.write(id, flags, &piece).await?;
                if bytes.is_empty() {
                    return Ok(());
                }
            },
            Frame::SynStream { id, headers, last } => {
                let mut body = id.to_be_bytes().to_vec();
                body.extend([0; 6]);
                body.extend(self.compress(&headers)?);
                self.control(SYN_STREAM, u8::from(last), &body).await
            }
            Frame::SynReply { id, headers, last } => {
                let mut body = id.to_be_bytes().to_vec();
                body.extend(self.compress(&headers)?);
                self.control(SYN_REPLY, u8::from(last), &body).await
            }
            Frame::Reset { id, status } => self.control(RESET, 0, &pair(id, status)).await,
            Frame::Ping(id) => self.control(PING, 0, &id.to_be_bytes()).await,
            Frame::GoAway { last_good, status } => self.control(GO_AWAY, 0, &pair(last_good, status)).await,
            Frame::Headers { .. } | Frame::Other => Ok(()),
        }
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        self.io.flush().await
    }

    /// Says farewell and closes this direction.
    pub async fn close(&mut self) -> io::Result<()> {
        self.send(Frame::GoAway { last_good: 0, status: 0 }).await?;
        self.io.flush().await?;
        self.io.shutdown().await
    }

    async fn control(&mut self, kind: u16, flags: u8, body: &[u8]) -> io::Result<()> {
        let word = 0x8000_0000 | u32::from(VERSION) << 16 | u32::from(kind);
        self.write(word, flags, body).await
    }

    async fn write(&mut self, word: u32, flags: u8, body: &[u8]) -> io::Result<()> {
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX) & 0x00ff_ffff;
        let mut frame = Vec::with_capacity(8 + body.len());
        frame.extend(word.to_be_bytes());
        frame.extend((u32::from(flags) << 24 | len).to_be_bytes());
        frame.extend(body);
        self.io.write_all(&frame).await
    }

    fn compress(&mut self, headers: &Headers) -> io::Result<Vec<u8>> {
        let block = headers.encode();
        let mut out = Vec::with_capacity(block.len() + 64);
        let mut rest = &block[..];
        loop {
            let before = self.deflate.total_in();
            let compressed = self.deflate.compress_vec(rest, &mut out, FlushCompress::Sync);
            compressed.map_err(|_| wrong("headers that cannot be written"))?;
            let taken = usize::try_from(self.deflate.total_in() - before).unwrap_or_default();
            rest = &rest[taken.min(rest.len())..];
            // Room that is left says that everything is out.
            if rest.is_empty() && out.len() < out.capacity() {
                return Ok(out);
            }
            out.reserve(out.capacity());
        }
    }
}

fn pair(a: u32, b: u32) -> [u8; 8] {
    let mut both = [0; 8];
    both[..4].copy_from_slice(&a.to_be_bytes());
    both[4..].copy_from_slice(&b.to_be_bytes());
    both
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("spdy: {why}"))
}
