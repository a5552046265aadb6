//! Flags of upstream's kube-apiserver that have one answer here: each takes the value that is true of this server anyway,
//! and refuses every other in a sentence.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::features::go_bool;

/// Nothing is decided by them; they are known, and shown with the others.
#[derive(Clone, Debug)]
pub struct Upstreams;

/// A flag.
struct Row {
    name: &'static str,
    kind: Kind,
    /// What this server does.
    honoured: &'static [&'static str],
    /// Why it takes nothing else.
    why: &'static str,
}

/// How values are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Without a value it is true, as Go has it.
    Switch,
    Text,
    /// `5s`, `1m0s`
    Span,
}

const fn row(name: &'static str, kind: Kind, honoured: &'static [&'static str], why: &'static str) -> Row {
    Row { name, kind, honoured, why }
}

const ROWS: &[Row] = &[
    row("aggregator-reject-forwarding-redirect", Kind::Switch, &["true"], "redirects are never followed"),
    row("allow-privileged", Kind::Switch, &["true"], "what pods may be is PodSecurity's to say"),
    row("contention-profiling", Kind::Switch, &["false"], "there is no profiler"),
    row("delete-collection-workers", Kind::Text, &["1"], "collections are deleted one by one"),
    row("disable-http2-serving", Kind::Switch, &["false"], "HTTP/2 is always spoken"),
    row("enable-aggregator-routing", Kind::Switch, &["true"], "requests to other servers go to their endpoints"),
    row("enable-garbage-collector", Kind::Switch, &["true"], "what hangs on an object goes with it"),
    row("enable-logs-handler", Kind::Switch, &["false"], "logs are not served"),
    row("endpoint-reconciler-type", Kind::Text, &["lease"], "servers know of each other by leases"),
    row("goaway-chance", Kind::Text, &["0"], "clients are never sent away"),
    row("http2-max-streams-per-connection", Kind::Text, &["0", "100"], "a connection has 100 streams"),
    row("kubernetes-service-node-port", Kind::Text, &["0"], "the service of the API has no port of nodes"),
    row("livez-grace-period", Kind::Span, &["0s"], "a server that starts is alive when it says so"),
    row("logging-format", Kind::Text, &["text"], "the log is text"),
    row("max-connection-bytes-per-sec", Kind::Text, &["0"], "connections are not slowed down"),
    row("permit-address-sharing", Kind::Switch, &["false"], "an address is one server's"),
    row("permit-port-sharing", Kind::Switch, &["false"], "a port is one server's"),
    row("profiling", Kind::Switch, &["false"], "there is no profiler"),
    row("service-account-extend-token-expiration", Kind::Switch, &["true"], "tokens of pods are extended"),
    row("service-account-lookup", Kind::Switch, &["true"], "what a token is bound to is always looked up"),
    row("shutdown-send-retry-after", Kind::Switch, &["false"], "a server that stops takes no more connections"),
    row("shutdown-watch-termination-grace-period", Kind::Span, &["0s"], "watches end with the server"),
    row("storage-backend", Kind::Text, &["", "etcd3"], "--etcd-servers says which store it is"),
    row("watch-cache", Kind::Switch, &["true"], "watches are always served from memory"),
];

/// What upstream's server has and this one does not. Taking one and doing nothing would be a lie.
pub const MISSING: &[&str] = &[
    "admission-control",
    "admission-control-config-file",
    "allow-metric-labels",
    "allow-metric-labels-manifest",
    "coordinated-leadership-lease-duration",
    "coordinated-leadership-renew-deadline",
    "coordinated-leadership-retry-period",
    "cors-allowed-origins",
    "debug-socket-path",
    "disabled-metrics",
    "emulated-version",
    "emulation-forward-compatible",
    "etcd-count-metric-poll-period",
    "etcd-db-metric-poll-interval",
    "etcd-healthcheck-timeout",
    "etcd-readycheck-timeout",
    "etcd-servers-overrides",
    "external-hostname",
    "log-flush-frequency",
    "log-json-info-buffer-size",
    "log-json-split-stream",
    "log-text-info-buffer-size",
    "log-text-split-stream",
    "min-compatibility-version",
    "peer-advertise-ip",
    "peer-advertise-port",
    "peer-ca-file",
    "runtime-config-emulation-forward-compatible",
    "service-account-signing-endpoint",
    "show-hidden-metrics-for-version",
    "storage-initialization-timeout",
    "strict-transport-security-directives",
    "tls-curve-preferences",
    "tls-sni-cert-key",
    "tracing-config-file",
    "vmodule",
    "watch-cache-sizes",
];
/// Whether upstream's server has such a flag, which is none here: `--vmodule`.
pub fn is_missing(flag: &str) -> bool {
    MISSING.contains(&flag.trim_start_matches('-'))
}

/// Whether `skiff apiserver` knows a flag: it takes it, or refuses it by name.
pub fn is_known(name: &str) -> bool {
    use clap::CommandFactory as _;
    super::Skiff::command()
        .find_subcommand("apiserver")
        .is_some_and(|server| server.get_arguments().any(|taken| taken.get_long() == Some(name)))
        || is_missing(name)
}

// === impl Row ===

impl Row {
    fn check(&self, given: &str) -> Result<String, String> {
        let same = |honoured: &&str| match self.kind {
            Kind::Switch => go_bool(given) == go_bool(honoured),
            Kind::Span => api::duration::parse(given).ok() == api::duration::parse(honoured).ok(),
            Kind::Text => given == *honoured,
        };
        let values: Vec<&str> = self.honoured.iter().filter(|value| !value.is_empty()).copied().collect();
        match self.honoured.iter().find(|honoured| same(honoured)) {
            Some(honoured) => Ok((*honoured).to_owned()),
            None => Err(format!("{}; leave it out, or say {}", self.why, values.join(" or "))),
        }
    }

    fn argument(&'static self) -> Arg {
        let argument = Arg::new(self.name)
            .long(self.name)
            .hide(true)
            .default_value(self.honoured.last().copied().unwrap_or_default())
            .value_parser(move |given: &str| self.check(given));
        match self.kind {
            Kind::Switch => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
            Kind::Text | Kind::Span => argument,
        }
    }
}

// === impl Upstreams ===

impl Args for Upstreams {
    fn augment_args(command: Command) -> Command {
        command.args(ROWS.iter().map(Row::argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Upstreams::augment_args(command)
    }
}

impl FromArgMatches for Upstreams {
    fn from_arg_matches(_: &ArgMatches) -> Result<Upstreams, clap::Error> {
        Ok(Upstreams)
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), clap::Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{ROWS, is_missing};
    use crate::flags::{Skiff, go};

    fn refused(flag: &str) -> Option<String> {
        let error = Skiff::try_parse_from(["skiff", "apiserver", flag]).err()?;
        go::words(&error, "skiff apiserver")
    }

    #[test]
    fn each_takes_what_is_true_and_nothing_else() {
        for row in ROWS {
            for value in row.honoured {
                assert_eq!(refused(&format!("--{}={value}", row.name)), None);
            }
            let words = refused(&format!("--{}=7h", row.name)).unwrap_or_default();
            let begins = format!("invalid argument \"7h\" for \"--{}\" flag: {}; leave it out", row.name, row.why);
            assert!(words.starts_with(&begins), "{words}");
        }
        assert_eq!(refused("--allow-privileged"), None);
        assert_eq!(refused("--shutdown-watch-termination-grace-period=0h0m0s"), None);
        assert_eq!(
            refused("--profiling").as_deref(),
            Some(
                "invalid argument \"true\" for \"--profiling\" flag: there is no profiler; leave it out, or say false"
            )
        );
    }

    #[test]
    fn what_is_not_there_is_named_so() {
        for flag in ["--vmodule=f", "--tls-sni-cert-key=a,b", "--tracing-config-file=f"] {
            let words = refused(flag).unwrap_or_default();
            assert!(words.ends_with("is a flag of kube-apiserver that is not supported here"), "{words}");
        }
        assert!(!is_missing("--nosuch"));
    }

    /// As kubeadm v1.37 writes its static pod.
    #[test]
    fn a_server_of_kubeadms_starts() {
        let flags = [
            "--advertise-address=192.0.2.1",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            "--client-ca-file=/etc/kubernetes/pki/ca.crt",
            "--enable-admission-plugins=NodeRestriction",
            "--enable-bootstrap-token-auth=true",
            "--etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt",
            "--etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt",
            "--etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key",
            "--etcd-servers=https://127.0.0.1:2379",
            "--kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt",
            "--kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
            "--proxy-client-cert-file=/etc/kubernetes/pki/front-proxy-client.crt",
            "--proxy-client-key-file=/etc/kubernetes/pki/front-proxy-client.key",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            "--secure-port=6443",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-account-key-file=/etc/kubernetes/pki/sa.pub",
            "--service-account-signing-key-file=/etc/kubernetes/pki/sa.key",
            "--service-cluster-ip-range=10.96.0.0/12",
            "--tls-cert-file=/etc/kubernetes/pki/apiserver.crt",
            "--tls-private-key-file=/etc/kubernetes/pki/apiserver.key",
        ];
        let read = Skiff::try_parse_from(["skiff", "apiserver"].iter().chain(&flags));
        assert!(read.is_ok(), "{:?}", read.err().map(|error| error.to_string()));
    }
}
