//! Answers expressions, one a line as JSON, as upstream's program in `conformance/clients/go/expressions` does: for holding the
//! two beside each other by hand.

use std::io::{BufRead, Write};

#[path = "../tests/world.rs"]
mod world;

fn main() -> std::io::Result<()> {
    let (new, stored) = (world::environment("new"), world::environment("stored"));
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let question: serde_json::Value = serde_json::from_str(&line?)?;
        let (mode, text) = (question["mode"].as_str().unwrap_or("new"), question["expr"].as_str().unwrap_or(""));
        let environment = if mode == "stored" { &stored } else { &new };
        writeln!(out, "{}", world::answer(environment, mode, text))?;
    }
    Ok(())
}
