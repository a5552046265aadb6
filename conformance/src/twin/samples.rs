//! Valid objects, one or more for each resource, in `samples/*.yaml`.

use std::path::Path;

use anyhow::{Context, Result};
use api::Value;

/// All samples, in the files' order.
pub fn read(folder: &Path) -> Result<Vec<Value>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    let mut samples = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        for document in text.split("\n---\n").filter(|d| !d.trim().is_empty()) {
            let sample = codec::yaml::any(document.as_bytes()).with_context(|| file.display().to_string())?;
            samples.push(sample);
        }
    }
    Ok(samples)
}
