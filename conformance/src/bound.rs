//! Programs that end with the one that started them, however that ends: `kill -9` runs no destructor.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, ensure};

/// A program that runs beside this one. Dropping it ends it.
pub struct Program(Child);

/// A command whose process is killed when the thread that starts it ends; for threads that live as long as their program.
pub fn bound(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL").arg("--").arg(program);
    command
}

/// The same of a command that is put together already; what its process is given is set after this.
pub fn around(command: &Command) -> Command {
    let mut whole = bound(command.get_program());
    whole.args(command.get_args());
    whole
}

// === impl Program ===

impl Program {
    /// Starts a command that is put together already, bound; what it prints goes to `log`.
    pub fn start(command: &Command, log: &Path) -> Result<Program> {
        let log = std::fs::File::create(log).with_context(|| log.display().to_string())?;
        let mut whole = around(command);
        whole.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = whole.spawn().with_context(|| format!("{:?} cannot be started", command.get_program()))?;
        Ok(Program(child))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal, by name: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status()?;
        ensure!(sent.success(), "{name} was not sent");
        Ok(())
    }

    /// How it ended; none while it runs.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.0.wait()?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only when it is gone already, which is what we want.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    /// A shell that starts a bound program, says its number and is killed.
    #[test]
    fn a_bound_program_ends_with_a_parent_that_is_killed() {
        let script = "setpriv --pdeathsig=KILL -- sleep 1000 & echo $!; read -r wait";
        let said = bound("true").get_program().to_owned();
        assert_eq!(said, "setpriv");
        let mut shell = Command::new("sh");
        let mut shell =
            shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("there is a shell");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says a number");
        let process = std::path::PathBuf::from(format!("/proc/{}/stat", line.trim()));
        let stat = || std::fs::read_to_string(&process).unwrap_or_default();
        let lives = || !stat().is_empty() && !stat().contains(") Z ");
        // The signal is asked for before the program begins.
        while !stat().contains("(sleep)") {
            std::thread::yield_now();
        }
        shell.kill().expect("it runs");
        shell.wait().expect("it was started");
        while lives() {
            std::thread::yield_now();
        }
    }
}
