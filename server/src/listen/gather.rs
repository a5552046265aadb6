//! A connection's writes, gathered: many frames that are ready at once go out as one.
//!
//! HTTP/2 asks for a flush behind every frame of data, and each flush is a TLS record and a system call, which on a
//! connection with many watches costs more than all else. So frames wait here until the connection's task comes round
//! again, which it is asked to do at once: what was ready meanwhile goes with them. A connection that wrote one frame
//! when it was last polled is not made to wait, because most carry one answer at a time and that is wanted now.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Says;

/// More than this is not held: a client that does not read must not cost memory.
const HELD_LEN_MAX: usize = 128 << 10;
/// What a connection may keep of its buffer, unless it has many frames to write all the time: then a buffer that is made
/// anew for each round costs more than writing it does.
const KEPT_LEN_MAX: usize = 4 << 10;
/// What every connection begins with. RFC 9113, 3.4.
const PREFACE_LEN: usize = 24;

/// A stream whose flushes are put off while there are many of them.
///
/// Its user has to read whenever it is polled, as HTTP/2 does: a read is where what was put off goes out.
pub struct Gather<S> {
    inner: S,
    held: Vec<u8>,
    /// Of `held`, what the inner stream has taken.
    sent: usize,
    /// Flushes since the last read.
    flushes: usize,
    /// The last round had several flushes, so this one probably has too.
    many: bool,
    /// A flush was put off.
    due: bool,
    /// How much of the preface has not been read.
    preface: usize,
    /// Told when it has.
    says: Arc<Says>,
}

// === impl Gather ===

impl<S: AsyncWrite + Unpin> Gather<S> {
    pub fn new(inner: S, says: Arc<Says>) -> Gather<S> {
        Gather { inner, held: Vec::new(), sent: 0, flushes: 0, many: false, due: false, preface: PREFACE_LEN, says }
    }

    /// Hands over what is held.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.held.len() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.held[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.sent += taken,
            }
        }
        self.held.clear();
        if !self.many {
            self.held.shrink_to(KEPT_LEN_MAX);
        }
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    fn flush_now(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.due = false;
        Poll::Ready(Ok(()))
    }

    /// A new round begins.
    fn round(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.flushes > 0 {
            self.many = self.flushes > 1;
            self.flushes = 0;
        }
        if self.due {
            // What cannot be written now wakes the task when it can.
            if let Poll::Ready(Err(error)) = self.flush_now(cx) {
                return Err(error);
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gather<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.round(cx)?;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(cx, buf);
        if this.preface > 0 {
            this.preface = this.preface.saturating_sub(buf.filled().len() - before);
            if this.preface == 0 {
                this.says.begun.notify_one();
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.held.len() >= HELD_LEN_MAX {
            ready!(this.drain(cx))?;
        }
        let before = this.held.len();
        bufs.iter().for_each(|buf| this.held.extend_from_slice(buf));
        Poll::Ready(Ok(this.held.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.held.is_empty() {
            return Pin::new(&mut this.inner).poll_flush(cx);
        }
        this.flushes += 1;
        if !this.many {
            return this.flush_now(cx);
        }
        if !std::mem::replace(&mut this.due, true) {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.flush_now(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
