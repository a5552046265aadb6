//! The objects that every side gets: one pod as a node reports it, and a node's Lease.

use anyhow::{Result, ensure};
use bytes::Bytes;

use super::{
    Side, Who,
    load::{self, Request},
};

/// As a pod of a Deployment looks some seconds after its start, `managedFields` included. Whoever creates it on a real
/// server sees its status go, as everywhere; [`fill`] puts it there.
const POD: &str = include_str!("pod.json");
const JSON: &str = "application/json";
pub const PODS: &str = "/api/v1/namespaces/bench/pods";
pub const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
/// As many as write at once when nothing is measured yet.
const FILLERS: usize = 32;

/// The fixture pod under a name. `serial` is what an update changes.
pub fn pod(name: &str, serial: usize) -> Bytes {
    Bytes::from(POD.trim_end().replacen("POD_NAME", name, 1).replacen("SERIAL", &serial.to_string(), 1))
}

/// Bytes of the fixture pod.
pub fn pod_len() -> usize {
    pod("pod-00-00-000000", 0).len()
}

pub fn create_pod(name: &str) -> Request {
    Request { method: "POST", path: PODS.into(), content_type: JSON, body: pod(name, 0) }
}

pub fn update_pod(name: &str, serial: usize) -> Request {
    Request { method: "PUT", path: format!("{PODS}/{name}"), content_type: JSON, body: pod(name, serial) }
}

/// A node's heartbeat. The object's revision makes it an update; without one it is a create.
pub fn lease(name: &str, revision: Option<&str>, serial: u64) -> Request {
    let (second, micro) = (serial / 1_000_000 % 60, serial % 1_000_000);
    let version = revision.map(|revision| format!(",\"resourceVersion\":\"{revision}\"")).unwrap_or_default();
    let body = format!(
        "{{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{{\"name\":\"{name}\",\
         \"namespace\":\"kube-node-lease\"{version}}},\"spec\":{{\"holderIdentity\":\"{name}\",\
         \"leaseDurationSeconds\":40,\"renewTime\":\"2026-01-05T09:12:{second:02}.{micro:06}Z\"}}}}"
    );
    let (method, path) = match revision {
        Some(_) => ("PUT", format!("{LEASES}/{name}")),
        None => ("POST", LEASES.to_owned()),
    };
    Request { method, path, content_type: JSON, body: Bytes::from(body) }
}

/// The first `resourceVersion` of an answer, which is the object's own on every side.
pub fn revision(body: &[u8]) -> Option<&str> {
    const KEY: &[u8] = b"\"resourceVersion\":\"";
    let start = body.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let len = body[start..].iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&body[start..start + len]).ok()
}

/// The namespaces of the fixtures, and what admission asks for in them.
pub async fn prepare(side: &Side) -> Result<()> {
    let client = side.client().await?;
    let objects = [
        ("/api/v1/namespaces", r#"{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"bench"}}"#),
        ("/api/v1/namespaces", r#"{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-node-lease"}}"#),
        (
            "/api/v1/namespaces/bench/serviceaccounts",
            r#"{"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"default","namespace":"bench"}}"#,
        ),
    ];
    for (path, body) in objects {
        let response = client.send("POST", path, &[("content-type", JSON)], Bytes::from(body)).await?;
        let text = String::from_utf8_lossy(&response.body);
        ensure!(response.status < 300 || response.status == 409, "{}: {path}: {text}", side.who.name());
    }
    Ok(())
}

/// `count` fixture pods whose names begin with `prefix`, with the status a node reports.
pub async fn fill(side: &Side, prefix: &str, count: usize) -> Result<()> {
    let (who, prefix) = (side.who, prefix.to_owned());
    let work = move |worker: usize| {
        let (prefix, mut number, mut created) = (prefix.clone(), worker, false);
        move |_: &Bytes| {
            let name = format!("{prefix}-{number:06}");
            if number >= count {
                return None;
            }
            // The ceiling keeps what it is sent.
            if !created && who != Who::Ceiling {
                created = true;
                return Some(create_pod(&name));
            }
            (created, number) = (false, number + FILLERS);
            let status = format!("{PODS}/{name}/status");
            match who {
                Who::Ceiling => Some(create_pod(&name)),
                _ => Some(Request { method: "PUT", path: status, content_type: JSON, body: pod(&name, 0) }),
            }
        }
    };
    load::closed(side.clients(FILLERS).await?, None, work).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixture_is_a_pod_under_its_name() {
        let pod = codec::json::any(&pod("a", 7)).expect("the fixture is JSON").value;
        assert_eq!(pod.at("metadata").str("name"), "a");
        assert_eq!(pod.at_path(&["metadata", "annotations"]).str("bench/serial"), "7");
        assert!((4_000..6_500).contains(&pod_len()), "{}", pod_len());
    }

    #[test]
    fn a_lease_is_json_and_its_revision_is_found() {
        let update = lease("node-1", Some("42"), 1_000_007);
        assert_eq!(revision(&update.body), Some("42"));
        let lease = codec::json::any(&update.body).expect("it is JSON").value;
        assert_eq!(lease.at("spec").str("renewTime"), "2026-01-05T09:12:01.000007Z");
        assert_eq!(revision(b"{}"), None);
    }
}
