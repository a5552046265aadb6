//! Does what a probe says, once. Upstream: pkg/kubelet/prober/prober.go, pkg/probe/{exec,tcp}.

#[cfg(test)]
mod tests;

use std::time::Duration;

use api::Value;
use tokio::net::TcpStream;

use super::{
    grpc,
    http::{self, Request},
};
use crate::{
    environment::expansion,
    runtime::{Error, Runtime},
};

const OUTPUT_LEN_MAX: usize = 10 * 1024;
const TRIES: usize = 3;

/// What a probe came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Success(String),
    /// It counts as a success, and is told.
    Warning(String),
    Failure(String),
    /// It could not be done: nothing is known.
    Nothing(String),
}

/// Runs a probe, again at once when it could not be done.
pub async fn probe(runtime: &dyn Runtime, container_id: &str, pod_ip: &str, container: &Value, probe: &Value) -> Found {
    let mut found = Found::Nothing("missing probe handler".into());
    for _ in 0..TRIES {
        found = once(runtime, container_id, pod_ip, container, probe).await;
        if !matches!(found, Found::Nothing(_)) {
            break;
        }
    }
    found
}

async fn once(runtime: &dyn Runtime, id: &str, pod_ip: &str, container: &Value, probe: &Value) -> Found {
    let timeout = Duration::from_secs(u64::try_from(probe.int("timeoutSeconds")).unwrap_or_default().max(1));
    let (exec, http_get) = (probe.at("exec"), probe.at("httpGet"));
    let (tcp, grpc) = (probe.at("tcpSocket"), probe.at("grpc"));
    if !exec.is_null() {
        return command(runtime, id, &static_command(exec, container), timeout).await;
    }
    if !http_get.is_null() {
        return match Request::of(http_get, container, pod_ip, "probe") {
            Ok(request) => get(&request, timeout).await,
            Err(why) => Found::Nothing(why),
        };
    }
    let host_of = |said: &str| if said.is_empty() { pod_ip.to_owned() } else { said.to_owned() };
    if !tcp.is_null() {
        return match http::port(tcp.at("port"), container) {
            Ok(port) => connect(&address(&host_of(tcp.str("host")), port), timeout).await,
            Err(why) => Found::Nothing(why),
        };
    }
    match u16::try_from(grpc.int("port")) {
        Ok(port) if !grpc.is_null() => grpc::check(&address(pod_ip, port), grpc.str("service"), timeout).await,
        _ => Found::Nothing("missing probe handler".into()),
    }
}

fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Variables in a probe's command are only those that the container declares by value.
/// Upstream: `ExpandContainerCommandOnlyStatic`.
fn static_command(exec: &Value, container: &Value) -> Vec<String> {
    let env = container.list("env");
    let value_of = |name: &str| env.iter().rev().find(|v| v.str("name") == name).map(|v| v.str("value"));
    let words = exec.list("command").iter().filter_map(Value::as_str);
    words.map(|word| expansion::expand(word, value_of)).collect()
}

async fn command(runtime: &dyn Runtime, id: &str, command: &[String], timeout: Duration) -> Found {
    match runtime.exec_sync(id, command, timeout).await {
        Ok(output) => {
            let mut text = [output.stdout, output.stderr].concat();
            text.truncate(OUTPUT_LEN_MAX);
            let text = String::from_utf8_lossy(&text).into_owned();
            if output.exit_code == 0 { Found::Success(text) } else { Found::Failure(text) }
        }
        Err(Error::Timeout(_)) => Found::Failure(timed_out(command, timeout)),
        Err(error) => Found::Nothing(error.to_string()),
    }
}

/// A command that took too long, in upstream's words.
pub fn timed_out(command: &[String], timeout: Duration) -> String {
    format!("command timed out: {} timed out after {}", api::field::quote(&command.join(" ")), super::seconds(timeout))
}

async fn get(request: &Request, timeout: Duration) -> Found {
    match http::get(request, timeout).await {
        Err(failure) => Found::Failure(failure.message),
        Ok(answer) => match answer.code {
            200..300 => Found::Success(answer.body),
            300..400 => Found::Warning(format!("Probe terminated redirects, Response body: {}", answer.body)),
            // The body may hold what readers of events are not to see.
            code => Found::Failure(format!("HTTP probe failed with statuscode: {code}")),
        },
    }
}

async fn connect(address: &str, timeout: Duration) -> Found {
    match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Found::Success(String::new()),
        Ok(Err(error)) => Found::Failure(http::dial(address, &error)),
        Err(_) => Found::Failure(format!("dial tcp {address}: i/o timeout")),
    }
}
