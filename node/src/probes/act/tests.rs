//! What a probe finds, by each way of looking.

use std::collections::VecDeque;

use super::*;
use crate::{runtime::Output, scripted::Scripted};
use api::value;

fn said(exit_code: i32, stdout: &str, stderr: &str) -> Result<Output, Error> {
    Ok(Output { stdout: stdout.into(), stderr: stderr.into(), exit_code })
}

async fn of(runtime: &Scripted, container: &Value, probe: Value) -> Found {
    super::probe(runtime, "id", "127.0.0.1", container, &probe).await
}

#[tokio::test]
async fn a_commands_code_decides() {
    let runtime = Scripted::default();
    *runtime.commands.lock() =
        VecDeque::from([said(0, "fine", ""), said(1, "out", "err"), Err(Error::Timeout("x".into()))]);
    let container = value!({"env": [{"name": "A", "value": "b"}, {"name": "C"}]});
    let probe = || value!({"exec": {"command": ["test", "$(A)", "$(B)"]}, "timeoutSeconds": 2});
    assert_eq!(of(&runtime, &container, probe()).await, Found::Success("fine".into()));
    assert_eq!(of(&runtime, &container, probe()).await, Found::Failure("outerr".into()));
    let late = "command timed out: \"test b $(B)\" timed out after 2s";
    assert_eq!(of(&runtime, &container, probe()).await, Found::Failure(late.into()));
    assert_eq!(runtime.ran.lock().first().map(String::as_str), Some("id: test b $(B)"));
}

#[tokio::test]
async fn what_could_not_be_done_is_tried_again_and_then_nothing() {
    let runtime = Scripted::default();
    let down = || Err(Error::Unavailable("down".into()));
    *runtime.commands.lock() = VecDeque::from([down(), down(), said(0, "up", ""), down(), down(), down()]);
    let probe = || value!({"exec": {"command": ["x"]}});
    assert_eq!(of(&runtime, Value::NULL, probe()).await, Found::Success("up".into()));
    let nothing = "rpc error: code = Unavailable desc = down";
    assert_eq!(of(&runtime, Value::NULL, probe()).await, Found::Nothing(nothing.into()));
    assert_eq!(of(&runtime, Value::NULL, value!({})).await, Found::Nothing("missing probe handler".into()));
    let unknown = of(&runtime, Value::NULL, value!({"tcpSocket": {"port": "web"}})).await;
    assert_eq!(unknown, Found::Nothing("port \"web\" not found".into()));
}

#[tokio::test]
async fn a_port_is_open_or_it_is_not() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = i64::from(listener.local_addr().expect("has one").port());
    let runtime = Scripted::default();
    let probe = || value!({"tcpSocket": {"port": port}});
    assert_eq!(of(&runtime, Value::NULL, probe()).await, Found::Success(String::new()));
    drop(listener);
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(of(&runtime, Value::NULL, probe()).await, Found::Failure(refused.clone()));
    let get = of(&runtime, Value::NULL, value!({"httpGet": {"port": port}})).await;
    assert_eq!(get, Found::Failure(format!("Get \"http://127.0.0.1:{port}/\": {refused}")));
}
