//! controller-runtime's envtest on what `skiff envtest` writes: an operator's tests (`conformance/clients/go/envtest`) pass
//! without a changed line, as they do on upstream's programs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};
use conformance::tour;

/// One of envtest's variables, and what it is to be.
type Variable<'a> = (&'a str, &'a Path);

/// Has Skiff write what envtest starts.
fn assets(program: &Path, directory: &Path) -> Result<PathBuf> {
    let assets = directory.join("assets");
    let done = Command::new(program).arg("envtest").arg(&assets).output()?;
    let said = String::from_utf8_lossy(&done.stdout);
    ensure!(done.status.success(), "skiff envtest: {}", String::from_utf8_lossy(&done.stderr));
    ensure!(said.trim_end() == format!("export KUBEBUILDER_ASSETS='{}'", assets.display()), "it said: {said}");
    Ok(assets)
}

/// Runs the suite, whose every test has to pass. kubectl is found on the PATH.
fn suite(directory: &Path, variables: &[Variable<'_>]) -> Result<()> {
    let tools = directory.join("tools");
    std::fs::create_dir_all(&tools)?;
    let kubectl = tools.join("kubectl");
    if !kubectl.exists() {
        std::os::unix::fs::symlink(tour::clients().join("kubectl-1.37.1"), &kubectl)?;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/go/envtest");
    let program = tour::clients().join("go/envtest");
    ensure!(program.is_file(), "there is no {}: `cargo xtask clients` builds it", program.display());
    let done = Command::new(program)
        .args(["-test.v", "-test.timeout=9m"])
        .current_dir(source)
        .env("PATH", format!("{}:/usr/bin:/bin", tools.display()))
        .env("TMPDIR", directory)
        .envs(variables.iter().copied())
        .output()?;
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    ensure!(done.status.success(), "the suite ended with {}:\n{said}", done.status);
    let passed = said.lines().filter(|line| line.starts_with("--- PASS")).count();
    ensure!(passed == 11 && !said.contains("SKIP"), "{passed} tests passed:\n{said}");
    Ok(())
}

mod clients {
    use anyhow::Result;
    use conformance::skiff;

    #[test]
    fn an_operators_tests_pass_on_skiff() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let assets = super::assets(&skiff::build()?, directory.path())?;
        super::suite(directory.path(), &[("KUBEBUILDER_ASSETS", &assets)])
    }
}

mod upstream {
    use std::{io::Read as _, process::Stdio};

    use anyhow::{Result, ensure};
    use conformance::{
        bound::bound,
        skiff,
        upstream::{Ports, programs},
    };

    #[test]
    fn an_operators_tests_pass_on_upstream() -> Result<()> {
        let directory = tempfile::tempdir()?;
        super::suite(directory.path(), &[("KUBEBUILDER_ASSETS", &programs())])
    }

    #[test]
    fn an_operators_tests_pass_on_skiff_with_etcd() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let assets = super::assets(&skiff::build()?, directory.path())?;
        let etcd = programs().join("etcd");
        super::suite(directory.path(), &[("KUBEBUILDER_ASSETS", &assets), ("TEST_ASSET_ETCD", &etcd)])
    }

    /// Upstream's server cannot keep objects in what stands in for etcd, and is told so in a sentence that it passes on.
    #[test]
    fn upstreams_server_is_told_what_this_etcd_is() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let assets = super::assets(&skiff::build()?, directory.path())?;
        let ports = Ports::free()?;
        let url = format!("http://127.0.0.1:{}", ports.etcd);
        let mut etcd = bound(assets.join("etcd"))
            .args([
                format!("--data-dir={}", directory.path().join("etcd").display()),
                format!("--listen-client-urls={url}"),
            ])
            .stderr(Stdio::piped())
            .spawn()?;
        let settings = conformance::upstream::Settings {
            etcd: Some(url),
            ports,
            ..conformance::upstream::Settings::new(&directory.path().join("upstream"))?
        };
        let started = conformance::upstream::Upstream::begin(&settings)?;
        // One line, at the first call.
        let mut said = Vec::new();
        let mut errors = etcd.stderr.take().ok_or_else(|| anyhow::anyhow!("it is piped"))?;
        let mut byte = [0];
        while errors.read(&mut byte)? == 1 && byte != *b"\n" {
            said.extend(byte);
        }
        let said = String::from_utf8(said)?;
        drop(started);
        etcd.kill()?;
        etcd.wait()?;
        let wanted = "skiff: a client of etcd asked: this is what `skiff envtest` wrote as etcd, in which only the kube-apiserver beside it can keep objects";
        ensure!(said == wanted, "{said}");
        Ok(())
    }
}
