//! Answers without what must differ, and the first thing that differs nevertheless.

use api::Value;

use crate::http::Response;

/// Members of metadata that no two servers agree on.
const OWN: [&str; 4] = ["uid", "creationTimestamp", "resourceVersion", "managedFields"];

/// What differs between two answers; none when nothing does.
pub fn difference(skiff: &Response, upstream: &Response) -> Option<String> {
    let (mut ours, mut theirs) = (skiff.json(), upstream.json());
    normalise(&mut ours);
    normalise(&mut theirs);
    if skiff.status != upstream.status {
        return Some(format!(
            "status {} instead of {}: {} | {}",
            skiff.status,
            upstream.status,
            brief(&ours),
            brief(&theirs)
        ));
    }
    if let Some(found) = first(&ours, &theirs, "") {
        return Some(found);
    }
    let warnings = |r: &Response| -> Vec<String> {
        r.headers.get_all("warning").iter().filter_map(|w| w.to_str().ok().map(Into::into)).collect()
    };
    let (ours, theirs) = (warnings(skiff), warnings(upstream));
    (ours != theirs).then(|| format!("warnings {ours:?} instead of {theirs:?}"))
}

fn brief(answer: &Value) -> String {
    match answer.str("message") {
        "" => "an object".into(),
        message => message.chars().take(400).collect(),
    }
}

/// Takes out what must differ, wherever it stands.
pub fn normalise(value: &mut Value) {
    if let Some(meta) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in OWN {
            meta.remove(key);
        }
    }
    match value {
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                if let Value::Str(text) = member
                    && let Some(masked) = masked(key, text)
                {
                    *member = Value::from(masked);
                }
                normalise(member);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        _ => {}
    }
}

/// Texts that name fresh things.
fn masked(key: &str, text: &str) -> Option<String> {
    let masked: String = match key {
        "lastTransitionTime"
        | "lastPhaseTransitionTime"
        | "lastUpdateTime"
        | "renewTime"
        | "token"
        | "expirationTimestamp" => "…".into(),
        _ => mask_uids(text),
    };
    (masked != text).then_some(masked)
}

fn mask_uids(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let is_uid = rest.len() >= 36
            && rest.is_char_boundary(36)
            && rest.as_bytes()[..36]
                .iter()
                .enumerate()
                .all(|(i, b)| if [8, 13, 18, 23].contains(&i) { *b == b'-' } else { b.is_ascii_hexdigit() });
        let len = if is_uid { 36 } else { rest.chars().next().map_or(0, char::len_utf8) };
        out.push_str(if is_uid { "…" } else { &rest[..len] });
        rest = &rest[len..];
    }
    out.push_str(rest);
    out
}

/// The first place where two trees differ, order of members included.
fn first(ours: &Value, theirs: &Value, at: &str) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, theirs) in b.iter() {
                let place = format!("{at}.{key}");
                match a.get(key) {
                    None => return Some(format!("{place} is missing: {}", codec::json::to_string(theirs))),
                    Some(ours) => {
                        if let Some(found) = first(ours, theirs, &place) {
                            return Some(found);
                        }
                    }
                }
            }
            if let Some((key, extra)) = a.iter().find(|(key, _)| !b.contains_key(key)) {
                return Some(format!("{at}.{key} is too much: {}", codec::json::to_string(extra)));
            }
            let order = |m: &api::Map| m.keys().map(ToString::to_string).collect::<Vec<_>>();
            (order(a) != order(b)).then(|| format!("{at} has the order {:?} instead of {:?}", order(a), order(b)))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b.iter()).enumerate().find_map(|(i, (a, b))| first(a, b, &format!("{at}[{i}]")))
        }
        (a, b) if a == b => None,
        (a, b) => Some(format!("{at} is {} instead of {}", codec::json::to_string(a), codec::json::to_string(b))),
    }
}
