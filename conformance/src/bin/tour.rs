//! `tour record [NAME…]`: runs tours on upstream's control plane and writes what was printed into them. `tour check KUBECONFIG
//! [NAME…]` says what a server prints otherwise.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for whoever builds: it speaks on the terminal and reads its arguments"
)]

use std::path::Path;

use anyhow::{Result, bail};
use conformance::{
    tour::{self, Guide, Step},
    upstream::{Settings, Upstream},
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["record", names @ ..] => each(names, |path, steps| {
            let directory = tempfile::tempdir()?;
            let controllers = Some(tour::CONTROLLERS.to_owned());
            let upstream = Upstream::start(&Settings { controllers, ..Settings::new(directory.path())? })?;
            let guide = Guide::new(&tour::kubectl(), &upstream.kubeconfig)?;
            guide.wait()?;
            Ok(std::fs::write(path, tour::write(&guide.tour(steps)?))?)
        }),
        ["check", kubeconfig, names @ ..] => each(names, |path, steps| {
            let found = Guide::new(&tour::kubectl(), Path::new(kubeconfig))?.tour(steps)?;
            println!("== {}\n{}", path.display(), tour::differences(steps, &found));
            Ok(())
        }),
        _ => bail!("say `tour record [NAME…]` or `tour check KUBECONFIG [NAME…]`"),
    }
}

fn each(names: &[&str], run: impl Fn(&Path, &[Step]) -> Result<()>) -> Result<()> {
    for path in tour::all()? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if names.is_empty() || names.contains(&name.as_str()) {
            run(&path, &tour::read(&std::fs::read_to_string(&path)?))?;
        }
    }
    Ok(())
}
