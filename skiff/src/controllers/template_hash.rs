//! What tells pod templates apart in names: a hash over the text that Go makes of the typed value.
//!
//! ReplicaSets are named after it, so the same template has to come to the same number here and at upstream's controllers.
//! Upstream: pkg/util/hash DeepHashObject, k8s.io/utils/dump ForHash (spew's `%#v` without pointers and methods).

use std::fmt::Write as _;

use api::Value;
use schema::{
    load,
    types::{Field, Schemas, Shape, Type},
};

const TEMPLATE: &str = "io.k8s.api.core.v1.PodTemplateSpec";
/// A zero time, within its type.
const NO_TIME: &str = "{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}";

/// The number of a template. FNV-1a over its text.
pub fn of(template: &Value) -> u32 {
    text(template).bytes().fold(2_166_136_261, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}

fn text(template: &Value) -> String {
    let schemas = load::builtin();
    let kind = schemas.named(TEMPLATE).expect("pod templates are among the facts");
    let mut dump = Dump { schemas, out: format!("({})", kind.go) };
    dump.fields(kind, template);
    dump.out
}

/// Text in the making.
struct Dump {
    schemas: &'static Schemas,
    out: String,
}

// === impl Dump ===

impl Dump {
    fn fields(&mut self, kind: &Type, value: &Value) {
        self.out.push('{');
        let mut embed = "";
        for (at, field) in kind.fields.iter().enumerate() {
            if embed != field.embed && !embed.is_empty() {
                self.out.push('}');
            }
            if at > 0 {
                self.out.push(' ');
            }
            if embed != field.embed && !field.embed.is_empty() {
                // Embedded structs are of the package of the struct around them.
                let package = kind.go.split('.').next().unwrap_or("");
                self.write(&format!("{0}:({package}.{0}){{", field.embed));
            }
            embed = &field.embed;
            self.field(field, value.at(&field.name));
        }
        if !embed.is_empty() {
            self.out.push('}');
        }
        self.out.push('}');
    }

    fn write(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn field(&mut self, field: &Field, value: &Value) {
        let star = if field.pointer { "*" } else { "" };
        let go = self.go_type(field);
        self.write(&format!("{}:({star}{go})", field.go));
        let is_nil = field.pointer || matches!(field.shape, Shape::List(_) | Shape::Map(_) | Shape::Bytes);
        let is_absent = value.is_null() || (!field.pointer && value.is_empty());
        if is_nil && is_absent {
            return self.write("<nil>");
        }
        self.value(&field.shape, value);
    }

    fn go_type(&self, field: &Field) -> String {
        if !field.go_type.is_empty() {
            return field.go_type.to_string();
        }
        match &field.shape {
            Shape::List(element) if !field.go_element.is_empty() => {
                format!(
                    "[]{}",
                    if field.go_element.is_empty() { self.plain(element) } else { field.go_element.to_string() }
                )
            }
            shape => self.plain(shape),
        }
    }

    fn plain(&self, shape: &Shape) -> String {
        match shape {
            Shape::Bool => "bool".into(),
            Shape::Int32 => "int32".into(),
            Shape::Int64 => "int64".into(),
            Shape::Float => "float64".into(),
            Shape::Str => "string".into(),
            Shape::Bytes => "[]uint8".into(),
            Shape::Time => "v1.Time".into(),
            Shape::MicroTime => "v1.MicroTime".into(),
            Shape::Duration => "v1.Duration".into(),
            Shape::Quantity => "resource.Quantity".into(),
            Shape::IntOrString => "intstr.IntOrString".into(),
            Shape::Raw(_) => "runtime.RawExtension".into(),
            Shape::Struct(id) | Shape::OneOf(_, id) => self.schemas.get(*id).go.to_string(),
            Shape::List(element) => format!("[]{}", self.plain(element)),
            Shape::Map(element) => format!("map[string]{}", self.plain(element)),
        }
    }

    fn value(&mut self, shape: &Shape, value: &Value) {
        match shape {
            Shape::Bool => self.write(if value.as_bool() == Some(true) { "true" } else { "false" }),
            Shape::Int32 | Shape::Int64 => self.write(&value.as_int().unwrap_or(0).to_string()),
            // No pod template has any of these, but for times that are never set in one.
            Shape::Float | Shape::Bytes | Shape::Duration | Shape::Raw(_) => {}
            Shape::Str => self.write(value.as_str().unwrap_or("")),
            Shape::Time | Shape::MicroTime => self.write(NO_TIME),
            Shape::Quantity => self.quantity(&api::intstr::text(value)),
            Shape::IntOrString => self.int_or_string(value),
            Shape::Struct(id) | Shape::OneOf(_, id) => {
                let schemas = self.schemas;
                self.fields(schemas.get(*id), value);
            }
            Shape::List(element) => {
                self.out.push('[');
                for (at, item) in value.items().iter().enumerate() {
                    if at > 0 {
                        self.out.push(' ');
                    }
                    self.value(element, item);
                }
                self.out.push(']');
            }
            Shape::Map(element) => {
                let mut members: Vec<(&str, &Value)> = value.members().collect();
                members.sort_by_key(|(key, _)| *key);
                self.write("map[");
                for (at, (key, item)) in members.into_iter().enumerate() {
                    if at > 0 {
                        self.out.push(' ');
                    }
                    self.write(key);
                    self.out.push(':');
                    self.value(element, item);
                }
                self.out.push(']');
            }
        }
    }

    fn int_or_string(&mut self, value: &Value) {
        let (kind, number, text) = match value {
            Value::Str(text) => (1, 0, text.as_str()),
            other => (0, other.as_int().unwrap_or(0), ""),
        };
        let _ = write!(self.out, "{{Type:(intstr.Type){kind} IntVal:(int32){number} StrVal:(string){text}}}");
    }

    /// The fields of Go's Quantity as parsing leaves them. Upstream: resource.ParseQuantity's fast path; what does not fit
    /// into it (more than 18 digits) does not occur in what the server has stored.
    fn quantity(&mut self, text: &str) {
        let text = if text == "<nil>" { "" } else { text };
        let parts = parse_quantity(text).unwrap_or(Parts { value: 0, scale: 0, format: "", text: "" });
        let _ = write!(
            self.out,
            "{{i:(resource.int64Amount){{value:(int64){} scale:(resource.Scale){}}} \
             d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} s:(string){} Format:(resource.Format){}}}",
            parts.value, parts.scale, parts.text, parts.format
        );
    }
}

struct Parts<'a> {
    value: i64,
    scale: i32,
    format: &'static str,
    text: &'a str,
}

fn parse_quantity(text: &str) -> Option<Parts<'_>> {
    if text.is_empty() {
        return None;
    }
    if text == "0" {
        return Some(Parts { value: 0, scale: 0, format: "DecimalSI", text: "0" });
    }
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits_end);
    let negative = number.starts_with('-');
    let number = number.trim_start_matches(['+', '-']);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.trim_start_matches('0');
    let (format, exponent, mantissa) = suffix_of(suffix)?;
    let scale = exponent - i32::try_from(fraction.len()).ok()?;
    let shifted = format!("{whole}{fraction}");
    let digits: i64 = format!("0{shifted}").parse().ok()?;
    // The text is kept only where a look shows that it is canonical.
    let is_canonical = match format {
        "BinarySI" => digits & 7 != 0,
        _ => scale % 3 == 0 && !shifted.ends_with("000") && !shifted.starts_with('0'),
    };
    let text = if is_canonical { text } else { "" };
    let value = digits.checked_mul(mantissa)?;
    Some(Parts { value: if negative { -value } else { value }, scale, format, text })
}

fn suffix_of(suffix: &str) -> Option<(&'static str, i32, i64)> {
    const DECIMAL: [(&str, i32); 10] =
        [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
    const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Some(("DecimalSI", *exponent, 1));
    }
    if let Some((_, bits)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Some(("BinarySI", 0, 1 << bits));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    Some(("DecimalExponent", exponent.parse().ok()?, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Templates with the numbers that upstream's DeepHashObject gave for them.
    #[test]
    fn templates_hash_as_upstreams() {
        let lines = include_str!("template_hash/samples.jsonl").lines();
        let mut count = 0;
        for line in lines {
            let sample = codec::json::any(line.as_bytes()).expect("samples are JSON").value;
            let template = sample.at("template");
            assert_eq!(i64::from(of(template)), sample.int("hash"), "{}", text(template));
            count += 1;
        }
        assert!(count > 1);
    }
}
