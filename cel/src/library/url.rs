//! URLs. Upstream: apiserver/pkg/cel/library/urls.go, apiserver/pkg/cel/url.go; Go's net/url for what is one.

use std::any::Any;

use crate::functions::{Cost, Row, global, member};
use crate::types::Type;
use crate::value::show::quote;
use crate::value::{EvalError, Object, Outcome, Value};

use super::ip::address;
use super::{object, text, texts};

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    global("url", "string_to_url", "string", "kubernetes.URL", url).cost(Cost::Scan(1)),
    member("getScheme", "url_get_scheme", "kubernetes.URL", "string", |a| Ok(Value::string(&*given(a)?.scheme))).cost(Cost::Fixed(1)),
    member("getHost", "url_get_host", "kubernetes.URL", "string", |a| Ok(Value::string(&*given(a)?.host))).cost(Cost::Fixed(1)),
    member("getHostname", "url_get_hostname", "kubernetes.URL", "string", |a| Ok(Value::string(host_and_port(&given(a)?.host).0))).cost(Cost::Fixed(1)),
    member("getPort", "url_get_port", "kubernetes.URL", "string", |a| Ok(Value::string(host_and_port(&given(a)?.host).1))).cost(Cost::Fixed(1)),
    member("getEscapedPath", "url_get_escaped_path", "kubernetes.URL", "string", |a| Ok(Value::string(given(a)?.escaped_path()))).cost(Cost::Fixed(1)),
    member("getQuery", "url_get_query", "kubernetes.URL", "map(string, list(string))", |a| Ok(given(a)?.query_values())).cost(Cost::Fixed(1)),
    global("isURL", "is_url_string", "string", "bool", |a| Ok(Value::Bool(parse(text(&a[0])?, true).is_ok()))),
];

/// A URL as a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Url {
    scheme: String,
    opaque: String,
    user: Option<String>,
    host: String,
    path: Vec<u8>,
    /// As it was written, where that is not how it would be written.
    raw_path: String,
    query: String,
    fragment: Option<String>,
}

impl Object for Url {
    fn value_type(&self) -> Type {
        Type::object("kubernetes.URL")
    }

    fn equals(&self, other: &Value) -> Result<bool, EvalError> {
        Ok(self.parts() == object::<Url>(other)?.parts())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Url {
    /// What makes one URL different from another.
    fn parts(&self) -> (&str, &str, &Option<String>, &str, String, &str, &Option<String>) {
        let Url { scheme, opaque, user, host, query, fragment, .. } = self;
        (scheme, opaque, user, host, self.escaped_path(), query, fragment)
    }

    pub(crate) fn scheme(&self) -> &str {
        &self.scheme
    }

    pub(crate) fn has_user(&self) -> bool {
        self.user.is_some()
    }

    pub(crate) fn has_query(&self) -> bool {
        !self.query.is_empty()
    }

    fn escaped_path(&self) -> String {
        let is_valid = |b: u8| b"!$&'()*+,;=:@[]%".contains(&b) || is_plain(b, Part::Path);
        if !self.raw_path.is_empty() && self.raw_path.bytes().all(is_valid) {
            return self.raw_path.clone();
        }
        if self.path == b"*" { "*".to_owned() } else { escape(&self.path) }
    }

    fn query_values(&self) -> Value {
        let mut found: Vec<(String, Vec<String>)> = Vec::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Ok(key), Ok(value)) = (unescape(key, Part::Query), unescape(value, Part::Query)) else { continue };
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            let (key, value) = (text(key), text(value));
            match found.iter_mut().find(|(name, _)| *name == key) {
                Some((_, values)) => values.push(value),
                None => found.push((key, vec![value])),
            }
        }
        Value::map(found.into_iter().map(|(key, values)| (Value::from(key), texts(values))).collect())
    }
}

fn given(arguments: &[Value]) -> Result<&Url, EvalError> {
    object(&arguments[0])
}

fn url(arguments: &[Value]) -> Outcome {
    let text = text(&arguments[0])?;
    let refuse = |(whole, why): (&str, String)| {
        let quoted = quote(whole);
        EvalError::new(format!("URL parse error during conversion from string: parse {quoted}: {why}"))
    };
    parse(text, true).map_err(|why| refuse((text, why)))?;
    let (before, fragment) = match text.split_once('#') {
        Some((before, fragment)) => (before, Some(fragment.to_owned())),
        None => (text, None),
    };
    let parsed = parse(before, false).map_err(|why| refuse((before, why)))?;
    Ok(Value::object(Url { fragment, ..parsed }))
}

/// As Go takes a URL apart; `in_request`: it has to be absolute, or a path.
pub(crate) fn parse(text: &str, in_request: bool) -> Result<Url, String> {
    if text.bytes().any(|b| b < b' ' || b == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    if text.is_empty() && in_request {
        return Err("empty url".to_owned());
    }
    if text == "*" {
        return Ok(Url { path: b"*".to_vec(), ..Url::default() });
    }
    let (scheme, mut rest) = scheme(text)?;
    let mut url = Url { scheme: scheme.to_ascii_lowercase(), ..Url::default() };
    if let Some((before, query)) = rest.split_once('?') {
        (rest, url.query) = (before, query.to_owned());
    }
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            return Ok(Url { opaque: rest.to_owned(), ..url });
        }
        if in_request {
            return Err("invalid URI for request".to_owned());
        }
        if rest.split('/').next().is_some_and(|first| first.contains(':')) {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    let may_have_host = !url.scheme.is_empty() || (!in_request && !rest.starts_with("///"));
    if let Some(after) = rest.strip_prefix("//").filter(|_| may_have_host) {
        let end = after.find('/').unwrap_or(after.len());
        let (user, host) = authority(&url.scheme, &after[..end])?;
        (url.user, url.host, rest) = (user, host, &after[end..]);
    }
    url.path = unescape(rest, Part::Path)?;
    if escape(&url.path) != rest {
        url.raw_path = rest.to_owned();
    }
    Ok(url)
}

fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (index, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if index > 0 => {}
            ':' if index == 0 => return Err("missing protocol scheme".to_owned()),
            ':' => return Ok((&text[..index], &text[index + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn authority(scheme: &str, text: &str) -> Result<(Option<String>, String), String> {
    let (user, host) = match text.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, text),
    };
    let host = self::host(scheme, host)?;
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if user.is_some_and(|user| !user.chars().all(is_good)) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    if let Some(user) = user {
        unescape(user, Part::User)?;
    }
    Ok((user.map(str::to_owned), host))
}

fn host(scheme: &str, text: &str) -> Result<String, String> {
    let port_is_good = |port: &str| {
        port.is_empty() || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
    };
    let bad_port = |port: &str| Err(format!("invalid port {} after host", quote(port)));
    match text.rfind('[') {
        Some(0) => {
            let Some(close) = text.rfind(']') else { return Err("missing ']' in host".to_owned()) };
            let port = &text[close + 1..];
            if !port_is_good(port) {
                return bad_port(port);
            }
            let inner = bracketed(&text[1..close])?;
            return Ok(format!("[{inner}]{port}"));
        }
        Some(_) => return Err("invalid IP-literal".to_owned()),
        None => {}
    }
    let is_strict = matches!(scheme, "http" | "https");
    let colon = if is_strict { text.find(':') } else { text.rfind(':') };
    if let Some(port) = colon.map(|at| &text[at..]).filter(|port| !port_is_good(port)) {
        return bad_port(port);
    }
    unescape(text, Part::Host).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn bracketed(text: &str) -> Result<String, String> {
    let (before, zone) = text.find("%25").map_or((text, ""), |at| text.split_at(at));
    let mut bytes = unescape(before, Part::Host)?;
    bytes.extend(unescape(zone, Part::Zone)?);
    let inner = String::from_utf8_lossy(&bytes).into_owned();
    let parsed = address(&inner).map_err(|why| format!("invalid host: {why}"))?;
    if parsed.ip.is_ipv4() {
        return Err("invalid IP-literal".to_owned());
    }
    Ok(inner)
}

fn host_and_port(host: &str) -> (&str, &str) {
    let is_port = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => (name, port),
        _ => (host, ""),
    };
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    (inner.unwrap_or(name), port)
}

/// Which part of a URL is escaped.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Path,
    Host,
    Zone,
    User,
    Query,
}

/// Whether a byte stands for itself in a part.
fn is_plain(byte: u8, part: Part) -> bool {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        return true;
    }
    match part {
        Part::Path => b"$&+,/:;=@".contains(&byte),
        Part::Host | Part::Zone => b"!\"$&'()*+,:;<=>[]".contains(&byte),
        Part::User | Part::Query => false,
    }
}

fn escape(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path {
        if is_plain(*byte, Part::Path) { out.push(*byte as char) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

fn unescape(text: &str, part: Part) -> Result<Vec<u8>, String> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let shown = String::from_utf8_lossy(&bytes[at..(at + 3).min(bytes.len())]).into_owned();
                let invalid = || Err(format!("invalid URL escape {}", quote(&shown)));
                let digits = bytes.get(at + 1..at + 3).filter(|pair| pair.iter().all(u8::is_ascii_hexdigit));
                let Some(digits) = digits else { return invalid() };
                let digits = std::str::from_utf8(digits).unwrap_or("00");
                let value = u8::from_str_radix(digits, 16).unwrap_or(0);
                if part == Part::Host && value < 0x80 && shown != "%25" {
                    return invalid();
                }
                if part == Part::Zone && shown != "%25" && value != b' ' && !is_plain(value, Part::Host) {
                    return invalid();
                }
                out.push(value);
                at += 2;
            }
            b'+' if part == Part::Query => out.push(b' '),
            byte if matches!(part, Part::Host | Part::Zone) && byte < 0x80 && !is_plain(byte, part) => {
                return Err(format!("invalid character {} in host name", quote(&(byte as char).to_string())));
            }
            byte => out.push(byte),
        }
        at += 1;
    }
    Ok(out)
}
