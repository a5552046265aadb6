//! Logs of containers do not grow for ever: one that is too long goes on in a new file, old ones are packed, the oldest go.
//!
//! Upstream: pkg/kubelet/logs/container_log_manager.go.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{task::spawn_blocking, time};

use crate::{
    pods::ground::Ground,
    runtime::{Runtime, State},
};

/// How long a log may be, and how many files of it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub size_max: u64,
    pub files_max: usize,
    pub every: Duration,
}

const PACKED: &str = ".gz";
const UNFINISHED: &str = ".tmp";

/// Looks after the logs of all running containers, for ever.
pub async fn keep(ground: Arc<Ground>, limits: Option<Limits>) {
    let Some(limits) = limits.filter(|_| ground.means.is_some()) else { return std::future::pending().await };
    loop {
        time::sleep(limits.every).await;
        for view in ground.eyes.all() {
            for container in view.containers.iter().filter(|container| container.state == State::Running) {
                let turned = look(&*ground.runtime, &container.id, &limits, ground.clock.now()).await;
                if let Err(error) = turned {
                    tracing::info!(container = container.id, %error, "a log cannot be turned over");
                }
            }
        }
    }
}

/// Turns a container's log over when it is too long.
async fn look(runtime: &dyn Runtime, id: &str, limits: &Limits, now: Timestamp) -> io::Result<()> {
    let status = runtime.container(id).await.map_err(io::Error::other)?;
    if status.log_path.is_empty() {
        return Ok(());
    }
    let log = PathBuf::from(status.log_path);
    match fs::metadata(&log) {
        Ok(found) if found.len() < limits.size_max => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return runtime.reopen_log(id).await.map_err(io::Error::other);
        }
        Err(error) => return Err(error),
    }
    let (path, files_max) = (log.clone(), limits.files_max);
    spawn_blocking(move || make_room(&path, files_max)).await.map_err(io::Error::other)??;
    let turned = named(&log, &format!(".{}", now.strftime("%Y%m%d-%H%M%S")));
    fs::rename(&log, &turned)?;
    if let Err(error) = runtime.reopen_log(id).await {
        // It is tried again the next time.
        fs::rename(&turned, &log)?;
        return Err(io::Error::other(error));
    }
    Ok(())
}

/// Removes what is too many, and packs the rest but for the log itself.
fn make_room(log: &Path, files_max: usize) -> io::Result<()> {
    let (mut kept, unused) = older(log)?;
    for file in unused {
        fs::remove_file(file)?;
    }
    // The log itself, and the one that it goes on in, come on top.
    let surplus = kept.len().saturating_sub(files_max.saturating_sub(2));
    for file in kept.drain(..surplus) {
        fs::remove_file(file)?;
    }
    kept.iter().filter(|file| !ends_with(file, PACKED)).try_for_each(|file| pack(file))
}

/// Older files of a log, the oldest first, and what an interrupted turn has left.
fn older(log: &Path) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name()) else { return Ok((vec![], vec![])) };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)) {
            all.push(path);
        }
    }
    all.sort();
    let is_left_over = |file: &PathBuf| {
        ends_with(file, UNFINISHED) || (!ends_with(file, PACKED) && all.contains(&named(file, PACKED)))
    };
    let (unused, kept) = all.iter().cloned().partition(is_left_over);
    Ok((kept, unused))
}

/// Packs a file; it is there whole at any time, under the one name or the other.
fn pack(file: &Path) -> io::Result<()> {
    let unfinished = named(file, UNFINISHED);
    let mut packer = flate2::write::GzEncoder::new(fs::File::create(&unfinished)?, flate2::Compression::default());
    io::copy(&mut fs::File::open(file)?, &mut packer)?;
    packer.finish()?.set_permissions(fs::metadata(file)?.permissions())?;
    fs::rename(&unfinished, named(file, PACKED))?;
    fs::remove_file(file)
}

fn named(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn ends_with(file: &Path, ending: &str) -> bool {
    file.as_os_str().to_string_lossy().ends_with(ending)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("it is there");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("it is there").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn old_files_are_packed_and_the_oldest_go() {
        let directory = tempfile::tempdir().expect("there is room");
        let log = directory.path().join("0.log");
        let all = ["0.log", "0.log.1.gz", "0.log.2", "0.log.2.gz", "0.log.3", "0.log.4", "0.log.5.tmp", "1.log.1"];
        for name in all {
            fs::write(directory.path().join(name), name).expect("there is room");
        }
        make_room(&log, 4).expect("it can be done");
        assert_eq!(names(directory.path()), ["0.log", "0.log.3.gz", "0.log.4.gz", "1.log.1"]);
        let packed = fs::File::open(directory.path().join("0.log.4.gz")).expect("it is there");
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed).read_to_string(&mut text).expect("it is packed");
        assert_eq!(text, "0.log.4");
    }
}
