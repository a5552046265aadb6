//! What no test does: sleep, be ignored, expect a panic of anybody's.

use super::{Finding, Tree};

/// Split, so that this file does not break its own law.
const BANNED: &[(&str, &str)] = &[
    ("#[ignore", "an ignored test proves nothing: make it run or take it out"),
    ("#[should_panic", "say which error: any panic passes this test"),
];
const SLEEP: &str = "wait for what you wait for, or move the clock that is handed in";

pub fn test_code(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        for (line, code) in source.code_lines() {
            let mut found = |message: &str| findings.push(Finding::new("test", &source.path, line, message.to_owned()));
            for (pattern, message) in BANNED {
                if code.contains(pattern) {
                    found(message);
                }
            }
            if source.is_test(line) && calls_sleep(code) {
                found(SLEEP);
            }
        }
    }
    findings
}

fn calls_sleep(code: &str) -> bool {
    let calls = code.match_indices("sleep").filter(|(at, word)| {
        let after = code[at + word.len()..].trim_start_matches("_until");
        after.starts_with('(') && !code[..*at].ends_with(super::source::is_word)
    });
    !code.contains("fn sleep") && calls.count() > 0
}
