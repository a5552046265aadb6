//! The keys and certificates of one upstream control plane, in one directory, made when they are missing.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use certs::kubeconfig::{Credential, Entry};
use certs::{Authority, Names, PrivateKey, Profile, Subject, UnixSeconds};

use crate::clock;

/// The directory, complete.
pub struct Keys {
    directory: PathBuf,
}

/// Client certificates: the file's name, the user's, its groups.
const CLIENTS: &[(&str, &str, &[&str])] = &[
    ("admin", "kubernetes-admin", &["system:masters"]),
    ("kubelet-client", "kube-apiserver-kubelet-client", &["system:masters"]),
    ("controllers", "system:kube-controller-manager", &[]),
    ("scheduler", "system:kube-scheduler", &[]),
];
/// Of the clients, those that need a kubeconfig.
const KUBECONFIGS: &[&str] = &["admin", "controllers", "scheduler"];
/// The first address of the service range: the `kubernetes` Service's.
const SERVICE_ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 1));

// === impl Keys ===

impl Keys {
    /// Makes what is missing. The kubeconfigs are always written, since the port may be another one.
    pub fn lay_out(directory: &Path, server_port: u16) -> Result<Keys> {
        certs::files::make_directory(directory)?;
        let keys = Keys { directory: directory.to_owned() };
        if !keys.path("complete").is_file() {
            keys.make(clock::now()?)?;
            keys.write("complete", "")?;
        }
        for name in KUBECONFIGS {
            keys.write_kubeconfig(name, &format!("https://127.0.0.1:{server_port}"))?;
        }
        Ok(keys)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub fn read(&self, name: &str) -> Result<String> {
        certs::files::read(&self.path(name))?.with_context(|| format!("{} is missing", self.path(name).display()))
    }

    fn make(&self, now: UnixSeconds) -> Result<()> {
        let authority = Authority::generate("kubernetes-ca", now)?;
        self.write("ca.crt", authority.bundle_pem())?;
        self.write("ca.key", &authority.key_pem())?;
        for (file, user, groups) in CLIENTS {
            self.issue(file, &authority, &Profile::client(Subject::user(user, groups)), now)?;
        }
        let names = Names::api_server(&[SERVICE_ADDRESS], "cluster.local", &[crate::machines::HUB]);
        self.issue("server", &authority, &Profile::server("kube-apiserver", names), now)?;

        let front_proxy = Authority::generate("front-proxy-ca", now)?;
        self.write("front-proxy-ca.crt", front_proxy.bundle_pem())?;
        self.write("front-proxy-ca.key", &front_proxy.key_pem())?;
        let client = Profile::client(Subject::user("front-proxy-client", &[]));
        self.issue("front-proxy-client", &front_proxy, &client, now)?;

        let service_account = PrivateKey::generate()?;
        self.write("service-account.key", &service_account.to_pem())?;
        self.write("service-account.pub", &service_account.public_pem())
    }

    fn issue(&self, name: &str, authority: &Authority, profile: &Profile, now: UnixSeconds) -> Result<()> {
        let issued = authority.issue(profile, now)?;
        self.write(&format!("{name}.crt"), &issued.certificate_pem)?;
        self.write(&format!("{name}.key"), &issued.key.to_pem())
    }

    fn write_kubeconfig(&self, name: &str, server: &str) -> Result<()> {
        let (authority, certificate) = (self.read("ca.crt")?, self.read(&format!("{name}.crt"))?);
        let key = self.read(&format!("{name}.key"))?;
        let credential = Credential::Certificate { certificate_pem: &certificate, key_pem: &key };
        let entry = Entry { name: "upstream", server, authority_pem: &authority, credential };
        self.write(&format!("{name}.kubeconfig"), &certs::kubeconfig::write(&entry)?)
    }

    fn write(&self, name: &str, contents: &str) -> Result<()> {
        Ok(certs::files::write(&self.path(name), contents)?)
    }
}
