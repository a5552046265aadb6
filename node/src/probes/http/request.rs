//! What is asked, out of an `httpGet` action. Upstream: pkg/probe/http/request.go.

use api::{Value, field::quote};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What may not stand in a request line.
const UNSAFE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}').add(b'#');

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub is_https: bool,
    /// An IPv6 address is in brackets.
    pub host: String,
    pub port: u16,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The request of an `httpGet` of the container; `purpose` is `probe` or `lifecycle`.
    pub fn of(action: &Value, container: &Value, pod_ip: &str, purpose: &str) -> Result<Request, String> {
        let host = match action.str("host") {
            "" => pod_ip,
            said => said,
        };
        let port = port(action.at("port"), container)?;
        let mut request = Request {
            is_https: action.str("scheme").eq_ignore_ascii_case("https"),
            host: bracketed(host),
            port,
            target: target(action.str("path")),
            headers: Vec::new(),
        };
        request.headers = headers(action, purpose, &request.authority());
        Ok(request)
    }

    /// Of a whole URL.
    pub fn at(url: &str, headers: &[(String, String)]) -> Result<Request, String> {
        let blank = Request { is_https: false, host: String::new(), port: 0, target: "/".into(), headers: Vec::new() };
        let request = url.contains("://").then(|| blank.moved(url)).flatten();
        let mut request = request.ok_or_else(|| format!("{} is no URL", quote(url)))?;
        request.headers = vec![("Host".into(), request.authority())];
        request.headers.extend(headers.iter().cloned());
        Ok(request)
    }

    /// Where to connect to.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn authority(&self) -> String {
        self.address()
    }

    pub fn url(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}{}", self.address(), self.target)
    }

    /// The same without TLS.
    pub fn plain(&self) -> Request {
        let mut plain = Request { is_https: false, ..self.clone() };
        plain.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
        plain
    }

    /// Where a redirect leads; `None` when it cannot be read.
    pub fn moved(&self, location: &str) -> Option<Request> {
        let mut next = self.clone();
        let rest = match location.split_once("://") {
            Some((scheme, rest)) => {
                next.is_https = match scheme {
                    "http" => false,
                    "https" => true,
                    _ => return None,
                };
                rest
            }
            None => match location.strip_prefix("//") {
                Some(rest) => rest,
                None => {
                    next.target = self.resolved(location);
                    return Some(next);
                }
            },
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, if next.is_https { 443 } else { 80 }),
        };
        (next.host, next.port, next.target) = (host.to_owned(), port, target(path));
        let authority = next.authority();
        for (name, value) in &mut next.headers {
            if name.eq_ignore_ascii_case("host") {
                value.clone_from(&authority);
            }
        }
        Some(next)
    }

    fn resolved(&self, location: &str) -> String {
        if location.starts_with('/') {
            return target(location);
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let base = path.rsplit_once('/').map_or("", |(base, _)| base);
        target(&format!("{base}/{location}"))
    }
}

/// A port by number, or by its name in the container. Upstream: `ResolveContainerPort`.
pub fn port(said: &Value, container: &Value) -> Result<u16, String> {
    let number = match said.as_str() {
        None => said.as_int().unwrap_or(-1),
        Some(name) => {
            let named = container.list("ports").iter().find(|port| port.str("name") == name);
            named.ok_or_else(|| format!("port {} not found", quote(name)))?.int("containerPort")
        }
    };
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("invalid port number: {number}")),
    }
}

fn target(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{slash}{}", utf8_percent_encode(path, UNSAFE))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

/// The action's own headers, and those that it does not take away by naming them.
fn headers(action: &Value, purpose: &str, authority: &str) -> Vec<(String, String)> {
    let said = action.list("httpHeaders").iter();
    let mut headers: Vec<_> = said.map(|h| (h.str("name").to_owned(), h.str("value").to_owned())).collect();
    let has = |headers: &[(String, String)], name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    for (name, value) in [("User-Agent", format!("kube-{purpose}/1.37")), ("Accept", "*/*".to_owned())] {
        if !has(&headers, name) {
            headers.push((name.to_owned(), value));
        }
    }
    headers.retain(|(name, value)| {
        let is_empty = value.is_empty();
        !(is_empty && ["accept", "user-agent", "host"].iter().any(|n| name.eq_ignore_ascii_case(n)))
    });
    if !has(&headers, "Host") {
        headers.push(("Host".to_owned(), authority.to_owned()));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::value;

    fn of(action: Value) -> Result<Request, String> {
        let container = value!({"ports": [{"name": "web", "containerPort": 8080}]});
        Request::of(&action, &container, "10.0.0.9", "probe")
    }

    fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
        request.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    #[test]
    fn urls_are_put_together() {
        let url = |action| of(action).map(|request| request.url());
        assert_eq!(url(value!({"path": "/a b?x=1#y", "port": 80})), Ok("http://10.0.0.9:80/a%20b?x=1".into()));
        assert_eq!(url(value!({"port": "web", "scheme": "HTTPS"})), Ok("https://10.0.0.9:8080/".into()));
        assert_eq!(url(value!({"port": 1, "host": "::1", "path": "z"})), Ok("http://[::1]:1/z".into()));
        assert_eq!(url(value!({"port": "no"})), Err("port \"no\" not found".into()));
        assert_eq!(url(value!({"port": 0})), Err("invalid port number: 0".into()));
    }

    #[test]
    fn headers_may_be_replaced_and_taken_away() {
        let plain = of(value!({"port": 80})).expect("is one");
        assert_eq!(header(&plain, "user-agent"), Some("kube-probe/1.37"));
        assert_eq!((header(&plain, "accept"), header(&plain, "host")), (Some("*/*"), Some("10.0.0.9:80")));
        let said = of(value!({"port": 80, "httpHeaders": [{"name": "Accept", "value": ""}, {"name": "X", "value": ""},
            {"name": "Host", "value": "example.com"}, {"name": "User-Agent", "value": "me"}]}))
        .expect("is one");
        assert_eq!((header(&said, "accept"), header(&said, "x")), (None, Some("")));
        assert_eq!((header(&said, "host"), header(&said, "user-agent")), (Some("example.com"), Some("me")));
    }

    #[test]
    fn redirects_are_resolved() {
        let first = of(value!({"port": 80, "path": "/a/b?c"})).expect("is one");
        let to = |location: &str| first.moved(location).map(|request| request.url());
        assert_eq!(to("/x").as_deref(), Some("http://10.0.0.9:80/x"));
        assert_eq!(to("x?y").as_deref(), Some("http://10.0.0.9:80/a/x?y"));
        assert_eq!(to("https://other/z").as_deref(), Some("https://other:443/z"));
        assert_eq!(to("//other:8").as_deref(), Some("http://other:8/"));
        assert_eq!(to("ftp://other"), None);
    }
}
