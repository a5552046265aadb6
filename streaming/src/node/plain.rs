//! What a node tells without a stream: pods, stats, metrics, health, configuration, the machine's logs; and `/run`.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::{Body, Metrics, Node, json, query, text};

/// A log of the machine that is longer is shown from its end.
const SYSTEM_LOG_LEN_MAX: u64 = 10 << 20;

/// Whether a path is one that can be read.
pub fn is_known(parts: &[&str]) -> bool {
    matches!(
        parts,
        ["pods" | "runningpods" | "configz" | "metrics"]
            | ["healthz" | "logs", ..]
            | ["stats", "summary"]
            | ["metrics", "resource" | "cadvisor" | "probes"]
            | ["containerLogs", _, _, _]
    )
}

pub async fn answer(node: &Arc<Node>, parts: &[&str], said: &str) -> Response<Body> {
    match parts {
        ["pods"] => json(node.api.pods()),
        ["runningpods"] => told(node.api.running_pods().await),
        ["stats", "summary"] => {
            let only = query(said, "only_cpu_and_memory").is_some_and(|value| value == "true");
            told(node.api.stats(only).await)
        }
        ["configz"] => {
            let mut document = b"{\"kubeletconfig\":".to_vec();
            document.extend_from_slice(&node.api.configz());
            document.push(b'}');
            json(document.into())
        }
        ["metrics"] => metrics(node, Metrics::Own).await,
        ["metrics", "resource"] => metrics(node, Metrics::Resource).await,
        ["metrics", "cadvisor"] => metrics(node, Metrics::Cadvisor).await,
        ["metrics", "probes"] => metrics(node, Metrics::Probes).await,
        ["healthz", rest @ ..] => health(node, rest, said),
        ["logs", rest @ ..] => system_log(node, rest).await,
        _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

/// `/run`: upstream splits the command at spaces, and so has everybody who uses it learnt.
pub async fn run(node: &Arc<Node>, parts: &[&str], request: Request<Incoming>) -> Response<Body> {
    let Some(pod) = node.find(parts) else { return text(StatusCode::NOT_FOUND, "pod does not exist") };
    let container = parts.last().copied().unwrap_or_default();
    let said = query(request.uri().query().unwrap_or(""), "cmd").unwrap_or_default();
    let command: Vec<String> = said.split(' ').map(str::to_owned).collect();
    told(node.api.run(&pod, container, &command).await)
}

fn told(answer: Result<Bytes, String>) -> Response<Body> {
    match answer {
        Ok(bytes) => json(bytes),
        Err(why) => text(StatusCode::INTERNAL_SERVER_ERROR, why),
    }
}

async fn metrics(node: &Arc<Node>, which: Metrics) -> Response<Body> {
    match node.api.metrics(which).await {
        Ok(page) => {
            let mut response = text(StatusCode::OK, page);
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(why) => text(StatusCode::INTERNAL_SERVER_ERROR, why),
    }
}

/// Upstream: apiserver pkg/server/healthz handleRootHealth, adaptCheckToHandler.
fn health(node: &Arc<Node>, rest: &[&str], said: &str) -> Response<Body> {
    let mut checks = vec![("ping", None), ("log", None)];
    checks.extend(node.api.checks());
    if let [name] = rest
        && !name.is_empty()
    {
        return match checks.iter().find(|(known, _)| known == name) {
            None => text(StatusCode::NOT_FOUND, "404 page not found\n"),
            Some((_, None)) => text(StatusCode::OK, "ok"),
            Some((_, Some(why))) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n")),
        };
    }
    let failed = checks.iter().any(|(_, why)| why.is_some());
    if !failed && query(said, "verbose").is_none() {
        return text(StatusCode::OK, "ok");
    }
    let mut page = String::new();
    for (name, why) in &checks {
        page += &match why {
            None => format!("[+]{name} ok\n"),
            Some(_) => format!("[-]{name} failed: reason withheld\n"),
        };
    }
    match failed {
        true => text(StatusCode::INTERNAL_SERVER_ERROR, page + "healthz check failed\n"),
        false => text(StatusCode::OK, page + "healthz check passed\n"),
    }
}

/// A file of the machine's logs, or the names in a directory of them.
async fn system_log(node: &Arc<Node>, rest: &[&str]) -> Response<Body> {
    let Some(root) = node.api.system_logs() else {
        return text(StatusCode::METHOD_NOT_ALLOWED, "logs endpoint is disabled.\n");
    };
    let missing = || text(StatusCode::NOT_FOUND, "404 page not found\n");
    let wanted: PathBuf = rest.iter().collect();
    if !wanted.components().all(|c| matches!(c, Component::Normal(_))) {
        return missing();
    }
    let root = root.to_owned();
    let read = tokio::task::spawn_blocking(move || read(&root, &wanted)).await;
    match read {
        Ok(Ok(Shown::File(bytes))) => text(StatusCode::OK, bytes),
        Ok(Ok(Shown::Names(page))) => {
            let mut response = text(StatusCode::OK, page);
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        _ => missing(),
    }
}

enum Shown {
    File(Vec<u8>),
    Names(String),
}

/// What is at a path below `root`, wherever links on the way lead, as long as they stay below it.
fn read(root: &Path, wanted: &Path) -> std::io::Result<Shown> {
    use std::io::{Read, Seek, SeekFrom};
    let root = root.canonicalize()?;
    let path = root.join(wanted).canonicalize()?;
    if !path.starts_with(&root) {
        return Err(std::io::ErrorKind::PermissionDenied.into());
    }
    if path.is_dir() {
        let mut names: Vec<String> = std::fs::read_dir(&path)?
            .filter_map(Result::ok)
            .map(|entry| {
                let slash = if entry.path().is_dir() { "/" } else { "" };
                format!("{}{slash}", entry.file_name().to_string_lossy())
            })
            .collect();
        names.sort();
        let lines = names.iter().map(|name| {
            let shown = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;");
            format!("<a href=\"{shown}\">{shown}</a>\n")
        });
        return Ok(Shown::Names(format!("<!doctype html>\n<pre>\n{}</pre>\n", lines.collect::<String>())));
    }
    let mut file = std::fs::File::open(&path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(SYSTEM_LOG_LEN_MAX)))?;
    let mut bytes = Vec::new();
    file.take(SYSTEM_LOG_LEN_MAX).read_to_end(&mut bytes)?;
    Ok(Shown::File(bytes))
}
