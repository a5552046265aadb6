//! Label selectors: `a=b,c in (d,e),!f`, and the form they have in objects.
//!
//! Upstream: apimachinery/pkg/labels/selector.go, apis/meta/v1/helpers.go.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use ecow::EcoString;

use crate::{
    Value,
    field::{Errors, Path, quote},
    names,
};

/// Which labels are wanted: all requirements hold. Ordered by key, so that equal selectors print alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// Matches nothing, whatever the requirements: a missing `LabelSelector`.
    nothing: bool,
    requirements: Vec<Requirement>,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: EcoString,
    operator: Operator,
    values: Vec<EcoString>,
}

/// How a label relates to values. Upstream: selection.Operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    In,
    NotIn,
    Equals,
    DoubleEquals,
    NotEquals,
    GreaterThan,
    LessThan,
    Exists,
    DoesNotExist,
}

// === impl Selector ===

impl Selector {
    pub fn everything() -> Selector {
        Selector::default()
    }

    pub fn nothing() -> Selector {
        Selector { nothing: true, requirements: Vec::new() }
    }

    /// All of these requirements.
    pub fn all_of(mut requirements: Vec<Requirement>) -> Selector {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Selector { nothing: false, requirements }
    }

    /// Reads the string form; the error is upstream's text.
    pub fn parse(text: &str) -> Result<Selector, String> {
        parse::parse(text, &Path::root())
    }

    /// Reads the string form of a field at a path, which the errors then name.
    pub fn parse_at(text: &str, at: &Path) -> Result<Selector, String> {
        parse::parse(text, at)
    }

    /// Reads a `metav1.LabelSelector`: missing selects nothing, empty everything. Upstream: `LabelSelectorAsSelector`.
    pub fn from_label_selector(selector: &Value) -> Result<Selector, String> {
        if selector.is_null() {
            return Ok(Selector::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in selector.strings("matchLabels") {
            requirements.push(Requirement::new(key, Operator::Equals, vec![value.into()])?);
        }
        for expression in selector.list("matchExpressions") {
            let operator = match expression.str("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{} is not a valid label selector operator", quote(other))),
            };
            let values = expression.list("values").iter().filter_map(Value::as_str).map(EcoString::from).collect();
            requirements.push(Requirement::new(expression.str("key"), operator, values)?);
        }
        Ok(Selector::all_of(requirements))
    }

    /// These labels and values exactly, unchecked; no labels select everything. Upstream: `SelectorFromSet`.
    pub fn from_labels(labels: &Value) -> Selector {
        let equals = |(key, value): (&str, &Value)| Requirement {
            key: key.into(),
            operator: Operator::Equals,
            values: vec![value.as_str().unwrap_or("").into()],
        };
        Selector::all_of(labels.members().map(equals).collect())
    }

    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it takes every object.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether it is the selector that takes no object.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// Whether an object with these `metadata.labels` is wanted.
    pub fn matches(&self, labels: &Value) -> bool {
        self.matches_with(|key| labels.opt_str(key))
    }

    /// The same over any look-up of labels.
    pub fn matches_with<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(label(&r.key)))
    }

    /// The one value that `key` must have, when the selector says so. Upstream: `RequiresExactMatch`.
    pub fn exact(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements.iter().find(|r| r.key == key)?;
        match (requirement.operator, requirement.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [only]) => Some(only),
            _ => None,
        }
    }

    /// This and more.
    pub fn and(&self, more: impl IntoIterator<Item = Requirement>) -> Selector {
        let mut all = Selector::all_of(self.requirements.iter().cloned().chain(more).collect());
        all.nothing = self.nothing;
        all
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

/// A `metav1.LabelSelector` as tables show it. Upstream: `FormatLabelSelector`.
pub fn format_label_selector(selector: &Value) -> String {
    match Selector::from_label_selector(selector).map(|s| s.to_string()) {
        Err(_) => "<error>".into(),
        Ok(text) if text.is_empty() => "<none>".into(),
        Ok(text) => text,
    }
}

// === impl Requirement ===

impl Requirement {
    /// A checked requirement. Upstream: `NewRequirement` without a path.
    pub fn new(key: &str, operator: Operator, values: Vec<EcoString>) -> Result<Requirement, String> {
        // Without a list Go prints null.
        let shown = if values.is_empty() { Value::Null } else { Value::from(values.clone()) };
        Requirement::checked(key, operator, values, &Path::root(), shown)
    }

    fn checked(
        key: &str,
        operator: Operator,
        values: Vec<EcoString>,
        at: &Path,
        shown: Value,
    ) -> Result<Requirement, String> {
        let mut errors = Errors::new();
        let wrong = names::qualified_name(key);
        if !wrong.is_empty() {
            errors.invalid(&at.child("key"), key, wrong.join("; "));
        }
        let at = at.child("values");
        if let Some(count) = operator.wrong_count(values.len()) {
            errors.invalid(&at, shown, count);
        }
        for (i, value) in values.iter().enumerate().filter(|_| operator.compares_numbers()) {
            if integer(value).is_none() {
                errors.invalid(&at.index(i), value.clone(), "for 'Gt', 'Lt' operators, the value must be an integer");
            }
        }
        for (i, value) in values.iter().enumerate() {
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                errors.invalid(&at.index(i).key(key), value.clone(), wrong.join("; "));
            }
        }
        match errors.is_empty() {
            true => Ok(Requirement { key: key.into(), operator, values }),
            false => Err(errors.message()),
        }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn operator(&self) -> Operator {
        self.operator
    }

    pub fn values(&self) -> &[EcoString] {
        &self.values
    }

    /// Whether a label with this value (`None` when the object lacks it) is wanted.
    pub fn matches(&self, label: Option<&str>) -> bool {
        let has = |label: &str| self.values.iter().any(|v| v == label);
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => label.is_some_and(has),
            Operator::NotIn | Operator::NotEquals => !label.is_some_and(has),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let bound = self.values.first().and_then(|v| integer(v));
                match (label.and_then(integer), bound) {
                    (Some(label), Some(bound)) if self.operator == Operator::GreaterThan => label > bound,
                    (Some(label), Some(bound)) => label < bound,
                    _ => false,
                }
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let mut values: Vec<&str> = self.values.iter().map(EcoString::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        match self.operator {
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

// === impl Operator ===

impl Operator {
    fn compares_numbers(self) -> bool {
        matches!(self, Operator::GreaterThan | Operator::LessThan)
    }

    /// What is wrong with this many values.
    fn wrong_count(self, values: usize) -> Option<&'static str> {
        let (wrong, text) = match self {
            Operator::In | Operator::NotIn => (values == 0, "for 'in', 'notin' operators, values set can't be empty"),
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals => {
                (values != 1, "exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist => {
                (values != 0, "values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan => {
                (values != 1, "for 'Gt', 'Lt' operators, exactly one value is required")
            }
        };
        wrong.then_some(text)
    }
}

/// As Go's `strconv.ParseInt(text, 10, 64)` takes it.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}
