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
    /// Any span: what is to be done within it is done at once.
    Within,
}

const fn row(name: &'static str, kind: Kind, honoured: &'static [&'static str], why: &'static str) -> Row {
    Row { name, kind, honoured, why }
}

const ROWS: &[Row] = &[
    row("aggregator-reject-forwarding-redirect", Kind::Switch, &["true"], "redirects are never followed"),
    row("allow-privileged", Kind::Switch, &["true"], "what pods may be is PodSecurity's to say"),
    row("contention-profiling", Kind::Switch, &["false"], "there is no profiler"),
    row("delete-collection-workers", Kind::Text, &["1"], "collections are deleted one by one"),
    row("enable-aggregator-routing", Kind::Switch, &["true"], "requests to other servers go to their endpoints"),
    row("enable-garbage-collector", Kind::Switch, &["true"], "what hangs on an object goes with it"),
    row("enable-logs-handler", Kind::Switch, &["false"], "logs are not served"),
    row("emulated-version", Kind::Text, &["1.37", "kube=1.37", ""], "no other version is emulated"),
    row("emulation-forward-compatible", Kind::Switch, &["false"], "no other version is emulated"),
    row("endpoint-reconciler-type", Kind::Text, &["lease"], "servers know of each other by leases"),
    row("etcd-count-metric-poll-period", Kind::Within, &["1m0s"], "objects are counted as they change"),
    row("kubernetes-service-node-port", Kind::Text, &["0"], "the service of the API has no port of nodes"),
    row("log-flush-frequency", Kind::Within, &["5s"], "the log is written as it comes"),
    row("log-json-info-buffer-size", Kind::Text, &["0"], "the log is written as it comes"),
    row("log-json-split-stream", Kind::Switch, &["false"], "the log is one stream"),
    row("log-text-info-buffer-size", Kind::Text, &["0"], "the log is written as it comes"),
    row("log-text-split-stream", Kind::Switch, &["false"], "the log is one stream"),
    row("max-connection-bytes-per-sec", Kind::Text, &["0"], "connections are not slowed down"),
    row("min-compatibility-version", Kind::Text, &["1.36", "kube=1.36", ""], "no other version is kept company with"),
    row(
        "permit-address-sharing",
        Kind::Switch,
        &["true", "false"],
        "addresses are always shared with sockets that end",
    ),
    row("profiling", Kind::Switch, &["false"], "there is no profiler"),
    row("runtime-config-emulation-forward-compatible", Kind::Switch, &["false"], "no other version is emulated"),
    row("service-account-lookup", Kind::Switch, &["true"], "what a token is bound to is always looked up"),
    row("shutdown-send-retry-after", Kind::Switch, &["false"], "a server that stops takes no more connections"),
    row("shutdown-watch-termination-grace-period", Kind::Span, &["0s"], "watches end with the server"),
    row("storage-backend", Kind::Text, &["", "etcd3"], "--etcd-servers says which store it is"),
    row("watch-cache", Kind::Switch, &["true"], "watches are always served from memory"),
];

/// What upstream's server has and this one does not, and why. Taking one and doing nothing would be a lie.
pub const REFUSED: &[(&str, &str)] = &[
    ("allow-metric-labels", "families of metrics have all their labels"),
    ("allow-metric-labels-manifest", "families of metrics have all their labels"),
    ("coordinated-leadership-lease-duration", "leaders are not chosen for others"),
    ("coordinated-leadership-renew-deadline", "leaders are not chosen for others"),
    ("coordinated-leadership-retry-period", "leaders are not chosen for others"),
    ("debug-socket-path", "there is no profiler"),
    ("etcd-servers-overrides", "all objects are in one store, whose revisions order them"),
    ("peer-advertise-ip", "requests are not passed on to servers of other versions"),
    ("peer-advertise-port", "requests are not passed on to servers of other versions"),
    ("peer-ca-file", "requests are not passed on to servers of other versions"),
    ("service-account-signing-endpoint", "tokens are signed with a key in a file"),
    ("show-hidden-metrics-for-version", "families of metrics that upstream hides are not counted"),
    ("storage-initialization-timeout", "the server listens when the store has been read"),
    ("tracing-config-file", "spans are not recorded"),
    ("vmodule", "the log is not chosen by files of Go"),
];

/// Why there is no such flag of upstream's server here: `--vmodule`.
pub fn refused(flag: &str) -> Option<&'static str> {
    let name = flag.trim_start_matches('-');
    REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, why)| *why)
}

/// Whether `skiff apiserver` knows a flag: it takes it, or refuses it by name.
pub fn is_known(name: &str) -> bool {
    use clap::CommandFactory as _;
    super::Skiff::command()
        .find_subcommand("apiserver")
        .is_some_and(|server| server.get_arguments().any(|taken| taken.get_long() == Some(name)))
        || refused(name).is_some()
}

// === impl Row ===

impl Row {
    fn check(&self, given: &str) -> Result<String, String> {
        let same = |honoured: &&str| match self.kind {
            Kind::Switch => go_bool(given) == go_bool(honoured),
            Kind::Span => api::duration::parse(given).ok() == api::duration::parse(honoured).ok(),
            Kind::Text => given == *honoured,
            Kind::Within => api::duration::parse(given).is_ok_and(|span| span > 0),
        };
        let values: Vec<&str> = self.honoured.iter().filter(|value| !value.is_empty()).copied().collect();
        match self.honoured.iter().find(|honoured| same(honoured)) {
            Some(_) if self.kind == Kind::Within => Ok(given.to_owned()),
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
            Kind::Text | Kind::Span | Kind::Within => argument,
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

    use super::{Kind, REFUSED, ROWS};
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
            let wrong = if row.kind == Kind::Within { "0s" } else { "7h" };
            let words = refused(&format!("--{}={wrong}", row.name)).unwrap_or_default();
            let begins = format!("invalid argument \"{wrong}\" for \"--{}\" flag: {}; leave it out", row.name, row.why);
            assert!(words.starts_with(&begins), "{words}");
        }
        assert_eq!(refused("--allow-privileged"), None);
        assert_eq!(refused("--log-flush-frequency=1h"), None);
        assert_eq!(refused("--emulated-version=kube=1.37"), None);
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
        for (name, why) in REFUSED {
            let words = refused(&format!("--{name}=1")).unwrap_or_default();
            assert_eq!(words, format!("--{name} is a flag of kube-apiserver that is not supported here: {why}"));
        }
        assert!(REFUSED.is_sorted() && super::refused("--nosuch").is_none());
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
