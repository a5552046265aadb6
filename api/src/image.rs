//! Names of images: where they come from, and which version. The grammar is distribution/reference's.
//!
//! Upstream: pkg/util/parsers `ParseImageName`, github.com/distribution/reference.

/// A name that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// With the registry and the path that a short name leaves out: `docker.io/library/nginx`.
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

impl Name {
    /// The tag that the name means when it says neither tag nor digest.
    pub const DEFAULT_TAG: &'static str = "latest";

    /// Whether it says no version at all.
    pub fn is_bare(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }
}

/// Reads a name. The error is worded as upstream words it, without the name.
pub fn parse(image: &str) -> Result<Name, String> {
    let invalid = || "invalid reference format".to_owned();
    if is_id(image) {
        return Err(format!("invalid repository name ({image}), cannot specify 64-byte hexadecimal strings"));
    }
    let (host, path) = split(image);
    let path_end = path.find([':', '@']).unwrap_or(path.len());
    if path[..path_end].bytes().any(|b| b.is_ascii_uppercase()) {
        let whole = &path[..path_end];
        let library = if host.is_empty() && !whole.contains('/') { "library/" } else { "" };
        return Err(format!("{}: repository name ({library}{whole}) must be lowercase", invalid()));
    }
    let (name, tag, digest) = parts(image).ok_or_else(invalid)?;
    if !is_name(name) {
        return Err(invalid());
    }
    let (host, path) = split(name);
    let repository = match host {
        "" | "docker.io" | "index.docker.io" if !path.contains('/') => format!("docker.io/library/{path}"),
        "" | "index.docker.io" => format!("docker.io/{path}"),
        host => format!("{host}/{path}"),
    };
    Ok(Name { repository, tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
}

/// The registry, empty when the name does not say it, and the rest.
fn split(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, path)) if is_host(first) => (first, path),
        _ => ("", name),
    }
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
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

/// A path of lower-case components behind an optional host.
fn is_name(name: &str) -> bool {
    let (host, path) = split(name);
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
    fn short_names_are_whole_inside() {
        let repository = |image: &str| parse(image).map(|name| name.repository);
        assert_eq!(repository("nginx"), Ok("docker.io/library/nginx".into()));
        assert_eq!(repository("a/b:1"), Ok("docker.io/a/b".into()));
        assert_eq!(repository("index.docker.io/b"), Ok("docker.io/library/b".into()));
        assert_eq!(repository("localhost:5000/a/b__c"), Ok("localhost:5000/a/b__c".into()));
        let digest = format!("sha256:{}", "0".repeat(64));
        let name = parse(&format!("registry.k8s.io/pause:3@{digest}")).expect("can be read");
        assert_eq!((name.tag.as_deref(), name.digest), (Some("3"), Some(digest)));
    }

    #[test]
    fn what_cannot_be_read_is_told_as_upstream_tells_it() {
        let told = |image: &str| parse(image).expect_err(image);
        assert_eq!(told("Nginx"), "invalid reference format: repository name (library/Nginx) must be lowercase");
        for image in ["", "a b", "a:b:c", "a@sha256:1", "http://a/b", "a/-b"] {
            assert_eq!(told(image), "invalid reference format", "{image}");
        }
        let id = "a".repeat(64);
        assert_eq!(told(&id), format!("invalid repository name ({id}), cannot specify 64-byte hexadecimal strings"));
    }
}
