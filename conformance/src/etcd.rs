//! An etcd of its own on loopback ports, of one member or several, with or without TLS, that outlives the servers on it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use anyhow::{Context, Result};
use certs::{Authority, Names, Profile, Subject};

use crate::{
    bound::bound,
    clock,
    upstream::{Ports, programs},
};

/// A cluster that runs; dropping it ends it.
pub struct Etcd {
    /// As `--etcd-servers` takes them.
    pub urls: String,
    /// Where the certificates are, when it wants one.
    pub keys: Option<PathBuf>,
    members: Vec<Child>,
}

/// Where one member listens.
struct Member {
    name: String,
    client: String,
    peer: String,
}

// === impl Etcd ===

impl Etcd {
    /// One member without TLS.
    pub fn start(directory: &Path) -> Result<Etcd> {
        Etcd::launch(directory, 1, false)
    }

    /// Several members that want a client's certificate and show one.
    pub fn start_secured(directory: &Path, members: usize) -> Result<Etcd> {
        Etcd::launch(directory, members, true)
    }

    fn launch(directory: &Path, count: usize, secured: bool) -> Result<Etcd> {
        std::fs::create_dir_all(directory)?;
        let scheme = if secured { "https" } else { "http" };
        let mut members = Vec::new();
        for i in 0..count {
            let Ports { etcd, etcd_peer, .. } = Ports::free()?;
            members.push(Member {
                name: format!("m{i}"),
                client: format!("{scheme}://127.0.0.1:{etcd}"),
                peer: format!("http://127.0.0.1:{etcd_peer}"),
            });
        }
        let keys = secured.then(|| directory.join("keys"));
        if let Some(keys) = &keys {
            make_keys(keys)?;
        }
        let cluster: Vec<String> = members.iter().map(|m| format!("{}={}", m.name, m.peer)).collect();
        let mut etcd = Etcd { urls: String::new(), keys, members: Vec::new() };
        for member in &members {
            etcd.members.push(member.start(directory, &cluster.join(","), etcd.keys.as_deref())?);
        }
        etcd.urls = members.into_iter().map(|m| m.client).collect::<Vec<_>>().join(",");
        Ok(etcd)
    }

    /// Ends one member for good.
    pub fn kill(&mut self, member: usize) -> Result<()> {
        self.members[member].kill()?;
        self.members[member].wait()?;
        Ok(())
    }

    /// The flags of an API server that say how to reach it.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = vec![format!("--etcd-servers={}", self.urls)];
        if let Some(keys) = &self.keys {
            let file = |name: &str| keys.join(name).display().to_string();
            flags.push(format!("--etcd-cafile={}", file("ca.crt")));
            flags.push(format!("--etcd-certfile={}", file("client.crt")));
            flags.push(format!("--etcd-keyfile={}", file("client.key")));
        }
        flags
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

impl Member {
    fn start(&self, directory: &Path, cluster: &str, keys: Option<&Path>) -> Result<Child> {
        let Member { name, client, peer } = self;
        let log = File::create(directory.join(format!("{name}.log")))?;
        let mut command = bound(programs().join("etcd"));
        command.arg(format!("--name={name}")).arg("--unsafe-no-fsync").arg("--data-dir").arg(directory.join(name));
        command.args([format!("--listen-client-urls={client}"), format!("--advertise-client-urls={client}")]);
        command.args([format!("--listen-peer-urls={peer}"), format!("--initial-advertise-peer-urls={peer}")]);
        command.arg(format!("--initial-cluster={cluster}"));
        if let Some(keys) = keys {
            let file = |flag: &str, name: &str| format!("--{flag}={}", keys.join(name).display());
            command.args([file("cert-file", "server.crt"), file("key-file", "server.key")]);
            command.args([file("trusted-ca-file", "ca.crt"), "--client-cert-auth".to_owned()]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().context("`cargo xtask reference` builds etcd")
    }
}

fn make_keys(directory: &Path) -> Result<()> {
    certs::files::make_directory(directory)?;
    let now = clock::now()?;
    let authority = Authority::generate("etcd-ca", now)?;
    certs::files::write(&directory.join("ca.crt"), authority.bundle_pem())?;
    let mut names = Names::default();
    names.add("127.0.0.1");
    names.add("localhost");
    // etcd calls itself with its own certificate, so it is a client's too.
    let server = Profile { usage: certs::Usage::Both, ..Profile::server("etcd", names) };
    let client = Profile::client(Subject::user("apiserver-etcd-client", &[]));
    for (name, profile) in [("server", server), ("client", client)] {
        let issued = authority.issue(&profile, now)?;
        certs::files::write(&directory.join(format!("{name}.crt")), &issued.certificate_pem)?;
        certs::files::write(&directory.join(format!("{name}.key")), &issued.key.to_pem())?;
    }
    Ok(())
}
