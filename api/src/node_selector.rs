//! Which nodes a pod wants: `nodeSelector` and node affinity, read once and asked often.
//!
//! Upstream: component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go.

use ecow::EcoString;

use crate::{
    Value,
    selector::{Operator, Requirement, Selector},
};

/// One term: all its requirements hold. A term that cannot be read holds nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    labels: Option<Selector>,
    fields: Vec<Field>,
    is_readable: bool,
}

/// A requirement on `metadata.name`, the one field there is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    key: EcoString,
    value: EcoString,
    wanted: bool,
}

/// What a pod requires of its node. Upstream: `RequiredNodeAffinity`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Required {
    labels: Option<Selector>,
    /// Any of them, when there is an affinity.
    terms: Option<Vec<Term>>,
}

// === impl Term ===

impl Term {
    /// Reads a NodeSelectorTerm; an empty one selects nothing and is none.
    pub fn read(term: &Value) -> Option<Term> {
        let (expressions, fields) = (term.list("matchExpressions"), term.list("matchFields"));
        if expressions.is_empty() && fields.is_empty() {
            return None;
        }
        let labels: Option<Vec<Requirement>> = expressions.iter().map(requirement).collect();
        let fields: Option<Vec<Field>> = fields.iter().map(Field::read).collect();
        let is_readable = labels.is_some() && fields.is_some();
        let labels = labels.filter(|l| !l.is_empty()).map(Selector::all_of);
        Some(Term { labels, fields: fields.unwrap_or_default(), is_readable })
    }

    /// Whether the node of that name with these labels is meant.
    pub fn matches(&self, name: &str, labels: &Value) -> bool {
        self.is_readable
            && self.labels.as_ref().is_none_or(|wanted| wanted.matches(labels))
            && self.fields.iter().all(|field| field.matches(name))
    }

    /// The names that the term alone allows, when it says any.
    fn names(&self) -> Option<Vec<&str>> {
        let mut names: Option<Vec<&str>> = None;
        for field in self.fields.iter().filter(|f| f.wanted && f.key == "metadata.name") {
            let this = field.value.as_str();
            names = Some(names.map_or(vec![this], |known| known.into_iter().filter(|n| *n == this).collect()));
        }
        names
    }
}

// === impl Field ===

impl Field {
    fn read(requirement: &Value) -> Option<Field> {
        let [value] = requirement.list("values") else { return None };
        let wanted = match requirement.str("operator") {
            "In" => true,
            "NotIn" => false,
            _ => return None,
        };
        Some(Field { key: requirement.str("key").into(), value: value.as_str()?.into(), wanted })
    }

    fn matches(&self, name: &str) -> bool {
        let actual = if self.key == "metadata.name" { name } else { "" };
        (actual == self.value) == self.wanted
    }
}

// === impl Required ===

impl Required {
    pub fn of(pod_spec: &Value) -> Required {
        let selector = pod_spec.at("nodeSelector");
        let affinity =
            pod_spec.at_path(&["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"]);
        Required {
            labels: (!selector.is_empty()).then(|| Selector::from_labels(selector)),
            terms: (!affinity.is_null())
                .then(|| affinity.list("nodeSelectorTerms").iter().filter_map(Term::read).collect()),
        }
    }

    /// Reads a NodeSelector that stands alone, as volumes and devices have them.
    pub fn of_selector(node_selector: &Value) -> Required {
        let terms = (!node_selector.is_null())
            .then(|| node_selector.list("nodeSelectorTerms").iter().filter_map(Term::read).collect());
        Required { labels: None, terms }
    }

    /// Whether every node would do.
    pub fn is_empty(&self) -> bool {
        self.labels.is_none() && self.terms.is_none()
    }

    pub fn matches(&self, name: &str, labels: &Value) -> bool {
        self.labels.as_ref().is_none_or(|wanted| wanted.matches(labels))
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|t| t.matches(name, labels)))
    }

    /// The names of the only nodes that can do, when every term names some; sorted. Upstream: `NodeAffinity.PreFilter`.
    pub fn names(&self) -> Option<Vec<&str>> {
        let terms = self.terms.as_ref().filter(|terms| !terms.is_empty())?;
        let mut all = Vec::new();
        for term in terms {
            all.extend(term.names()?);
        }
        all.sort_unstable();
        all.dedup();
        Some(all)
    }
}

fn requirement(expression: &Value) -> Option<Requirement> {
    let operator = match expression.str("operator") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    let values = expression.list("values").iter().filter_map(Value::as_str).map(EcoString::from).collect();
    Requirement::new(expression.str("key"), operator, values).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value;

    fn affinity(terms: Value) -> Value {
        value!({"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
    }

    #[test]
    fn terms_are_alternatives_and_their_requirements_are_not() {
        let spec = affinity(value!([
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]},
                                  {"key": "cores", "operator": "Gt", "values": ["4"]}]},
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]},
        ]));
        let required = Required::of(&spec);
        assert!(required.matches("n2", &value!({"zone": "a", "cores": "8"})));
        assert!(!required.matches("n2", &value!({"zone": "a", "cores": "4"})));
        assert!(required.matches("n1", &value!({})));
        assert_eq!(required.names(), None, "one term leaves the name open");
    }

    #[test]
    fn names_are_known_when_every_term_says_one() {
        let term = |names: &[&str]| {
            let fields: Vec<Value> =
                names.iter().map(|n| value!({"key": "metadata.name", "operator": "In", "values": [*n]})).collect();
            value!({"matchFields": fields})
        };
        let names = |terms: Vec<Value>| {
            let required = Required::of(&affinity(terms.into()));
            required.names().map(|n| n.into_iter().map(String::from).collect::<Vec<_>>())
        };
        assert_eq!(names(vec![term(&["b"]), term(&["a"])]), Some(vec!["a".into(), "b".into()]));
        assert_eq!(names(vec![term(&["a", "b"])]), Some(vec![]), "they exclude each other");
    }

    #[test]
    fn what_cannot_be_read_and_what_is_empty_holds_nowhere() {
        let odd = affinity(value!([{"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]}, {}]));
        assert!(!Required::of(&odd).matches("n", &value!({"a": "b"})));
        assert!(Required::of(&value!({})).is_empty());
        let selector = Required::of(&value!({"nodeSelector": {"disk": "ssd"}}));
        assert!(selector.matches("n", &value!({"disk": "ssd"})) && !selector.matches("n", &value!({})));
    }
}
