//! What the flags say about the audit, and what is counted of it.
//!
//! Upstream: apiserver/pkg/server/options/audit.go.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use api::{field::quote, time::Clock};
use audit::{
    Audit, Backend, Policy,
    backend::{
        Batches, Batching, Blocking, Losses, Sink, Truncating,
        log::{Log, Settings},
    },
};
use clap::Args;
use server::{
    metrics::{Counter, Kind, Labeled, Page, Row},
    outgoing::{Outgoing, events::Events},
};

use super::elsewhere;
use crate::flags::go::{Span, boolean, float, integer};

const MODES: [&str; 3] = ["batch", "blocking", "blocking-strict"];
const VERSION: &str = "audit.k8s.io/v1";
/// Batches that a webhook is sent at once. Upstream knows no end of them.
const ON_THEIR_WAY_MAX: usize = 1000;

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
    /// In which version a line is written: audit.k8s.io/v1.
    #[arg(long, default_value = VERSION)]
    pub audit_log_version: String,
    /// Who waits for the log: batch (nobody), blocking (every request), blocking-strict (and is refused without it).
    #[arg(long, default_value = "blocking")]
    pub audit_log_mode: String,
    /// So many events wait before some are lost. Only with batch.
    #[arg(long, default_value = "10000", value_parser = integer, allow_hyphen_values = true)]
    pub audit_log_batch_buffer_size: i64,
    /// So many go together. Only with batch, as those below.
    #[arg(long, default_value = "1", value_parser = integer, allow_hyphen_values = true)]
    pub audit_log_batch_max_size: i64,
    /// After so long they go even if they are fewer.
    #[arg(long, default_value = "0s", value_parser = Span::parse, allow_hyphen_values = true)]
    pub audit_log_batch_max_wait: Span,
    /// Whether batches are held back to so many a second.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub audit_log_batch_throttle_enable: bool,
    #[arg(long, default_value = "0", value_parser = float, allow_hyphen_values = true)]
    pub audit_log_batch_throttle_qps: f32,
    /// So many may go at once after a pause.
    #[arg(long, default_value = "0", value_parser = integer, allow_hyphen_values = true)]
    pub audit_log_batch_throttle_burst: i64,
    /// Whether events that are too long lose the objects that came and went, or are dropped.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub audit_log_truncate_enabled: bool,
    /// In bytes, as is the next one.
    #[arg(long, default_value = "10485760", value_parser = integer, allow_hyphen_values = true)]
    pub audit_log_truncate_max_batch_size: i64,
    #[arg(long, default_value = "102400", value_parser = integer, allow_hyphen_values = true)]
    pub audit_log_truncate_max_event_size: i64,
    /// A kubeconfig: whose server is told of events.
    #[arg(long)]
    pub audit_webhook_config_file: Option<PathBuf>,
    /// How long one waits before events are sent again that were not taken.
    #[arg(long, alias = "audit-webhook-batch-initial-backoff", default_value = "10s", value_parser = Span::parse, allow_hyphen_values = true)]
    pub audit_webhook_initial_backoff: Span,
    /// In which version events are sent: audit.k8s.io/v1.
    #[arg(long, default_value = VERSION)]
    pub audit_webhook_version: String,
    /// Who waits for the webhook: batch (nobody), blocking (every request), blocking-strict (and is refused without it).
    #[arg(long, default_value = "batch")]
    pub audit_webhook_mode: String,
    /// As those of the log.
    #[arg(long, default_value = "10000", value_parser = integer, allow_hyphen_values = true)]
    pub audit_webhook_batch_buffer_size: i64,
    #[arg(long, default_value = "400", value_parser = integer, allow_hyphen_values = true)]
    pub audit_webhook_batch_max_size: i64,
    #[arg(long, default_value = "30s", value_parser = Span::parse, allow_hyphen_values = true)]
    pub audit_webhook_batch_max_wait: Span,
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_parser = boolean, action = clap::ArgAction::Set)]
    pub audit_webhook_batch_throttle_enable: bool,
    #[arg(long, default_value = "10", value_parser = float, allow_hyphen_values = true)]
    pub audit_webhook_batch_throttle_qps: f32,
    #[arg(long, default_value = "15", value_parser = integer, allow_hyphen_values = true)]
    pub audit_webhook_batch_throttle_burst: i64,
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", value_parser = boolean, action = clap::ArgAction::Set)]
    pub audit_webhook_truncate_enabled: bool,
    #[arg(long, default_value = "10485760", value_parser = integer, allow_hyphen_values = true)]
    pub audit_webhook_truncate_max_batch_size: i64,
    #[arg(long, default_value = "102400", value_parser = integer, allow_hyphen_values = true)]
    pub audit_webhook_truncate_max_event_size: i64,
}

/// What the flags of one backend say, whichever it is. Upstream: `AuditBatchOptions`, `AuditTruncateOptions`.
struct Manner<'a> {
    /// `log`, `webhook`
    plugin: &'static str,
    mode: &'a str,
    buffer_len: i64,
    batch_len_max: i64,
    wait_max: Span,
    throttles: bool,
    per_second: f32,
    burst: i64,
    truncates: bool,
    truncated_batch_max: i64,
    event_len_max: i64,
    version: &'a str,
    on_their_way_max: usize,
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

// === impl AuditFlags ===

impl AuditFlags {
    fn log(&self) -> Manner<'_> {
        Manner {
            plugin: "log",
            mode: &self.audit_log_mode,
            buffer_len: self.audit_log_batch_buffer_size,
            batch_len_max: self.audit_log_batch_max_size,
            wait_max: self.audit_log_batch_max_wait,
            throttles: self.audit_log_batch_throttle_enable,
            per_second: self.audit_log_batch_throttle_qps,
            burst: self.audit_log_batch_throttle_burst,
            truncates: self.audit_log_truncate_enabled,
            truncated_batch_max: self.audit_log_truncate_max_batch_size,
            event_len_max: self.audit_log_truncate_max_event_size,
            version: &self.audit_log_version,
            // A file is written by one.
            on_their_way_max: 1,
        }
    }

    fn webhook(&self) -> Manner<'_> {
        Manner {
            plugin: "webhook",
            mode: &self.audit_webhook_mode,
            buffer_len: self.audit_webhook_batch_buffer_size,
            batch_len_max: self.audit_webhook_batch_max_size,
            wait_max: self.audit_webhook_batch_max_wait,
            throttles: self.audit_webhook_batch_throttle_enable,
            per_second: self.audit_webhook_batch_throttle_qps,
            burst: self.audit_webhook_batch_throttle_burst,
            truncates: self.audit_webhook_truncate_enabled,
            truncated_batch_max: self.audit_webhook_truncate_max_batch_size,
            event_len_max: self.audit_webhook_truncate_max_event_size,
            version: &self.audit_webhook_version,
            on_their_way_max: ON_THEIR_WAY_MAX,
        }
    }
}

// === impl Manner ===

impl Manner<'_> {
    /// Refusals in upstream's words, of which it says one about each thing.
    fn wrong(&self) -> Vec<String> {
        [self.wrong_batches(), self.wrong_lengths(), self.wrong_version()].into_iter().flatten().collect()
    }

    /// Upstream: `validateBackendBatchOptions`.
    fn wrong_batches(&self) -> Option<String> {
        let (plugin, mode) = (self.plugin, self.mode);
        if !MODES.contains(&mode) {
            let known = quote(&MODES.join(","));
            return Some(format!("invalid audit {plugin} mode {mode}, allowed modes are {known}"));
        }
        let throttles = self.throttles;
        let asked = [
            ("buffer size", self.buffer_len <= 0, self.buffer_len.to_string()),
            ("max batch size", self.batch_len_max <= 0, self.batch_len_max.to_string()),
            ("throttle QPS", throttles && self.per_second <= 0.0, self.per_second.to_string()),
            ("throttle burst", throttles && self.burst <= 0, self.burst.to_string()),
        ];
        let (what, _, number) = asked.into_iter().find(|(_, is_wrong, _)| *is_wrong && mode == "batch")?;
        Some(format!("invalid audit batch {plugin} {what} {number}, must be a positive number"))
    }

    /// Upstream: `AuditTruncateOptions.Validate`.
    fn wrong_lengths(&self) -> Option<String> {
        let Manner { plugin, event_len_max: event, truncated_batch_max: batch, .. } = *self;
        if event <= 0 {
            return Some(format!("invalid audit truncate {plugin} max event size {event}, must be a positive number"));
        }
        (batch < event).then(|| {
            format!(
                "invalid audit truncate {plugin} max batch size {batch}, must be greater than max event size ({event})"
            )
        })
    }

    /// Upstream: `validateGroupVersionString`.
    fn wrong_version(&self) -> Option<String> {
        match self.version {
            VERSION => None,
            text if text.matches('/').count() > 1 => Some(format!("unexpected GroupVersion string: {text}")),
            _ => Some(format!("invalid group version, allowed versions are [{}]", quote(VERSION))),
        }
    }

    /// What stands in front of where events go. Upstream: `wrapBackend`, of both options.
    fn around(&self, sink: Arc<dyn Sink>, losses: &Arc<Lost>) -> Arc<dyn Backend> {
        let lost: Arc<dyn Losses> = losses.clone();
        let backend: Arc<dyn Backend> = match self.mode {
            "batch" => {
                let batches = Batches {
                    buffer_len: positive(self.buffer_len, 1) as usize,
                    batch_len_max: positive(self.batch_len_max, 1) as usize,
                    wait_max: self.wait_max.duration().unwrap_or(Duration::ZERO),
                    throttle: self.throttles.then(|| (f64::from(self.per_second), positive(self.burst, 1) as u32)),
                    on_their_way_max: self.on_their_way_max,
                };
                Arc::new(Batching::start(sink, lost.clone(), batches))
            }
            mode => Arc::new(Blocking::new(sink, lost.clone(), mode == "blocking-strict")),
        };
        if !self.truncates {
            return backend;
        }
        Arc::new(Truncating::new(backend, lost, positive(self.event_len_max, 1) as usize))
    }
}

/// Refusals in upstream's words.
pub fn check(flags: &AuditFlags) -> Vec<String> {
    let mut wrong = Vec::new();
    if flags.audit_log_path.is_some() {
        wrong.extend(flags.log().wrong());
        if flags.audit_log_format != "json" {
            let format = &flags.audit_log_format;
            wrong.push(format!("invalid audit log format {format}, allowed formats are \"json\""));
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
    }
    if flags.audit_webhook_config_file.is_some() {
        wrong.extend(flags.webhook().wrong());
    }
    wrong
}

/// Those who are told, as the flags say; without a policy there is nothing to tell.
pub fn of(
    flags: &AuditFlags,
    clock: &Arc<dyn Clock>,
    outgoing: &Arc<Outgoing>,
) -> Result<(Option<Arc<Audit>>, Arc<Lost>)> {
    let lost = Arc::new(Lost::default());
    let Some(path) = &flags.audit_policy_file else { return Ok((None, lost)) };
    let shown = path.display().to_string();
    let text = std::fs::read(path)
        .with_context(|| format!("loading audit policy file: failed to read file path {}", quote(&shown)))?;
    let policy = match Policy::read(&text, &shown) {
        Ok(policy) => policy,
        Err(why) => bail!("loading audit policy file: {why}"),
    };
    let mut backends = Vec::new();
    if let Some(path) = &flags.audit_log_path {
        backends.push(flags.log().around(Arc::new(log(flags, path, clock)?), &lost));
    }
    if let Some(path) = &flags.audit_webhook_config_file {
        let webhook =
            elsewhere::events(path, outgoing).map_err(|why| anyhow!("initializing audit webhook: {why:#}"))?;
        let first_wait = flags.audit_webhook_initial_backoff.duration().unwrap_or(Duration::ZERO);
        backends.push(flags.webhook().around(Arc::new(Events::new(webhook, first_wait)), &lost));
    }
    if backends.is_empty() {
        return Ok((None, lost));
    }
    Ok((Some(Arc::new(Audit::new(policy, backends, clock.clone()))), lost))
}

fn log(flags: &AuditFlags, path: &Path, clock: &Arc<dyn Clock>) -> Result<Log> {
    let settings = Settings {
        path: path.to_owned(),
        len_max: positive(flags.audit_log_maxsize, 100) << 20,
        backups_max: positive(flags.audit_log_maxbackup, 0) as usize,
        days_max: flags.audit_log_maxage,
        compress: flags.audit_log_compress,
    };
    let log = Log::open(settings, clock.clone());
    log.with_context(|| format!("ensureLogFile: {} cannot be written", path.display()))
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
