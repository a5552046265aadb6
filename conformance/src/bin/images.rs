//! `images DIRECTORY [NAME…]`: the suite's images (or those named) as archives.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for whoever builds: it speaks on the terminal and reads its arguments"
)]

use std::path::Path;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (directory, names) = words.split_first().context("say where the images are to be")?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for path in conformance::images::build(Path::new(directory), &conformance::upstream::programs(), &names)? {
        println!("{}", path.display());
    }
    Ok(())
}
