//! Expressions beside upstream's engine: what is wrong with them, their types, estimated and actual costs, values and errors, to
//! the word and the unit.
//!
//! `testdata/answers.jsonl` is what upstream's program (`conformance/clients/go/expressions`) said of
//! `testdata/expressions.txt`; the tests of `clients` ask it anew, and of expressions made from seeds too.

mod generate;
mod textproto;
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

/// Upstream's answers that are not ours, each with ours.
fn differing(theirs: &[Json]) -> Vec<(&Json, Json)> {
    let (new, stored) = (world::environment("new"), world::environment("stored"));
    let mut found = Vec::new();
    for theirs in theirs.iter().filter(|answer| !is_upstreams_own_fault(answer)) {
        let (mode, text) = question(theirs);
        let ours = world::answer(if mode == "stored" { &stored } else { &new }, mode, text);
        if ours != *theirs {
            found.push((theirs, ours));
        }
    }
    found
}

/// What was asked: mode and text.
fn question(answer: &Json) -> (&str, &str) {
    (answer["mode"].as_str().unwrap_or("new"), answer["expr"].as_str().unwrap_or(""))
}

/// None may differ.
fn assert_none(differing: &[(&Json, Json)]) {
    let lines: Vec<_> = differing
        .iter()
        .map(|(theirs, ours)| format!("{}\n  upstream: {theirs}\n  here:     {ours}", question(theirs).1))
        .collect();
    assert!(lines.is_empty(), "{} differ:\n{}", lines.len(), lines.join("\n"));
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
    assert_none(&differing(&answers));
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

    /// How often upstream is asked about a walk before its answer is taken for another than ours.
    const WALKS: usize = 64;

    /// Upstream walks a map in another order each time, and where the walk ends early its cost, or the order of a list, hangs
    /// on that. So what it says otherwise than we is asked again, and differs when none of its answers is ours.
    fn assert_upstream_agrees(questions: Vec<(String, String)>) {
        let answers = upstream(questions);
        let mut differing = differing(&answers);
        let again = differing.iter().flat_map(|(theirs, _)| {
            let (mode, text) = question(theirs);
            std::iter::repeat_n((mode.to_owned(), text.to_owned()), WALKS)
        });
        let again = upstream(again.collect());
        let mut walks = again.chunks(WALKS);
        differing.retain(|(_, ours)| walks.next().is_some_and(|answers| !answers.contains(ours)));
        assert_none(&differing);
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
        assert_upstream_agrees(questions);
    }

    /// The expressions of the language's own conformance tests, out of the module that upstream's engine is built with. Most of
    /// their variables are not declared here, which is as good a question as any.
    ///
    /// Left out: literals of protobuf's well-known types, which are not here.
    #[test]
    fn expressions_of_the_languages_own_tests_come_to_the_same() {
        let clients = concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/clients/go");
        let found = Command::new("go")
            .args(["list", "-m", "-f", "{{.Dir}}", "cel.dev/expr"])
            .current_dir(clients)
            .output()
            .expect("go is there");
        let folder = String::from_utf8(found.stdout).expect("a path is text");
        let folder = std::path::Path::new(folder.trim()).join("tests/simple/testdata");
        let mut questions = Vec::new();
        for entry in std::fs::read_dir(folder).expect("the module has its tests") {
            let path = entry.expect("it can be read").path();
            let text = std::fs::read_to_string(path).expect("a test is text");
            questions.extend(textproto::expressions(&text).into_iter().map(|text| ("new".to_owned(), text)));
        }
        questions.retain(|(_, text)| !text.contains("google.protobuf."));
        assert!(questions.len() > 2000, "only {} expressions were found", questions.len());
        assert_upstream_agrees(questions);
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
