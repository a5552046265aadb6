//! A report in the form in which results are handed in to the CNCF: `PRODUCT.yaml`, `README.md`, `e2e.log`, `junit_01.xml`.

use std::path::Path;

use anyhow::{Context, Result};

/// Every member that a reviewer looks for. Where a distribution is found and who answers for it is known to whoever hands the
/// report in, and to nobody here.
const PRODUCT: &str = "\
vendor: Skiff
name: Skiff
version: v{version}
type: distribution
description: Kubernetes v1.37 in one binary.
# To be filled in by whoever hands this in.
website_url: \"\"
repo_url: \"\"
documentation_url: \"\"
product_logo_url: \"\"
contact_email_address: \"\"
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
        let product = codec::yaml::any(read("PRODUCT.yaml")?.as_bytes())?;
        assert_eq!(product.str("version"), concat!("v", env!("CARGO_PKG_VERSION")));
        for member in ["website_url", "repo_url", "documentation_url", "product_logo_url", "contact_email_address"] {
            assert_eq!(product.get(member).and_then(api::Value::as_str), Some(""), "{member}");
        }
        assert_eq!(read("junit_01.xml")?, "junit_01.xml");
        Ok(())
    }
}
