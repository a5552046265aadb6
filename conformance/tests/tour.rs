//! The tours (`conformance/tour`): what stock clients of each minor version print, on Skiff as on upstream.

use std::{
    any::Any,
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use conformance::tour::{self, Guide, Kit};

/// Runs every tour with a kit's programs on a server of its own, and says all that differs.
fn run(kit: Kit, start: impl Fn(&Path, String, Vec<String>) -> Result<(PathBuf, Box<dyn Any>)>) -> Result<()> {
    let mut differences = String::new();
    for path in tour::of(kit)? {
        let directory = tempfile::tempdir()?;
        let (kubeconfig, _running) = start(directory.path(), tour::controllers(&path)?, tour::flags(&path)?)?;
        let guide = Guide::new(kit, &kubeconfig)?;
        guide.wait()?;
        let steps = tour::of_kit(&path, kit)?;
        let found = guide.tour(&steps)?;
        match tour::differences(&steps, &found) {
            text if text.is_empty() => {}
            text => differences += &format!("== {}\n{text}", path.display()),
        }
    }
    ensure!(differences.is_empty(), "wanted -, found +:\n{differences}");
    Ok(())
}

/// Every version of everything that can be listed is asked for in a tour, in both widths.
#[test]
fn tours_show_every_version_of_every_resource() -> Result<()> {
    let mut asked = BTreeSet::new();
    for path in tour::all()? {
        let steps = tour::read(&std::fs::read_to_string(&path)?);
        asked.extend(steps.into_iter().map(|step| step.command));
    }
    // These have tours of their own words.
    let elsewhere = ["componentstatuses", "apiservices", "flowschemas"];
    let mut lacking = Vec::new();
    for row in resources::all().filter(|row| row.stores() && !elsewhere.contains(&row.plural)) {
        for version in row.versions {
            let command = format!("kubectl get {}.{}.{}", row.plural, version.name, row.group);
            let both = [command.clone(), format!("{command} -o wide")];
            // What comes out otherwise each time is masked.
            let is_asked = |command: &str| {
                asked.iter().any(|one| {
                    one.strip_prefix(command).is_some_and(|rest| rest.is_empty() || rest.starts_with(" | sed "))
                })
            };
            lacking.extend(both.into_iter().filter(|command| !is_asked(command)));
        }
    }
    ensure!(lacking.is_empty(), "no tour has these:\n{}", lacking.join("\n"));
    Ok(())
}

mod clients {
    use anyhow::Result;
    use conformance::{
        skiff::{self, Skiff},
        tour::KITS,
    };

    fn on_skiff(kit: usize) -> Result<()> {
        let program = skiff::build()?;
        super::run(KITS[kit], |directory, controllers, flags| {
            let data = directory.join("data");
            let skiff = match flags.as_slice() {
                [] => Skiff::start_with_controllers(&program, &data, &controllers)?,
                flags => Skiff::start_apiserver_with_controllers(&program, &data, &controllers, flags)?,
            };
            Ok((skiff.kubeconfig.clone(), Box::new(skiff)))
        })
    }

    #[test]
    fn kubectl_1_37_prints_the_same_on_skiff() -> Result<()> {
        on_skiff(0)
    }

    #[test]
    fn kubectl_1_36_prints_the_same_on_skiff() -> Result<()> {
        on_skiff(1)
    }

    #[test]
    fn kubectl_1_35_prints_the_same_on_skiff() -> Result<()> {
        on_skiff(2)
    }

    #[test]
    fn kubectl_1_32_prints_the_same_on_skiff() -> Result<()> {
        on_skiff(3)
    }
}

mod upstream {
    use conformance::{
        tour::KITS,
        upstream::{Settings, Upstream},
    };

    /// The others were recorded on upstream too; running them here each time would add minutes and find nothing new.
    #[test]
    fn kubectl_1_37_prints_the_same_on_upstream() -> anyhow::Result<()> {
        super::run(KITS[0], |directory, controllers, server_flags| {
            let settings = Settings { controllers: Some(controllers), server_flags, ..Settings::new(directory)? };
            let upstream = Upstream::start(&settings)?;
            Ok((upstream.kubeconfig.clone(), Box::new(upstream)))
        })
    }
}
