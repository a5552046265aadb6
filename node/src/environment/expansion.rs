//! `$(NAME)` in commands, arguments, values and paths. Upstream: third_party/forked/golang/expansion.

/// Replaces references by what `value_of` knows; what it does not know stays as it is written. `$$` is one `$`.
pub fn expand<'a>(text: &str, value_of: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        rest = match after.chars().next() {
            None => {
                out.push('$');
                after
            }
            Some('$') => {
                out.push('$');
                &after[1..]
            }
            Some('(') => reference(&mut out, after, &value_of),
            Some(c) => {
                out.push('$');
                out.push(c);
                &after[c.len_utf8()..]
            }
        };
    }
    out.push_str(rest);
    out
}

/// `after` begins with the parenthesis. Returns what comes after the reference.
fn reference<'a, 't>(out: &mut String, after: &'t str, value_of: &impl Fn(&str) -> Option<&'a str>) -> &'t str {
    let Some(end) = after.find(')') else {
        out.push_str("$(");
        return &after[1..];
    };
    let name = &after[1..end];
    match value_of(name) {
        Some(value) => out.push_str(value),
        None => out.extend(["$(", name, ")"]),
    }
    &after[end + 1..]
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn references_are_replaced_and_all_else_stays() {
        let known = |name: &str| match name {
            "VAR_A" => Some("A"),
            "VAR_B" => Some("B"),
            "VAR_REF" => Some("$(VAR_A)"),
            "" => Some("empty"),
            _ => None,
        };
        for (text, expected) in [
            ("$(VAR_A)", "A"),
            ("___$(VAR_B)___", "___B___"),
            ("$(VAR_A)$(VAR_B)", "AB"),
            ("$(VAR_REF)", "$(VAR_A)"),
            ("$$(VAR_A)", "$(VAR_A)"),
            ("$$$(VAR_A)", "$A"),
            ("$$$$$$", "$$$"),
            ("$(NOPE)-$(VAR_A)", "$(NOPE)-A"),
            ("$(VAR_A", "$(VAR_A"),
            ("foo$", "foo$"),
            ("$VAR_A", "$VAR_A"),
            ("$é$(VAR_A)", "$éA"),
            ("$()", "empty"),
            ("\n$(VAR_A)\n", "\nA\n"),
            ("f000-$((VAR_A)", "f000-$((VAR_A)"),
        ] {
            assert_eq!(expand(text, known), expected, "{text}");
        }
    }
}
