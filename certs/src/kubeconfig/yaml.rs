//! Trees as YAML that every reader understands the same way.
//!
//! Go's readers take `on`, `n` and their like for truth values (YAML 1.1), which later versions do not; so a name that is one
//! of these has to stand in quotes, or what worked before a merge does not after it.

use yaml_serde::{Mapping, Value};

use crate::Error;

/// Words that some version of YAML takes for something else than text, in any case.
const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];

/// `config` as a block of YAML.
pub fn write(config: &Mapping) -> Result<String, Error> {
    let mut text = String::new();
    block_mapping(&mut text, config, 0)?;
    Ok(text)
}

fn block_mapping(text: &mut String, mapping: &Mapping, depth: usize) -> Result<(), Error> {
    for (index, (key, value)) in mapping.iter().enumerate() {
        // The first member stands where the list's dash has led to.
        if index > 0 || text.is_empty() || text.ends_with('\n') {
            indent(text, depth);
        }
        if matches!(key, Value::Mapping(_) | Value::Sequence(_)) {
            return Err(Error::Kubeconfig("one of its names is no text".to_owned()));
        }
        *text += &scalar(key)?;
        text.push(':');
        match value {
            Value::Mapping(inner) if !inner.is_empty() => {
                text.push('\n');
                block_mapping(text, inner, depth + 1)?;
            }
            // As `kubectl` writes them: a list's dashes stand below its name.
            Value::Sequence(items) if !items.is_empty() => {
                text.push('\n');
                block_sequence(text, items, depth)?;
            }
            other => *text += &format!(" {}\n", scalar(other)?),
        }
    }
    Ok(())
}

fn block_sequence(text: &mut String, items: &[Value], depth: usize) -> Result<(), Error> {
    for item in items {
        indent(text, depth);
        *text += "- ";
        match item {
            Value::Mapping(inner) if !inner.is_empty() => block_mapping(text, inner, depth + 1)?,
            Value::Sequence(inner) if !inner.is_empty() => {
                text.truncate(text.len() - 1);
                text.push('\n');
                block_sequence(text, inner, depth + 1)?;
            }
            other => *text += &format!("{}\n", scalar(other)?),
        }
    }
    Ok(())
}

fn indent(text: &mut String, depth: usize) {
    (0..depth).for_each(|_| *text += "  ");
}

fn scalar(value: &Value) -> Result<String, Error> {
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if is_plain(text) => text.clone(),
        Value::String(text) => quoted(text),
        Value::Mapping(_) => "{}".to_owned(),
        Value::Sequence(_) => "[]".to_owned(),
        Value::Tagged(_) => return Err(Error::Kubeconfig("it has a YAML tag, which no kubeconfig needs".to_owned())),
    })
}

fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with(':')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./@+=:-".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            '\t' => out += "\\t",
            // Not all of these may stand in a file as they are.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out += &format!("\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use yaml_serde::{Mapping, Value};

    use super::write;

    #[test]
    fn what_is_written_reads_as_it_was() {
        let text = r#"
a: "on"
"n": "012"
nested: {list: [1, -2.5, true, null, "null", [], {}, [x, [y, "no"]], {k: "v: w", "y": "~"}], empty: ""}
text: "two\nlines\t\"quoted\" \\ \u0007 \u2028 ü #x"
time: "12:30:45"
url: https://a.example:6443/x?y
key: LS0tLS1CRUdJTg==
"#;
        let tree: Mapping = yaml_serde::from_str(text).expect("it is well-formed");
        let written = write(&tree).expect("it has no tags");
        let again: Value = yaml_serde::from_str(&written).expect("it is well-formed");
        assert_eq!(again, Value::Mapping(tree), "{written}");
        for line in ["a: \"on\"", "\"n\": \"012\"", "time: \"12:30:45\"", "url: \"https://a.example:6443/x?y\""] {
            assert!(written.lines().any(|found| found == line), "{line} is not in:\n{written}");
        }
        assert!(written.contains("      k: \"v: w\"\n") || written.contains("  - k: \"v: w\"\n"), "{written}");
        assert!(written.contains("key: LS0tLS1CRUdJTg==\n"), "{written}");
    }

    #[test]
    fn a_tag_is_refused() {
        let tree: Mapping = yaml_serde::from_str("a: !thing x\n").expect("it is well-formed");
        assert!(write(&tree).is_err());
    }

    #[test]
    fn a_name_that_is_a_tree_is_refused_and_not_lost() {
        for text in ["{a: 1}: x\n", "? [a]\n: x\n"] {
            let tree: Mapping = yaml_serde::from_str(text).expect("it is well-formed");
            assert!(write(&tree).is_err(), "{text}");
        }
    }
}
