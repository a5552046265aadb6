//! Commands over SPDY, from both ends.

use super::*;
use crate::channels::tests::exactly;

const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };

#[tokio::test]
async fn a_command_runs_over_spdy() {
    let (here, there) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(async move {
        let mut session = Session::spdy(Box::new(there), VERSIONS[0], ALL).await.expect("all streams come");
        let mut stdin = session.stdin.take().expect("it is wanted");
        let stdout = session.stdout.clone().expect("it is wanted");
        while let Some(piece) = stdin.recv().await {
            stdout.send(piece).await.expect("somebody reads");
        }
        session.stderr.as_ref().expect("it is wanted").send("oops".into()).await.expect("somebody reads");
        drop(stdout);
        session.end(&Outcome::Exit(3)).await.expect("somebody reads");
    });
    let mut remote = Remote::open(Box::new(here), VERSIONS[0], ALL).await.expect("all streams open");
    let stdin = remote.stdin.take().expect("it is wanted");
    let sent = vec![b'x'; 300_000];
    let writing = async {
        stdin.send(sent.clone().into()).await.expect("somebody reads");
        stdin.close().await.expect("somebody reads");
    };
    let mut stdout = remote.stdout.take().expect("it is wanted");
    let reading = async {
        let mut got = Vec::new();
        while let Some(piece) = stdout.recv().await {
            got.extend_from_slice(&piece);
        }
        got
    };
    let ((), got) = tokio::join!(writing, reading);
    assert!(got == sent, "{} bytes came back", got.len());
    assert_eq!(exactly(&mut remote.stderr.take().expect("it is wanted"), 4).await, "oops");
    assert_eq!(outcome(remote.status, VERSIONS[0]).await, Outcome::Exit(3));
    serving.await.expect("it ended well");
}

#[tokio::test]
async fn a_terminal_has_a_size_and_no_standard_error() {
    let (here, there) = tokio::io::duplex(1 << 16);
    let streams = Streams { stdin: false, stdout: true, stderr: false, tty: true };
    let serving = tokio::spawn(async move {
        let mut session = Session::spdy(Box::new(there), VERSIONS[0], streams).await.expect("all streams come");
        let size = exactly(&mut session.resize.take().expect("a terminal"), 25).await;
        session.stdout.as_ref().expect("it is wanted").send(size.into()).await.expect("somebody reads");
        session.end(&Outcome::Success).await.expect("somebody reads");
    });
    let mut remote =
        Remote::open(Box::new(here), VERSIONS[0], Streams { stderr: true, ..streams }).await.expect("all streams open");
    assert!(remote.stderr.is_none());
    let size = "{\"Width\":80,\"Height\":25}\n";
    remote.resize.take().expect("a terminal").send(size.into()).await.expect("somebody reads");
    assert_eq!(exactly(&mut remote.stdout.take().expect("it is wanted"), 25).await, size);
    assert_eq!(outcome(remote.status, VERSIONS[0]).await, Outcome::Success);
    serving.await.expect("it ended well");
}

#[test]
fn what_is_asked_for_is_read_as_upstream_reads_it() {
    assert_eq!(Streams::read("output=1&error=1&command=ls"), Ok(Streams { stdin: false, ..ALL }));
    assert_eq!(
        Streams::read("output=1&error=1&tty=1"),
        Ok(Streams { stdin: false, stdout: true, stderr: false, tty: true })
    );
    assert_eq!(Streams::read("output=true"), Err("you must specify at least 1 of stdin, stdout, stderr".into()));
}

#[test]
fn how_a_command_ended_survives_the_wire() {
    for outcome in [Outcome::Success, Outcome::Exit(137)] {
        assert_eq!(Outcome::read(outcome.status().to_string().as_bytes()), outcome);
    }
    let failed = Outcome::Failed("no such container".into());
    assert_eq!(
        failed.status().to_string(),
        "{\"code\":500,\"details\":{\"causes\":[{\"message\":\"no such container\"}]},\
         \"message\":\"Internal error occurred: no such container\",\"metadata\":{},\"reason\":\"InternalError\",\
         \"status\":\"Failure\"}"
    );
    let wrong = br#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"999"}]}}"#;
    assert_eq!(
        Outcome::read(wrong),
        Outcome::Failed("error stream protocol error: invalid exit code value \"999\"".into())
    );
}
