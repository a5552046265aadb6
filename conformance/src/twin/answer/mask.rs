//! Marks in place of what is drawn, timed or allocated.

use api::Value;

/// The generator's own time; all others are the servers'.
const OWN_TIME: &str = "2026-01-02T03:04:05";
const MARK: &str = "…";
/// In hexadecimal digits: a certificate's fingerprint.
const SHA256_LEN: usize = 64;

/// The mark for a member whose value is always drawn; none for all others.
pub fn member(key: &str, text: &str) -> Option<String> {
    let is_drawn = match key {
        "uid" => text.len() == 36,
        "token" | "certificate" => text.len() > 60,
        "lastTransitionTime" | "lastPhaseTransitionTime" | "lastUpdateTime" | "time" => !text.starts_with(OWN_TIME),
        // Each listens where it likes.
        "serverAddress" | "jwks_uri" => true,
        "ca.crt" | "caBundle" | "client-ca-file" | "requestheader-client-ca-file" => true,
        _ => false,
    };
    (is_drawn && !text.is_empty()).then(|| MARK.to_owned())
}

/// The value of a header without what is drawn, timed or a hash over words that are each project's own.
pub fn header(name: &str, value: &str) -> String {
    match name {
        "audit-id" | "expires" | "last-modified" => MARK.to_owned(),
        _ if name.starts_with("x-kubernetes-pf-") => MARK.to_owned(),
        "etag" => hashes(value),
        "location" => match value.split_once("?hash=") {
            Some((place, hash)) => format!("{place}?hash={}", hashes(hash)),
            None => value.to_owned(),
        },
        _ => value.to_owned(),
    }
}

/// A hash as its length and case.
fn hashes(text: &str) -> String {
    let hex = |c: char| c.is_ascii_hexdigit();
    let inner = text.trim_matches('"');
    if inner.len() < 32 || !inner.chars().all(hex) {
        return text.to_owned();
    }
    let case = if inner.chars().any(|c| c.is_ascii_lowercase()) { "lower" } else { "upper" };
    text.replace(inner, &format!("{} digits in {case} case", inner.len()))
}

/// A text with marks for uids, times, addresses of services and certificates.
pub fn drawn(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let starts_word = !out.ends_with(|c: char| c.is_ascii_alphanumeric());
        let len = if starts_word && first.is_ascii_hexdigit() { drawn_len(rest) } else { 0 };
        if len > 0 {
            out += MARK;
            rest = &rest[len..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    // Upstream names a scheme by the file that makes it, whose path depends on where the program was built.
    if let Some((before, after)) = out.split_once("in scheme \"")
        && let Some((_, after)) = after.split_once('"')
    {
        out = format!("{before}in scheme \"{MARK}\"{after}");
    }
    // Versions of objects that are not the live one.
    for before in ["does not match the ResourceVersion in record (", "ResourceVersion in object meta: "] {
        if let Some((start, rest)) = out.split_once(before) {
            let len = rest.bytes().take_while(u8::is_ascii_digit).count();
            let mark = if len > 0 { MARK } else { "" };
            out = format!("{start}{before}{mark}{}", &rest[len..]);
        }
    }
    for prefix in ["Too large resource version: ", "too old resource version: "] {
        if out.starts_with(prefix) {
            return digits(&out);
        }
    }
    out
}

/// A text with a mark in place of what the server appended to a generateName.
pub fn generated(text: &str, prefix: &str) -> String {
    const DRAWN_LEN: usize = 5;
    let is_drawn = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(prefix).filter(|_| !prefix.is_empty()) {
        let end = at + prefix.len();
        let drawn = rest[end..].chars().take_while(|c| is_drawn(*c)).count();
        let begins = !rest[..at].ends_with(|c: char| c.is_alphanumeric());
        out += &rest[..end];
        rest = &rest[end..];
        if begins && drawn == DRAWN_LEN {
            out += MARK;
            rest = &rest[DRAWN_LEN..];
        }
    }
    out + rest
}

/// What a server says of itself, without its build, its keys and what is explained in words: those are each project's own.
pub fn document(path: &str, body: &mut Value) {
    const BUILD: [&str; 8] =
        ["gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform", "version"];
    const KEY: [&str; 4] = ["kid", "n", "x", "y"];
    let words = |members: &[&str], value: &mut Value| {
        for member in members.iter().filter(|member| value.opt_str(member).is_some()).collect::<Vec<_>>() {
            value.set(member, MARK);
        }
    };
    match path.split('?').next().unwrap_or_default() {
        "/version" => words(&BUILD, body),
        "/openid/v1/jwks" => {
            let keys = body.get_mut("keys").and_then(Value::as_array_mut);
            keys.into_iter().flatten().for_each(|key| words(&KEY, key));
        }
        path if path.starts_with("/openapi/") => {
            if let Some(info) = body.get_mut("info") {
                words(&["version"], info);
            }
            unexplained(body);
        }
        _ => {}
    }
}

/// Behind the name of a parameter that many operations share.
const HASH_LEN: usize = 9;

/// Without descriptions, and with marks for the hashes that go over them.
fn unexplained(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let is_text = |name: &str, member: &Value| name == "description" && member.as_str().is_some();
            let mut kept: Vec<(api::EcoString, Value)> = members
                .iter()
                .filter(|(name, member)| !is_text(name, member))
                .map(|(n, m)| (n.into(), m.clone()))
                .collect();
            for (name, member) in &mut kept {
                if name.as_str() == "parameters" {
                    unhash(member);
                }
                unexplained(member);
            }
            // Upstream makes them out of maps, in one order here and in another there.
            kept.sort_by(|a, b| a.0.cmp(&b.0));
            *value = Value::from(kept.into_iter().collect::<api::Map>());
            for name in ["$ref", "_ref"] {
                if let Some(reference) = value.opt_str(name).filter(|place| place.starts_with("#/parameters/")) {
                    let unhashed = unhashed(reference).to_owned();
                    value.set(name, unhashed);
                }
            }
            if let Some(place) = value.opt_str("serverRelativeURL").and_then(|url| url.split_once("?hash=")) {
                let unhashed = place.0.to_owned();
                value.set("serverRelativeURL", unhashed);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unexplained),
        _ => {}
    }
}

/// Shared parameters without the hashes in their names, in the order that is left: members, or in protobuf a list.
fn unhash(parameters: &mut Value) {
    if let Some(all) = parameters.get_mut("additional_properties").and_then(Value::as_array_mut) {
        for named in all.iter_mut() {
            let name = unhashed(named.str("name")).to_owned();
            named.set("name", name);
            unexplained(named);
        }
        all.sort_by_key(codec::json::to_string);
        // What differs in words alone is one.
        all.dedup();
    } else if let Value::Object(members) = parameters {
        let mut all: Vec<(api::EcoString, Value)> =
            members.iter().map(|(name, of)| (unhashed(name).into(), of.clone())).collect();
        all.sort_by_key(|(name, of)| (name.clone(), codec::json::to_string(of)));
        *parameters = Value::from(all.into_iter().collect::<api::Map>());
    }
}

fn unhashed(name: &str) -> &str {
    name.get(..name.len().saturating_sub(HASH_LEN)).unwrap_or(name)
}

/// Orders what upstream tells in the order in which its goroutines end or its maps are walked: component statuses, the
/// rules of a review, the causes of a conflict between managers, the misfits of an applied configuration.
pub fn unordered(answer: &mut Value) {
    const COMPONENTS: [&str; 3] = ["controller-manager", "etcd-0", "scheduler"];
    let name = |item: &Value| item.at("metadata").str("name").to_owned();
    let of_row = |row: &Value| row.list("cells").first().and_then(Value::as_str).unwrap_or("").to_owned();
    for (member, name) in [("items", &name as &dyn Fn(&Value) -> String), ("rows", &of_row)] {
        if let Some(Value::Array(items)) = answer.get_mut(member)
            && items.iter().all(|item| COMPONENTS.contains(&name(item).as_str()))
        {
            items.sort_by_key(name);
        }
    }
    if answer.str("kind") == "SelfSubjectRulesReview" {
        for rules in ["resourceRules", "nonResourceRules"] {
            if let Some(Value::Array(rules)) = answer.path_mut(&["status", rules]) {
                rules.sort_by_key(codec::json::to_string);
            }
        }
    }
    // Misfits of an applied configuration, a line each.
    if let Some((head, lines)) = answer.str("message").split_once("errors:\n") {
        let mut lines: Vec<&str> = lines.lines().collect();
        lines.sort_unstable();
        let text = format!("{head}errors:\n{}", lines.join("\n"));
        answer.set("message", text);
    }
    if let Some(Value::Array(causes)) = answer.path_mut(&["details", "causes"])
        && causes.iter().all(|cause| cause.str("reason") == "FieldManagerConflict")
    {
        causes.sort_by_key(codec::json::to_string);
    }
}

/// How much of the beginning of a text is drawn.
fn drawn_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let hex = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if hex == SHA256_LEN {
        return hex;
    }
    let uid = bytes.len() >= 36
        && bytes[..36].iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if uid {
        return if text.starts_with("11111111-") { 0 } else { 36 };
    }
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        other => byte == other || (*other == b'T' && *byte == b' '),
    };
    if bytes.len() >= 19 && bytes.iter().zip(shape).all(fits) && !text.starts_with(OWN_TIME) {
        let more = bytes[19..].iter().take_while(|b| matches!(b, b'0'..=b'9' | b'.' | b'Z' | b'+')).count();
        return 19 + more;
    }
    // Addresses that services are given, and those that the two servers give for themselves.
    match ["10.96.", "192.0.2."].into_iter().find_map(|range| Some((range.len(), text.strip_prefix(range)?))) {
        Some((len, rest)) => len + rest.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'.')).count(),
        None => 0,
    }
}

/// Numbers as marks.
fn digits(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c.is_ascii_digit() {
            true if out.ends_with(MARK) => {}
            true => out += MARK,
            false => out.push(c),
        }
    }
    out
}

/// So many characters before a revision say what it is.
const NEAR: usize = 60;

/// A text with another in place of a word.
pub fn word(text: &str, word: &str, mark: &str) -> String {
    word_where(text, word, mark, |_| true)
}

/// A text with a mark in place of a revision, where it speaks of one: other numbers may be the same.
pub fn revision(text: &str, revision: &str, mark: &str) -> String {
    let speaks_of_one = |before: &str| {
        let from = before.char_indices().rev().nth(NEAR).map_or(0, |(at, _)| at);
        let near = before[from..].to_lowercase();
        near.contains("version") || near.contains("revision")
    };
    word_where(text, revision, mark, speaks_of_one)
}

/// `holds` is told the text before the word.
fn word_where(text: &str, word: &str, mark: &str, holds: impl Fn(&str) -> bool) -> String {
    if word.is_empty() || !text.contains(word) {
        return text.to_owned();
    }
    let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let (mut out, mut from) = (String::new(), 0);
    for (at, found) in text.match_indices(word) {
        let end = at + found.len();
        let bounded = !is_part(text[..at].chars().next_back()) && !is_part(text[end..].chars().next());
        out += &text[from..at];
        out += if bounded && holds(&text[..at]) { mark } else { word };
        from = end;
    }
    out + &text[from..]
}

/// A continue token without its revision.
pub fn token(token: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let decoded = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| Some(codec::json::any(&bytes).ok()?.value));
    let Some(mut decoded) = decoded else { return token.to_owned() };
    if decoded.has("rv") {
        decoded.set("rv", MARK);
    }
    codec::json::to_string(&decoded)
}

/// Ages in a table's cells; also in those that no column is told of.
pub fn ages(table: &mut Value) {
    let definitions = table.list("columnDefinitions");
    let columns = columns(definitions, table);
    age_cells(table, &columns);
}

/// Ages in the tables of a watch: only the first says what its columns are.
pub fn later_ages(frames: &mut Value) {
    let Some(frames) = frames.as_array_mut() else { return };
    let Some((first, later)) = frames.split_first_mut() else { return };
    let definitions = first.at("object").list("columnDefinitions");
    for frame in later {
        if let Some(table) = frame.get_mut("object").filter(|object| object.str("kind") == "Table") {
            let columns = columns(definitions, table);
            age_cells(table, &columns);
        }
    }
}

/// Where ages stand: in the columns that are called so, and behind the last that is told of.
fn columns(definitions: &[Value], table: &Value) -> Vec<usize> {
    let len = definitions.len();
    let more = table.list("rows").first().map_or(0, |row| row.list("cells").len());
    let named = aged(definitions);
    if len == 0 { named } else { named.into_iter().chain(len..more).collect() }
}

fn aged(definitions: &[Value]) -> Vec<usize> {
    let is_age = |definition: &Value| {
        matches!(definition.str("name"), "Age" | "Duration" | "First Seen" | "Last Seen" | "TimeAdded")
    };
    (0..).zip(definitions).filter(|(_, definition)| is_age(definition)).map(|(i, _)| i).collect()
}

fn age_cells(table: &mut Value, columns: &[usize]) {
    let Some(rows) = table.get_mut("rows").and_then(Value::as_array_mut) else { return };
    for row in rows {
        let Some(cells) = row.get_mut("cells").and_then(Value::as_array_mut) else { continue };
        for column in columns {
            if let Some(Value::Str(text)) = cells.get(*column)
                && text.ends_with(['s', 'm', 'h', 'd', 'y'])
                && text.starts_with(|c: char| c.is_ascii_digit())
            {
                cells[*column] = Value::from(MARK);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::{ages, drawn, generated, header, later_ages, revision, token, unordered, word};

    #[test]
    fn what_is_drawn_is_marked() {
        let uid = "8d64b01a-9973-4a73-b268-f1744a900000";
        assert_eq!(drawn(&format!("uid {uid}, at 2026-11-21T12:00:00Z")), "uid …, at …");
        assert_eq!(drawn("10.96.3.4, 192.0.2.1 and 10.97.3.4"), "…, … and 10.97.3.4");
        assert_eq!(drawn("no kind in scheme \"pkg/a.go:1\": x"), "no kind in scheme \"…\": x");
        assert_eq!(drawn("2026-01-02T03:04:05Z is ours"), "2026-01-02T03:04:05Z is ours");
        assert_eq!(drawn("too old resource version: 1 (345)"), "too old resource version: … (…)");
    }

    #[test]
    fn headers_keep_what_both_can_say() {
        let (upper, lower) = ("A0".repeat(64), "a0".repeat(64));
        assert_eq!(header("etag", &format!("\"{upper}\"")), "\"128 digits in upper case\"");
        assert_ne!(header("etag", &format!("\"{upper}\"")), header("etag", &lower), "quotes and case are seen");
        assert_eq!(header("location", &format!("/a?hash={upper}")), "/a?hash=128 digits in upper case");
        assert_eq!(header("audit-id", "8d64b01a-9973-4a73-b268-f1744a900000"), "…");
        assert_eq!(header("vary", "Accept"), "Accept");
    }

    #[test]
    fn generated_names_are_marked() {
        assert_eq!(
            generated("Pod \"abc-x2k9f\" of abc- and abc-x2k9fz", "abc-"),
            "Pod \"abc-…\" of abc- and abc-x2k9fz"
        );
        assert_eq!(generated("nothing", ""), "nothing");
    }

    #[test]
    fn ages_are_marked_where_no_column_is_told_of() {
        let mut frames = value!([
            {"object": {"kind": "Table", "columnDefinitions": [{"name": "Name"}, {"name": "Age"}], "rows": []}},
            {"object": {"kind": "Table", "columnDefinitions": null, "rows": [{"cells": ["5m", "2m3s"]}]}}
        ]);
        later_ages(&mut frames);
        let cells = &frames.items()[1].at("object").list("rows")[0];
        assert_eq!(cells.list("cells"), [value!("5m"), value!("…")]);
        let mut frames = value!([
            {"object": {"kind": "Table", "columnDefinitions": [{"name": "Name"}], "rows": []}},
            {"object": {"kind": "Table", "columnDefinitions": null, "rows": [{"cells": ["5m", "0s"]}]}}
        ]);
        later_ages(&mut frames);
        assert_eq!(frames.items()[1].at("object").list("rows")[0].list("cells"), [value!("5m"), value!("…")]);
        let mut table = value!({"columnDefinitions": [{"name": "Name"}], "rows": [{"cells": ["5m", "2m3s"]}]});
        ages(&mut table);
        assert_eq!(table.list("rows")[0].list("cells"), [value!("5m"), value!("…")]);
    }

    #[test]
    fn what_comes_in_any_order_is_ordered() {
        let mut list = value!({"items": [{"metadata": {"name": "scheduler"}}, {"metadata": {"name": "etcd-0"}}]});
        unordered(&mut list);
        assert_eq!(list.list("items")[0].at("metadata").str("name"), "etcd-0");
        let mut other = value!({"items": [{"metadata": {"name": "b"}}, {"metadata": {"name": "a"}}]});
        unordered(&mut other);
        assert_eq!(other.list("items")[0].at("metadata").str("name"), "b", "other lists have an order");
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(word("12 of 123, 12", "12", "$rv"), "$rv of 123, $rv");
        assert_eq!(word("a-1212", "12", "$rv"), "a-1212");
        assert_eq!(
            revision("at most 253, resourceVersion \"253\"", "253", "$rv"),
            "at most 253, resourceVersion \"$rv\""
        );
    }

    #[test]
    fn tokens_are_compared_without_their_revision() {
        assert_eq!(
            token("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiJhIn0"),
            r#"{"v":"meta.k8s.io/v1","rv":"…","start":"a"}"#
        );
    }
}
