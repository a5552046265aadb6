//! Plugins in this process, which behave as badly as plugins can.

use std::sync::atomic::{AtomicUsize, Ordering};

use hyper_util::{rt::TokioExecutor, service::TowerToHyperService};
use kms::{
    DecryptResponse, EncryptResponse, StatusResponse,
    key_management_service_server::{KeyManagementService, KeyManagementServiceServer as Server},
};
use tokio::{net::UnixListener, task::JoinHandle};

use super::*;
use crate::Transformation;

/// What a plugin does when it is asked how it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Well,
    Hangs,
    Refuses,
    /// Its answer has no end.
    Rambles,
}

struct Plugged(Manner);

#[tonic::async_trait]
impl KeyManagementService for Plugged {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, tonic::Status> {
        let healthz = match self.0 {
            Manner::Well => "ok".into(),
            Manner::Hangs => std::future::pending().await,
            Manner::Refuses => return Err(tonic::Status::failed_precondition("it is locked")),
            Manner::Rambles => "x".repeat(5 << 20),
        };
        Ok(Response::new(StatusResponse { version: "v2".into(), healthz, key_id: "one".into() }))
    }

    async fn decrypt(&self, asked: Request<DecryptRequest>) -> Result<Response<DecryptResponse>, tonic::Status> {
        let DecryptRequest { ciphertext, uid, key_id, annotations } = asked.into_inner();
        assert_eq!((uid.as_str(), key_id.as_str(), annotations.len()), ("u2", "one", 1));
        Ok(Response::new(DecryptResponse { plaintext: ciphertext.slice(1..) }))
    }

    async fn encrypt(&self, asked: Request<EncryptRequest>) -> Result<Response<EncryptResponse>, tonic::Status> {
        let authority = asked.metadata().contains_key("grpc-timeout");
        assert!(authority, "a plugin knows how long it is waited for");
        let EncryptRequest { plaintext, uid } = asked.into_inner();
        assert_eq!(uid, "u1");
        let ciphertext = [b"x", &*plaintext].concat().into();
        let annotations = [("a.example.com".to_string(), "b".into())].into();
        Ok(Response::new(EncryptResponse { ciphertext, key_id: "one".into(), annotations }))
    }
}

/// Serves until it is aborted; connections end with it.
fn serve(path: &std::path::Path, manner: Manner) -> JoinHandle<()> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).expect("a socket");
    tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(Server::new(Plugged(manner)));
            connections.spawn(async move {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

#[derive(Default)]
struct Calls(parking_lot::Mutex<Vec<String>>);

impl Tally for Calls {
    fn transformed(&self, _: &Transformation<'_>) {}

    fn kept(&self, what: &Kept<'_>) {
        if let Kept::Called { provider, method, code, .. } = what {
            self.0.lock().push(format!("{provider} {method} {code}"));
        }
    }
}

struct Scene {
    directory: tempfile::TempDir,
    calls: Arc<Calls>,
}

impl Scene {
    fn new() -> Scene {
        Scene { directory: tempfile::tempdir().expect("a directory"), calls: Arc::default() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("kms.sock")
    }

    fn socket(&self, within: Duration) -> Socket {
        let endpoint = format!("unix://{}", self.path().display());
        let plugin = Plugin { name: "guard".into(), endpoint, timeout: within };
        Socket::new(&plugin, self.calls.clone()).expect("an endpoint")
    }
}

/// On a busy machine a call may take long.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn every_call_goes_there_and_back_with_all_its_parts() {
    let scene = Scene::new();
    let _plugin = serve(&scene.path(), Manner::Well);
    let socket = scene.socket(LONG);
    let status = socket.status().await.expect("answered");
    assert_eq!(status, Status { version: "v2".into(), healthz: "ok".into(), key_id: "one".into() });
    let shut = socket.encrypt("u1", &Secret::new(*b"seed")).await.expect("answered");
    assert_eq!((&shut.ciphertext[..], shut.key_id.as_str()), (&b"xseed"[..], "one"));
    assert_eq!(shut.annotations["a.example.com"], "b");
    assert_eq!(socket.decrypt("u2", &shut).await.expect("answered"), Secret::new(*b"seed"));
    let of = |method| format!("guard /v2.KeyManagementService/{method} OK");
    assert_eq!(*scene.calls.0.lock(), [of("Status"), of("Encrypt"), of("Decrypt")]);
}

#[tokio::test]
async fn what_a_plugin_refuses_comes_in_its_words_and_with_its_code() {
    let scene = Scene::new();
    let _plugin = serve(&scene.path(), Manner::Refuses);
    let failure = scene.socket(LONG).status().await.expect_err("refused");
    assert_eq!(failure.text, "rpc error: code = FailedPrecondition desc = it is locked");
    assert_eq!(failure.code, "FailedPrecondition");
    assert_eq!(*scene.calls.0.lock(), ["guard /v2.KeyManagementService/Status FailedPrecondition"]);
}

#[tokio::test]
async fn an_answer_without_end_is_none() {
    let scene = Scene::new();
    let _plugin = serve(&scene.path(), Manner::Rambles);
    let failure = scene.socket(LONG).status().await.expect_err("too long");
    let words = "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (";
    assert!(failure.text.starts_with(words) && failure.text.ends_with(" vs. 4194304)"), "{}", failure.text);
}

/// The clock stands still while somebody works, and goes on when everybody waits.
#[tokio::test(start_paused = true)]
async fn a_plugin_that_hangs_is_not_waited_for_longer_than_the_file_says() {
    let scene = Scene::new();
    let _plugin = serve(&scene.path(), Manner::Hangs);
    let failure = scene.socket(Duration::from_secs(3)).status().await.expect_err("late");
    assert_eq!(failure.text, "rpc error: code = DeadlineExceeded desc = context deadline exceeded");
    assert_eq!(failure.code, "DeadlineExceeded");
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_is_not_there_is_waited_for_as_long() {
    let scene = Scene::new();
    let begun = Instant::now();
    let failure = scene.socket(Duration::from_secs(3)).status().await.expect_err("nobody is there");
    assert_eq!(begun.elapsed().as_secs(), 3);
    let path = scene.path();
    let words = format!(
        "rpc error: code = DeadlineExceeded desc = latest balancer error: connection error: desc = \"transport: Error while dialing: dial unix {}: connect: no such file or directory\"",
        path.display()
    );
    assert_eq!(failure.text, words);
}

#[tokio::test]
async fn a_plugin_that_comes_late_or_anew_is_found() {
    let scene = Scene::new();
    let socket = scene.socket(LONG);
    let mut plugin = None;
    let comes = async {
        tokio::task::yield_now().await;
        plugin = Some(serve(&scene.path(), Manner::Well));
    };
    let (answer, ()) = tokio::join!(socket.status(), comes);
    answer.expect("it came");
    let plugin = plugin.expect("it was started");
    plugin.abort();
    let _ = plugin.await;
    let _plugin = serve(&scene.path(), Manner::Well);
    // The old connection may break under the first call.
    let mut answered = socket.status().await;
    if answered.is_err() {
        answered = socket.status().await;
    }
    answered.expect("it came anew");
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_call_says_so() {
    let scene = Scene::new();
    let listener = UnixListener::bind(scene.path()).expect("a socket");
    let accepted = AtomicUsize::new(0);
    let breaks = async {
        loop {
            let (stream, _) = listener.accept().await.expect("somebody comes");
            accepted.fetch_add(1, Ordering::Relaxed);
            // What was written is read, and nothing said.
            let mut bytes = [0; 1024];
            stream.readable().await.expect("it writes");
            let _ = stream.try_read(&mut bytes);
        }
    };
    let socket = scene.socket(LONG);
    let failure = tokio::select! {
        asked = socket.status() => asked.expect_err("nobody answers"),
        () = breaks => unreachable!("it goes on"),
    };
    assert_eq!(failure.code, "Unavailable");
    assert_eq!(failure.text, "rpc error: code = Unavailable desc = error reading from server: EOF");
    assert!(accepted.load(Ordering::Relaxed) >= 1);
}

#[test]
fn endpoints_are_read_as_upstream_reads_them() {
    for (endpoint, expected) in [
        ("unix:///run/kms.sock", "/run/kms.sock"),
        ("unix:/run/kms.sock", "/run/kms.sock"),
        ("unix://host/run/kms%20a.sock?b#c", "/run/kms a.sock"),
        ("unix:///@kms", "\0kms"),
        ("unix://host", ""),
    ] {
        assert_eq!(path(endpoint), Ok(PathBuf::from(expected)), "{endpoint}");
    }
    let words = "unsupported scheme \"tcp\" for remote KMS provider";
    assert_eq!(path("tcp://x"), Err(words.into()));
}
