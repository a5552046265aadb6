//! A report in the form in which results are handed in to the CNCF: `PRODUCT.yaml`, `README.md`, `e2e.log`, `junit_01.xml`.

use std::path::Path;

use anyhow::{Context, Result};

const PRODUCT: &str = "\
vendor: Skiff
name: Skiff
version: v{version}
type: distribution
description: Kubernetes v1.37 in one binary.
";

const README: &str = "\
# To reproduce

On Debian 12 with rustup, Go 1.26, Python 3 and npm, in a checkout of Skiff:

    make conformance ARGS='--cncf=results'

This builds the conformance suite of Kubernetes v1.37.1 from its Go module, starts a cluster and runs every test. The
directory `results` then holds these four files.

{remarks}
";

/// Writes the four files; `remarks` says what a reader has to know of the run.
pub fn write(directory: &Path, results: &Path, remarks: &str) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let put = |name: &str, text: String| {
        std::fs::write(directory.join(name), text).with_context(|| directory.join(name).display().to_string())
    };
    put("PRODUCT.yaml", PRODUCT.replace("{version}", env!("CARGO_PKG_VERSION")))?;
    put("README.md", README.replace("{remarks}", remarks))?;
    for name in ["e2e.log", "junit_01.xml"] {
        let (from, to) = (results.join(name), directory.join(name));
        std::fs::copy(&from, &to).with_context(|| from.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_files_are_there() -> Result<()> {
        let (results, to) = (tempfile::tempdir()?, tempfile::tempdir()?);
        assert!(write(to.path(), results.path(), "").is_err(), "nothing ran");
        for name in ["e2e.log", "junit_01.xml"] {
            std::fs::write(results.path().join(name), name)?;
        }
        write(to.path(), results.path(), "Two nodes.")?;
        let read = |name: &str| std::fs::read_to_string(to.path().join(name));
        assert!(read("README.md")?.ends_with("Two nodes.\n"));
        assert!(read("PRODUCT.yaml")?.contains(env!("CARGO_PKG_VERSION")));
        assert_eq!(read("junit_01.xml")?, "junit_01.xml");
        Ok(())
    }
}
