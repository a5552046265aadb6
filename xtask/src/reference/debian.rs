//! etcd as Debian has it, for machines on which its Go module cannot be built: no Go, or nowhere to have the module from.
//!
//! The package is unpacked beside the other programs and not installed, which would start a service.

use std::fs;
use std::path::Path;

use anyhow::{Context, Error, Result, bail};

use super::version_file;
use crate::run;

/// How the file begins that says of which version a program of Debian's is.
pub const MARK: &str = "Debian's ";

/// Programs that Debian has too, with the packages.
const LENT: [(&str, &str); 2] = [("etcd", "etcd-server"), ("etcdctl", "etcd-client")];

/// Puts Debian's program into a directory when ours cannot be built because of `why`. The error says all that was tried.
pub fn lend(program: &str, directory: &Path, why: Error) -> Result<()> {
    let Some((_, package)) = LENT.iter().find(|(name, _)| *name == program) else { return Err(why) };
    println!("{program} cannot be built ({why:#}); taking Debian's package {package} instead");
    let place = run::shared_cache().join("reference/src").join(package);
    let lent = fetch(package, &place).and_then(|()| unpack(&place, program, directory));
    let version = lent.with_context(|| {
        format!(
            "{program} cannot be built, and Debian's package {package} cannot be had either; \
             install Go 1.26 and see that it reaches a module proxy, or name a directory with {program} in it in \
             SKIFF_REFERENCE_BIN. Building it failed so: {why:#}"
        )
    })?;
    let mark = version_file(&directory.join(program));
    println!("{program} is Debian's {version} from now on; remove {} to have it built again", mark.display());
    fs::write(mark, format!("{MARK}{version}"))?;
    Ok(())
}

/// Downloads a package; lists may be old or absent on a fresh machine.
fn fetch(package: &str, place: &Path) -> Result<()> {
    if !run::is_installed("apt-get") || !run::is_installed("dpkg-deb") {
        bail!("this is no Debian system");
    }
    let _ = fs::remove_dir_all(place);
    fs::create_dir_all(place)?;
    let download = || run::run(run::command("apt-get").current_dir(place).args(["download", "-qq", package]));
    download().or_else(|_| {
        run::run(run::command("apt-get").args(["update", "-qq"]))?;
        download()
    })
}

/// Takes a program out of the package that lies in a place; its version.
fn unpack(place: &Path, program: &str, directory: &Path) -> Result<String> {
    let files = fs::read_dir(place)?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let package = files.iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    let package = package.with_context(|| format!("no package came into {}", place.display()))?;
    let root = place.join("root");
    run::run(run::command("dpkg-deb").arg("-x").arg(package).arg(&root))?;
    let new = directory.join(format!(".{program}.new"));
    fs::copy(root.join("usr/bin").join(program), &new).with_context(|| format!("{program} is not in the package"))?;
    fs::rename(&new, directory.join(program))?;
    fs::remove_dir_all(&root)?;
    let version = run::capture(run::command("dpkg-deb").arg("-f").arg(package).arg("Version"))?;
    Ok(version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn only_etcd_is_lent() {
        let why = lend("kube-apiserver", Path::new("/nowhere"), anyhow!("no Go")).expect_err("Debian has none");
        assert_eq!(why.to_string(), "no Go");
    }

    #[test]
    fn a_program_is_taken_out_of_its_package() -> Result<()> {
        let place = run::root().join("target/debian-test");
        let _ = fs::remove_dir_all(&place);
        let tree = place.join("tree");
        fs::create_dir_all(tree.join("usr/bin"))?;
        fs::create_dir_all(tree.join("DEBIAN"))?;
        fs::write(tree.join("usr/bin/etcd"), "#!/bin/sh\n")?;
        let control = "Package: etcd-server\nVersion: 3.4.23-4\nArchitecture: all\nMaintainer: a\nDescription: b\n";
        fs::write(tree.join("DEBIAN/control"), control)?;
        run::capture(run::command("dpkg-deb").arg("-b").arg(&tree).arg(place.join("etcd.deb")))?;
        assert_eq!(unpack(&place, "etcd", &place)?, "3.4.23-4");
        assert_eq!(fs::read_to_string(place.join("etcd"))?, "#!/bin/sh\n");
        assert!(unpack(&place, "etcdctl", &place).is_err(), "it is not in there");
        fs::remove_dir_all(&place)?;
        Ok(())
    }
}
