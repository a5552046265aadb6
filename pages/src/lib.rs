//! What a part shows of itself over plain HTTP: whether it is well, and what it counts.
//!
//! A part answers a path with a [`Page`], a plain function of its state; only [`serve`] knows HTTP. No kind's name, no
//! clock: pages are asked for by whoever probes, and read what their part keeps.

mod cells;
mod listen;
mod text;

pub use cells::{Counter, Gauge, Histogram, Labeled};
pub use listen::serve;
pub use text::{Family, Kind, Page as Metrics, Row};

/// An answer to GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    pub content_type: &'static str,
    /// Others than Content-Type.
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

/// Who answers.
pub trait Pages: Send + Sync + 'static {
    /// The page at a path without its query; nothing there is a 404.
    fn page(&self, path: &str) -> Option<Page>;
}

// === impl Page ===

impl Page {
    /// Plain text, as Go's `http.ResponseWriter` sends it.
    pub fn text(status: u16, body: impl Into<String>) -> Page {
        Page { status, content_type: "text/plain; charset=utf-8", headers: Vec::new(), body: body.into() }
    }

    /// JSON that no browser takes for anything else. Upstream: pkg/proxy/healthcheck.
    pub fn json(status: u16, body: impl Into<String>) -> Page {
        let headers = vec![("X-Content-Type-Options", "nosniff".to_string())];
        Page { status, content_type: "application/json", headers, body: body.into() }
    }

    /// What is counted, in Prometheus' text format.
    pub fn metrics(families: Metrics) -> Page {
        let content_type = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
        Page { status: 200, content_type, headers: Vec::new(), body: families.finish() }
    }
}

#[cfg(test)]
mod tests;
