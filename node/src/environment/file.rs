//! A variable out of a file of `NAME='value'` lines. Upstream: pkg/kubelet/util/env ParseEnv.

/// The value of `key` in a file's text; `""` when it is not in it. Lines after the one that has it are not read.
pub fn value_of(text: &str, key: &str) -> Result<String, String> {
    let mut lines = text.lines().enumerate();
    while let Some((i, line)) = lines.next() {
        let wrong = |what: &str| format!("invalid environment variable format at line {}: {what}", i + 1);
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or_else(|| wrong("missing '='"))?;
        let trimmed = name.trim_end_matches([' ', '\t']);
        if trimmed.is_empty() {
            return Err(wrong("empty variable name"));
        }
        if trimmed != name {
            return Err(wrong("whitespace before '=' is not allowed"));
        }
        if value.starts_with([' ', '\t']) {
            // As in a shell, this sets the variable to nothing and runs the rest.
            if name == key {
                return Ok(String::new());
            }
            continue;
        }
        let quoted = value.strip_prefix('\'').ok_or_else(|| wrong("value must be enclosed in single quotes"))?;
        let value = quoted_value(quoted, i, &mut lines)?;
        if name == key {
            return Ok(value);
        }
    }
    Ok(String::new())
}

/// What stands before the closing quote, over as many lines as it takes.
fn quoted_value<'a>(
    first: &'a str,
    start: usize,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
) -> Result<String, String> {
    let mut value = String::new();
    let (mut at, mut rest) = (start, first);
    loop {
        if let Some((inner, after)) = rest.split_once('\'') {
            value.push_str(inner);
            let after = after.trim_start_matches([' ', '\t']);
            if !after.is_empty() && !after.starts_with('#') {
                let line = at + 1;
                return Err(format!(
                    "invalid environment variable format at line {line}: unexpected content after closing quote"
                ));
            }
            return Ok(value);
        }
        value.push_str(rest);
        value.push('\n');
        (at, rest) = lines.next().ok_or_else(|| {
            format!("invalid environment variable format starting at line {}: unclosed single quote", start + 1)
        })?;
    }
}

#[cfg(test)]
mod tests {
    use super::value_of;

    #[test]
    fn values_stand_in_single_quotes() {
        let text = "# c\n\n  A='one' # more\nB='two\nlines'\nC= 'x'\nD='a=b$(A)'\n";
        assert_eq!(value_of(text, "A"), Ok("one".into()));
        assert_eq!(value_of(text, "B"), Ok("two\nlines".into()));
        assert_eq!(value_of(text, "C"), Ok(String::new()));
        assert_eq!(value_of(text, "D"), Ok("a=b$(A)".into()));
        assert_eq!(value_of(text, "E"), Ok(String::new()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let at = "invalid environment variable format at line";
        assert_eq!(value_of("\nA", "A"), Err(format!("{at} 2: missing '='")));
        assert_eq!(value_of("='x'", "A"), Err(format!("{at} 1: empty variable name")));
        assert_eq!(value_of("B ='x'", "A"), Err(format!("{at} 1: whitespace before '=' is not allowed")));
        assert_eq!(value_of("B=x", "A"), Err(format!("{at} 1: value must be enclosed in single quotes")));
        assert_eq!(value_of("B='x'y", "A"), Err(format!("{at} 1: unexpected content after closing quote")));
        let open = "invalid environment variable format starting at line 1: unclosed single quote";
        assert_eq!(value_of("B='x\ny\n", "A"), Err(open.into()));
    }
}
