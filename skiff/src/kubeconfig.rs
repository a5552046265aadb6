//! `skiff kubeconfig`: how to reach the cluster.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use api::{Value, time::Clock as _};
use base64::{Engine, engine::general_purpose::STANDARD};
use certs::kubeconfig::{Credential, Entry};

use crate::{clock, flags};

/// Prints a kubeconfig or merges it into the user's own.
pub fn run(flags: &flags::Kubeconfig) -> Result<()> {
    let path = flags.data_dir.join("admin.kubeconfig");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} cannot be read; is the cluster up with this --data-dir?", path.display()))?;
    let mut access = Access::read(&text).with_context(|| format!("{} is damaged", path.display()))?;
    if let Some(user) = &flags.user {
        access.become_user(&flags.data_dir.join("pki"), user, &flags.group)?;
    }
    let entry = access.entry();
    if !flags.merge {
        clock::say(certs::kubeconfig::write(&entry)?.trim_end());
        return Ok(());
    }
    let own = own_file()?;
    // A link stays one: the file that it leads to is replaced.
    let own = own.canonicalize().unwrap_or(own);
    let before = match std::fs::read_to_string(&own) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", own.display())),
    };
    let merged = certs::kubeconfig::merge(&before, &entry)
        .with_context(|| format!("{} was left as it is; it is no kubeconfig", own.display()))?;
    if let Some(folder) = own.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    // Who may read it is its owner's matter, once there is one.
    let permissions = std::fs::metadata(&own).ok().map(|found| found.permissions());
    certs::files::write(&own, &merged)?;
    if let Some(permissions) = permissions {
        std::fs::set_permissions(&own, permissions).with_context(|| format!("{} is closed now", own.display()))?;
    }
    clock::say(&format!("the context skiff is in {}; use it with: kubectl --context skiff", own.display()));
    Ok(())
}

/// What a kubeconfig says about the cluster and its user.
struct Access {
    server: String,
    authority_pem: String,
    certificate_pem: String,
    key_pem: String,
}

impl Access {
    fn read(text: &str) -> Result<Access> {
        let config = codec::yaml::any(text.as_bytes())?;
        let cluster = config.list("clusters").first().context("it names no cluster")?.at("cluster");
        let user = config.list("users").first().context("it names no user")?.at("user");
        Ok(Access {
            server: cluster.str("server").into(),
            authority_pem: decoded(cluster, "certificate-authority-data")?,
            certificate_pem: decoded(user, "client-certificate-data")?,
            key_pem: decoded(user, "client-key-data")?,
        })
    }

    /// Has the cluster's authority sign a certificate for somebody else.
    fn become_user(&mut self, pki: &Path, user: &str, groups: &[String]) -> Result<()> {
        let read = |name: &str| {
            let path = pki.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
        };
        let authority = certs::Authority::load(&read("ca.crt")?, &read("ca.key")?)?;
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let profile = certs::Profile::client(certs::Subject::user(user, &groups));
        let issued = authority.issue(&profile, clock::Wall.now().as_second())?;
        self.certificate_pem = issued.certificate_pem;
        self.key_pem = issued.key.to_pem();
        Ok(())
    }

    fn entry(&self) -> Entry<'_> {
        Entry {
            name: "skiff",
            server: &self.server,
            authority_pem: &self.authority_pem,
            credential: Credential::Certificate { certificate_pem: &self.certificate_pem, key_pem: &self.key_pem },
        }
    }
}

fn decoded(object: &Value, key: &str) -> Result<String> {
    let bytes = STANDARD.decode(object.str(key)).with_context(|| format!("{key} is no base64"))?;
    String::from_utf8(bytes).with_context(|| format!("{key} is no text"))
}

/// The file that kubectl would write to.
#[allow(clippy::disallowed_methods)]
fn own_file() -> Result<PathBuf> {
    if let Some(list) = std::env::var_os("KUBECONFIG")
        && let Some(own) = written(std::env::split_paths(&list))
    {
        return Ok(own);
    }
    let home = std::env::var_os("HOME").context("neither KUBECONFIG nor HOME is set")?;
    Ok(PathBuf::from(home).join(".kube/config"))
}

/// Of several files the first that is there, and where none is, the last. Upstream: client-go clientcmd/config.go
/// `GetDefaultFilename`.
fn written(list: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let list: Vec<PathBuf> = list.filter(|path| !path.as_os_str().is_empty()).collect();
    list.iter().find(|path| path.exists()).or(list.last()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_that_is_there_is_the_users() {
        let directory = tempfile::tempdir().expect("there is room");
        let [none, there, other] = ["none", "there", "other"].map(|name| directory.path().join(name));
        for path in [&there, &other] {
            std::fs::write(path, "").expect("there is room");
        }
        let of = |list: &[&PathBuf]| written(list.iter().map(|path| (*path).clone()));
        assert_eq!(of(&[&none, &there, &other]), Some(there));
        assert_eq!(of(&[&PathBuf::new(), &none.join("a"), &none]), Some(none));
        assert_eq!(of(&[&PathBuf::new()]), None);
    }
}
