//! The user of requests that show nothing.

use api::User;

use super::{Authenticator, Credentials, Identity, Outcome};

/// The paths that everyone may ask unless configured otherwise.
pub const DEFAULT_PATHS: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// Upstream: apiserver pkg/authentication/request/anonymous.
#[derive(Clone, Debug, Default)]
pub struct Anonymous {
    /// Where the anonymous user is known; everywhere, when empty.
    pub paths: Vec<String>,
}

impl Anonymous {
    /// Known on the health and version paths alone.
    pub fn on_default_paths() -> Anonymous {
        Anonymous { paths: DEFAULT_PATHS.map(str::to_owned).to_vec() }
    }

    /// Known there too.
    pub fn and_on(mut self, path: &str) -> Anonymous {
        self.paths.push(path.to_owned());
        self
    }
}

impl Authenticator for Anonymous {
    fn authenticate(&self, credentials: &Credentials<'_>) -> Outcome {
        if !self.paths.is_empty() && !self.paths.iter().any(|path| path == credentials.path) {
            return Ok(None);
        }
        let audiences = credentials.audiences.unwrap_or_default().to_vec();
        Ok(Some(Identity { user: User::anonymous(), audiences, ..Identity::default() }))
    }
}
