//! Kubernetes in one binary: flags to configs to running parts.
//!
//! The only place that reads arguments, the environment and the wall clock. No `if` about Kubernetes here: what a part
//! does is its own crate's matter. It is a library for the program beside it, and for `skiff_test`, which starts a server
//! inside a program of tests.

mod address;
pub mod apiserver;
mod check;
mod clock;
mod controllers;
mod dns;
mod envtest;
mod features;
pub mod flags;
mod kubeconfig;
mod leadership;
pub mod log;
mod manifests;
mod node;
pub mod parts;
mod proxy;
mod scheduler;
mod stop;
mod token;
mod up;

use clap::Parser;

/// The program.
pub fn main() -> std::process::ExitCode {
    let flags = match flags::Skiff::try_parse() {
        Ok(flags) => flags,
        Err(error) => {
            let command = flags::command();
            let Some(words) = flags::go::words(&error, &command) else { error.exit() };
            clock::complain_about_flags(&format!("{words}; `{command} --help` says what there is"));
            return std::process::ExitCode::FAILURE;
        }
    };
    log::begin(flags.log_steps(), flags.log_format());
    let outcome = match flags.command {
        flags::Command::Up(up) => up::run(up),
        flags::Command::Apiserver(apiserver) => {
            #[expect(clippy::disallowed_methods, reason = "arguments are read here, and nowhere else")]
            let told = flags::Told::of(std::env::args_os());
            apiserver::run(apiserver, told, parts::Beside::default())
        }
        flags::Command::Controllers(controllers) => controllers::run(controllers),
        flags::Command::Scheduler(scheduler) => scheduler::run(&scheduler),
        flags::Command::Proxy(proxy) => proxy::run(&proxy),
        flags::Command::Dns(dns) => dns::run(&dns),
        flags::Command::Node(node) => node::run(&node),
        flags::Command::Check(check) => check::run(&check),
        flags::Command::Kubeconfig(kubeconfig) => kubeconfig::run(&kubeconfig),
        flags::Command::Token(token) => token::run(&token),
        flags::Command::Envtest(envtest) => envtest::run(&envtest),
        flags::Command::EnvtestEtcd(etcd) => envtest::etcd::run(&etcd),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            clock::complain(&error);
            std::process::ExitCode::FAILURE
        }
    }
}
