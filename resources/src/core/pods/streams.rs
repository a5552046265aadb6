//! Logs, terminals, tunnels and proxies of pods: which container is meant, and what a node is asked for.
//!
//! Pure: who carries the bytes is not known here. Upstream: pkg/registry/core/pod/strategy.go `LogLocation`,
//! `streamLocation`, `PortForwardLocation`, `ResourceLocation`; `ValidatePodLogOptions`.

use std::net::IpAddr;

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use crate::{checks::NEGATIVE, pod};

/// What a node's agent is asked for: a path, and a query whose keys are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub path: String,
    pub query: Vec<(&'static str, String)>,
}

/// Upstream: `ValidatePodLogOptions`; choosing one of the two streams is a feature that is off.
pub fn log_options(options: &Value) -> Errors {
    let mut errs = Errors::new();
    if let Some(lines) = options.opt_int("tailLines").filter(|lines| *lines < 0) {
        errs.invalid(&Path::new("tailLines"), lines, NEGATIVE);
    }
    if let Some(bytes) = options.opt_int("limitBytes").filter(|bytes| *bytes < 1) {
        errs.invalid(&Path::new("limitBytes"), bytes, "must be greater than 0");
    }
    let seconds = options.opt_int("sinceSeconds");
    if seconds.is_some() && options.has("sinceTime") {
        pod::forbid_all(&mut errs, "at most one of `sinceTime` or `sinceSeconds` may be specified");
    } else if let Some(seconds) = seconds.filter(|seconds| *seconds < 1) {
        errs.invalid(&Path::new("sinceSeconds"), seconds, "must be greater than 0");
    }
    if options.has("stream") {
        errs.forbidden(&Path::new("stream"), "may not be specified");
    }
    errs
}

/// The container that a request means; the error is upstream's text of a 400. Upstream: `validateContainer`.
pub fn container<'a>(pod: &'a Value, asked: &'a str) -> Result<&'a str, String> {
    let (spec, name) = (pod.at("spec"), api::meta::of(pod).name());
    if !asked.is_empty() {
        let known = pod::every_container(spec).any(|c| c.str("name") == asked);
        return known.then_some(asked).ok_or_else(|| format!("container {asked} is not valid for pod {name}"));
    }
    match spec.list("containers") {
        [] => Err(format!("a container name must be specified for pod {name}")),
        [only] => Ok(only.str("name")),
        _ => {
            let names: Vec<&str> = pod::every_container(spec).map(|c| c.str("name")).collect();
            Err(format!("a container name must be specified for pod {name}, choose one of: [{}]", names.join(" ")))
        }
    }
}

/// What the node is asked for behind `log`, `exec`, `attach` or `portforward`.
pub fn request(door: &str, pod: &Value, container: &str, options: &Value) -> Request {
    let meta = api::meta::of(pod);
    let place = format!("{}/{}", meta.namespace(), meta.name());
    match door {
        "log" => Request { path: format!("/containerLogs/{place}/{container}"), query: log_query(options) },
        "portforward" => Request { path: format!("/portForward/{place}"), query: port_query(options) },
        _ => Request { path: format!("/{door}/{place}/{container}"), query: terminal_query(options) },
    }
}

fn log_query(options: &Value) -> Vec<(&'static str, String)> {
    let mut query = Vec::new();
    let flag = |member: &'static str| options.bool(member).then(|| (member, "true".to_string()));
    let number = |member: &'static str| options.opt_int(member).map(|n| (member, n.to_string()));
    query.extend(flag("follow"));
    query.extend(number("limitBytes"));
    query.extend(flag("previous"));
    query.extend(number("sinceSeconds"));
    query.extend(options.opt_str("sinceTime").map(|time| ("sinceTime", time.to_string())));
    query.extend(number("tailLines"));
    query.extend(flag("timestamps"));
    query
}

fn terminal_query(options: &Value) -> Vec<(&'static str, String)> {
    let mut query: Vec<(&'static str, String)> =
        options.list("command").iter().filter_map(Value::as_str).map(|word| ("command", word.to_string())).collect();
    let flags = [("error", "stderr"), ("input", "stdin"), ("output", "stdout"), ("tty", "tty")];
    query.extend(
        flags.into_iter().filter(|(_, member)| options.bool(member)).map(|(param, _)| (param, "1".to_string())),
    );
    query
}

fn port_query(options: &Value) -> Vec<(&'static str, String)> {
    let ports: Vec<String> = options.list("ports").iter().filter_map(Value::as_int).map(|p| p.to_string()).collect();
    if ports.is_empty() { Vec::new() } else { vec![("port", ports.join(","))] }
}

/// Where a proxy request to a pod goes: `host[:port]`. Without a port the first one that a container declares. The error
/// is upstream's text of a 400. Upstream: `ResourceLocation`.
pub fn proxy_host(pod: &Value, port: &str) -> Result<String, String> {
    let declared = pod.at("spec").list("containers").iter().find_map(|c| c.list("ports").first());
    let port = match (port, declared) {
        ("", Some(declared)) => declared.int("containerPort").to_string(),
        (port, _) => port.to_string(),
    };
    let ip = names::parse_ip(super::first_ip(pod)).filter(is_global_unicast).ok_or("address not allowed")?;
    let text = super::first_ip(pod);
    let host = if ip.is_ipv6() { format!("[{text}]") } else { text.to_string() };
    Ok(if port.is_empty() { host } else { format!("{host}:{port}") })
}

/// What Go's `IsGlobalUnicast` takes.
fn is_global_unicast(ip: &IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !link_local && !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast()
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::texts;

    fn pod() -> Value {
        value!({
            "metadata": {"name": "p", "namespace": "ns"},
            "spec": {
                "containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 80}]}],
                "initContainers": [{"name": "i"}]
            },
            "status": {"podIPs": [{"ip": "10.0.0.7"}]}
        })
    }

    #[test]
    fn the_container_is_named_unless_there_is_one() {
        let pod = pod();
        assert_eq!(container(&pod, "i"), Ok("i"));
        assert_eq!(container(&pod, "x"), Err("container x is not valid for pod p".into()));
        let text = "a container name must be specified for pod p, choose one of: [i a b]";
        assert_eq!(container(&pod, ""), Err(text.into()));
        let one = value!({"spec": {"containers": [{"name": "a"}]}});
        assert_eq!(container(&one, ""), Ok("a"));
    }

    #[test]
    fn a_node_is_asked_in_its_own_words() {
        let log = request("log", &pod(), "a", &value!({"follow": true, "tailLines": 5}));
        assert_eq!(log.path, "/containerLogs/ns/p/a");
        assert_eq!(log.query, [("follow", "true".to_string()), ("tailLines", "5".to_string())]);
        let exec = request("exec", &pod(), "a", &value!({"stdin": true, "tty": true, "command": ["sh", "-c"]}));
        let words =
            [("command", "sh"), ("command", "-c"), ("input", "1"), ("tty", "1")].map(|(k, v)| (k, v.to_string()));
        assert_eq!((exec.path.as_str(), exec.query.as_slice()), ("/exec/ns/p/a", words.as_slice()));
        let forward = request("portforward", &pod(), "", &value!({"ports": [80, 443]}));
        assert_eq!((forward.path.as_str(), forward.query), ("/portForward/ns/p", vec![("port", "80,443".to_string())]));
    }

    #[test]
    fn a_proxy_reaches_pods_and_nothing_of_the_nodes() {
        assert_eq!(proxy_host(&pod(), ""), Ok("10.0.0.7:80".into()));
        assert_eq!(proxy_host(&pod(), "9"), Ok("10.0.0.7:9".into()));
        for ip in ["127.0.0.1", "169.254.1.1", "224.0.0.1", ""] {
            let pod = value!({"status": {"podIPs": [{"ip": ip}]}});
            assert_eq!(proxy_host(&pod, ""), Err("address not allowed".into()), "{ip}");
        }
        let six = value!({"status": {"podIPs": [{"ip": "2001:db8::1"}]}});
        assert_eq!(proxy_host(&six, "80"), Ok("[2001:db8::1]:80".into()));
    }

    #[test]
    fn log_options_do_not_contradict_each_other() {
        let options =
            value!({"tailLines": (-1), "limitBytes": 0, "sinceSeconds": 5, "sinceTime": "2026-01-01T00:00:00Z"});
        let expected = [
            "tailLines: Invalid value: -1: must be greater than or equal to 0",
            "limitBytes: Invalid value: 0: must be greater than 0",
            "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ];
        assert_eq!(texts(&log_options(&options)), expected);
    }
}
