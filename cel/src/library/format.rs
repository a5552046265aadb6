//! Named formats: `format.dns1123Label().validate('x')`. Upstream: apiserver/pkg/cel/library/format.go;
//! apimachinery/pkg/util/validation and kube-openapi's strfmt for what fits which.

use std::any::Any;
use std::sync::LazyLock;

use regex::Regex;

use crate::functions::{Cost, Row, global, member};
use crate::types::Type;
use crate::value::{EvalError, Object, Outcome, Value};

use super::{object, text, texts, url};

const FORMAT: &str = "kubernetes.NamedFormat";

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    member("validate", "format-validate", "kubernetes.NamedFormat, string", "optional(list(string))", validate).cost(Cost::Validate),
    global("format.named", "format-named", "string", "optional(kubernetes.NamedFormat)", named).cost(Cost::Fixed(1)),
    global("format.dns1123Label", "format.dns1123Label", "", FORMAT, |_| constant("dns1123Label")),
    global("format.dns1123Subdomain", "format.dns1123Subdomain", "", FORMAT, |_| constant("dns1123Subdomain")),
    global("format.dns1035Label", "format.dns1035Label", "", FORMAT, |_| constant("dns1035Label")),
    global("format.qualifiedName", "format.qualifiedName", "", FORMAT, |_| constant("qualifiedName")),
    global("format.dns1123LabelPrefix", "format.dns1123LabelPrefix", "", FORMAT, |_| constant("dns1123LabelPrefix")),
    global("format.dns1123SubdomainPrefix", "format.dns1123SubdomainPrefix", "", FORMAT, |_| constant("dns1123SubdomainPrefix")),
    global("format.dns1035LabelPrefix", "format.dns1035LabelPrefix", "", FORMAT, |_| constant("dns1035LabelPrefix")),
    global("format.labelValue", "format.labelValue", "", FORMAT, |_| constant("labelValue")),
    global("format.uri", "format.uri", "", FORMAT, |_| constant("uri")),
    global("format.uuid", "format.uuid", "", FORMAT, |_| constant("uuid")),
    global("format.byte", "format.byte", "", FORMAT, |_| constant("byte")),
    global("format.date", "format.date", "", FORMAT, |_| constant("date")),
    global("format.datetime", "format.datetime", "", FORMAT, |_| constant("datetime")),
];

/// A format as a row: its name, how long its pattern counts, and what is wrong with a text.
struct Format {
    name: &'static str,
    pattern_len: u64,
    check: fn(&str) -> Vec<String>,
}

static FORMATS: &[Format] = &[
    Format { name: "dns1123Label", pattern_len: 30, check: dns1123_label },
    Format { name: "dns1123Subdomain", pattern_len: 60, check: dns1123_subdomain },
    Format { name: "dns1035Label", pattern_len: 30, check: dns1035_label },
    Format { name: "qualifiedName", pattern_len: 60, check: qualified_name },
    Format { name: "dns1123LabelPrefix", pattern_len: 30, check: |text| dns1123_label(&as_prefix(text)) },
    Format { name: "dns1123SubdomainPrefix", pattern_len: 60, check: |text| dns1123_subdomain(&as_prefix(text)) },
    Format { name: "dns1035LabelPrefix", pattern_len: 30, check: |text| dns1035_label(&as_prefix(text)) },
    Format { name: "labelValue", pattern_len: 40, check: label_value },
    Format { name: "uri", pattern_len: 1103, check: uri },
    Format { name: "uuid", pattern_len: 70, check: |text| unless(is_uuid(text), "does not match the UUID format") },
    Format { name: "byte", pattern_len: 84, check: |text| unless(is_base64(text), "invalid base64") },
    Format { name: "date", pattern_len: 71, check: |text| unless(is_date(text), "invalid date") },
    Format { name: "datetime", pattern_len: 71, check: |text| unless(is_date_time(text), "invalid datetime") },
];

/// A format as a value.
pub(crate) struct NamedFormat(&'static Format);

impl std::fmt::Debug for NamedFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name)
    }
}

impl NamedFormat {
    /// How long its pattern counts in costs.
    pub(crate) fn pattern_len(&self) -> u64 {
        self.0.pattern_len
    }
}

impl Object for NamedFormat {
    fn value_type(&self) -> Type {
        Type::object(FORMAT)
    }

    fn equals(&self, other: &Value) -> Result<bool, EvalError> {
        Ok(object::<NamedFormat>(other)?.0.name == self.0.name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn find(name: &str) -> Option<Value> {
    FORMATS.iter().find(|format| format.name == name).map(|format| Value::object(NamedFormat(format)))
}

fn constant(name: &str) -> Outcome {
    find(name).ok_or_else(EvalError::no_such_overload)
}

fn named(arguments: &[Value]) -> Outcome {
    Ok(find(text(&arguments[0])?).map_or(Value::Optional(None), Value::some))
}

fn validate(arguments: &[Value]) -> Outcome {
    let wrong = (object::<NamedFormat>(&arguments[0])?.0.check)(text(&arguments[1])?);
    Ok(if wrong.is_empty() { Value::Optional(None) } else { Value::some(texts(wrong)) })
}

fn unless(is_good: bool, message: &str) -> Vec<String> {
    if is_good { Vec::new() } else { vec![message.to_owned()] }
}

// --- names

macro_rules! pattern {
    ($name:ident, $text:expr) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).expect("a constant pattern is a pattern"));
    };
}

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

pattern!(LABEL_RE, &format!("^{LABEL}$"));
pattern!(SUBDOMAIN_RE, &format!("^{SUBDOMAIN}$"));
pattern!(LABEL_1035_RE, &format!("^{LABEL_1035}$"));
pattern!(NAME_RE, &format!("^{NAME}$"));
pattern!(UUID_RE, "^(?i:[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})$");
pattern!(BASE64_RE, "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$");
pattern!(TIME_RE, "^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$");

pub(super) fn is_subdomain(text: &str) -> bool {
    dns1123_subdomain(text).is_empty()
}

pub(super) fn is_label(text: &str) -> bool {
    dns1123_label(text).is_empty()
}

fn too_long(text: &str, most: usize) -> Vec<String> {
    unless(text.len() <= most, &format!("must be no more than {most} bytes"))
}

fn not_matching(message: &str, pattern: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "))
}

fn dns1123_label(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, 63);
    if !LABEL_RE.is_match(text) {
        wrong.push(if SUBDOMAIN_RE.is_match(text) {
            "must not contain dots".to_owned()
        } else {
            let message = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                           start and end with an alphanumeric character";
            not_matching(message, LABEL, &["my-name", "123-abc"])
        });
    }
    wrong
}

fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, 253);
    if !SUBDOMAIN_RE.is_match(text) {
        let message = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                       must start and end with an alphanumeric character";
        wrong.push(not_matching(message, SUBDOMAIN, &["example.com"]));
    }
    wrong
}

fn dns1035_label(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, 63);
    if !LABEL_1035_RE.is_match(text) {
        let message = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                       alphabetic character, and end with an alphanumeric character";
        wrong.push(not_matching(message, LABEL_1035, &["my-name", "abc-123"]));
    }
    wrong
}

const NAME_MESSAGE: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

fn qualified_name(text: &str) -> Vec<String> {
    let examples = &["MyName", "my.name", "123-abc"];
    let parts: Vec<&str> = text.split('/').collect();
    let mut wrong = Vec::new();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                wrong.extend(dns1123_subdomain(prefix).iter().map(|why| format!("prefix part {why}")));
            }
            *name
        }
        _ => {
            let why = not_matching(NAME_MESSAGE, NAME, examples);
            let message = format!(
                "a valid label key {why} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            );
            return vec![message];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    }
    wrong.extend(too_long(name, 63).iter().map(|why| format!("name part {why}")));
    if !NAME_RE.is_match(name) {
        wrong.push(format!("name part {}", not_matching(NAME_MESSAGE, NAME, examples)));
    }
    wrong
}

fn label_value(text: &str) -> Vec<String> {
    let mut wrong = too_long(text, 63);
    if !text.is_empty() && !NAME_RE.is_match(text) {
        let message = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
                       must start and end with an alphanumeric character";
        wrong.push(not_matching(message, &format!("({NAME})?"), &["MyValue", "my_value", "12345"]));
    }
    wrong
}

/// A name that something will be put behind.
fn as_prefix(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(before) if !before.is_empty() => {
            let kept: String = before.chars().take(before.chars().count() - 1).collect();
            format!("{kept}a")
        }
        _ => text.to_owned(),
    }
}

// --- others

fn uri(text: &str) -> Vec<String> {
    match url::parse(text, true) {
        Ok(_) => Vec::new(),
        Err(why) => vec![format!("parse {}: {why}", crate::value::show::quote(text))],
    }
}

fn is_uuid(text: &str) -> bool {
    UUID_RE.is_match(text)
}

fn is_base64(text: &str) -> bool {
    BASE64_RE.is_match(text)
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && crate::value::Timestamp::parse(&format!("{text}T00:00:00Z")).is_some()
}

fn is_date_time(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split('t').collect();
    let [date, time, ..] = parts.as_slice() else { return false };
    match TIME_RE.captures(time) {
        Some(found) => is_date(date) && &found[1] <= "23" && &found[2] <= "59" && &found[3] <= "59",
        None => false,
    }
}
