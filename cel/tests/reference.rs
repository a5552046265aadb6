//! Expressions beside upstream's engine: what is wrong with them, their types, estimated and actual costs, values and errors, to
//! the word and the unit.
//!
//! `testdata/answers.jsonl` is what upstream's program (`conformance/clients/go/expressions`) said of
//! `testdata/expressions.txt`; the tests of `clients` ask it anew, and of expressions made from seeds too.

mod generate;
mod world;

use serde_json::Value as Json;

const EXPRESSIONS: &str = include_str!("testdata/expressions.txt");
const ANSWERS: &str = include_str!("testdata/answers.jsonl");

/// The expressions of the file: mode and text.
fn expressions() -> Vec<(&'static str, &'static str)> {
    let lines = EXPRESSIONS.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines.map(|line| line.strip_prefix("stored ").map_or(("new", line), |text| ("stored", text))).collect()
}

/// Upstream fails over these itself: its trackers of costs take an error for a list, its maps cannot have such keys.
fn is_upstreams_own_fault(answer: &Json) -> bool {
    answer["error"].as_str().is_some_and(|error| error.starts_with("internal error: "))
}

/// Where both do not say the same, one line each.
fn differences(theirs: &[Json]) -> Vec<String> {
    let (new, stored) = (world::environment("new"), world::environment("stored"));
    let mut found = Vec::new();
    for theirs in theirs.iter().filter(|answer| !is_upstreams_own_fault(answer)) {
        let (mode, text) = (theirs["mode"].as_str().unwrap_or("new"), theirs["expr"].as_str().unwrap_or(""));
        let ours = world::answer(if mode == "stored" { &stored } else { &new }, mode, text);
        if ours != *theirs {
            found.push(format!("{text}\n  upstream: {theirs}\n  here:     {ours}"));
        }
    }
    found
}

fn parsed(lines: &str) -> Vec<Json> {
    lines.lines().map(|line| serde_json::from_str(line).expect("an answer is JSON")).collect()
}

#[test]
fn recorded_answers_are_ours() {
    let answers = parsed(ANSWERS);
    let asked: Vec<_> = answers.iter().map(|answer| (answer["mode"].clone(), answer["expr"].clone())).collect();
    let listed: Vec<_> = expressions().into_iter().map(|(mode, text)| (Json::from(mode), Json::from(text))).collect();
    assert_eq!(asked, listed, "answers.jsonl is not of expressions.txt: record it anew");
    let differences = differences(&answers);
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn expressions_from_seeds_are_answered() {
    let environment = world::environment("new");
    let mut seed = generate::Seed(3);
    let mut values = 0;
    for _ in 0..500 {
        let answer = world::answer(&environment, "new", &generate::expression(&mut seed));
        values += usize::from(answer.get("value").is_some());
        world::answer(&environment, "new", &generate::broken(&mut seed));
    }
    assert!(values > 150, "of 500 expressions only {values} have a value: the generator makes nonsense");
}

mod clients {
    //! With upstream's program, which `cargo xtask clients` builds.

    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    /// What upstream says, one answer each.
    fn upstream(questions: Vec<(String, String)>) -> Vec<Json> {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../.cache/clients/go/expressions");
        let mut child = Command::new(program)
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`cargo xtask clients` builds the program");
        let mut input = child.stdin.take().expect("its input is a pipe");
        let writer = std::thread::spawn(move || {
            for (mode, expr) in questions {
                writeln!(input, "{}", serde_json::json!({ "mode": mode, "expr": expr })).expect("it reads all");
            }
        });
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("it writes all");
        assert!(output.status.success());
        parsed(&String::from_utf8(output.stdout).expect("it writes text"))
    }

    #[test]
    fn the_record_is_what_upstream_says() {
        let questions = expressions().into_iter().map(|(mode, text)| (mode.to_owned(), text.to_owned())).collect();
        assert!(upstream(questions) == parsed(ANSWERS), "answers.jsonl is not what upstream says: record it anew");
    }

    #[test]
    fn seeded_expressions_come_to_the_same() {
        let mut seed = generate::Seed(20_261_121);
        let questions = (0..10_000).map(|_| ("new".to_owned(), generate::expression(&mut seed))).collect();
        let differences = differences(&upstream(questions));
        assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    }

    /// What is broken is refused by both. In the words there is a difference left: upstream looks at what remains of a broken
    /// tree and says what else it does not like in it.
    #[test]
    fn broken_expressions_are_refused_alike() {
        let mut seed = generate::Seed(20_261_121);
        let questions = (0..5_000).map(|_| ("new".to_owned(), generate::broken(&mut seed))).collect();
        let answers = upstream(questions);
        let environment = world::environment("new");
        let mut same = 0;
        for theirs in &answers {
            let text = theirs["expr"].as_str().unwrap_or("");
            let ours = world::answer(&environment, "new", text);
            assert_eq!(ours.get("issues").is_some(), theirs.get("issues").is_some(), "{text}\n{theirs}\n{ours}");
            same += usize::from(ours == *theirs || is_upstreams_own_fault(theirs));
        }
        assert!(same * 100 >= answers.len() * 97, "only {same} of {} are told of in the same words", answers.len());
    }
}
