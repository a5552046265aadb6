//! How long it takes to compile and to evaluate a rule over ten containers: `cargo run --release -p cel --example speed`.

use std::collections::BTreeMap;
use std::time::Instant;

use cel::{Budget, Environment, Mode, Type, Value, compile};

const RULE: &str =
    "object.spec.containers.all(c, c.image.startsWith('registry.example/') && (!has(c.privileged) || !c.privileged))";
const TURNS: u32 = 20_000;

#[allow(clippy::print_stdout, reason = "a program to be used by hand")]
fn main() {
    let entries = |entries: &[(&str, Value)]| {
        Value::map(entries.iter().map(|(key, value)| (Value::from(*key), value.clone())).collect())
    };
    let container = |number: usize| {
        entries(&[
            ("name", format!("c{number}").into()),
            ("image", format!("registry.example/app-{number}:1.2.3").into()),
            ("privileged", false.into()),
        ])
    };
    let containers = Value::list((0..10).map(container).collect());
    let object = entries(&[("spec", entries(&[("containers", containers)]))]);
    let variables: BTreeMap<String, Value> = [("object".to_owned(), object)].into();
    let environment = Environment::new(Mode::StoredExpressions).variable("object", Type::Dyn);
    let start = Instant::now();
    for _ in 0..TURNS {
        let program = compile(&environment, RULE).expect("it is right").program();
        std::hint::black_box(program.expect("it is constant nowhere"));
    }
    println!("parse, check and plan: {:.2} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(TURNS));
    let program = compile(&environment, RULE).expect("it is right").program().expect("it is constant nowhere");
    let mut budget = Budget::default();
    let start = Instant::now();
    for _ in 0..TURNS {
        let value = program.evaluate(&variables, &mut budget).expect("it has a value");
        assert!(value.as_bool() == Some(true));
    }
    println!("evaluate: {:.2} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(TURNS));
    println!("cost of one evaluation: {}", budget.used / u64::from(TURNS));
}
