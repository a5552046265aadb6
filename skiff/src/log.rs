//! The log: lines of text, or of JSON as upstream writes them.

use std::fmt::{self, Debug};

use api::{Value, time::Clock as _};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormattedFields,
        format::{FormatEvent, FormatFields, Writer},
    },
    registry::LookupSpan,
};

use crate::clock::Wall;

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// Sets the log up: warnings by default, more with each step of verbosity.
pub fn begin(verbosity: u8, format: Format) {
    let level = match verbosity {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::new(format!("{level},h2=warn,hyper=warn,rustls=warn,hickory_server=warn,hickory_net=warn"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        Format::Text => lines.init(),
        Format::Json => lines.event_format(Json).init(),
    }
}

/// An object a line: when in milliseconds, where, what, and how far down it is. Upstream: component-base/logs/json.
struct Json;

/// Members of an event.
struct Members(Value);

// === impl Json ===

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Members(Value::object());
        line.0.set("ts", Wall.now().as_microsecond() as f64 / 1000.0);
        let caller = format!("{}:{}", metadata.file().unwrap_or_default(), metadata.line().unwrap_or_default());
        line.0.set("caller", caller);
        line.0.set("msg", "");
        if let Some(depth) = depth(*metadata.level()) {
            line.0.set("v", depth);
        }
        event.record(&mut line);
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>().filter(|fields| !fields.is_empty()) {
                line.0.set(span.name(), fields.fields.as_str());
            }
        }
        writeln!(writer, "{}", codec::json::to_string(&line.0))
    }
}

/// Upstream's verbosity; what went wrong has none.
fn depth(level: Level) -> Option<i64> {
    match level {
        Level::ERROR => None,
        Level::WARN => Some(0),
        Level::INFO => Some(2),
        Level::DEBUG => Some(5),
        Level::TRACE => Some(9),
    }
}

// === impl Members ===

impl Visit for Members {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.set(named(field), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.set(named(field), i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.set(named(field), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.set(named(field), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.set(named(field), format!("{value:?}"));
    }
}

fn named(field: &Field) -> &'static str {
    match field.name() {
        "message" => "msg",
        "error" => "err",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_line_is_an_object_as_upstreams() {
        let lines = Lines::default();
        let writes = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writes.clone()).event_format(Json).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(count = 7, name = "a\"b", "it {}", "began");
            tracing::error!(error = %"gone", "it ended");
        });
        let text = String::from_utf8(lines.0.lock().clone()).expect("it is text");
        let read: Vec<Value> =
            text.lines().map(|line| codec::json::any(line.as_bytes()).expect("it is JSON").value).collect();
        let [began, ended] = read.as_slice() else { panic!("{text}") };
        assert_eq!((began.str("msg"), began.int("v"), began.int("count")), ("it began", 2, 7));
        assert_eq!(began.str("name"), "a\"b");
        assert!(began.str("caller").contains("log.rs:") && !began.at("ts").is_empty(), "{text}");
        assert_eq!((ended.str("msg"), ended.str("err"), ended.has("v")), ("it ended", "gone", false));
    }
}
