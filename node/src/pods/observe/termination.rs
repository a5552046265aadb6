//! What a container said when it ended: the file that it may write, or the end of its log.
//!
//! Upstream: kuberuntime_container.go getTerminationMessage, convertToKubeContainerStatus.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use crate::runtime::{ContainerStatus, State, labels};

/// So long may a message be. Upstream: MaxContainerTerminationMessageLength.
pub const MESSAGE_LEN_MAX: usize = 4096;
/// … and when it is the end of a log. Upstream: MaxContainerTerminationMessageLogLength, …LogLines.
pub const LOG_MESSAGE_LEN_MAX: usize = 2048;
const LOG_MESSAGE_LINES_MAX: usize = 80;

/// The runtime's own message and what the container said.
pub fn message(status: &ContainerStatus) -> String {
    let own = status.message.clone();
    if status.container.state != State::Exited {
        return own;
    }
    let said = said(status);
    match (own.is_empty(), said.is_empty()) {
        (true, _) => said,
        (false, true) => own,
        (false, false) => format!("{own}: {said}"),
    }
}

fn said(status: &ContainerStatus) -> String {
    let word = |key: &str| status.container.annotations.get(key).map(String::as_str).unwrap_or("");
    // A container that could not even be started has no log.
    let falls_back = word(labels::TERMINATION_MESSAGE_POLICY) == "FallbackToLogsOnError"
        && status.exit_code != 0
        && status.reason != "ContainerCannotRun";
    let path = word(labels::TERMINATION_MESSAGE_PATH);
    let mount = status.mounts.iter().find(|m| !path.is_empty() && m.container_path == path);
    let file = match mount.map(|m| (m, tail(&m.host_path, MESSAGE_LEN_MAX))) {
        Some((_, Ok(bytes))) => String::from_utf8_lossy(&bytes).into_owned(),
        Some((mount, Err(error))) if error.kind() != io::ErrorKind::NotFound => {
            return format!("Error on reading termination log {}: {error}", mount.host_path);
        }
        _ => String::new(),
    };
    match file.is_empty() && falls_back {
        true => end_of_log(&status.log_path),
        false => file,
    }
}

/// The last lines of a log in CRI's form, without their heads.
fn end_of_log(path: &str) -> String {
    let Ok(bytes) = tail(path, 16 * LOG_MESSAGE_LEN_MAX) else { return String::new() };
    let text = String::from_utf8_lossy(&bytes);
    // time, stream, tag, then what was said; a tag P tells that the line goes on.
    let mut said = String::new();
    for line in text.lines() {
        let mut parts = line.splitn(4, ' ');
        let (Some(_), Some(_), Some(tag), Some(words)) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        said.push_str(words);
        if !tag.starts_with('P') {
            said.push('\n');
        }
    }
    let skipped = said.lines().count().saturating_sub(LOG_MESSAGE_LINES_MAX);
    let lines: String = said.split_inclusive('\n').skip(skipped).collect();
    let mut from = lines.len().saturating_sub(LOG_MESSAGE_LEN_MAX);
    while !lines.is_char_boundary(from) {
        from += 1;
    }
    lines[from..].to_string()
}

fn tail(path: &str, len_max: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let len_max = u64::try_from(len_max).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(len.saturating_sub(len_max)))?;
    let mut bytes = Vec::new();
    file.take(len_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}
