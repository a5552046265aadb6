//! What browsers are told: which pages of others may ask here, and that nobody is to come back without TLS.
//!
//! Upstream: apiserver/pkg/server/filters/{cors,hsts}.go.

use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use regex::Regex;

use crate::{body::Body, negotiate};

/// Nothing, unless flags say so.
#[derive(Clone, Debug, Default)]
pub struct Browsers {
    origins: Vec<Regex>,
    transport: Option<HeaderValue>,
}

/// What a page may do that may ask at all.
const ALLOWED: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, GET, OPTIONS, PUT, DELETE, PATCH"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, If-Modified-Since",
    ),
    (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
];

// === impl Browsers ===

impl Browsers {
    /// Of expressions that origins match, and of directives of HSTS, which were checked.
    pub fn new(origins: &[String], directives: &[String]) -> Result<Browsers, regex::Error> {
        let origins = origins.iter().map(|origin| Regex::new(origin)).collect::<Result<_, _>>()?;
        let said = directives.join("; ");
        let transport = Some(said).filter(|said| !said.is_empty()).and_then(|said| HeaderValue::from_str(&said).ok());
        Ok(Browsers { origins, transport })
    }

    /// From where a page asks that may.
    pub fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.origins.is_empty() {
            return None;
        }
        let origin = negotiate::text(headers, header::ORIGIN);
        let is_allowed = !origin.is_empty() && self.origins.iter().any(|allowed| allowed.is_match(origin));
        headers.get(header::ORIGIN).filter(|_| is_allowed).cloned()
    }

    /// Says how to come back.
    pub fn say(&self, headers: &mut HeaderMap) {
        if let Some(transport) = &self.transport {
            headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert_with(|| transport.clone());
        }
    }
}

/// Lets the page at `origin` read a response.
pub fn allow(response: &mut Response<Body>, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    for (name, value) in ALLOWED {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn pages_that_match_may_ask() {
        let browsers = Browsers::new(&texts(&["//a\\.example(:|$)", "^https://b"]), &[]).expect("they are expressions");
        let origin = |said: &str| {
            let headers = HeaderMap::from_iter([(header::ORIGIN, said.parse().expect("a value"))]);
            browsers.origin(&headers).is_some()
        };
        assert!(origin("https://a.example") && origin("http://a.example:8080") && origin("https://b.example"));
        assert!(
            !origin("https://a.example.evil") && !origin("https://aXexample") && !origin("http://b") && !origin("")
        );
        assert!(browsers.origin(&HeaderMap::new()).is_none());
        let mut response = Response::new(Body::Whole(None));
        allow(&mut response, HeaderValue::from_static("https://a.example"));
        assert_eq!(response.headers().len(), 5);
        assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
    }

    #[test]
    fn directives_stand_in_one_header() {
        let browsers = Browsers::new(&[], &texts(&["max-age=1", "includeSubDomains"])).expect("they are right");
        let mut headers = HeaderMap::new();
        browsers.say(&mut headers);
        assert_eq!(headers[header::STRICT_TRANSPORT_SECURITY], "max-age=1; includeSubDomains");
        let mut headers = HeaderMap::new();
        Browsers::default().say(&mut headers);
        assert!(headers.is_empty());
    }
}
