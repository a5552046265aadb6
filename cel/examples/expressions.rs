//! Prints so many expressions from a seed (a third argument: broken ones), as questions for `answers` and for upstream's program.

#[path = "../tests/generate.rs"]
mod generate;

#[allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a program to be used by hand")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let mut seed = generate::Seed(number(1));
    let (count, broken) = (number(1000), number(0));
    for _ in 0..count {
        let expression = if broken == 0 { generate::expression(&mut seed) } else { generate::broken(&mut seed) };
        println!("{}", serde_json::json!({ "mode": "new", "expr": expression }));
    }
}
