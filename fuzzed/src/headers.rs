//! Headers that say who somebody is: a front proxy's, and of whoever wants to be somebody else.

use api::{Attributes, User, user};
use auth::{
    Authorizer,
    authenticate::request_header::HeaderNames,
    impersonate::{authorize, clear, wanted},
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Noon, frames::now};

/// Lines `name: value`.
fn read(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

fn without(headers: &HeaderMap, prefix: &str) -> Vec<(HeaderName, HeaderValue)> {
    let others = headers.iter().filter(|(name, _)| !name.as_str().starts_with(prefix));
    let mut others: Vec<_> = others.map(|(name, value)| (name.clone(), value.clone())).collect();
    // What is taken out may leave names in another order; that of a name's values stays.
    others.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    others
}

/// What a front proxy says. Nothing of it is left when it is taken out, and everything else is.
pub fn proxied(data: &[u8]) {
    let (mut headers, names) = (read(data), HeaderNames::default());
    if let Some(user) = names.user(&headers) {
        assert!(!user.name.is_empty() && user.groups.iter().all(|group| !group.is_empty()));
        let is_said = |prefix: &str| headers.keys().any(|name| name.as_str().starts_with(prefix));
        assert_eq!(user.extra.is_empty(), !is_said("x-remote-extra-"));
    }
    let others = without(&headers, "x-remote-");
    names.clear(&mut headers);
    assert_eq!(names.user(&headers), None);
    assert_eq!(without(&headers, "x-remote-"), others);
    assert!(!headers.keys().any(|name| name.as_str().starts_with("x-remote-extra-")));
}

/// Who somebody wants to be. It is refused to whoever has no rights, and a master becomes the one that he named.
pub fn impersonation(data: &[u8]) {
    let mut headers = read(data);
    match wanted(&headers) {
        Ok(Some(user)) => become_one(&user),
        Ok(None) => {}
        Err(status) => assert!(status.code() == 400 && !status.message().is_empty()),
    }
    let others = without(&headers, "impersonate-");
    clear(&mut headers);
    assert_eq!(wanted(&headers).ok(), Some(None));
    assert_eq!(without(&headers, "impersonate-"), others);
}

fn become_one(wanted: &User) {
    assert!(!wanted.name.is_empty());
    let nobody = Authorizer::new(Vec::new());
    let request =
        Attributes { verb: "get".into(), is_resource: true, resource: "pods".into(), ..Attributes::default() };
    let refused = now(authorize(&nobody, &Noon, &User::new("u", &[]), wanted, &request));
    let refused = refused.expect_err("nobody may anything");
    assert!(refused.code() == 403 && !refused.message().is_empty());
    let master = User::new("m", &[user::MASTERS]);
    // A refusal is of a name that is malformed.
    if let Ok(made) = now(authorize(&nobody, &Noon, &master, wanted, &request)) {
        assert_eq!((&made.user.name, &made.user.uid), (&wanted.name, &wanted.uid));
        assert!(wanted.groups.iter().all(|group| made.user.is_in(group)));
    }
}
