//! How a webhook may be reached: by an https address, or by a service. Shared by admission and conversion webhooks.
//!
//! Upstream: apiserver/pkg/util/webhook/validation.go.

use api::{
    Value,
    field::{Errors, Path, quote},
    names,
};
use base64::Engine as _;

const FORM: &str = "; desired format: https://host[/path]";

/// The parts of a URL that matter here.
#[derive(Default)]
struct Url<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    host: &'a str,
    query: &'a str,
    fragment: &'a str,
}

/// Upstream: `ValidateWebhookURL`.
pub fn url(text: &str, https: bool, at: &Path, errs: &mut Errors) {
    let url = match parse(text) {
        Ok(url) => url,
        Err(why) => return errs.required(at, format!("url must be a valid URL: parse {}: {why}{FORM}", quote(text))),
    };
    if https && url.scheme != "https" {
        errs.invalid(at, url.scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if url.host.is_empty() {
        errs.invalid(at, url.host, format!("host must be specified{FORM}"));
    }
    if let Some(user) = url.user {
        errs.invalid(at, user, "user information is not permitted in the URL");
    }
    if !url.fragment.is_empty() {
        errs.invalid(at, url.fragment, "fragments are not permitted in the URL");
    }
    if !url.query.is_empty() {
        errs.invalid(at, url.query, "query parameters are not permitted in the URL");
    }
}

/// As much of Go's `url.Parse` as decides about webhooks.
fn parse(text: &str) -> Result<Url<'_>, String> {
    if text.chars().any(|c| c.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".into());
    }
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let is_scheme = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    };
    let (scheme, rest) = match rest.split_once(':') {
        Some(("", _)) => return Err("missing protocol scheme".into()),
        Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
        Some((first, _)) if !first.contains('/') => return Err("first path segment in URL cannot contain colon".into()),
        _ => ("", rest),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let Some(rest) = rest.strip_prefix("//") else {
        return Ok(Url { scheme, query, fragment, ..Url::default() });
    };
    let authority = rest.split('/').next().unwrap_or("");
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let after_address = host.rsplit_once(']').map_or(host, |(_, port)| port);
    if let Some((_, port)) = after_address.rsplit_once(':')
        && !port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(format!("invalid port {} after host", quote(&format!(":{port}"))));
    }
    if let Some(wrong) = host.chars().find(|c| matches!(c, ' ' | '<' | '>' | '"' | '{' | '}' | '|' | '\\' | '^' | '`'))
    {
        return Err(format!("invalid character {} in host name", quote(&wrong.to_string())));
    }
    Ok(Url { scheme, user, host, query, fragment })
}

/// Upstream: `ValidateWebhookService`. Its callers hand in name and namespace the wrong way round, so that each is missed
/// under the other's name.
pub fn service(reference: &Value, at: &Path, errs: &mut Errors) {
    for (member, shown) in [("namespace", "name"), ("name", "namespace")] {
        if reference.str(member).is_empty() {
            errs.required(&at.child(shown), "");
        }
    }
    let wrong = names::port_num(reference.int("port"));
    if !wrong.is_empty() {
        let text = format!("port is not valid: {}", wrong.join(", "));
        errs.invalid(&at.child("port"), reference.int("port"), text);
    }
    if let Some(path) = reference.opt_str("path").filter(|path| !matches!(*path, "" | "/")) {
        url_path(path, &at.child("path"), errs);
    }
}

fn url_path(path: &str, at: &Path, errs: &mut Errors) {
    if path == "//" {
        return errs.invalid(at, path, "segment[0] may not be empty");
    }
    if !path.starts_with('/') {
        errs.invalid(at, path, "must start with a '/'");
    }
    let mut rest = path.chars();
    rest.next();
    let rest = rest.as_str();
    for (i, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            errs.invalid(at, path, format!("segment[{i}] may not be empty"));
            continue;
        }
        for text in names::dns1123_subdomain(step) {
            errs.invalid(at, path, format!("segment[{i}]: {text}"));
        }
    }
}

/// Upstream: `ValidateCABundle`: something in it is a certificate. `bundle` is base64, as `[]byte` is in JSON.
pub fn ca_bundle(bundle: &str, at: &Path, errs: &mut Errors) {
    if !ca_bundle_is_valid(bundle) {
        let text = "unable to load root certificates: unable to parse bytes as PEM block";
        errs.invalid(at, bundle, text);
    }
}

pub fn ca_bundle_is_valid(bundle: &str) -> bool {
    let pem = base64::engine::general_purpose::STANDARD.decode(bundle).unwrap_or_default();
    let blocks = certs::inspect::blocks(&pem);
    pem.is_empty()
        || blocks
            .iter()
            .any(|b| b.label == "CERTIFICATE" && !b.has_headers && certs::inspect::certificate(&b.der).is_some())
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::texts;

    #[test]
    fn addresses_are_https_and_nothing_else() {
        let at = Path::new("url");
        let cases = [
            ("https://a.b:443/c", vec![]),
            (
                "http://a",
                vec![
                    "url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
                ],
            ),
            (
                "https://u:p@a/b?c#d",
                vec![
                    "url: Invalid value: \"u:p\": user information is not permitted in the URL",
                    "url: Invalid value: \"d\": fragments are not permitted in the URL",
                    "url: Invalid value: \"c\": query parameters are not permitted in the URL",
                ],
            ),
            (
                "https://a:x",
                vec![
                    "url: Required value: url must be a valid URL: parse \"https://a:x\": invalid port \":x\" after host; desired format: https://host[/path]",
                ],
            ),
        ];
        for (text, wrong) in cases {
            let mut errs = Errors::new();
            url(text, true, &at, &mut errs);
            assert_eq!(texts(&errs), wrong, "{text}");
        }
    }

    #[test]
    fn services_have_a_path_of_names() {
        let mut errs = Errors::new();
        service(&value!({"name": "a", "port": 443, "path": "/a//B/"}), &Path::new("service"), &mut errs);
        let found = texts(&errs);
        assert_eq!(found[0], "service.name: Required value");
        assert_eq!(found[1], "service.path: Invalid value: \"/a//B/\": segment[1] may not be empty");
        assert!(
            found[2].starts_with("service.path: Invalid value: \"/a//B/\": segment[2]: a lowercase RFC 1123 subdomain")
        );
    }

    #[test]
    fn a_bundle_holds_a_certificate() {
        assert!(ca_bundle_is_valid(""));
        assert!(!ca_bundle_is_valid("AAAA"));
    }
}
