//! Pods that the node has from itself: files of a directory, or what a web server says; and their mirrors at the API server.
//!
//! What is read is sent to the dispatcher as whole lists, one for each source: whoever is not on the list any more goes.
//! Upstream: pkg/kubelet/config/{file,http,common}.go, pkg/kubelet/pod/mirror_client.go.

mod mirrors;
mod reading;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::{Value, time::Clock};
use tokio::time;

pub use self::{
    mirrors::{Act, Place, acts, carry_out, place},
    reading::Whole,
};
use crate::probes::http;

/// A pod's annotations by which it is known where it comes from.
pub const SOURCE: &str = "kubernetes.io/config.source";
pub const HASH: &str = "kubernetes.io/config.hash";
pub const MIRROR: &str = "kubernetes.io/config.mirror";
pub const SEEN: &str = "kubernetes.io/config.seen";

/// A list longer than this is none. Upstream: maxConfigLength.
const LEN_MAX: u64 = 10 << 20;
/// So often a directory is looked at for changes; upstream is told of them.
const LOOK: Duration = Duration::from_secs(1);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Where such pods are.
#[derive(Clone, Debug)]
pub struct Sources {
    /// A directory of files, or a file.
    pub path: Option<PathBuf>,
    pub path_every: Duration,
    pub url: Option<String>,
    pub url_every: Duration,
    pub headers: Vec<(String, String)>,
}

/// What makes pods of what is read.
pub struct Reader {
    pub node_name: String,
    pub clock: Arc<dyn Clock>,
    pub whole: Whole,
}

/// Who hears of lists: the source's name, and its pods.
pub type Hear = Arc<dyn Fn(&'static str, Vec<Arc<Value>>) + Send + Sync>;

// === impl Sources ===

impl Sources {
    /// The names of the sources that there are.
    pub fn names(&self) -> Vec<&'static str> {
        let named = [(self.path.is_some(), "file"), (self.url.is_some(), "http")];
        named.into_iter().filter_map(|(is, name)| is.then_some(name)).collect()
    }
}

/// Reads for ever.
pub async fn follow(sources: Sources, reader: Reader, hear: Hear) {
    let path = async {
        match &sources.path {
            Some(path) => follow_path(path, sources.path_every, &reader, &hear).await,
            None => std::future::pending().await,
        }
    };
    let url = async {
        match &sources.url {
            Some(url) => follow_url(url, &sources, &reader, &hear).await,
            None => std::future::pending().await,
        }
    };
    tokio::join!(path, url);
}

async fn follow_path(path: &Path, every: Duration, reader: &Reader, hear: &Hear) {
    let mut known = None;
    loop {
        match reading::files(path) {
            Ok(files) if known.as_ref() == Some(&files) => {}
            Ok(files) => {
                hear("file", reader.files(&files));
                known = Some(files);
            }
            Err(error) => tracing::warn!(path = %path.display(), %error, "the directory of pods cannot be read"),
        }
        time::sleep(every.min(LOOK)).await;
    }
}

async fn follow_url(url: &str, sources: &Sources, reader: &Reader, hear: &Hear) {
    let mut known = String::new();
    loop {
        match ask(url, &sources.headers).await.and_then(|text| reader.answer(url, &text, &mut known)) {
            Ok(Some(pods)) => hear("http", pods),
            Ok(None) => {}
            Err(error) => tracing::warn!(url, error, "pods cannot be read from a URL"),
        }
        time::sleep(sources.url_every).await;
    }
}

async fn ask(url: &str, headers: &[(String, String)]) -> Result<String, String> {
    let request = http::Request::at(url, headers)?;
    if request.is_https {
        return Err("only http is understood yet".into());
    }
    let len_max = usize::try_from(LEN_MAX).unwrap_or(usize::MAX);
    let answer = http::get_up_to(&request, ANSWER_WITHIN, len_max).await.map_err(|error| error.to_string())?;
    match answer.code {
        200 => Ok(answer.body),
        code => Err(format!("{url}: {code}")),
    }
}
