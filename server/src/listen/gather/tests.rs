//! Frames that come together go out together.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

/// Notes what it is given; takes `room` bytes and then no more.
struct Wire {
    writes: Vec<Vec<u8>>,
    room: usize,
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let taken = buf.len().min(self.room);
        if taken == 0 {
            return Poll::Pending;
        }
        self.room -= taken;
        self.writes.push(buf[..taken].to_vec());
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn gather(room: usize) -> Gather<Wire> {
    Gather::new(Wire { writes: Vec::new(), room }, Arc::default())
}

/// Writes frames, each with its flush, as HTTP/2 does when its connection is polled.
fn poll(stream: &mut Gather<Wire>, frames: &[&[u8]]) {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut bytes = [0; 8];
    assert!(Pin::new(&mut *stream).poll_read(cx, &mut ReadBuf::new(&mut bytes)).is_pending());
    for frame in frames {
        let written = Pin::new(&mut *stream).poll_write(cx, frame);
        assert!(matches!(written, Poll::Ready(Ok(len)) if len == frame.len()), "{written:?}");
        assert!(matches!(Pin::new(&mut *stream).poll_flush(cx), Poll::Ready(Ok(()))));
    }
}

#[test]
fn a_single_frame_goes_out_at_once() {
    let mut stream = gather(1000);
    poll(&mut stream, &[b"one"]);
    assert_eq!(stream.inner.writes, [b"one"]);
    poll(&mut stream, &[b"two"]);
    assert_eq!(stream.inner.writes, [b"one", b"two"]);
}

#[test]
fn after_a_round_of_many_frames_the_next_are_gathered() {
    let mut stream = gather(1000);
    poll(&mut stream, &[b"a", b"b"]);
    poll(&mut stream, &[b"c", b"d", b"e"]);
    assert_eq!(stream.inner.writes, [b"a", b"b"], "what is put off waits for the next round");
    poll(&mut stream, &[]);
    assert_eq!(stream.inner.writes, [b"a".as_slice(), b"b", b"cde"]);
    // A round with one frame ends it.
    poll(&mut stream, &[b"f"]);
    poll(&mut stream, &[b"g"]);
    assert_eq!(stream.inner.writes.last().map(Vec::as_slice), Some(b"g".as_slice()));
    assert_eq!(stream.inner.writes.concat(), b"abcdefg");
}

#[test]
fn what_is_put_off_wakes_the_task() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    #[derive(Default)]
    struct Count(AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let mut stream = gather(1000);
    poll(&mut stream, &[b"a", b"b"]);
    poll(&mut stream, &[]);
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let cx = &mut Context::from_waker(&waker);
    for _ in 0..2 {
        assert!(Pin::new(&mut stream).poll_write(cx, b"c").is_ready());
        assert!(Pin::new(&mut stream).poll_flush(cx).is_ready());
    }
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_client_that_does_not_read_costs_a_bounded_buffer() {
    let mut stream = gather(10);
    let cx = &mut Context::from_waker(Waker::noop());
    let frame = [7; 16 << 10];
    let mut written = 0;
    while let Poll::Ready(Ok(len)) = Pin::new(&mut stream).poll_write(cx, &frame) {
        written += len;
        assert!(written <= HELD_LEN_MAX + frame.len() + 10);
    }
    stream.inner.room = usize::MAX;
    assert!(Pin::new(&mut stream).poll_shutdown(cx).is_ready());
    assert_eq!(stream.inner.writes.concat().len(), written);
    assert!(stream.held.capacity() <= KEPT_LEN_MAX);
}
