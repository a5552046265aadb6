//! Names of images, as far as defaults depend on them.
//!
//! Upstream: pkg/util/parsers `ParseImageName` over distribution/reference's grammar.

/// Whether the image names no version: tag `latest`, or neither tag nor digest. A name that cannot be read does not.
pub fn is_latest(image: &str) -> bool {
    let Some((name, tag, digest)) = parts(image) else { return false };
    is_name(name) && tag.is_none_or(|tag| tag == "latest") && (digest.is_none() || tag == Some("latest"))
}

/// `name[:tag][@digest]` when tag and digest are well formed.
fn parts(image: &str) -> Option<(&str, Option<&str>, Option<&str>)> {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let slash = rest.rfind('/').map_or(0, |i| i + 1);
    let (name, tag) = match rest[slash..].rfind(':') {
        Some(colon) => (&rest[..slash + colon], Some(&rest[slash + colon + 1..])),
        None => (rest, None),
    };
    (tag.is_none_or(is_tag) && digest.is_none_or(is_digest)).then_some((name, tag, digest))
}

/// A path of lower-case components behind an optional host; 64 hex digits alone would be an image's id.
fn is_name(name: &str) -> bool {
    if name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return false;
    }
    let (host, path) = match name.split_once('/') {
        Some((first, path)) if is_host(first) => (first, path),
        _ => ("", name),
    };
    let canonical_len = if host.is_empty() { path.len() + "library/".len() } else { path.len() };
    (host.is_empty() || is_host_well_formed(host)) && canonical_len <= 255 && path.split('/').all(is_component)
}

/// The first component is a host when it could be no path: with a dot, a port, capitals, or `localhost`.
fn is_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_host_well_formed(host: &str) -> bool {
    let (name, port) = match host.rfind(':').filter(|_| !host.ends_with(']')) {
        Some(colon) => (&host[..colon], Some(&host[colon + 1..])),
        None => (host, None),
    };
    let port_is_number = port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    if let Some(ip) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        return port_is_number && !ip.is_empty() && ip.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    }
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    port_is_number && name.split('.').all(label)
}

/// Lower-case words joined by `.`, `_`, `__` or any number of dashes.
fn is_component(component: &str) -> bool {
    let word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let edges = bytes.first().is_some_and(word) && bytes.last().is_some_and(word);
    let separators = bytes.split(word).filter(|s| !s.is_empty());
    edges && separators.into_iter().all(|s| matches!(s, b"." | b"_" | b"__") || s.iter().all(|b| *b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    bytes.len() <= 128
        && bytes.first().is_some_and(|b| word(*b))
        && bytes.iter().all(|b| word(*b) || matches!(b, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let hex_len = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == hex_len && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_without_a_version_are_latest() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        let cases = [
            ("nginx", true),
            ("nginx:latest", true),
            ("nginx:1.25", false),
            ("localhost:5000/nginx", true),
            ("localhost:5000/nginx:1", false),
            ("registry.k8s.io/pause:3.10", false),
            ("a/b__c/d-e", true),
            (&digest, false),
            ("Nginx", false),
            ("a:b:c", false),
            ("", false),
            ("a b", false),
        ];
        for (image, latest) in cases {
            assert_eq!(is_latest(image), latest, "{image}");
        }
    }
}
