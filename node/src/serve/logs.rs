//! Logs of containers as the runtime keeps them: lines with a time and a stream before them, in files that are turned over.
//!
//! Upstream: k8s.io/cri-client pkg/logs/logs.go.

use std::{
    io::{self, ErrorKind, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader},
    sync::mpsc,
};

#[cfg(test)]
mod tests;

/// What of a log is wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub follow: bool,
    pub timestamps: bool,
    pub since: Option<Timestamp>,
    pub tail_lines: Option<u64>,
    pub limit_bytes: Option<u64>,
}

/// Whether the container still writes.
#[async_trait]
pub trait Writer: Send + Sync {
    async fn is_running(&self) -> bool;
}

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    at: &'a str,
    /// With its end, unless the line goes on.
    text: &'a [u8],
}

/// What is sent to the client, up to a bound.
struct Sink {
    to: mpsc::Sender<io::Result<Bytes>>,
    left: Option<u64>,
}

/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Longer lines are none of a runtime's: it cuts them at 16 KiB.
const LINE_LEN_MAX: u64 = 1 << 20;
const BLOCK_LEN: u64 = 16 << 10;

/// Reads a log into `to`, until it ends, has said enough, or nobody listens.
pub async fn read(path: PathBuf, wanted: Wanted, writer: &dyn Writer, to: mpsc::Sender<io::Result<Bytes>>) {
    let mut sink = Sink { to, left: wanted.limit_bytes };
    if let Err(error) = follow(&path, &wanted, writer, &mut sink).await
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = sink.to.send(Err(error)).await;
    }
}

async fn follow(path: &PathBuf, wanted: &Wanted, writer: &dyn Writer, sink: &mut Sink) -> io::Result<()> {
    let mut file = File::open(path).await?;
    let start = match wanted.tail_lines {
        Some(lines) => tail_start(&mut file, lines).await?,
        None => 0,
    };
    file.seek(SeekFrom::Start(start)).await?;
    let mut inode = identity(&file).await?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        // Asked before reading: what a container wrote before it ended is read after it was seen to have ended.
        let ended = !wanted.follow || !writer.is_running().await;
        if sink.is_full() || drain(&mut reader, &mut line, wanted, sink).await? {
            return Ok(());
        }
        // A log that was turned over goes on in a new file.
        if wanted.follow
            && let Ok(file) = File::open(path).await
            && let now = identity(&file).await?
            && now != inode
        {
            inode = now;
            reader = BufReader::new(file);
            line.clear();
            continue;
        }
        if ended {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = sink.to.closed() => return Ok(()),
        }
    }
}

/// Sends all lines that are there. Answers whether that is enough. A line that is still being written stays in `line`.
async fn drain(reader: &mut BufReader<File>, line: &mut Vec<u8>, wanted: &Wanted, sink: &mut Sink) -> io::Result<bool> {
    loop {
        let room = LINE_LEN_MAX.saturating_sub(line.len() as u64);
        let read = (&mut *reader).take(room).read_until(b'\n', line).await?;
        if read == 0 && room > 0 {
            return Ok(false);
        }
        if line.last() != Some(&b'\n') && room > read as u64 {
            return Ok(false);
        }
        if let Some(said) = Line::read(line)
            && wanted.since.is_none_or(|since| said.is_since(since))
        {
            sink.send(&said, wanted.timestamps).await?;
        }
        line.clear();
        if sink.is_full() {
            return Ok(true);
        }
    }
}

/// Where the last `lines` lines begin.
async fn tail_start(file: &mut File, lines: u64) -> io::Result<u64> {
    let len = file.seek(SeekFrom::End(0)).await?;
    let (mut end, mut seen) = (len, 0);
    if lines == 0 {
        return Ok(len);
    }
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK_LEN);
        file.seek(SeekFrom::Start(start)).await?;
        block.clear();
        (&mut *file).take(end - start).read_to_end(&mut block).await?;
        for (at, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let at = start + at as u64;
            // The end of the last line begins no other.
            if at + 1 == len {
                continue;
            }
            seen += 1;
            if seen == lines {
                return Ok(at + 1);
            }
        }
        end = start;
    }
    Ok(0)
}

async fn identity(file: &File) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(file.metadata().await?.ino())
}

// === impl Line ===

impl Line<'_> {
    /// `2016-10-06T00:17:09.669794202Z stdout F text`. Upstream: `parseCRILog`.
    fn read(line: &[u8]) -> Option<Line<'_>> {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let at = std::str::from_utf8(parts.next()?).ok()?;
        let stream = parts.next()?;
        let tags = parts.next()?;
        let text = parts.next()?;
        if !matches!(stream, b"stdout" | b"stderr") {
            return None;
        }
        let whole = tags.split(|byte| *byte == b':').next() != Some(b"P");
        let text = if whole { text } else { text.strip_suffix(b"\n").unwrap_or(text) };
        Some(Line { at, text })
    }

    fn is_since(&self, since: Timestamp) -> bool {
        self.at.parse::<Timestamp>().is_ok_and(|at| at >= since)
    }
}

// === impl Sink ===

impl Sink {
    fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    async fn send(&mut self, line: &Line<'_>, timestamps: bool) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(line.text.len() + 40);
        if timestamps {
            bytes.extend_from_slice(line.at.as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(line.text);
        if let Some(left) = &mut self.left {
            bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= bytes.len() as u64;
        }
        self.to.send(Ok(bytes.into())).await.map_err(|_| ErrorKind::BrokenPipe.into())
    }
}
