//! Load: clients that each wait for their answer, and requests that come when they come.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use bytes::Bytes;
use http_body_util::BodyExt;

use super::latency::Latencies;
use crate::http::{Client, Response};

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub content_type: &'static str,
    pub body: Bytes,
}

/// Closed loop: each client sends its next request when the last one is answered, until `until` or until it has no more.
/// `work` makes a client's requests; each is made with the answer to the one before (empty at first). Returns how many
/// were answered.
pub async fn closed<W>(clients: Vec<Client>, until: Option<Instant>, work: impl Fn(usize) -> W) -> Result<u64>
where
    W: FnMut(&Bytes) -> Option<Request> + Send + 'static,
{
    let mut tasks = Vec::new();
    for (number, client) in clients.into_iter().enumerate() {
        let mut next = work(number);
        tasks.push(tokio::spawn(async move {
            let (mut count, mut last) = (0_u64, Bytes::new());
            while until.is_none_or(|until| Instant::now() < until) {
                let Some(request) = next(&last) else { break };
                last = send(&client, request).await?.body;
                count += 1;
            }
            anyhow::Ok(count)
        }));
    }
    let mut total = 0;
    for task in tasks {
        total += task.await??;
    }
    Ok(total)
}

/// Open loop: requests go out at a fixed rate, whether or not those before are answered, and a latency counts from when
/// its request was due.
pub async fn open(
    clients: Vec<Client>,
    per_second: f64,
    time: Duration,
    request: impl Fn(usize) -> Request,
) -> Result<Latencies> {
    let begun = tokio::time::Instant::now();
    let clients: Arc<[Client]> = clients.into();
    let mut tasks = Vec::new();
    for number in 0..(per_second * time.as_secs_f64()).ceil() as usize {
        let due = begun + Duration::from_secs_f64(number as f64 / per_second);
        tokio::time::sleep_until(due).await;
        let (clients, request) = (clients.clone(), request(number));
        tasks.push(tokio::spawn(async move {
            send(&clients[number % clients.len()], request).await?;
            anyhow::Ok(due.elapsed())
        }));
    }
    let mut latencies = Latencies::default();
    for task in tasks {
        latencies.add(task.await??);
    }
    Ok(latencies)
}

/// Sends one request; an answer that is no success is an error that says what was answered.
pub async fn send(client: &Client, request: Request) -> Result<Response> {
    let Request { method, path, content_type, body } = request;
    let response = client.send(method, &path, &[("content-type", content_type)], body).await?;
    if response.status >= 300 {
        bail!("{method} {path}: {} {}", response.status, String::from_utf8_lossy(&response.body));
    }
    Ok(response)
}

/// An answer that was read and let go.
#[derive(Clone, Copy, Debug)]
pub struct Drained {
    /// As it came over the wire.
    pub len: u64,
    pub gzip: bool,
}

/// Reads an answer to a GET and lets it go.
pub async fn drain(client: &Client, path: &str, headers: &[(&str, &str)]) -> Result<Drained> {
    let response = client.open("GET", path, headers, Bytes::new()).await?;
    if response.status().as_u16() != 200 {
        bail!("GET {path}: {}", response.status());
    }
    let gzip = response.headers().get("content-encoding").is_some_and(|encoding| encoding == "gzip");
    let (mut body, mut len) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        len += frame?.data_ref().map_or(0, Bytes::len) as u64;
    }
    Ok(Drained { len, gzip })
}
