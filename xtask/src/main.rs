//! `cargo xtask`: everything that is done to the project rather than by it.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for whoever builds: it speaks on the terminal, reads the environment and the clock"
)]

use std::process::ExitCode;

use anyhow::{Result, bail};

mod bootstrap;
mod ci;
mod codegen;
mod fetch;
mod fuzz;
mod readme;
mod reference;
mod run;
mod runtime;
mod tidy;
mod up;

const USAGE: &str = "\
cargo xtask COMMAND

  up [--dev] [FLAG…]  build Skiff (--dev: as tests build it) and start it in the background; FLAGs go to `skiff up`
  down                stop what `up` started
  ci [--quick|--long] every check, each with its time; --quick is `make check`
  ci --only PART      one of them
  tidy                the laws of the house
  fix                 format, what clippy can mend, and what is generated from lists
  lists               the last of these alone
  codegen [--check]   read the schema facts out of upstream's modules
  bootstrap           install what is missing on this machine
  clients             stock kubectl and helm of several versions into .cache/clients
  reference [WHAT]    build upstream's programs: control (default), suite, node, all
  reference up|down   etcd and kube-apiserver on loopback, for a look by hand
  conformance [FLAG…] the official suite against Skiff or upstream; --help lists the flags
  twin | bench        compare with upstream: answers, or speed and memory
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(words: &[&str]) -> Result<()> {
    match words {
        ["up", flags @ ..] => up::up(flags),
        ["down"] => up::down(),
        ["ci"] => ci::ci(ci::Tier::Full),
        ["ci", "--quick"] => ci::ci(ci::Tier::Quick),
        ["ci", "--long"] => ci::ci(ci::Tier::Long),
        ["ci", "--only", part] => ci::only(part),
        ["tidy"] => tidy::command(),
        ["fix"] => ci::fix(),
        ["lists"] => ci::lists(),
        ["codegen", flags @ ..] => codegen::run(flags),
        ["bootstrap"] => bootstrap::all(),
        ["clients"] => fetch::clients(),
        ["reference"] => reference::build(&["control"]),
        ["reference", what @ ..] => reference::command(what),
        ["twin", flags @ ..] => reference::compare("twin", flags, &[]),
        ["conformance", flags @ ..] => reference::suite(flags),
        ["bench", flags @ ..] => reference::compare("bench", flags, &["--release"]),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        other => bail!("no such command: {}\n\n{USAGE}", other.join(" ")),
    }
}
