//! The tours (`conformance/tour`): what a stock kubectl prints, on Skiff as on upstream.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use conformance::tour::{self, Guide, Step};

/// Runs every tour on a server of its own, and says all that differs.
fn run(start: impl Fn(&std::path::Path) -> Result<(PathBuf, Box<dyn std::any::Any>)>) -> Result<()> {
    let mut differences = String::new();
    for path in tour::all()? {
        let directory = tempfile::tempdir()?;
        let (kubeconfig, _running) = start(directory.path())?;
        let guide = Guide::new(&tour::kubectl(), &kubeconfig)?;
        guide.wait()?;
        let steps: Vec<Step> = tour::read(&std::fs::read_to_string(&path)?);
        let found = guide.tour(&steps)?;
        match tour::differences(&steps, &found) {
            text if text.is_empty() => {}
            text => differences += &format!("== {}\n{text}", path.display()),
        }
    }
    ensure!(differences.is_empty(), "wanted -, found +:\n{differences}");
    Ok(())
}

mod clients {
    use conformance::skiff::{self, Skiff};

    #[test]
    fn kubectl_prints_the_same_on_skiff() -> anyhow::Result<()> {
        let program = skiff::build()?;
        super::run(|directory| {
            let skiff = Skiff::start(&program, &directory.join("data"), &[])?;
            Ok((skiff.kubeconfig.clone(), Box::new(skiff)))
        })
    }
}

mod upstream {
    use conformance::upstream::{Settings, Upstream};

    #[test]
    fn kubectl_prints_the_same_on_upstream() -> anyhow::Result<()> {
        super::run(|directory| {
            let settings =
                Settings { controllers: Some(conformance::tour::CONTROLLERS.into()), ..Settings::new(directory)? };
            let upstream = Upstream::start(&settings)?;
            Ok((upstream.kubeconfig.clone(), Box::new(upstream)))
        })
    }
}
