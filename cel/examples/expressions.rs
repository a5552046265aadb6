//! Prints so many expressions from a seed, as questions for `answers` and for upstream's program.

#[path = "../tests/generate.rs"]
mod generate;

#[allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a program to be used by hand")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let mut seed = generate::Seed(number(1));
    for _ in 0..number(1000) {
        let expression = generate::expression(&mut seed);
        println!("{}", serde_json::json!({ "mode": "new", "expr": expression }));
    }
}
