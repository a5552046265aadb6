//! What flags mean to the door: whether they make sense, and its bounds.
//!
//! Refusals are in upstream's words. Upstream: apiserver/pkg/server/options, pkg/kubeapiserver/options.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use auth::authenticate::request_header::HeaderNames;
use registry::{RuntimeConfig, special::furniture::flows};
use server::{fairness::Fairness, flow::Flow, limits::Limits};

use crate::{
    features::Features,
    flags::{Apiserver, go::Span},
};

const NANOS: i64 = 1_000_000_000;
/// Upstream: 3 MiB.
const BODY_LEN_MAX: usize = 3 << 20;
const MODES: [&str; 6] = ["AlwaysAllow", "AlwaysDeny", "ABAC", "Webhook", "RBAC", "Node"];

/// A front proxy: who may be one, and by which headers it speaks.
pub struct FrontProxy {
    pub allowed_names: Vec<String>,
    pub headers: HeaderNames,
}

/// What was said about features; refuses flags that make no sense.
pub fn check(flags: &Apiserver) -> Result<Features> {
    let features = Features::parse(&flags.feature_gates).map_err(anyhow::Error::msg)?;
    let mut wrong = Vec::new();
    if !(1..=65535).contains(&flags.secure_port) {
        wrong.push(format!(
            "--secure-port {} must be between 1 and 65535, inclusive. It cannot be turned off with 0",
            flags.secure_port
        ));
    }
    for (flag, number) in [
        ("max-requests-inflight", flags.max_requests_inflight),
        ("max-mutating-requests-inflight", flags.max_mutating_requests_inflight),
        ("request-timeout", flags.request_timeout.0),
        ("min-request-timeout", flags.min_request_timeout),
        ("shutdown-delay-duration", flags.shutdown_delay_duration.0),
    ] {
        if number < 0 {
            wrong.push(format!("--{flag} can not be negative value"));
        }
    }
    if flags.enable_priority_and_fairness && flags.max_requests_inflight + flags.max_mutating_requests_inflight == 0 {
        wrong.push("--max-requests-inflight and --max-mutating-requests-inflight: priority and fairness share out their sum, which is 0".into());
    }
    wrong.extend(super::serving::check(flags));
    for suite in flags.tls_cipher_suites.iter().filter(|suite| !certs::tls::is_cipher_suite(suite)) {
        wrong.push(format!("Cipher suite {suite} not supported or doesn't exist"));
    }
    let longest = flags.service_account_max_token_expiration.0 / NANOS;
    if flags.service_account_max_token_expiration.0 != 0 && !(3600..=1 << 32).contains(&longest) {
        wrong.push("the service-account-max-token-expiration must be between 1 hour and 2^32 seconds".into());
    }
    wrong.extend(without_flows(flags));
    wrong.extend(RuntimeConfig::parse(&flags.runtime_config).err());
    wrong.extend(wrong_modes(flags));
    wrong.extend(wrong_headers(flags));
    wrong.extend(super::auditing::check(&flags.audit));
    wrong.extend(super::egress::check(flags.egress_selector_config_file.as_deref()));
    match wrong.as_slice() {
        [] => Ok(features),
        [one] => bail!("{one}"),
        _ => bail!("[{}]", wrong.join(", ")),
    }
}

/// Upstream: pkg/controlplane/apiserver/options/validation.go `validateAPIPriorityAndFairness`.
fn without_flows(flags: &Apiserver) -> Option<String> {
    let said: Vec<&str> = flags.runtime_config.split(',').map(str::trim).collect();
    let decided = ["flowcontrol.apiserver.k8s.io/v1", "api/ga", "api/all"].iter().find_map(|key| {
        let says = |value: &str| said.iter().any(|word| word.strip_prefix(key) == Some(value));
        if says("=false") { Some((key, false)) } else { says("=true").then_some((key, true)) }
    });
    match decided {
        Some((key, false)) if flags.enable_priority_and_fairness => {
            Some(format!("--runtime-config={key}=false conflicts with --enable-priority-and-fairness=true"))
        }
        _ => None,
    }
}

/// Upstream: `BuiltInAuthorizationOptions.Validate`.
fn wrong_modes(flags: &Apiserver) -> Vec<String> {
    let access = &flags.access;
    if access.authorization_config.is_some() {
        let both = "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined";
        let is_wrong = !flags.authorization_mode.is_empty() || access.names_authorizer();
        return is_wrong.then(|| both.to_owned()).into_iter().collect();
    }
    let modes = &flags.authorization_modes();
    let (policy, webhook) = (&access.authorization_policy_file, &access.authorization_webhook_config_file);
    let has = |mode: &str| modes.iter().any(|known| known == mode);
    let mut wrong = Vec::new();
    for mode in modes {
        match mode.as_str() {
            "ABAC" if policy.is_none() => {
                wrong.push("authorization-mode ABAC's authorization policy file not passed".into());
            }
            "Webhook" if webhook.is_none() => {
                wrong.push("authorization-mode Webhook's authorization config file not passed".into());
            }
            known if MODES.contains(&known) => {}
            unknown => wrong.push(format!("authorization-mode {} is not a valid mode", api::field::quote(unknown))),
        }
    }
    if policy.is_some() && !has("ABAC") {
        wrong.push("cannot specify --authorization-policy-file without mode ABAC".into());
    }
    if webhook.is_some() && !has("Webhook") {
        wrong.push("cannot specify --authorization-webhook-config-file without mode Webhook".into());
    }
    if modes.iter().enumerate().any(|(i, mode)| modes[..i].contains(mode)) {
        let quoted: Vec<String> = modes.iter().map(|mode| api::field::quote(mode).to_string()).collect();
        wrong.push(format!("authorization-mode [{}] has mode specified more than once", quoted.join(" ")));
    }
    wrong
}

/// Upstream: `RequestHeaderAuthenticationOptions.Validate`.
fn wrong_headers(flags: &Apiserver) -> Vec<String> {
    let mut wrong = Vec::new();
    for (flag, given) in [
        ("requestheader-username-headers", &flags.requestheader_username_headers),
        ("requestheader-group-headers", &flags.requestheader_group_headers),
        ("requestheader-extra-headers-prefix", &flags.requestheader_extra_headers_prefix),
        ("requestheader-allowed-names", &flags.requestheader_allowed_names),
        ("requestheader-uid-headers", &flags.requestheader_uid_headers),
    ] {
        if given.iter().any(|name| name.trim().is_empty()) {
            wrong.push(format!("empty value in \"{flag}\""));
        }
    }
    let standard =
        |given: &[String], name: &str| given.is_empty() || given.iter().any(|g| g.eq_ignore_ascii_case(name));
    for (flag, what, name, given) in [
        ("username-headers", "header", "X-Remote-User", &flags.requestheader_username_headers),
        ("group-headers", "header", "X-Remote-Group", &flags.requestheader_group_headers),
        ("extra-headers-prefix", "header prefix", "X-Remote-Extra-", &flags.requestheader_extra_headers_prefix),
        ("uid-headers", "header", "X-Remote-Uid", &flags.requestheader_uid_headers),
    ] {
        let text = format!(
            "--requestheader-{flag} is set without specifying the standard {name} {what} - API aggregation will not work"
        );
        match standard(given, name) {
            true => {}
            // The one that came last could be made an error.
            false if flag == "uid-headers" => wrong.push(text),
            false => tracing::warn!("{text}"),
        }
    }
    wrong
}

/// The bounds of the door.
pub fn limits(flags: &Apiserver) -> Limits {
    let request = match span(flags.request_timeout) {
        // Upstream calls this no limit; here it is one that nobody reaches.
        Duration::ZERO => Duration::from_secs(365 * 24 * 3600),
        limit => limit,
    };
    Limits { request, body_len_max: BODY_LEN_MAX, bodies_len_max: count(flags.max_body_bytes_inflight) }
}

/// How requests are let in: fairly, unless that is switched off. Both bounds together are the seats of all levels.
pub fn flow(flags: &Apiserver) -> Flow {
    if flags.enable_priority_and_fairness {
        let seats = count(flags.max_requests_inflight) + count(flags.max_mutating_requests_inflight);
        // Upstream: a request waits for a quarter of its time at most.
        return Flow::Fair(Arc::new(Fairness::new(seats, limits(flags).request / 4, flows::standard())));
    }
    Flow::counted(count(flags.max_requests_inflight), count(flags.max_mutating_requests_inflight))
}

/// The front proxy that the flags name, or the one that this server's own authority stands for.
pub fn front_proxy(flags: &Apiserver) -> FrontProxy {
    if flags.requestheader_client_ca_file.is_none() {
        let names = vec!["front-proxy-client".to_string()];
        return FrontProxy { allowed_names: names, headers: HeaderNames { uid: Vec::new(), ..HeaderNames::default() } };
    }
    FrontProxy {
        allowed_names: flags.requestheader_allowed_names.clone(),
        headers: HeaderNames {
            user: flags.requestheader_username_headers.clone(),
            uid: flags.requestheader_uid_headers.clone(),
            group: flags.requestheader_group_headers.clone(),
            extra_prefix: flags.requestheader_extra_headers_prefix.clone(),
        },
    }
}

/// A span that was checked not to be negative.
pub fn span(span: Span) -> Duration {
    span.duration().unwrap_or_default()
}

fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::flags::{Command, Skiff};

    fn refused(arguments: &[&str]) -> Option<String> {
        let all = ["skiff", "apiserver"].iter().chain(arguments);
        let Ok(Command::Apiserver(flags)) = Skiff::try_parse_from(all).map(|s| s.command) else { return None };
        super::check(&flags).err().map(|error| error.to_string())
    }

    #[test]
    fn flags_that_make_no_sense_are_refused_in_upstreams_words() {
        let cases: [(&[&str], &str); 20] = [
            (
                &["--tls-cipher-suites=TLS_RSA_WITH_RC4_128_SHA"],
                "Cipher suite TLS_RSA_WITH_RC4_128_SHA not supported or doesn't exist",
            ),
            (
                &["--service-account-max-token-expiration=59m"],
                "the service-account-max-token-expiration must be between 1 hour and 2^32 seconds",
            ),
            (&["--runtime-config=foo/v1=true"], "unknown api groups foo/v1"),
            (&["--runtime-config=apps/v7=true"], "group version apps/v7 that has not been registered"),
            (
                &["--runtime-config=api/all=false"],
                "[--runtime-config=api/all=false conflicts with --enable-priority-and-fairness=true, invalid runtime-config with only api/all=false]",
            ),
            (&["--authorization-mode=Foo"], "authorization-mode \"Foo\" is not a valid mode"),
            (
                &["--authorization-mode=RBAC,RBAC"],
                "authorization-mode [\"RBAC\" \"RBAC\"] has mode specified more than once",
            ),
            (
                &["--authorization-config=x", "--authorization-webhook-version=v1"],
                "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined",
            ),
            (&["--authorization-mode=Webhook"], "authorization-mode Webhook's authorization config file not passed"),
            (&["--authorization-policy-file=x"], "cannot specify --authorization-policy-file without mode ABAC"),
            (
                &["--authorization-webhook-config-file=x"],
                "cannot specify --authorization-webhook-config-file without mode Webhook",
            ),
            (&["--authorization-mode=ABAC"], "authorization-mode ABAC's authorization policy file not passed"),
            (
                &["--secure-port=70000"],
                "--secure-port 70000 must be between 1 and 65535, inclusive. It cannot be turned off with 0",
            ),
            (&["--max-requests-inflight=-1"], "--max-requests-inflight can not be negative value"),
            (&["--max-mutating-requests-inflight=-2"], "--max-mutating-requests-inflight can not be negative value"),
            (&["--request-timeout=-1s"], "--request-timeout can not be negative value"),
            (&["--min-request-timeout=-1"], "--min-request-timeout can not be negative value"),
            (&["--shutdown-delay-duration=-1s"], "--shutdown-delay-duration can not be negative value"),
            (&["--feature-gates=Foo=true"], "unrecognized feature gate: Foo"),
            (
                &["--requestheader-uid-headers=X-Foo"],
                "--requestheader-uid-headers is set without specifying the standard X-Remote-Uid header - API aggregation will not work",
            ),
        ];
        for (flags, words) in cases {
            assert_eq!(refused(flags).as_deref(), Some(words));
        }
        let both = refused(&["--request-timeout=-1s", "--min-request-timeout=-1"]);
        let words = "[--request-timeout can not be negative value, --min-request-timeout can not be negative value]";
        assert_eq!(both.as_deref(), Some(words));
        assert_eq!(refused(&["--requestheader-username-headers=x-remote-user"]), None);
    }

    /// As kube-apiserver 1.37.1 said of the same.
    #[test]
    fn flags_of_the_audit_that_make_no_sense_are_refused_in_upstreams_words() {
        let cases: [(&[&str], &str); 9] = [
            (&["--audit-webhook-version=v1"], "invalid group version, allowed versions are [\"audit.k8s.io/v1\"]"),
            (&["--audit-webhook-version=a/b/c"], "unexpected GroupVersion string: a/b/c"),
            (
                &["--audit-webhook-mode=foo", "--audit-webhook-truncate-max-batch-size=5"],
                "[invalid audit webhook mode foo, allowed modes are \"batch,blocking,blocking-strict\", invalid audit truncate webhook max batch size 5, must be greater than max event size (102400)]",
            ),
            (
                &["--audit-webhook-batch-throttle-qps=-0.5"],
                "invalid audit batch webhook throttle QPS -0.5, must be a positive number",
            ),
            (
                &["--audit-webhook-batch-throttle-qps=0", "--audit-webhook-batch-throttle-burst=0"],
                "invalid audit batch webhook throttle QPS 0, must be a positive number",
            ),
            (
                &["--audit-webhook-batch-throttle-burst=0"],
                "invalid audit batch webhook throttle burst 0, must be a positive number",
            ),
            (
                &["--audit-webhook-batch-buffer-size=0"],
                "invalid audit batch webhook buffer size 0, must be a positive number",
            ),
            (
                &["--audit-webhook-truncate-max-event-size=0"],
                "invalid audit truncate webhook max event size 0, must be a positive number",
            ),
            (
                &[
                    "--audit-log-path=f",
                    "--audit-log-mode=batch",
                    "--audit-log-batch-throttle-enable",
                    "--audit-webhook-batch-max-size=-1",
                ],
                "[invalid audit batch log throttle QPS 0, must be a positive number, invalid audit batch webhook max batch size -1, must be a positive number]",
            ),
        ];
        for (flags, words) in cases {
            let flags = [&["--audit-webhook-config-file=f"], flags].concat();
            assert_eq!(refused(&flags).as_deref(), Some(words));
        }
        let unused = ["--audit-webhook-batch-throttle-burst=0", "--audit-webhook-batch-throttle-enable=false"];
        assert_eq!(refused(&[&["--audit-webhook-config-file=f"], &unused[..]].concat()), None);
        assert_eq!(refused(&["--audit-webhook-mode=foo"]), None, "nobody is told");
    }
}
