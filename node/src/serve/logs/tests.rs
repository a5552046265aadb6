//! Logs as runtimes write them, read and followed.

use std::{io::Write, sync::atomic::AtomicBool, sync::atomic::Ordering};

use super::*;

const LOG: &str = "2026-01-02T03:04:05.000000001Z stdout F one\n\
                   2026-01-02T03:04:06.000000001Z stderr F two\n\
                   2026-01-02T03:04:07.000000001Z stdout P thr\n\
                   2026-01-02T03:04:07.000000002Z stdout F ee\n\
                   what no runtime writes\n";

/// Runs until it is told that it does not.
struct Until(AtomicBool);

#[async_trait]
impl Writer for Until {
    async fn is_running(&self) -> bool {
        !self.0.load(Ordering::Acquire)
    }
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("0.log");
    std::fs::write(&path, text).expect("it is written");
    (directory, path)
}

async fn said(wanted: Wanted) -> String {
    let (_directory, path) = file(LOG);
    let (sender, mut pieces) = mpsc::channel(64);
    read(path, wanted, &Until(AtomicBool::new(true)), sender).await;
    let mut all = Vec::new();
    while let Some(piece) = pieces.recv().await {
        all.extend_from_slice(&piece.expect("it can be read"));
    }
    String::from_utf8(all).expect("it is text")
}

#[tokio::test]
async fn a_log_is_what_the_container_said() {
    assert_eq!(said(Wanted::default()).await, "one\ntwo\nthree\n");
    assert_eq!(
        said(Wanted { timestamps: true, limit_bytes: Some(50), ..Wanted::default() }).await,
        "2026-01-02T03:04:05.000000001Z one\n2026-01-02T03:0"
    );
    assert_eq!(said(Wanted { tail_lines: Some(0), ..Wanted::default() }).await, "");
    // Lines of the file are counted, whoever wrote them and whether they go on.
    assert_eq!(said(Wanted { tail_lines: Some(2), ..Wanted::default() }).await, "ee\n");
    assert_eq!(said(Wanted { tail_lines: Some(99), ..Wanted::default() }).await, "one\ntwo\nthree\n");
    let since = "2026-01-02T03:04:06Z".parse().ok();
    assert_eq!(said(Wanted { since, ..Wanted::default() }).await, "two\nthree\n");
}

#[tokio::test(start_paused = true)]
async fn a_log_is_followed_into_its_next_file() {
    let (directory, path) = file("2026-01-02T03:04:05Z stdout F one\n2026-01-02T03:04:05Z stdout F half a li");
    let (sender, mut pieces) = mpsc::channel(64);
    let ended = std::sync::Arc::new(Until(AtomicBool::new(false)));
    let (from, writer) = (path.clone(), ended.clone());
    let following = tokio::spawn(async move {
        read(from, Wanted { follow: true, ..Wanted::default() }, &*writer, sender).await;
    });
    let mut next = async || -> Option<String> {
        let piece = pieces.recv().await?.expect("it can be read");
        Some(String::from_utf8_lossy(&piece).into_owned())
    };
    assert_eq!(next().await, Some("one\n".to_owned()));
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("it is there");
    file.write_all(b"ne\n").expect("it is written");
    assert_eq!(next().await, Some("half a line\n".to_owned()));
    std::fs::rename(&path, directory.path().join("0.log.1")).expect("it is turned over");
    std::fs::write(&path, "2026-01-02T03:04:05Z stdout F new\n").expect("it is written");
    assert_eq!(next().await, Some("new\n".to_owned()));
    ended.0.store(true, Ordering::Release);
    assert_eq!(next().await, None, "the container has ended, and all was read");
    following.await.expect("it ended well");
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_is_not_waited_for() {
    let (_directory, path) = file(LOG);
    let (sender, pieces) = mpsc::channel(64);
    drop(pieces);
    read(path, Wanted { follow: true, ..Wanted::default() }, &Until(AtomicBool::new(false)), sender).await;
}
