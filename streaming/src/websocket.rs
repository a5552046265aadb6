//! WebSocket frames (RFC 6455), both roles.
//!
//! A message is handed on piece by piece as it arrives, so that a client may send a file in one message and nobody here
//! holds more of it than [`PIECE_LEN_MAX`]. That is why no library of whole messages is used.

use std::io::{self, ErrorKind};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

#[cfg(test)]
mod tests;

/// So many bytes of a message are handed on at a time.
pub const PIECE_LEN_MAX: usize = 64 << 10;
const CONTROL_LEN_MAX: usize = 125;
/// Room for so much is made before each read.
const READ_LEN: usize = 16 << 10;

/// Who we are on a connection: clients mask what they send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    /// With the mask of its frames. It hides nothing; it keeps old proxies from reading requests out of frames.
    Client([u8; 4]),
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A piece of a message; `first` and `last` say where it stands in it.
    Data {
        text: bool,
        first: bool,
        last: bool,
        bytes: Bytes,
    },
    Ping(Bytes),
    Pong,
    /// The peer says farewell, with the code it gave; 1005 for none.
    Close(u16),
}

/// What a frame is. The numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// The reading half.
pub struct Reader<R> {
    io: R,
    role: Role,
    buffer: BytesMut,
    frame: Option<Open>,
    /// The message that fragments belong to is text; none outside a message.
    message: Option<bool>,
    /// The next piece begins its message.
    first: bool,
}

/// A frame of data that is being read.
struct Open {
    left: u64,
    last: bool,
    mask: [u8; 4],
    /// How many bytes of the payload have been unmasked.
    at: usize,
}

/// The writing half.
pub struct Writer<W> {
    io: W,
    role: Role,
}

/// A frame's head.
struct Head {
    last: bool,
    opcode: u8,
    mask: [u8; 4],
    len: u64,
    /// How many bytes it took itself.
    head_len: usize,
}

// === impl Reader ===

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(io: R, role: Role) -> Reader<R> {
        Reader { io, role, buffer: BytesMut::new(), frame: None, message: None, first: true }
    }

    /// What comes next; none when the connection ended without a farewell between two frames. It may be dropped while it
    /// waits and called again.
    pub async fn next(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some(event) = self.read()? {
                return Ok(Some(event));
            }
            self.buffer.reserve(READ_LEN);
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.is_empty() && self.frame.is_none() && self.message.is_none() {
                    true => Ok(None),
                    false => Err(ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// What can be read out of the buffer.
    fn read(&mut self) -> io::Result<Option<Event>> {
        if self.frame.is_some() {
            return Ok(self.piece());
        }
        let Some(head) = Head::read(&self.buffer, self.role)? else { return Ok(None) };
        if head.opcode >= 8 {
            return self.control(&head);
        }
        let text = match (head.opcode, self.message) {
            (0, Some(text)) => text,
            (1 | 2, None) => {
                self.first = true;
                head.opcode == Opcode::Text as u8
            }
            _ => return Err(wrong("a fragment out of place")),
        };
        self.buffer.advance(head.head_len);
        self.message = Some(text);
        self.frame = Some(Open { left: head.len, last: head.last, mask: head.mask, at: 0 });
        Ok(self.piece())
    }

    fn control(&mut self, head: &Head) -> io::Result<Option<Event>> {
        let len = usize::try_from(head.len).unwrap_or(usize::MAX);
        if len > CONTROL_LEN_MAX || !head.last {
            return Err(wrong("a control frame that is too long or in fragments"));
        }
        if self.buffer.len() < head.head_len + len {
            return Ok(None);
        }
        self.buffer.advance(head.head_len);
        let mut payload = self.buffer.split_to(len);
        unmask(&mut payload, head.mask, 0);
        match head.opcode {
            9 => Ok(Some(Event::Ping(payload.freeze()))),
            10 => Ok(Some(Event::Pong)),
            8 => Ok(Some(Event::Close(if len >= 2 { payload.get_u16() } else { 1005 }))),
            _ => Err(wrong("a control frame of an unknown kind")),
        }
    }

    fn piece(&mut self) -> Option<Event> {
        let open = self.frame.as_mut()?;
        let left = usize::try_from(open.left).unwrap_or(usize::MAX);
        let len = left.min(self.buffer.len()).min(PIECE_LEN_MAX);
        if len == 0 && left > 0 {
            return None;
        }
        let mut bytes = self.buffer.split_to(len);
        unmask(&mut bytes, open.mask, open.at);
        open.at = (open.at + len) % 4;
        open.left -= len as u64;
        let ended = open.left == 0;
        let last = ended && open.last;
        let text = self.message.unwrap_or_default();
        let first = std::mem::replace(&mut self.first, false);
        if ended {
            self.frame = None;
        }
        if last {
            self.message = None;
        }
        Some(Event::Data { text, first, last, bytes: bytes.freeze() })
    }
}

impl Head {
    /// None when not all of it is there.
    fn read(buffer: &[u8], role: Role) -> io::Result<Option<Head>> {
        let &[a, b, ..] = buffer else { return Ok(None) };
        if a & 0x70 != 0 {
            return Err(wrong("an extension that was not agreed on"));
        }
        if !matches!(a & 0x0f, 0..=2 | 8..=10) {
            return Err(wrong("a frame of an unknown kind"));
        }
        let masked = b & 0x80 != 0;
        if masked != (role == Role::Server) {
            return Err(wrong("a frame that is masked and must not be, or the other way round"));
        }
        let extra = match b & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let head_len = 2 + extra + if masked { 4 } else { 0 };
        if buffer.len() < head_len {
            return Ok(None);
        }
        let len = match extra {
            0 => u64::from(b & 0x7f),
            _ => buffer[2..2 + extra].iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
        };
        if len >> 63 != 0 {
            return Err(wrong("a length that is none"));
        }
        let mut mask = [0; 4];
        if masked {
            mask.copy_from_slice(&buffer[2 + extra..head_len]);
        }
        Ok(Some(Head { last: a & 0x80 != 0, opcode: a & 0x0f, mask, len, head_len }))
    }
}

fn unmask(bytes: &mut [u8], mask: [u8; 4], at: usize) {
    if mask == [0; 4] {
        return;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte ^= mask[(at + i) % 4];
    }
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("websocket: {why}"))
}

// === impl Writer ===

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub fn new(io: W, role: Role) -> Writer<W> {
        Writer { io, role }
    }

    /// Writes a message of one frame, whose payload is `parts` in a row. It is on its way after [`Writer::flush`].
    pub async fn send(&mut self, opcode: Opcode, parts: &[&[u8]]) -> io::Result<()> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut frame = Vec::with_capacity(len + 14);
        frame.push(0x80 | opcode as u8);
        let masked = if self.role == Role::Server { 0 } else { 0x80 };
        match len {
            0..=125 => frame.push(masked | u8::try_from(len).unwrap_or_default()),
            126..=0xffff => {
                frame.push(masked | 126);
                frame.extend(u16::try_from(len).unwrap_or_default().to_be_bytes());
            }
            _ => {
                frame.push(masked | 127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        if let Role::Client(mask) = self.role {
            frame.extend(mask);
        }
        let head_len = frame.len();
        for part in parts {
            frame.extend_from_slice(part);
        }
        if let Role::Client(mask) = self.role {
            unmask(&mut frame[head_len..], mask, 0);
        }
        self.io.write_all(&frame).await
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        self.io.flush().await
    }

    /// Says farewell: everything went well.
    pub async fn close(&mut self) -> io::Result<()> {
        self.send(Opcode::Close, &[&1000u16.to_be_bytes()]).await?;
        self.io.flush().await?;
        self.io.shutdown().await
    }
}
