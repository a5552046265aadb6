//! Hooks against small servers and a runtime that says what it is told to.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{runtime::Output, scripted::Scripted, tell::Told};
use api::value;

async fn run(runtime: &Scripted, told: &Told, handler: Value) -> Result<(), String> {
    let pod = value!({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}});
    let container = value!({"name": "c"});
    let target = Target { pod: &pod, container: &container, container_id: "id", pod_ip: "127.0.0.1" };
    super::run(runtime, told, &target, &handler).await.map_err(|error| error.0)
}

#[tokio::test]
async fn a_command_that_fails_is_told_with_what_it_said() {
    let (runtime, told) = (Scripted::default(), Told::default());
    let handler = value!({"exec": {"command": ["sh", "-c", "x"]}});
    assert_eq!(run(&runtime, &told, handler.clone()).await, Ok(()));
    let output = Output { stdout: b"out".to_vec(), stderr: b"err".to_vec(), exit_code: 3 };
    runtime.commands.lock().push_back(Ok(output));
    let words = "Exec lifecycle hook ([sh -c x]) for Container \"c\" in Pod \"p_ns(u)\" failed - error: command 'sh -c x' \
                 exited with 3: err, message: \"outerr\"";
    assert_eq!(run(&runtime, &told, handler).await, Err(words.into()));
    assert_eq!(*runtime.ran.lock(), ["id: sh -c x", "id: sh -c x"]);
}

#[tokio::test]
async fn any_answer_will_do_and_a_plain_server_is_asked_plainly() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = i64::from(listener.local_addr().expect("has one").port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = [0; 1024];
            let _ = stream.read(&mut read).await;
            let _ = stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let (runtime, told) = (Scripted::default(), Told::default());
    assert_eq!(run(&runtime, &told, value!({"httpGet": {"port": port}})).await, Ok(()));
    assert!(told.take().is_empty());
    assert_eq!(run(&runtime, &told, value!({"httpGet": {"port": port, "scheme": "HTTPS"}})).await, Ok(()));
    let words = format!(
        "Warning LifecycleHTTPFallback request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP \
         succeeded"
    );
    assert_eq!(told.take(), [words]);
}

#[tokio::test]
async fn nobody_there_is_a_failure() {
    let (runtime, told) = (Scripted::default(), Told::default());
    let failed = run(&runtime, &told, value!({"httpGet": {"path": "/x", "port": "web"}})).await;
    let words =
        "HTTP lifecycle hook (/x) for Container \"c\" in Pod \"p_ns(u)\" failed - error: port \"web\" not found";
    assert_eq!(failed, Err(words.into()));
    assert!(run(&runtime, &told, value!({})).await.is_err_and(|why| why.starts_with("Cannot run handler: ")));
}

#[tokio::test(start_paused = true)]
async fn sleeping_takes_its_time() {
    let (runtime, told) = (Scripted::default(), Told::default());
    let handler = value!({"sleep": {"seconds": 100}});
    let slept = tokio::time::timeout(Duration::from_secs(99), run(&runtime, &told, handler.clone())).await;
    assert!(slept.is_err());
    assert_eq!(run(&runtime, &told, handler).await, Ok(()));
}
