//! Go's ways of printing, which clients see in messages, and the forms of names that decide who is meant.

use api::field::quote;

/// Several messages as one: alone as it is, else `[a, b]`, each once. Upstream: apimachinery util/errors Aggregate.
pub(crate) fn aggregate(messages: &[String]) -> String {
    let mut seen: Vec<&str> = Vec::with_capacity(messages.len());
    for message in messages {
        if !seen.contains(&message.as_str()) {
            seen.push(message);
        }
    }
    match seen.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        several => format!("[{}]", several.join(", ")),
    }
}

/// Go's `%q` of a list of strings: `["a" "b"]`.
pub(crate) fn quoted_list<S: AsRef<str>>(items: &[S]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| quote(item.as_ref())).collect();
    format!("[{}]", quoted.join(" "))
}

/// The user name of a service account.
pub(crate) fn service_account_user(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// Namespace and name, when `user` is a service account's name in every detail.
/// Upstream: apiserver pkg/authentication/serviceaccount SplitUsername.
pub(crate) fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (is_dns_label(namespace) && is_dns_subdomain(name)).then_some((namespace, name))
}

/// RFC 1123: letters, digits and `-`, at most 63, not at the ends.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let ends = |c: Option<&u8>| c.is_some_and(|&c| c != b'-');
    let bytes = text.as_bytes();
    bytes.len() <= 63 && bytes.iter().all(|&c| inner(c)) && ends(bytes.first()) && ends(bytes.last())
}

/// Labels joined by dots, at most 253. A label may be longer than 63 here, as upstream allows.
pub(crate) fn is_dns_subdomain(text: &str) -> bool {
    let fits = |label: &str| {
        let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(fits)
}

/// Decodes `%xx`; text with a malformed escape stays as it is. Upstream: unescapeExtraKey.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| (byte as char).to_digit(16));
        match (digit(bytes.next()), digit(bytes.next())) {
            (Some(high), Some(low)) => decoded.push((high * 16 + low) as u8),
            _ => return text.to_owned(),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_print_as_upstreams() {
        let text = |messages: &[&str]| aggregate(&messages.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(text(&[]), "");
        assert_eq!(text(&["a"]), "a");
        assert_eq!(text(&["a", "a"]), "a");
        assert_eq!(text(&["a", "b", "a"]), "[a, b]");
    }

    #[test]
    fn service_accounts_are_told_exactly() {
        assert_eq!(split_service_account("system:serviceaccount:ns:a.b"), Some(("ns", "a.b")));
        let others = ["system:serviceaccount:ns", "system:serviceaccount:a:b:c", "system:serviceaccount:A:b", "ns:a"];
        for other in others {
            assert_eq!(split_service_account(other), None, "{other}");
        }
    }

    #[test]
    fn escapes_are_decoded_or_left() {
        assert_eq!(percent_decoded("acme.io%2fproject%20x"), "acme.io/project x");
        assert_eq!(percent_decoded("a%2"), "a%2");
        assert_eq!(percent_decoded("a%zz"), "a%zz");
    }
}
