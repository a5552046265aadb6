//! Paths into objects as columns and selectable fields have them: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`.
//!
//! Upstream: client-go/util/jsonpath, as far as a definition's columns go: members, indices, slices, wildcards, unions,
//! recursion and filters; no functions and no ranges.

use api::{EcoString, Value, field::go_json};

/// A path, read once.
#[derive(Debug, Default)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug)]
enum Step {
    Member(EcoString),
    Any,
    Deep,
    Index(i64),
    Slice(Option<i64>, Option<i64>, i64),
    Union(Vec<Step>),
    Filter(Vec<Step>, Option<(Comparison, Operand)>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

#[derive(Debug)]
enum Operand {
    Literal(Value),
    Path(Vec<Step>),
}

impl JsonPath {
    /// Reads a path without its braces.
    pub fn parse(text: &str) -> Option<JsonPath> {
        let mut rest = text.trim();
        let steps = steps(&mut rest, |_| false)?;
        rest.is_empty().then_some(JsonPath(steps))
    }

    /// The first thing that it leads to.
    pub fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        let mut found = vec![value];
        walk(&self.0, &mut found);
        found.into_iter().next()
    }

    /// A value as upstream prints it. Upstream: `JSONPath.PrintResults`.
    pub fn text(value: &Value) -> String {
        match value {
            Value::Str(text) => text.to_string(),
            Value::Null => "<nil>".into(),
            other => go_json(other),
        }
    }
}

fn walk(steps: &[Step], found: &mut Vec<&Value>) {
    for step in steps {
        *found = found.iter().flat_map(|value| one(step, value)).collect();
    }
}

fn one<'v>(step: &Step, value: &'v Value) -> Vec<&'v Value> {
    match step {
        Step::Member(name) => value.get(name).into_iter().collect(),
        Step::Any => children(value),
        Step::Deep => {
            let mut all = vec![value];
            children(value).into_iter().for_each(|child| all.extend(one(step, child)));
            all
        }
        Step::Index(i) => {
            let items = value.items();
            let at = if *i < 0 { items.len() as i64 + i } else { *i };
            usize::try_from(at).ok().and_then(|at| items.get(at)).into_iter().collect()
        }
        Step::Slice(from, to, step) => slice(value.items(), *from, *to, *step),
        Step::Union(steps) => steps.iter().flat_map(|step| one(step, value)).collect(),
        Step::Filter(left, test) => value.items().iter().filter(|item| holds(left, test.as_ref(), item)).collect(),
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(_) => value.items().iter().collect(),
        _ => value.members().map(|(_, member)| member).collect(),
    }
}

fn slice(items: &[Value], from: Option<i64>, to: Option<i64>, step: i64) -> Vec<&Value> {
    let len = items.len() as i64;
    let at = |i: i64| (if i < 0 { len + i } else { i }).clamp(0, len) as usize;
    let (from, to) = (at(from.unwrap_or(0)), at(to.unwrap_or(len)));
    items.get(from..to.max(from)).unwrap_or_default().iter().step_by(step.max(1) as usize).collect()
}

fn holds(left: &[Step], test: Option<&(Comparison, Operand)>, item: &Value) -> bool {
    let of = |steps: &[Step]| {
        let mut found = vec![item];
        walk(steps, &mut found);
        found.into_iter().next().cloned()
    };
    let Some(left) = of(left) else { return false };
    let Some((comparison, right)) = test else { return true };
    let right = match right {
        Operand::Literal(value) => value.clone(),
        Operand::Path(steps) => match of(steps) {
            Some(value) => value,
            None => return false,
        },
    };
    let order = match (&left, &right) {
        (Value::Str(a), Value::Str(b)) => a.partial_cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.partial_cmp(b),
        (a, b) => float(a).zip(float(b)).and_then(|(a, b)| a.partial_cmp(&b)),
    };
    let Some(order) = order else { return *comparison == Comparison::Unequal };
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::Unequal => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::More => order.is_gt(),
        Comparison::MoreOrEqual => order.is_ge(),
    }
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(i) => Some(*i as f64),
        Value::Float(f) => Some(*f),
        _ => None,
    }
}

/// Reads steps until the text ends or `ends` says so.
fn steps(rest: &mut &str, ends: fn(&str) -> bool) -> Option<Vec<Step>> {
    let mut out = Vec::new();
    while !rest.is_empty() && !ends(rest) {
        if let Some(after) = rest.strip_prefix("..") {
            *rest = after;
            out.push(Step::Deep);
            if !rest.starts_with('[') {
                out.extend(member(rest));
            }
        } else if let Some(after) = rest.strip_prefix('.') {
            *rest = after;
            if !rest.is_empty() && !rest.starts_with('[') && !ends(rest) {
                out.push(member(rest)?);
            }
        } else if let Some(after) = rest.strip_prefix('[') {
            let end = bracket_end(after)?;
            out.push(bracket(&after[..end])?);
            *rest = &after[end + 1..];
        } else if let Some(after) = rest.strip_prefix('$').or_else(|| rest.strip_prefix('@')) {
            *rest = after;
        } else {
            out.push(member(rest)?);
        }
    }
    Some(out)
}

/// A member's name; a backslash keeps what follows it.
fn member(rest: &mut &str) -> Option<Step> {
    let mut name = String::new();
    let mut letters = rest.char_indices();
    let mut end = rest.len();
    while let Some((at, c)) = letters.next() {
        match c {
            '\\' => name.extend(letters.next().map(|(_, c)| c)),
            '.' | '[' | ']' | ')' | '=' | '!' | '<' | '>' | ' ' | '|' | '&' => {
                end = at;
                break;
            }
            c => name.push(c),
        }
    }
    *rest = &rest[end..];
    match name.as_str() {
        "" => None,
        "*" => Some(Step::Any),
        _ => Some(Step::Member(name.into())),
    }
}

/// Where a bracket closes, past brackets and quotes within.
fn bracket_end(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Option<Step> {
    let text = text.trim();
    if let Some(filter) = text.strip_prefix("?(").and_then(|t| t.strip_suffix(')')) {
        return self::filter(filter.trim());
    }
    if text.contains(',') {
        return text.split(',').map(bracket).collect::<Option<Vec<_>>>().map(Step::Union);
    }
    if let Some(name) = quoted(text) {
        return Some(Step::Member(name.into()));
    }
    if text == "*" {
        return Some(Step::Any);
    }
    if text.contains(':') {
        let mut parts = text.split(':').map(|p| if p.is_empty() { Ok(None) } else { p.parse().map(Some) });
        let mut next = || parts.next().unwrap_or(Ok(None)).ok();
        return Some(Step::Slice(next()?, next()?, next()?.unwrap_or(1)));
    }
    text.parse().ok().map(Step::Index)
}

fn quoted(text: &str) -> Option<&str> {
    ['"', '\''].iter().find_map(|q| text.strip_prefix(*q)?.strip_suffix(*q))
}

fn filter(text: &str) -> Option<Step> {
    const SIGNS: [(&str, Comparison); 6] = [
        ("==", Comparison::Equal),
        ("!=", Comparison::Unequal),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::MoreOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::More),
    ];
    let mut rest = text;
    let left = steps(&mut rest, |rest| rest.starts_with(['=', '!', '<', '>', ' ']))?;
    let rest = rest.trim();
    if rest.is_empty() {
        return Some(Step::Filter(left, None));
    }
    let (sign, comparison) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign))?;
    let right = rest[sign.len()..].trim();
    let operand = match (quoted(right), right) {
        (Some(text), _) => Operand::Literal(text.into()),
        (None, "true") => Operand::Literal(true.into()),
        (None, "false") => Operand::Literal(false.into()),
        (None, path) if path.starts_with('@') => {
            let mut rest = path;
            Operand::Path(steps(&mut rest, |_| false)?)
        }
        (None, number) => match (number.parse::<i64>(), number.parse::<f64>()) {
            (Ok(i), _) => Operand::Literal(Value::Int(i)),
            (_, Ok(f)) => Operand::Literal(Value::Float(f)),
            _ => return None,
        },
    };
    Some(Step::Filter(left, Some((*comparison, operand))))
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    #[test]
    fn paths_lead_where_upstreams_do() {
        let object = value!({
            "spec": {"replicas": 3, "a.b": "dotted", "list": [1, 2, 3]},
            "status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "Up", "status": "True", "n": 2}]}
        });
        let cases = [
            (".spec.replicas", "3"),
            ("spec.replicas", "3"),
            (r".spec.a\.b", "dotted"),
            (".spec['a.b']", "dotted"),
            (".spec.list[1]", "2"),
            (".spec.list[-1]", "3"),
            (".spec.list[1:]", "2"),
            (".spec.list[*]", "1"),
            (r#".status.conditions[?(@.type=="Up")].status"#, "True"),
            (".status.conditions[?(@.n > 1)].type", "Up"),
            ("..n", "2"),
            (".spec.list", "[1,2,3]"),
        ];
        for (path, wanted) in cases {
            let read = JsonPath::parse(path).unwrap_or_else(|| panic!("{path} is a path"));
            assert_eq!(read.first(&object).map(JsonPath::text).as_deref(), Some(wanted), "{path}");
        }
        assert!(JsonPath::parse(".spec.none").is_some_and(|path| path.first(&object).is_none()));
        assert!(JsonPath::parse(".a[").is_none());
    }
}
