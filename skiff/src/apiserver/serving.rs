//! What flags mean to whoever listens: whether they make sense, what is shown to whom, and what is said to all.
//!
//! Refusals are in upstream's words. Upstream: apiserver/pkg/server/options/{server_run_options,serving}.go,
//! pkg/kubeapiserver/options/authentication.go.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context, Result};
use api::field::quote;
use http::uri::Authority;
use server::{
    browsers::Browsers,
    listen::{Farewell, STREAMS_MAX},
};
use tokio::net::{TcpListener, TcpSocket};

use crate::{
    clock::Random,
    flags::{Apiserver, serving::Serving},
};

/// Upstream: `GoawayChance` of `ServerRunOptions.Validate`.
const CHANCE_MAX: f64 = 0.02;
/// Connections that wait to be accepted, as many as Go asks for at most.
const WAITING_MAX: u32 = 4096;
const ORIGINS: &str = "List of allowed origins for CORS, comma separated. An allowed origin can be a regular expression to support subdomain matching. If this list is empty CORS will not be enabled. Please ensure each expression matches the entire hostname by anchoring to the start with '^' or including the '//' prefix, and by anchoring to the end with '$' or including the ':' port separator suffix. Examples of valid expressions are '//example.com(:|$)' and '^https://example.com(:|$)'";

/// What is wrong.
pub fn check(flags: &Apiserver) -> Vec<String> {
    let serving = &flags.serving;
    let mut wrong = Vec::new();
    if serving.livez_grace_period.0 < 0 {
        wrong.push("--livez-grace-period can not be a negative value".into());
    }
    if !(0.0..=CHANCE_MAX).contains(&serving.goaway_chance) {
        wrong.push("--goaway-chance can not be less than 0 or greater than 0.02".into());
    }
    wrong.extend(aggregate(
        listed(&serving.strict_transport_security_directives).iter().filter_map(|said| wrong_directive(said)),
    ));
    wrong.extend(aggregate(listed(&serving.cors_allowed_origins).iter().filter_map(|said| wrong_origin(said))));
    let mut seen: Vec<i64> = Vec::new();
    for group in &serving.tls_curve_preferences {
        if seen.contains(group) {
            wrong.push(format!("duplicate curve preference {group}"));
        }
        seen.push(*group);
    }
    wrong.extend(wrong_issuers(flags));
    let by_two = !flags.enable_admission_plugins.is_empty() || !flags.disable_admission_plugins.is_empty();
    if serving.admission_control.is_some() && by_two {
        wrong.push(
            "admission-control and enable-admission-plugins/disable-admission-plugins flags are mutually exclusive"
                .into(),
        );
    }
    wrong
}

/// A list of nothing is none to Go's flags.
fn listed(given: &[String]) -> &[String] {
    match given {
        [one] if one.is_empty() => &[],
        given => given,
    }
}

/// Several as one. Upstream: `errors.NewAggregate`.
fn aggregate(wrong: impl Iterator<Item = String>) -> Option<String> {
    let mut wrong: Vec<String> = wrong.collect();
    match wrong.len() {
        0 => None,
        1 => wrong.pop(),
        _ => Some(format!("[{}]", wrong.join(", "))),
    }
}

/// Upstream: `validateHSTSDirectives`.
fn wrong_directive(said: &str) -> Option<String> {
    if said.trim().is_empty() {
        return Some("empty value in strict-transport-security-directives".into());
    }
    let is_age = said.strip_prefix("max-age=").is_some_and(|age| !age.contains('='));
    let is_known = is_age || matches!(said, "includeSubDomains" | "preload");
    (!is_known).then(|| "--strict-transport-security-directives invalid, allowed values: max-age=expireTime, includeSubDomains, preload. see https://tools.ietf.org/html/rfc6797#section-6.1 for more information".into())
}

/// Upstream: `validateCorsAllowedOriginList`; what is not pinned to a host is CVE-2022-1996.
fn wrong_origin(said: &str) -> Option<String> {
    if said.is_empty() {
        return Some(format!("empty value in --cors-allowed-origins, help: {ORIGINS}"));
    }
    let has = |marks: [&str; 2]| marks.iter().any(|mark| said.contains(mark));
    let why = match Browsers::new(&[said.to_owned()], &[]) {
        Err(error) => error.to_string().lines().last().unwrap_or_default().to_owned(),
        Ok(_) if has(["^", "//"]) && has(["$", ":"]) => return None,
        Ok(_) => "regular expression does not pin to start/end of host in the origin header".to_owned(),
    };
    Some(format!("--cors-allowed-origins has an invalid regular expression: {why}, help: {ORIGINS}"))
}

/// Upstream: `BuiltInAuthenticationOptions.Validate`.
fn wrong_issuers(flags: &Apiserver) -> Vec<String> {
    let mut wrong = Vec::new();
    for (i, issuer) in flags.service_account_issuer.iter().enumerate() {
        if issuer.is_empty() {
            wrong.push("service-account-issuer should not be an empty string".into());
        } else if flags.service_account_issuer[..i].contains(issuer) {
            wrong.push(format!("service-account-issuer {} is already specified", quote(issuer)));
        }
    }
    match &flags.service_account_jwks_uri {
        Some(uri) if !uri.is_empty() && !uri.starts_with("https://") => {
            wrong.push(format!("service-account-jwks-uri requires https scheme, parsed as: {uri}"));
        }
        _ => {}
    }
    wrong
}

/// What browsers are told.
pub fn browsers(serving: &Serving) -> Result<Browsers> {
    Ok(Browsers::new(listed(&serving.cors_allowed_origins), listed(&serving.strict_transport_security_directives))?)
}

/// Who is sent away.
pub fn farewell(serving: &Serving) -> Option<Farewell> {
    let chance = serving.goaway_chance;
    (chance > 0.0 && !serving.disable_http2_serving).then(|| Farewell { chance, draw: Arc::new(|| Random.chance()) })
}

/// How many requests go on at a time on one connection of HTTP/2.
pub fn streams_max(serving: &Serving) -> u32 {
    let said = u32::try_from(serving.http2_max_streams_per_connection).ok();
    said.filter(|said| *said > 0).unwrap_or(STREAMS_MAX)
}

/// How this server is called by those who are told of it, with its port. Upstream: `Config.Complete` of apiserver/pkg/server.
pub fn shown(serving: &Serving, advertise: IpAddr, port: u16) -> String {
    match serving.external_hostname.as_str() {
        "" => SocketAddr::new(advertise, port).to_string(),
        name if name.parse::<Authority>().is_ok_and(|given| given.port().is_some()) => name.to_owned(),
        name if name.contains(':') => format!("[{name}]:{port}"),
        name => format!("{name}:{port}"),
    }
}

/// Listens where the flags say.
pub async fn listen(flags: &Apiserver) -> Result<TcpListener> {
    let port = u16::try_from(flags.secure_port).context("the port was checked")?;
    let address = SocketAddr::new(flags.bind_address, port);
    let why =
        || format!("{address} is taken or not ours to listen on; choose another with --secure-port or --bind-address");
    if !flags.serving.permit_port_sharing {
        return TcpListener::bind(address).await.with_context(why);
    }
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address).with_context(why)?;
    Ok(socket.listen(WAITING_MAX)?)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::flags::{Command, Skiff};

    fn flags(given: &[&str]) -> Box<Apiserver> {
        let all = ["skiff", "apiserver"].iter().chain(given);
        match Skiff::try_parse_from(all).expect("flags").command {
            Command::Apiserver(flags) => flags,
            _ => unreachable!("it is that command"),
        }
    }

    #[test]
    fn flags_that_make_no_sense_are_refused_in_upstreams_words() {
        let unpinned = "regular expression does not pin to start/end of host in the origin header";
        let origin =
            |why: &str| format!("--cors-allowed-origins has an invalid regular expression: {why}, help: {ORIGINS}");
        let directive = "--strict-transport-security-directives invalid, allowed values: max-age=expireTime, includeSubDomains, preload. see https://tools.ietf.org/html/rfc6797#section-6.1 for more information";
        let cases: [(&[&str], &[String]); 16] = [
            (
                &["--admission-control=Priority", "--disable-admission-plugins=Priority"],
                &["admission-control and enable-admission-plugins/disable-admission-plugins flags are mutually exclusive".into()],
            ),
            (&["--livez-grace-period=-1s"], &["--livez-grace-period can not be a negative value".into()]),
            (&["--goaway-chance=0.021"], &["--goaway-chance can not be less than 0 or greater than 0.02".into()]),
            (&["--goaway-chance=-0.1"], &["--goaway-chance can not be less than 0 or greater than 0.02".into()]),
            (&["--cors-allowed-origins=example.com"], &[origin(unpinned)]),
            (&["--cors-allowed-origins=//example.com"], &[origin(unpinned)]),
            // Nothing is a list of nothing.
            (&["--cors-allowed-origins="], &[]),
            (
                &["--cors-allowed-origins=//a$,"],
                &[format!("empty value in --cors-allowed-origins, help: {ORIGINS}")],
            ),
            (&["--cors-allowed-origins=//a(:|$),//b$", "--strict-transport-security-directives="], &[]),
            (&["--strict-transport-security-directives=max-age"], &[directive.into()]),
            (
                &["--strict-transport-security-directives=max-age=1, ,no"],
                &[format!("[empty value in strict-transport-security-directives, {directive}]")],
            ),
            (&["--strict-transport-security-directives=max-age=1,includeSubDomains,preload"], &[]),
            (&["--tls-curve-preferences=29,23,29"], &["duplicate curve preference 29".into()]),
            (
                &["--service-account-issuer=a", "--service-account-issuer=a"],
                &["service-account-issuer \"a\" is already specified".into()],
            ),
            (&["--service-account-issuer="], &["service-account-issuer should not be an empty string".into()]),
            (
                &["--service-account-jwks-uri=http://a/keys"],
                &["service-account-jwks-uri requires https scheme, parsed as: http://a/keys".into()],
            ),
        ];
        for (given, wanted) in cases {
            assert_eq!(check(&flags(given)), wanted, "{given:?}");
        }
        let brackets = check(&flags(&["--cors-allowed-origins=^($"]));
        assert!(brackets[0].starts_with("--cors-allowed-origins has an invalid regular expression: "), "{brackets:?}");
    }

    #[test]
    fn a_server_is_called_as_it_is_said() {
        let here = IpAddr::from([192, 0, 2, 1]);
        for (said, wanted) in [
            ("", "192.0.2.1:6443"),
            ("api.example", "api.example:6443"),
            ("api.example:443", "api.example:443"),
            ("2001:db8::1", "[2001:db8::1]:6443"),
        ] {
            let name = format!("--external-hostname={said}");
            assert_eq!(shown(&flags(&[&name]).serving, here, 6443), wanted);
        }
    }

    #[test]
    fn bounds_of_connections_are_as_said() {
        let of = |given: &[&str]| {
            let flags = flags(given);
            (streams_max(&flags.serving), farewell(&flags.serving).map(|farewell| farewell.chance))
        };
        assert_eq!(of(&[]), (100, None));
        assert_eq!(of(&["--http2-max-streams-per-connection=7", "--goaway-chance=0.01"]), (7, Some(0.01)));
        assert_eq!(of(&["--goaway-chance=0.01", "--disable-http2-serving"]), (100, None));
    }

    #[tokio::test]
    async fn a_port_is_shared_when_that_is_said() -> Result<()> {
        let first = TcpSocket::new_v4()?;
        first.set_reuseport(true)?;
        first.bind("127.0.0.1:0".parse()?)?;
        let first = first.listen(1)?;
        let port = format!("--secure-port={}", first.local_addr()?.port());
        let alone = flags(&["--bind-address=127.0.0.1", &port]);
        assert!(listen(&alone).await.is_err());
        let shared = flags(&["--bind-address=127.0.0.1", &port, "--permit-port-sharing"]);
        listen(&shared).await.map(drop)
    }
}
