//! Definitions of kinds of public projects, out of the Go modules that carry them (`conformance/clients/definitions.tsv`).

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::run;

/// A line of the list.
struct Module<'a> {
    path: &'a str,
    version: &'a str,
    /// As `go.sum` has it.
    sum: &'a str,
    directory: &'a str,
}

/// Copies what the list names to `into`, a directory for each module.
pub fn install(into: &Path) -> Result<()> {
    let list = super::walks::source("definitions.tsv");
    super::walks::unless_same(into, &[&list], |new| {
        let text = fs::read_to_string(&list)?;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let module = read(line).with_context(|| format!("{}: {line:?}", list.display()))?;
            unpack(&module, &new.join(module.path.replace('/', "_")))?;
        }
        Ok(())
    })
}

fn read(line: &str) -> Result<Module<'_>> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [path, version, sum, directory] = columns[..] else { anyhow::bail!("it has to have four columns") };
    Ok(Module { path, version, sum, directory })
}

/// Go itself checks what it loads against the checksum that everybody sees; the list says that it is what it was.
fn unpack(module: &Module<'_>, into: &Path) -> Result<()> {
    let name = format!("{}@{}", module.path, module.version);
    let mut load = run::command("go");
    // Outside of modules of ours, which do not need it.
    load.args(["mod", "download", "-json", &name]).current_dir(std::env::temp_dir());
    let said: Value = serde_json::from_str(&run::capture(&mut load)?)?;
    let (directory, sum) = (said["Dir"].as_str().unwrap_or_default(), said["Sum"].as_str().unwrap_or_default());
    ensure!(sum == module.sum, "{name} has the checksum {sum}, pinned is {}", module.sum);
    fs::create_dir_all(into)?;
    for entry in fs::read_dir(Path::new(directory).join(module.directory))? {
        let path = entry?.path();
        if let Some(file) = path.file_name().filter(|_| path.extension().is_some_and(|end| end == "yaml")) {
            // Modules are read-only; what is copied is not.
            fs::write(into.join(file), fs::read(&path)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_list_can_be_read() -> anyhow::Result<()> {
        let text = std::fs::read_to_string(crate::fetch::walks::source("definitions.tsv"))?;
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        for line in &lines {
            let module = read(line)?;
            assert!(module.version.starts_with('v') && module.sum.starts_with("h1:"), "{line}");
        }
        assert!(lines.len() >= 3);
        Ok(())
    }
}
