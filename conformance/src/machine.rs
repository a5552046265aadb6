//! Network namespaces that stand for machines and pods: made for one test, and gone with it.
//!
//! Everything is done by `ip`; what is started in a namespace is ended with it. Nothing outside of them is touched.

use std::{
    os::fd::AsFd,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// How long what is awaited may take on a machine that stalls at times.
const WITHIN: Duration = Duration::from_secs(60);

/// Namespaces with a name of the test's own before theirs.
pub struct Machines {
    prefix: String,
    names: Vec<String>,
    running: Vec<Child>,
}

// === impl Machines ===

impl Machines {
    /// Says why there can be none here.
    pub fn are_missing() -> Option<String> {
        for program in ["ip", "nft", "conntrack"] {
            if Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
                return Some(format!("there is no program {program}"));
            }
        }
        let made = Command::new("unshare").args(["--net", "true"]).stderr(Stdio::null()).status();
        (!made.is_ok_and(|status| status.success())).then(|| "network namespaces need root".into())
    }

    /// Makes namespaces, each with its loopback up.
    pub fn new(test: &str, names: &[&str]) -> Result<Machines> {
        let prefix = format!("{test}-{}-", std::process::id());
        let mut machines = Machines { prefix, names: Vec::new(), running: Vec::new() };
        for name in names {
            let full = machines.name(name);
            ip(&["netns", "add", &full])?;
            machines.names.push(full);
            machines.run(name, &["ip", "link", "set", "lo", "up"])?;
        }
        Ok(machines)
    }

    /// Lays a cable between two, with an address with its network on each end.
    pub fn connect(&self, a: (&str, &str), b: (&str, &str)) -> Result<()> {
        let (near, far) = (format!("to-{}", b.0), format!("to-{}", a.0));
        let (near_ns, far_ns) = (self.name(a.0), self.name(b.0));
        ip(&["-n", &near_ns, "link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &far_ns])?;
        for (name, link, address) in [(a.0, &near, a.1), (b.0, &far, b.1)] {
            let mut add = vec!["ip", "address", "add", address, "dev", link];
            if address.contains(':') {
                add.push("nodad");
            }
            self.run(name, &add)?;
            self.run(name, &["ip", "link", "set", link, "up"])?;
        }
        Ok(())
    }

    /// Runs a program in a namespace and answers what it prints.
    pub fn run(&self, name: &str, command: &[&str]) -> Result<String> {
        let output = self.command(name, command).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} in {name}: {said}", command.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Does something in a namespace, on a thread of its own: its sockets are that machine's.
    pub fn within<T: Send>(&self, name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let namespace = std::fs::File::open(Path::new("/run/netns").join(self.name(name)))?;
        let inside = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        };
        std::thread::scope(|scope| scope.spawn(inside).join()).map_err(|_| anyhow::anyhow!("it panicked in {name}"))?
    }

    /// Starts a program that runs until the test ends, with a log.
    pub fn start(&mut self, name: &str, command: &[&str], log: &Path) -> Result<()> {
        let log = std::fs::File::create(log)?;
        let child = self.command(name, command).stdout(log.try_clone()?).stderr(log).spawn();
        self.running.push(child.with_context(|| format!("{} cannot be started", command.join(" ")))?);
        Ok(())
    }

    fn command(&self, name: &str, command: &[&str]) -> Command {
        let mut whole = Command::new("ip");
        whole.args(["netns", "exec", &self.name(name)]).args(command).stdin(Stdio::null());
        whole
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in &self.names {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

/// Asks again until an answer will do; what is awaited happens in other processes.
#[allow(clippy::disallowed_methods)]
pub fn until<T: std::fmt::Debug>(what: &str, ask: impl Fn() -> Result<T>, will_do: impl Fn(&T) -> bool) -> Result<T> {
    let begun = Instant::now();
    loop {
        let answer = ask();
        match answer {
            Ok(answer) if will_do(&answer) => return Ok(answer),
            other if begun.elapsed() > WITHIN => anyhow::bail!("{what}: still {other:?} after {WITHIN:?}"),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    Ok(())
}
