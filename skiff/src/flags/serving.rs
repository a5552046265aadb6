//! Flags about how the server listens and what it shows and says there: upstream's names and meanings.

use std::path::PathBuf;

use clap::Args;

use super::go::{self, Span, boolean, integer};
use crate::log;

#[derive(Args)]
#[group(skip)]
pub struct Serving {
    /// A certificate and its key for clients that ask for its names, or for those behind a colon:
    /// `foo.crt,foo.key:*.foo.com,foo.com`; may stand several times.
    #[arg(long, value_parser = NamedFiles::parse)]
    pub tls_sni_cert_key: Vec<NamedFiles>,
    /// Groups of the key exchange, by comma, by their numbers; those that are safe when left out.
    #[arg(long, value_delimiter = ',', value_parser = group, allow_hyphen_values = true)]
    pub tls_curve_preferences: Vec<i64>,
    /// Requests that go on at a time on one connection of HTTP/2; 0: 100.
    #[arg(long, default_value = "0", value_parser = integer, allow_hyphen_values = true)]
    pub http2_max_streams_per_connection: i64,
    /// Speak HTTP/1.1 alone.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub disable_http2_serving: bool,
    /// Let other processes listen on the same port: the kernel shares connections out among them.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub permit_port_sharing: bool,
    /// Of so many requests of HTTP/2, as a part of one, a client has to connect anew: for several servers behind a balancer.
    #[arg(long, default_value = "0", value_parser = go::double, allow_hyphen_values = true)]
    pub goaway_chance: f64,
    /// Expressions of origins whose pages may ask here, by comma; each pins the start and the end of a host.
    #[arg(long, value_delimiter = ',')]
    pub cors_allowed_origins: Vec<String>,
    /// What browsers are told of coming back: max-age=31536000,includeSubDomains,preload
    #[arg(long, value_delimiter = ',')]
    pub strict_transport_security_directives: Vec<String>,
    /// How this server is called in what it says of itself (`/api`, the issuer of tokens); its address when left out.
    #[arg(long, default_value = "")]
    pub external_hostname: String,
    /// For so long after its start the server is alive, whatever is not finished.
    #[arg(long, default_value = "0s", value_parser = Span::parse, allow_hyphen_values = true)]
    pub livez_grace_period: Span,
    /// `resource[.group]#size`, by comma. Sizes are found by themselves, as upstream; none can be 0.
    #[arg(long, value_delimiter = ',', value_parser = cached)]
    pub watch_cache_sizes: Vec<String>,
    /// Families that `/metrics` leaves out, by comma.
    #[arg(long, value_delimiter = ',')]
    pub disabled_metrics: Vec<String>,
    /// Tokens that pods have mounted live for a year, and their use after the time that was asked for is noted alone.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub service_account_extend_token_expiration: bool,
    /// How the log is written: text, or json, an object a line.
    #[arg(long, default_value = "text", value_parser = log_format)]
    pub logging_format: log::Format,
    /// All plugins of admission, by comma; others are off. Older than --enable-admission-plugins, which is not said beside it.
    #[arg(long, value_delimiter = ',')]
    pub admission_control: Option<Vec<String>>,
    /// An AdmissionConfiguration: what plugins of admission are to be told.
    #[arg(long)]
    pub admission_control_config_file: Option<PathBuf>,
}

/// Files of a certificate and its key, and for which names. Upstream: component-base/cli/flag/namedcertkey_flag.go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub names: Vec<String>,
}

// === impl NamedFiles ===

impl NamedFiles {
    fn parse(text: &str) -> Result<NamedFiles, String> {
        let (files, names) = match text.split_once(':') {
            None => (text, Vec::new()),
            Some((_, names)) if names.trim().is_empty() => return Err("empty names list is not allowed".into()),
            Some((files, names)) => (files, names.split(',').map(|name| name.trim().to_owned()).collect()),
        };
        match files.split(',').map(str::trim).collect::<Vec<_>>().as_slice() {
            [certificate, key] => Ok(NamedFiles { certificate: certificate.into(), key: key.into(), names }),
            _ => Err("expected comma separated certificate and key file paths".into()),
        }
    }
}

/// Upstream: component-base/logs/api/v1 Validate.
fn log_format(text: &str) -> Result<log::Format, String> {
    match text {
        "text" => Ok(log::Format::Text),
        "json" => Ok(log::Format::Json),
        other => Err(format!("format: Invalid value: {}: Unsupported log format", api::field::quote(other))),
    }
}

/// Upstream: component-base/cli/flag/curves_flag.go TLSCurvePreferences.
fn group(text: &str) -> Result<i64, String> {
    let number = integer(text)?;
    match u16::try_from(number).ok().filter(|number| *number > 0) {
        None => Err(format!("curve preference {number} is out of range (must be 1-65535)")),
        Some(group) if certs::tls::is_group(group) => Ok(number),
        Some(_) => Err(format!("keys are not exchanged by the group {number} here")),
    }
}

/// Upstream: apiserver/pkg/server/options/etcd.go ParseWatchCacheSizes.
fn cached(text: &str) -> Result<String, String> {
    let mut parts = text.split('#');
    let (Some(_), Some(size), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("invalid value of watch cache size: {text}"));
    };
    match size.parse::<i64>() {
        Err(_) => Err(format!("invalid size of watch cache size: {text}")),
        Ok(..0) => Err(format!("watch cache size cannot be negative: {text}")),
        Ok(0) => Err("watches are always served from memory; leave it out, or say a size".into()),
        Ok(_) => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_read_with_its_names() {
        let read = |text: &str| NamedFiles::parse(text).map(|one| (one.certificate, one.key, one.names.join(" ")));
        let of = |names: &str| Ok(("a.crt".into(), "a.key".into(), names.to_owned()));
        assert_eq!(read("a.crt,a.key"), of(""));
        assert_eq!(read(" a.crt , a.key : *.foo.com, foo.com "), of("*.foo.com foo.com"));
        assert_eq!(read("a.crt,a.key:"), Err("empty names list is not allowed".into()));
        for wrong in ["a.crt", "a,b,c", "a.crt:foo.com"] {
            assert_eq!(read(wrong), Err("expected comma separated certificate and key file paths".into()), "{wrong}");
        }
        assert_eq!(cached("pods#100"), Ok("pods#100".into()));
        for (text, why) in [
            ("pods", "invalid value of watch cache size: pods"),
            ("a#b#c", "invalid value of watch cache size: a#b#c"),
            ("pods#x", "invalid size of watch cache size: pods#x"),
            ("pods#-1", "watch cache size cannot be negative: pods#-1"),
            ("pods#0", "watches are always served from memory; leave it out, or say a size"),
        ] {
            assert_eq!(cached(text), Err(why.into()));
        }
        assert_eq!((group("29"), group("4588")), (Ok(29), Ok(4588)));
        assert_eq!(group("0"), Err("curve preference 0 is out of range (must be 1-65535)".into()));
        assert_eq!(group("25"), Err("keys are not exchanged by the group 25 here".into()));
    }
}
