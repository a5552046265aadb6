//! Skiff as a process beside the tests.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;

use crate::{bound::Program, http::Client, ports};

/// How long a start may take on a machine that stalls at times.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// Parts that change nothing outside of their data.
const CONTROL_PLANE: &str = "apiserver,controllers,scheduler";

/// A running Skiff; dropping it ends it.
pub struct Skiff {
    pub kubeconfig: PathBuf,
    pub port: u16,
    address: String,
    /// Parts of its own that run beside it; they go before the server that they ask.
    beside: Vec<Controllers>,
    log: PathBuf,
    process: Program,
}

impl Skiff {
    /// Starts `program up` on a free port with its data in `directory`. Unless it says which parts, it has no node: this
    /// machine's containers are not the tests' business.
    pub fn start(program: &Path, directory: &Path, more: &[&str]) -> Result<Skiff> {
        let parts: &[&str] = if more.contains(&"--parts") { &["up"] } else { &["up", "--parts", CONTROL_PLANE] };
        Skiff::launch(program, parts, directory, more)
    }

    /// Starts `program up` where nodes of this machine can reach it.
    pub fn start_at(program: &Path, address: &str, directory: &Path, more: &[&str]) -> Result<Skiff> {
        Skiff::launch(program, &["up", "--bind-address", address], directory, more)
    }

    /// Starts `program apiserver` alone, on loopback.
    pub fn start_apiserver(program: &Path, directory: &Path, more: &[&str]) -> Result<Skiff> {
        Skiff::launch(program, &["apiserver", "--bind-address", "127.0.0.1"], directory, more)
    }

    /// Starts `program up` without a scheduler, and `program controllers` with a list as `--controllers` takes it.
    pub fn start_with_controllers(program: &Path, directory: &Path, controllers: &str) -> Result<Skiff> {
        let mut skiff = Skiff::start(program, directory, &["--parts", "apiserver"])?;
        let log = directory.with_extension("controllers.log");
        let controllers = Controllers::start(program, &skiff.kubeconfig, &log, &["--controllers", controllers])?;
        skiff.beside.push(controllers);
        Ok(skiff)
    }

    /// The same with `program apiserver`, which has flags that `program up` has not.
    pub fn start_apiserver_with_controllers(
        program: &Path,
        directory: &Path,
        controllers: &str,
        flags: &[String],
    ) -> Result<Skiff> {
        let mut more = vec!["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"];
        more.extend(flags.iter().map(String::as_str));
        let mut skiff = Skiff::start_apiserver(program, directory, &more)?;
        let log = directory.with_extension("controllers.log");
        let controllers = Controllers::start(program, &skiff.kubeconfig, &log, &["--controllers", controllers])?;
        skiff.beside.push(controllers);
        Ok(skiff)
    }

    fn launch(program: &Path, part: &[&str], directory: &Path, more: &[&str]) -> Result<Skiff> {
        let address = part.iter().position(|word| *word == "--bind-address").and_then(|at| part.get(at + 1));
        let address = address.map_or("127.0.0.1", |address| *address).to_owned();
        let port = ports::hold(address.parse()?)?;
        let kubeconfig = directory.join("admin.kubeconfig");
        // One that an earlier start left names another port.
        let _ = std::fs::remove_file(&kubeconfig);
        let mut command = Command::new(program);
        command.args(part).args(["--secure-port", &port.to_string(), "--data-dir"]).arg(directory).args(more);
        let log = directory.with_extension("log");
        let process = Program::start(&command, &log)?;
        let mut skiff = Skiff { kubeconfig, address, port, beside: Vec::new(), log, process };
        skiff.wait()?;
        Ok(skiff)
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends it a signal, by name: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.process.signal(name)
    }

    /// Waits until `/readyz` says so.
    pub async fn wait_until_ready(&self, client: &Client) -> Result<()> {
        let begun = std::time::Instant::now();
        while begun.elapsed() < STARTS_WITHIN {
            if client.send("GET", "/readyz", &[], Bytes::new()).await?.status == 200 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("skiff was not ready within {STARTS_WITHIN:?}")
    }

    /// Waits until the process ends by itself.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus> {
        self.process.wait()
    }

    // There is no event to wait for: a process becomes ready outside of this one.
    #[allow(clippy::disallowed_methods)]
    fn wait(&mut self) -> Result<()> {
        let begun = std::time::Instant::now();
        while begun.elapsed() < STARTS_WITHIN {
            if let Some(status) = self.process.ended()? {
                let said = std::fs::read_to_string(&self.log).unwrap_or_default();
                bail!("skiff ended at once ({status}): {}", said.lines().last().unwrap_or("it said nothing"));
            }
            if self.kubeconfig.exists() && std::net::TcpStream::connect((self.address.as_str(), self.port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("skiff did not listen within {STARTS_WITHIN:?}")
    }
}

/// `program controllers` beside a server; dropping it ends it.
pub struct Controllers(#[expect(dead_code, reason = "it runs for as long as this is there")] Program);

impl Controllers {
    /// Starts them with the user of a kubeconfig, each with its own account, and a log in `log`.
    pub fn start(program: &Path, kubeconfig: &Path, log: &Path, more: &[&str]) -> Result<Controllers> {
        let mut command = Command::new(program);
        command.args(["controllers", "--use-service-account-credentials", "--leader-elect=false", "--kubeconfig"]);
        Ok(Controllers(Program::start(command.arg(kubeconfig).args(more), log)?))
    }
}

/// Builds the program as it is now, with cargo's default profile (`cargo server`), and says where it is.
pub fn build() -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate stands in the workspace")?;
    let built = Command::new(env!("CARGO")).arg("server").current_dir(workspace).status()?;
    anyhow::ensure!(built.success(), "skiff does not build");
    Ok(workspace.join("target/debug/skiff"))
}
