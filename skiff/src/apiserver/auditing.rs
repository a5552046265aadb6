//! What the flags say about the audit, and what is counted of it.
//!
//! Upstream: apiserver/pkg/server/options/audit.go.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use api::time::Clock;
use audit::{
    Audit, Backend, Policy,
    backend::{
        Batches, Batching, Blocking, Losses,
        log::{Log, Settings},
    },
};
use clap::Args;
use server::metrics::{Counter, Kind, Labeled, Page, Row};

use crate::flags::go::{Span, boolean, integer};

const MODES: [&str; 3] = ["batch", "blocking", "blocking-strict"];

#[derive(Args)]
pub struct AuditFlags {
    /// Which requests are told of, and how much: a Policy.
    #[arg(long)]
    pub audit_policy_file: Option<PathBuf>,
    /// A file with a line for each event; '-' is the standard output.
    #[arg(long)]
    pub audit_log_path: Option<PathBuf>,
    /// Days for which files stay that were put aside; 0: for ever.
    #[arg(long, default_value = "366", value_parser = integer, allow_hyphen_values = true)]
    pub audit_log_maxage: i64,
    /// So many of them stay; 0: all.
    #[arg(long, default_value = "100", value_parser = integer, allow_hyphen_values = true)]
    pub audit_log_maxbackup: i64,
    /// Megabytes after which the file is put aside.
    #[arg(long, default_value = "100", value_parser = integer, allow_hyphen_values = true)]
    pub audit_log_maxsize: i64,
    /// Files that were put aside are packed.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub audit_log_compress: bool,
    /// How a line looks: json.
    #[arg(long, default_value = "json")]
    pub audit_log_format: String,
    /// Who waits for the log: batch (nobody), blocking (every request), blocking-strict (and is refused without it).
    #[arg(long, default_value = "blocking")]
    pub audit_log_mode: String,
    /// So many events wait before some are lost. Only with batch.
    #[arg(long, default_value = "10000", value_parser = integer, allow_hyphen_values = true)]
    pub audit_log_batch_buffer_size: i64,
    #[arg(long, default_value = "1", value_parser = integer, allow_hyphen_values = true)]
    pub audit_log_batch_max_size: i64,
    #[arg(long, default_value = "0s", value_parser = Span::parse)]
    pub audit_log_batch_max_wait: Span,
}

/// What was lost, by who lost it.
#[derive(Default)]
pub struct Lost(Labeled<1, Counter>);

const EVENTS: Row = Row {
    name: "apiserver_audit_event_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &[],
    help: "Counter of audit events generated and sent to the audit backend.",
};
const LOSSES: Row = Row {
    name: "apiserver_audit_error_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["plugin"],
    help: "Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.",
};
const LEVELS: Row = Row {
    name: "apiserver_audit_level_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["level"],
    help: "Counter of policy levels for audit events (1 per request).",
};
const REJECTED: Row = Row {
    name: "apiserver_audit_requests_rejected_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &[],
    help: "Counter of apiserver requests rejected due to an error in audit logging backend.",
};

/// All families that are counted here.
#[cfg(test)]
pub const ROWS: &[&Row] = &[&EVENTS, &LOSSES, &LEVELS, &REJECTED];

/// Refusals in upstream's words.
pub fn check(flags: &AuditFlags) -> Vec<String> {
    let mut wrong = Vec::new();
    if flags.audit_log_path.is_none() {
        return wrong;
    }
    let mode = &flags.audit_log_mode;
    if !MODES.contains(&mode.as_str()) {
        let known = api::field::quote(&MODES.join(","));
        wrong.push(format!("invalid audit log mode {mode}, allowed modes are {known}"));
    }
    for (what, number) in
        [("buffer size", flags.audit_log_batch_buffer_size), ("max batch size", flags.audit_log_batch_max_size)]
    {
        if mode == "batch" && number <= 0 && wrong.is_empty() {
            wrong.push(format!("invalid audit batch log {what} {number}, must be a positive number"));
        }
    }
    for (flag, number) in [
        ("maxage", flags.audit_log_maxage),
        ("maxbackup", flags.audit_log_maxbackup),
        ("maxsize", flags.audit_log_maxsize),
    ] {
        if number < 0 {
            wrong.push(format!("--audit-log-{flag} {number} can't be a negative number"));
        }
    }
    if flags.audit_log_format != "json" {
        let format = &flags.audit_log_format;
        wrong.push(format!("invalid audit log format {format}, allowed formats are \"json\""));
    }
    wrong
}

/// Those who are told, as the flags say; without a policy there is nothing to tell.
pub fn of(flags: &AuditFlags, clock: &Arc<dyn Clock>) -> Result<(Option<Arc<Audit>>, Arc<Lost>)> {
    let lost = Arc::new(Lost::default());
    let Some(path) = &flags.audit_policy_file else { return Ok((None, lost)) };
    let shown = path.display().to_string();
    let text = std::fs::read(path).with_context(|| {
        format!("loading audit policy file: failed to read file path {}", api::field::quote(&shown))
    })?;
    let policy = match Policy::read(&text, &shown) {
        Ok(policy) => policy,
        Err(why) => bail!("loading audit policy file: {why}"),
    };
    let Some(path) = &flags.audit_log_path else { return Ok((None, lost)) };
    let settings = Settings {
        path: path.clone(),
        len_max: positive(flags.audit_log_maxsize, 100) << 20,
        backups_max: positive(flags.audit_log_maxbackup, 0) as usize,
        days_max: flags.audit_log_maxage,
        compress: flags.audit_log_compress,
    };
    let log = Log::open(settings, clock.clone());
    let log = Arc::new(log.with_context(|| format!("ensureLogFile: {} cannot be written", path.display()))?);
    let losses: Arc<dyn Losses> = lost.clone();
    let backend: Arc<dyn Backend> = match flags.audit_log_mode.as_str() {
        "batch" => Arc::new(Batching::start(
            log,
            losses,
            Batches {
                buffer_len: positive(flags.audit_log_batch_buffer_size, 10_000) as usize,
                batch_len_max: positive(flags.audit_log_batch_max_size, 1) as usize,
                wait_max: flags.audit_log_batch_max_wait.duration().unwrap_or(Duration::ZERO),
                throttle: None,
            },
        )),
        mode => Arc::new(Blocking::new(log, losses, mode == "blocking-strict")),
    };
    Ok((Some(Arc::new(Audit::new(policy, vec![backend], clock.clone()))), lost))
}

fn positive(number: i64, otherwise: u64) -> u64 {
    u64::try_from(number).ok().filter(|number| *number > 0).unwrap_or(otherwise)
}

/// Writes what was counted: nothing, where nobody is told.
pub fn metrics(audit: Option<&Arc<Audit>>, lost: Arc<Lost>) -> impl Fn(&mut Page) + Send + Sync + use<> {
    let audit = audit.cloned();
    move |page| {
        let Some(counts) = audit.as_ref().map(|audit| &audit.counts) else {
            [&EVENTS, &REJECTED].into_iter().for_each(|row| page.add(row, |family| family.number(&[], 0.0)));
            return;
        };
        page.add(&EVENTS, |family| family.number(&[], counts.events.load(Ordering::Relaxed) as f64));
        page.add(&REJECTED, |family| family.number(&[], counts.rejected.load(Ordering::Relaxed) as f64));
        page.add(&LEVELS, |family| {
            for (count, level) in counts.levels.iter().zip(["None", "Metadata", "Request", "RequestResponse"]) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    family.number(&[level], count as f64);
                }
            }
        });
        lost.0.write(page, &LOSSES);
    }
}

// === impl Lost ===

impl Losses for Lost {
    fn lost(&self, plugin: &str, count: u64) {
        self.0.get([plugin], Counter::default).add(count);
    }
}
