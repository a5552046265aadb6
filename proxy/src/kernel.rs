//! The kernel's side: what stands in our tables, putting text in, flows. Reached through the programs `nft` and
//! `conntrack`, as upstream's nftables proxy reaches it.

mod found;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{io::AsyncWriteExt, process::Command, time};

use crate::{
    conntrack::{self, Flow},
    ruleset::TABLE,
    snapshot::Family,
};

pub use found::Found;

/// A program that takes longer is ended.
const WITHIN: Duration = Duration::from_secs(60);

/// The kernel, or what stands for it in tests.
#[async_trait]
pub trait Kernel: Send + Sync + 'static {
    /// Whether there can be tables of this family.
    async fn supports(&self, family: Family) -> Result<(), Error>;

    /// Makes one transaction of a text of nft's.
    async fn apply(&self, text: &str) -> Result<(), Error>;

    /// Our table as it stands; nothing when there is none.
    async fn table(&self, family: Family) -> Result<Option<Found>, Error>;

    /// UDP flows that are remembered.
    async fn flows(&self, family: Family) -> Result<Vec<Flow>, Error>;

    async fn forget(&self, family: Family, flows: &BTreeSet<Flow>) -> Result<(), Error>;
}

/// The programs.
pub struct Programs {
    pub nft: PathBuf,
    pub conntrack: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{program} cannot be started: {source}")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{program} takes too long")]
    Hangs { program: String },
    #[error("{program}: {text}")]
    Refused { program: String, text: String },
}

// === impl Programs ===

impl Default for Programs {
    fn default() -> Programs {
        Programs { nft: "nft".into(), conntrack: "conntrack".into() }
    }
}

impl Programs {
    async fn nft(&self, arguments: &[&str], input: &str) -> Result<String, Error> {
        answer("nft", run(Command::new(&self.nft).args(arguments), "nft", input).await?)
    }

    async fn conntrack(&self, arguments: &[&str]) -> Result<Output, Error> {
        run(Command::new(&self.conntrack).args(arguments), "conntrack", "").await
    }
}

#[async_trait]
impl Kernel for Programs {
    async fn supports(&self, family: Family) -> Result<(), Error> {
        let text = format!("add table {} {TABLE}\n", family.nft());
        self.nft(&["--check", "-f", "-"], &text).await.map(drop)
    }

    async fn apply(&self, text: &str) -> Result<(), Error> {
        self.nft(&["-f", "-"], text).await.map(drop)
    }

    async fn table(&self, family: Family) -> Result<Option<Found>, Error> {
        match self.nft(&["-j", "list", "table", family.nft(), TABLE], "").await {
            Ok(text) => Found::read(&text).map(Some),
            Err(Error::Refused { text, .. }) if text.contains("No such file or directory") => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn flows(&self, family: Family) -> Result<Vec<Flow>, Error> {
        let listed = self.conntrack(&["-L", "-p", "udp", "-f", conntrack_family(family)]).await?;
        Ok(answer("conntrack", listed)?.lines().filter_map(conntrack::read).collect())
    }

    async fn forget(&self, family: Family, flows: &BTreeSet<Flow>) -> Result<(), Error> {
        for flow in flows {
            let (to, by) = (flow.to, flow.answered_by);
            let (to_ip, to_port) = (to.ip().to_string(), to.port().to_string());
            let (by_ip, by_port) = (by.ip().to_string(), by.port().to_string());
            let flow = ["--orig-dst", &to_ip, "--orig-port-dst", &to_port, "--reply-src", &by_ip];
            let mut arguments = vec!["-D", "-p", "udp", "-f", conntrack_family(family)];
            arguments.extend(flow);
            arguments.extend(["--reply-port-src", &by_port]);
            // It fails when the flow has ended by itself meanwhile.
            let output = self.conntrack(&arguments).await?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            if !output.status.success() && !text.contains("0 flow entries") {
                return Err(Error::Refused { program: "conntrack".into(), text });
            }
        }
        Ok(())
    }
}

fn conntrack_family(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

async fn run(command: &mut Command, program: &str, input: &str) -> Result<Output, Error> {
    let failed = |source| Error::Start { program: program.into(), source };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let stdin = child.stdin.take();
    let work = async {
        let written = async {
            if let Some(mut stdin) = stdin {
                // Whoever stops reading says why on its standard error.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        tokio::join!(written, child.wait_with_output()).1
    };
    match time::timeout(WITHIN, work).await {
        Ok(output) => output.map_err(failed),
        Err(_) => Err(Error::Hangs { program: program.into() }),
    }
}

fn answer(program: &str, output: Output) -> Result<String, Error> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_string();
    Err(Error::Refused { program: program.into(), text })
}
