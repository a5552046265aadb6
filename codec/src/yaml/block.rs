//! Trees as YAML, a line for each of their leaves, members as they come.
//!
//! Upstream: go-yaml 3's encoder of nodes that have no style of their own, which is what gnostic writes
//! (github.com/google/gnostic-models, compiler/helpers.go `Marshal`). Its emitter goes in by four and sets the items of a
//! list below their member, neither of which libyaml can be told; how a scalar is quoted, both agree on.

use api::Value;
use libyaml_safer::{Event, ScalarStyle, SequenceStyle};

use super::{
    resolve::{self, Scalar},
    write,
};
use crate::json;

/// So much deeper is a member of a member; what is in an item is as deep as the item's dash is long.
const STEP: usize = 4;
const DASH: usize = 2;

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Document,
    Item,
    Member,
}

/// Writes a value as YAML, members in their order.
pub fn in_order(value: &Value) -> String {
    let mut out = String::new();
    push(value, Place::Document, 0, &mut out);
    out
}

/// Appends a value behind what leads to it, and ends its line. `indent` is that of what is around it.
fn push(value: &Value, place: Place, indent: usize, out: &mut String) {
    let inner = match place {
        Place::Document => 0,
        Place::Item => indent + DASH,
        Place::Member => (indent + STEP) / STEP * STEP,
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                begin(i == 0, place, inner, out);
                out.push('-');
                push(item, Place::Item, inner, out);
            }
        }
        Value::Object(members) if !members.is_empty() => {
            for (i, (name, member)) in members.iter().enumerate() {
                begin(i == 0, place, inner, out);
                out.push_str(scalar(name, false).trim_end());
                out.push(':');
                push(member, Place::Member, inner, out);
            }
        }
        leaf => {
            if place != Place::Document {
                out.push(' ');
            }
            match leaf {
                Value::Str(text) => push_text(text, if place == Place::Document { STEP } else { inner }, out),
                other => {
                    out.push_str(&json::to_string(other));
                    out.push('\n');
                }
            }
        }
    }
}

/// Begins the line of an item or a member; the first in an item stands behind its dash.
fn begin(is_first: bool, place: Place, indent: usize, out: &mut String) {
    match place {
        Place::Item if is_first => return out.push(' '),
        Place::Member if is_first => out.push('\n'),
        _ => {}
    }
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A text and its end of line; of several lines each stands so deep.
fn push_text(text: &str, indent: usize, out: &mut String) {
    let written = scalar(text, true);
    let mut lines = written.split_inclusive('\n');
    out.push_str(lines.next().unwrap_or("\n"));
    for line in lines {
        let line = line.strip_prefix("    ").unwrap_or(line);
        if line != "\n" {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str(line);
    }
}

/// A text as it has to be written to be read as a text, with its end of line, as deep as one step.
fn scalar(text: &str, may_be_lines: bool) -> String {
    if text.is_empty() {
        return "\"\"\n".to_owned();
    }
    let is_text = means_text(text);
    let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b));
    if is_text && text.starts_with(|c: char| c.is_ascii_alphabetic()) && is_word(text) {
        return format!("{text}\n");
    }
    let style = match text.contains('\n') {
        true if may_be_lines => ScalarStyle::Literal,
        false if is_text => ScalarStyle::Plain,
        _ => ScalarStyle::DoubleQuoted,
    };
    // As an item with another behind it, so that nothing has to say where the text ends.
    let item = |text: &str, style| Event::scalar(None, None, text, true, true, style);
    let events = vec![
        Event::sequence_start(None, None, true, SequenceStyle::Block),
        item(text, style),
        item("x", ScalarStyle::Plain),
        Event::sequence_end(),
    ];
    let written = write::emitted(events, STEP as i32, -1);
    // Behind a text that ends in empty lines libyaml ends the document as well.
    let written = written.strip_suffix("...\n").unwrap_or(&written);
    written.strip_prefix("- ").and_then(|rest| rest.strip_suffix("- x\n")).unwrap_or("").to_owned()
}

/// Whether a text without quotes is read as one. YAML 1.2 has fewer words for true and false than 1.1.
fn means_text(text: &str) -> bool {
    match resolve::scalar(None, text) {
        Ok(Scalar::Text) => true,
        Ok(Scalar::Bool(_)) => !matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE"),
        _ => false,
    }
}
