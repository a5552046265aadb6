//! Trees as YAML. Upstream: go-yaml 2's encoder, of what has gone through a Go map.

use api::Value;
use libyaml_safer::{Emitter, Encoding, Event, MappingStyle, ScalarStyle, SequenceStyle};

use super::resolve::{self, Scalar};
use crate::json;

/// How wide a line may grow before it is broken. Upstream: go-yaml 2's `best_width`.
const WIDTH: i32 = 80;

/// Writes a value as YAML, members sorted.
pub fn to_string(value: &Value) -> String {
    let mut events = Vec::new();
    push(value, &mut events);
    emitted(events, 2, WIDTH)
}

/// The text of a document's events; a width below zero breaks no line.
pub fn emitted(inner: Vec<Event>, indent: i32, width: i32) -> String {
    let mut out = Vec::new();
    let mut emitter = Emitter::new();
    emitter.set_output_string(&mut out);
    emitter.set_unicode(true);
    emitter.set_indent(indent);
    emitter.set_width(width);
    let begin = [Event::stream_start(Encoding::Utf8), Event::document_start(None, &[], true)];
    let mut events = begin.into_iter().chain(inner).chain([Event::document_end(true), Event::stream_end()]);
    let written = events.try_for_each(|event| emitter.emit(event)).and_then(|()| emitter.flush());
    drop(emitter);
    written.map_or_else(|_| String::new(), |()| String::from_utf8(out).unwrap_or_default())
}

fn push(value: &Value, events: &mut Vec<Event>) {
    match value {
        Value::Str(text) => events.push(string(text)),
        Value::Array(items) => {
            events.push(Event::sequence_start(None, None, true, SequenceStyle::Block));
            items.iter().for_each(|item| push(item, events));
            events.push(Event::sequence_end());
        }
        Value::Object(members) => {
            let mut members: Vec<(&str, &Value)> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            events.push(Event::mapping_start(None, None, true, MappingStyle::Block));
            for (key, member) in members {
                events.push(string(key));
                push(member, events);
            }
            events.push(Event::mapping_end());
        }
        other => events.push(Event::scalar(None, None, &json::to_string(other), true, true, ScalarStyle::Plain)),
    }
}

/// A text in quotes where it would be read as something else. Upstream: `stringv`.
fn string(text: &str) -> Event {
    let reads_as_itself = matches!(resolve::scalar(None, text), Ok(Scalar::Text)) && !is_base_60(text) && text != "<<";
    let style = match text.contains('\n') {
        true => ScalarStyle::Literal,
        false if reads_as_itself => ScalarStyle::Plain,
        false => ScalarStyle::DoubleQuoted,
    };
    Event::scalar(None, None, text, true, true, style)
}

/// Numbers like `190:20:30`, which other readers know. Upstream: `base60float`.
fn is_base_60(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = rest.split(':');
    let first = parts.next().unwrap_or("");
    if !first.starts_with(|c: char| c.is_ascii_digit()) || !first.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return false;
    }
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return false };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    let is_part = |part: &str| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    parts.into_iter().all(is_part) && is_part(last) && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}
