//! A file with a line for each event, which is put aside when it is full.
//!
//! Upstream: apiserver/plugin/pkg/audit/log, and lumberjack, which rotates.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::time::Clock;
use async_trait::async_trait;
use flate2::{Compression, write::GzEncoder};
use jiff::{SignedDuration, Timestamp, fmt::strtime};

use super::{Sink, Turn};

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `-` is the standard output.
    pub path: PathBuf,
    /// A file is put aside before it is longer.
    pub len_max: u64,
    /// So many of them stay; 0: all.
    pub backups_max: usize,
    /// For so many days; 0: for ever.
    pub days_max: i64,
    pub compress: bool,
}

/// The log.
pub struct Log {
    settings: Settings,
    clock: Arc<dyn Clock>,
    open: Turn<Option<(File, u64)>>,
}

// === impl Log ===

impl Log {
    /// Fails when the file cannot be written.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> io::Result<Log> {
        let open = match settings.path.as_os_str() == "-" {
            true => None,
            false => Some(append(&settings.path)?),
        };
        Ok(Log { settings, clock, open: Turn::new(open) })
    }

    fn append_all(&self, open: &mut Option<(File, u64)>, lines: &[Arc<str>]) -> io::Result<()> {
        for line in lines {
            let text = format!("{line}\n");
            let Some((file, len)) = open else {
                io::stdout().write_all(text.as_bytes())?;
                continue;
            };
            if *len > 0 && *len + text.len() as u64 > self.settings.len_max {
                self.put_aside()?;
                (*file, *len) = append(&self.settings.path)?;
            }
            file.write_all(text.as_bytes())?;
            *len += text.len() as u64;
        }
        Ok(())
    }

    /// Names the file by the time, and throws old ones away.
    fn put_aside(&self) -> io::Result<()> {
        let now = self.clock.now();
        let aside = self.named(now);
        fs::rename(&self.settings.path, &aside)?;
        if self.settings.compress {
            compress(&aside)?;
        }
        let mut kept = self.aside()?;
        kept.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let oldest = SignedDuration::from_hours(24 * self.settings.days_max);
        for (i, (at, path)) in kept.into_iter().enumerate() {
            let too_many = self.settings.backups_max > 0 && i >= self.settings.backups_max;
            let too_old = self.settings.days_max > 0 && now.duration_since(at) > oldest;
            if too_many || too_old {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// `audit-2026-11-22T03-44-49.123.log`
    fn named(&self, at: Timestamp) -> PathBuf {
        let (stem, extension) = self.parts();
        let millis = at.subsec_nanosecond().rem_euclid(1_000_000_000) / 1_000_000;
        let text = strtime::format(FORM, at).expect("the form is fixed and valid");
        self.settings.path.with_file_name(format!("{stem}-{text}.{millis:03}{extension}"))
    }

    /// The files that were put aside, with their times.
    fn aside(&self) -> io::Result<Vec<(Timestamp, PathBuf)>> {
        let (stem, extension) = self.parts();
        let directory = self.settings.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let name = name.strip_suffix(".gz").unwrap_or(&name);
            let text = name.strip_prefix(&format!("{stem}-")).and_then(|rest| rest.strip_suffix(&extension));
            if let Some(at) = text.and_then(read_time) {
                found.push((at, path));
            }
        }
        Ok(found)
    }

    /// `audit` and `.log`.
    fn parts(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned());
        let extension = text(self.settings.path.extension()).map(|extension| format!(".{extension}"));
        (text(self.settings.path.file_stem()).unwrap_or_default(), extension.unwrap_or_default())
    }
}

#[async_trait]
impl Sink for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn write(&self, lines: &[Arc<str>]) -> Result<(), String> {
        let mut open = self.open.lock().await;
        self.append_all(&mut open, lines).map_err(|error| error.to_string())
    }
}

const FORM: &str = "%Y-%m-%dT%H-%M-%S";

/// `2026-11-22T03-44-49.123`
fn read_time(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.split_once('T')?;
    format!("{date}T{}Z", clock.replace('-', ":")).parse().ok()
}

/// It tells who did what: it is nobody's else to read.
fn append(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let len = file.metadata()?.len();
    Ok((file, len))
}

fn compress(path: &Path) -> io::Result<()> {
    let mut packed = path.as_os_str().to_owned();
    packed.push(".gz");
    let out = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&packed)?;
    let mut encoder = GzEncoder::new(out, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?;
    fs::remove_file(path)
}
