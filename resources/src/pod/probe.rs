//! Probes, lifecycle hooks and the actions they take.
//!
//! Upstream: `validateProbe`, `validateLifecycle`, `validateHandler`.

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::require;
use crate::checks::{messages, not_negative, one_of};

/// The signals that stop a container; Windows knows only two of them.
const SIGNALS: &[&str] = &[
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];
const WINDOWS_SIGNALS: &[&str] = &["SIGKILL", "SIGTERM"];

/// The three probes of a container, those that it has.
pub fn probes(container: &Value, grace: Option<i64>, at: &Path, errs: &mut Errors) {
    for member in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let (own, at) = (container.at(member), at.child(member));
        if own.is_null() {
            continue;
        }
        probe(own, grace, &at, errs);
        if member == "readinessProbe" {
            if own.has("terminationGracePeriodSeconds") {
                let at = at.child("terminationGracePeriodSeconds");
                errs.invalid(&at, own.at("terminationGracePeriodSeconds"), "must not be set for readinessProbes");
            }
        } else if own.int("successThreshold") != 1 {
            errs.invalid(&at.child("successThreshold"), own.int("successThreshold"), "must be 1");
        }
    }
}

fn probe(probe: &Value, grace: Option<i64>, at: &Path, errs: &mut Errors) {
    handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], grace, at, errs);
    for member in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        not_negative(errs, &at.child(member), probe.int(member));
    }
    if let Some(seconds) = probe.opt_int("terminationGracePeriodSeconds").filter(|s| *s <= 0) {
        errs.invalid(&at.child("terminationGracePeriodSeconds"), seconds, "must be greater than 0");
    }
}

/// Upstream: `validateLifecycle`.
pub fn lifecycle(lifecycle: &Value, os: &Value, grace: Option<i64>, at: &Path, errs: &mut Errors) {
    for member in ["postStart", "preStop"].into_iter().filter(|m| lifecycle.has(m)) {
        handler(lifecycle.at(member), &["exec", "httpGet", "tcpSocket", "sleep"], grace, &at.child(member), errs);
    }
    let Some(signal) = lifecycle.opt_str("stopSignal") else { return };
    let at = at.child("stopSignal");
    match os.str("name") {
        _ if os.is_null() => errs.forbidden(&at, "may not be set for containers with empty `spec.os.name`"),
        "windows" => one_of(errs, &at, signal, WINDOWS_SIGNALS),
        "linux" => one_of(errs, &at, signal, SIGNALS),
        _ => {}
    }
}

fn handler(handler: &Value, kinds: &[&str], grace: Option<i64>, at: &Path, errs: &mut Errors) {
    let mut present = kinds.iter().filter(|kind| handler.has(kind));
    let Some(first) = present.next() else { return errs.required(at, "must specify a handler type") };
    action(first, handler.at(first), grace, &at.child(first), errs);
    for more in present {
        errs.forbidden(&at.child(more), "may not specify more than 1 handler type");
    }
}

fn action(kind: &str, action: &Value, grace: Option<i64>, at: &Path, errs: &mut Errors) {
    match kind {
        "exec" if action.list("command").is_empty() => errs.required(&at.child("command"), ""),
        "httpGet" => http_get(action, at, errs),
        "tcpSocket" => port(action.at("port"), &at.child("port"), errs),
        "grpc" => {
            port(&Value::Int(action.int("port")), &at.child("port"), errs);
            if let Some(mode) = action.opt_str("mode") {
                one_of(errs, &at.child("mode"), mode, &["Plaintext", "TLS"]);
            }
        }
        "sleep" => {
            // Without a grace period something else is wrong already.
            let seconds = action.int("seconds");
            if let Some(grace) = grace.filter(|grace| seconds < 0 || seconds > *grace) {
                let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                errs.invalid(at, seconds, detail);
            }
        }
        _ => {}
    }
}

fn http_get(action: &Value, at: &Path, errs: &mut Errors) {
    require(errs, &at.child("path"), action.str("path"));
    port(action.at("port"), &at.child("port"), errs);
    let scheme = action.str("scheme");
    one_of(errs, &at.child("scheme"), scheme, &["HTTP", "HTTPS"]);
    for header in action.list("httpHeaders") {
        let name = header.str("name");
        messages(errs, &at.child("httpHeaders"), name, names::http_header_name(name));
    }
    let Some(protocol) = action.opt_str("protocol") else { return };
    let protocol_at = at.child("protocol");
    match protocol {
        "HTTP2" if scheme != "HTTP" => errs.invalid(&protocol_at, protocol, "is only supported with HTTP (H2C)"),
        "HTTP2" if !action.str("host").is_empty() => {
            errs.invalid(&at.child("host"), action.str("host"), "must be empty when `protocol` is \"HTTP2\"");
        }
        _ => one_of(errs, &protocol_at, protocol, &["HTTP1", "HTTP2"]),
    }
}

/// A number or a name of a port. Upstream: `ValidatePortNumOrName`.
pub fn port(port: &Value, at: &Path, errs: &mut Errors) {
    match port {
        Value::Str(name) => messages(errs, at, name, names::port_name(name)),
        _ => {
            let number = port.as_int().unwrap_or(0);
            for text in names::port_num(number) {
                errs.invalid(at, number, text);
            }
        }
    }
}
