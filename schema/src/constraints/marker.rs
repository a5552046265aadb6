//! The text of a marker: `beta(since: "1.37")=+k8s:item(type: "Approved")=+k8s:zeroOrOneOfMember`.

/// A marker, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Marker<'a> {
    pub name: &'a str,
    /// Name (`""` for an argument by place) and text, unquoted.
    pub args: Vec<(&'a str, &'a str)>,
    pub value: &'a str,
    /// What follows `=+k8s:`.
    pub inner: Option<Box<Marker<'a>>>,
}

/// Reads a marker; what it does not understand becomes part of a name that nobody knows.
pub fn parse(text: &str) -> Marker<'_> {
    let text = text.split(" #").next().unwrap_or(text).trim();
    let end = text.find(['(', '=']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let (args, rest) = match rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
        Some((args, rest)) => (args, rest),
        None => ("", rest),
    };
    let value = rest.strip_prefix('=').unwrap_or("");
    let inner = value.strip_prefix("+k8s:").map(|v| Box::new(parse(v)));
    Marker {
        name,
        args: args.split(',').map(argument).filter(|a| !a.1.is_empty()).collect(),
        value: unquote(value),
        inner,
    }
}

fn argument(text: &str) -> (&str, &str) {
    match text.split_once(':') {
        Some((name, value)) => (name.trim(), unquote(value)),
        None => ("", unquote(text)),
    }
}

fn unquote(text: &str) -> &str {
    text.trim().trim_matches('"')
}

impl Marker<'_> {
    /// The first argument's text.
    pub fn arg(&self) -> &str {
        self.args.first().map_or("", |a| a.1)
    }
}
