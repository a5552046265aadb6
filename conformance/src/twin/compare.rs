//! The first thing that differs between two answers, and what it is called when it is counted.

use std::{borrow::Cow, collections::BTreeSet};

use api::Value;

use super::answer::Answer;

/// The same complaints in another order.
pub const ORDER_OF_CAUSES: &str = "order of causes";

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Where, without indices and keys: `spec.containers[*].name`; `""` for the answer as a whole.
    pub field: String,
    /// What, without values: `201 for 422 FieldValueInvalid`.
    pub what: String,
    /// In full, Skiff's first.
    pub detail: String,
}

/// One of a refusal's causes, and `(field, type)` is what refusals are counted by.
pub type Refusal = (String, String);

/// A cause with its words: field, type, message.
type Cause = (String, String, String);

/// What differs between two answers; none when nothing does.
pub fn difference(ours: &Answer, theirs: &Answer) -> Option<Difference> {
    let (ours, theirs) = (&*without_order_of_maps(ours), &*without_order_of_maps(theirs));
    statuses(ours, theirs)
        .or_else(|| causes(ours, theirs))
        .or_else(|| members(ours, theirs))
        .or_else(|| headers(ours, theirs))
}

/// Order in YAML is one matter, wherever it shows.
fn members(ours: &Answer, theirs: &Answer) -> Option<Difference> {
    let found = first(&ours.body, &theirs.body, "")?;
    let is_yaml = |answer: &Answer| answer.headers.iter().any(|(n, v)| n == "content-type" && v.contains("yaml"));
    match found.what == "order" && is_yaml(theirs) {
        true => Some(Difference { field: String::new(), what: "order in YAML".into(), ..found }),
        false => Some(found),
    }
}

/// Fields and error types that an answer complains about.
pub fn refusals(answer: &Answer) -> Vec<Refusal> {
    if answer.status < 300 {
        return Vec::new();
    }
    let causes = answer.body.at("details").list("causes");
    if causes.is_empty() {
        return vec![(String::new(), format!("{} {}", answer.status, answer.body.str("reason")))];
    }
    causes.iter().map(|cause| (place(cause.str("field")), cause.str("reason").to_owned())).collect()
}

fn statuses(ours: &Answer, theirs: &Answer) -> Option<Difference> {
    if ours.status == theirs.status {
        return None;
    }
    let louder = if theirs.status >= 300 { theirs } else { ours };
    let (field, kind) = refusals(louder).into_iter().next().unwrap_or_default();
    let detail = format!("{} {} | {} {}", ours.status, brief(&ours.body), theirs.status, brief(&theirs.body));
    Some(Difference { field, what: format!("{} for {} ({kind})", ours.status, theirs.status), detail })
}

fn brief(body: &Value) -> String {
    match (body.str("message"), body) {
        (_, Value::Str(text)) => text.chars().take(400).collect(),
        ("", _) => "an object".into(),
        (message, _) => message.chars().take(400).collect(),
    }
}

/// Refusals of the same status: which causes are missing, which too many, which say something else.
fn causes(ours: &Answer, theirs: &Answer) -> Option<Difference> {
    if ours.status < 300 || ours.body == theirs.body {
        return None;
    }
    let of = |answer: &Answer| -> Vec<Cause> {
        let causes = answer.body.at("details").list("causes");
        causes.iter().map(|c| (c.str("field").into(), c.str("reason").into(), c.str("message").into())).collect()
    };
    let (our_causes, their_causes) = (of(ours), of(theirs));
    let names = |causes: &[Cause]| -> BTreeSet<(String, String)> {
        causes.iter().map(|(field, kind, _)| (field.clone(), kind.clone())).collect()
    };
    let (our_names, their_names) = (names(&our_causes), names(&their_causes));
    let detail = || format!("{} | {}", brief(&ours.body), brief(&theirs.body));
    if let Some((field, kind)) = their_names.difference(&our_names).next() {
        return Some(Difference { field: place(field), what: format!("no {kind}"), detail: detail() });
    }
    if let Some((field, kind)) = our_names.difference(&their_names).next() {
        return Some(Difference { field: place(field), what: format!("{kind} too much"), detail: detail() });
    }
    let (mut a, mut b) = (our_causes.clone(), their_causes.clone());
    a.sort();
    b.sort();
    if let Some((ours, theirs)) = a.iter().zip(&b).find(|(ours, theirs)| ours != theirs) {
        let detail = format!("{} | {}", short(&ours.2), short(&theirs.2));
        return Some(Difference { field: place(&theirs.0), what: format!("words of {}", theirs.1), detail });
    }
    if our_causes != their_causes {
        let at = our_causes.iter().zip(&their_causes).take_while(|(ours, theirs)| ours == theirs).count();
        let shown = |causes: &[Cause]| format!("{} causes, {at}: {:?}", causes.len(), causes.get(at));
        let detail = format!("{} | {}", shown(&our_causes), shown(&their_causes));
        return Some(Difference { field: place(&their_causes.first()?.0), what: ORDER_OF_CAUSES.into(), detail });
    }
    let (a, b) = (ours.body.str("message"), theirs.body.str("message"));
    if a == b {
        return None;
    }
    let what = format!("message of {}: {}", theirs.status, skeleton(b));
    Some(Difference { field: String::new(), what, detail: format!("{} | {}", short(a), short(b)) })
}

/// Upstream walks a map in another order each time: causes that stand at keys of one map, and the message that lists them,
/// are compared without it.
fn without_order_of_maps(answer: &Answer) -> Cow<'_, Answer> {
    let field = |cause: &Value| cause.str("field").to_owned();
    let same_map = |a: &Value, b: &Value| map_of(a.str("field")).is_some_and(|map| Some(map) == map_of(b.str("field")));
    let causes = answer.body.at("details").list("causes");
    if causes.windows(2).all(|pair| !same_map(&pair[0], &pair[1])) {
        return Cow::Borrowed(answer);
    }
    let mut causes = causes.to_vec();
    causes
        .chunk_by_mut(same_map)
        .for_each(|run| run.sort_by_key(|cause| (field(cause), cause.str("message").to_owned())));
    let mut answer = answer.clone();
    let message = answer.body.str("message").split(" is invalid: ").next().unwrap_or_default().to_owned();
    answer.body.set("message", message);
    answer.body.set_path(&["details", "causes"], causes);
    Cow::Owned(answer)
}

/// The map at whose key a field begins to differ from its neighbours: `status.hard` of `status.hard[cpu]`.
fn map_of(field: &str) -> Option<&str> {
    let (map, key) = field.split_once('[')?;
    (!key.starts_with(|c: char| c.is_ascii_digit())).then_some(map)
}

/// The first words of a message that are its own, without names and values.
fn skeleton(text: &str) -> String {
    let is_own = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '\'' | ',' | ':'));
    let words: Vec<&str> = text.split_whitespace().filter(is_own).take(8).collect();
    words.join(" ")
}

fn short(text: &str) -> String {
    text.chars().take(500).collect()
}

/// The first place where two trees differ, order of members included.
fn first(ours: &Value, theirs: &Value, at: &str) -> Option<Difference> {
    let found = |what: &str, detail: String| {
        let field = place(at.trim_start_matches('.'));
        Some(Difference { field, what: what.to_owned(), detail: format!("{at}: {detail}") })
    };
    let json = |value: &Value| short(&codec::json::to_string(value));
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, theirs) in b.iter() {
                let place = if is_key(at) { format!("{at}[{key}]") } else { format!("{at}.{key}") };
                let differs = match a.get(key) {
                    Some(ours) => first(ours, theirs, &place),
                    None => Some(Difference {
                        field: self::place(place.trim_start_matches('.')),
                        what: "missing".into(),
                        detail: format!("{place}: nothing | {}", json(theirs)),
                    }),
                };
                if differs.is_some() {
                    return differs;
                }
            }
            if let Some((key, extra)) = a.iter().find(|(key, _)| !b.contains_key(key)) {
                return Some(Difference {
                    field: self::place(format!("{at}.{key}").trim_start_matches('.')),
                    what: "too much".into(),
                    detail: format!("{at}.{key}: {} | nothing", json(extra)),
                });
            }
            let order = |m: &api::Map| m.keys().map(ToString::to_string).collect::<Vec<_>>();
            (order(a) != order(b)).then(|| found("order", format!("{:?} | {:?}", order(a), order(b)))).flatten()
        }
        (Value::Array(a), Value::Array(b)) => {
            let pairs = a.iter().zip(b.iter()).enumerate();
            let inner = || pairs.clone().find_map(|(i, (a, b))| first(a, b, &format!("{at}[{i}]")));
            match a.len() == b.len() {
                true => inner(),
                false => found("length", format!("{} {} | {} {}", a.len(), json(ours), b.len(), json(theirs))),
            }
        }
        (a, b) if a == b => None,
        (a, b) => found("value", format!("{} | {}", json(a), json(b))),
    }
}

/// Members of these are keys of the user's.
fn is_key(at: &str) -> bool {
    [".labels", ".annotations", ".data", ".matchLabels", ".limits", ".requests", ".hard"]
        .iter()
        .any(|end| at.ends_with(end))
        || at.contains("fieldsV1")
}

fn headers(ours: &Answer, theirs: &Answer) -> Option<Difference> {
    if ours.headers == theirs.headers {
        return None;
    }
    let names: BTreeSet<&String> = ours.headers.iter().chain(&theirs.headers).map(|(name, _)| name).collect();
    let of = |answer: &Answer, name: &str| -> Vec<String> {
        answer.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.clone()).collect()
    };
    names.into_iter().find_map(|name| {
        let (a, b) = (of(ours, name), of(theirs, name));
        let what = match (a.is_empty(), b.is_empty()) {
            (true, _) => "missing",
            (_, true) => "too much",
            _ => "value",
        };
        let detail = format!("{a:?} | {b:?}");
        (a != b).then(|| Difference { field: format!("header {name}"), what: what.into(), detail })
    })
}

/// A path without indices and keys.
pub fn place(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut depth = 0;
    for c in path.chars() {
        match c {
            '[' => {
                if depth == 0 {
                    out += "[*]";
                }
                depth += 1;
            }
            ']' => depth -= 1,
            _ if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::{Answer, difference, place};

    fn answer(status: u16, body: api::Value) -> Answer {
        Answer { status, headers: Vec::new(), body }
    }

    #[test]
    fn places_have_no_indices() {
        assert_eq!(place("spec.containers[0].limits[a.b/c[d]].x"), "spec.containers[*].limits[*].x");
    }

    #[test]
    fn members_are_compared_with_their_order() {
        let ours = answer(200, value!({"a": 1, "b": 2}));
        let found = difference(&ours, &answer(200, value!({"b": 2, "a": 1}))).expect("the order differs");
        assert_eq!((found.field.as_str(), found.what.as_str()), ("", "order"));
        let found = difference(&ours, &answer(200, value!({"a": 1, "b": 2, "c": [3]}))).expect("one is missing");
        assert_eq!((found.field.as_str(), found.what.as_str()), ("c", "missing"));
        assert_eq!(difference(&ours, &ours.clone()), None);
    }

    #[test]
    fn causes_at_the_keys_of_one_map_have_no_order() {
        let refused = |fields: [&str; 3]| {
            let cause = |field: &&str| value!({"reason": "FieldValueInvalid", "message": "bad", "field": (*field)});
            let causes: Vec<api::Value> = fields.iter().map(cause).collect();
            answer(
                422,
                value!({"reason": "Invalid", "message": (format!("x is invalid: {fields:?}")), "details": {"causes": causes}}),
            )
        };
        let ours = refused(["spec.a", "status.hard[b]", "status.hard[a]"]);
        assert_eq!(difference(&ours, &refused(["spec.a", "status.hard[a]", "status.hard[b]"])), None);
        let found =
            difference(&ours, &refused(["status.hard[a]", "status.hard[b]", "spec.a"])).expect("the order differs");
        assert_eq!(found.what, "order of causes");
        let found =
            difference(&refused(["a[0]", "a[1]", "b"]), &refused(["a[1]", "a[0]", "b"])).expect("lists have one");
        assert_eq!(found.what, "order of causes");
    }

    #[test]
    fn refusals_are_told_by_their_causes() {
        let refused = |field: &str| {
            let cause = value!({"reason": "FieldValueInvalid", "message": "bad", "field": field});
            answer(422, value!({"reason": "Invalid", "message": "m", "details": {"causes": [(cause)]}}))
        };
        let found = difference(&refused("spec.a[1]"), &refused("spec.b[2]")).expect("causes differ");
        assert_eq!((found.field.as_str(), found.what.as_str()), ("spec.b[*]", "no FieldValueInvalid"));
        let found = difference(&answer(200, value!({})), &refused("spec.a")).expect("the status differs");
        assert_eq!(found.what, "200 for 422 (FieldValueInvalid)");
    }
}
