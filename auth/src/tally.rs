//! What is counted of telling who asks and of deciding; who counts is handed in.

use crate::UnixSeconds;

/// Whoever counts. Words are upstream's labels, times are seconds.
pub trait Tally: Send + Sync {
    /// A token was looked up among those that are remembered.
    fn remembered(&self, _is_known: bool, _seconds: f64) {}

    /// A token that is not remembered has been looked at.
    fn fetched(&self, _is_ok: bool) {}

    /// How many are in a state of waiting for what somebody elsewhere says of a token: one more, or with -1 one fewer.
    fn waiting(&self, _as_what: Waiting, _more: i32) {}

    /// A client showed a certificate that is good for so many seconds more: fewer than none when it is too old.
    fn certificate_shown(&self, _seconds_left: f64) {}

    /// What a token of a service account is, or would be if it were not refused.
    fn account_token(&self, _is: AccountToken) {}

    /// The keys of an issuer were read: what it published; `None` where that could not be had, or is no set of keys.
    fn keys_read(&self, _issuer: &str, _published: Option<&[u8]>, _at: UnixSeconds) {}

    /// Tokens of this issuer are not taken any more.
    fn issuer_gone(&self, _issuer: &str) {}

    /// Something was put into the graph of what leads to which node, or taken out of it: `AddPod`, `DeletePV`.
    fn graph_changed(&self, _operation: &'static str, _seconds: f64) {}

    /// A mode has the last word: `allowed` or `denied`.
    fn decided(&self, _mode: &str, _name: &str, _decision: &'static str) {}

    /// A webhook was asked: `success`, `timeout` or `error`.
    fn webhook_asked(&self, _name: &str, _result: &'static str, _seconds: f64) {}

    /// A webhook did not answer, and has no opinion therefore.
    fn webhook_failed_open(&self, _name: &str, _result: &'static str) {}

    /// What the conditions of a webhook came to.
    fn conditions(&self, _name: &str, _outcome: Conditions, _seconds: f64) {}

    /// Somebody acted as somebody else, or would have: `allowed` or `denied`.
    fn impersonated(&self, _mode: &str, _decision: &'static str, _seconds: f64) {}

    /// A question on the way there.
    fn impersonation_checked(&self, _mode: &str, _decision: &'static str, _seconds: f64) {}

    /// A token of another's issuer was looked at.
    fn issued(&self, _issuer: &str, _is_good: bool, _seconds: f64) {}
}

/// What the conditions of a webhook come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    Hold,
    Exclude,
    Fail,
}

/// As what a request waits for what somebody elsewhere says of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nobody knew the token, be it that another asks about it already.
    Blocked,
    /// It is the one who asks.
    InFlight,
}

/// What a token of a service account is. One may be several of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountToken {
    /// It names no audience, as those do that live in secrets.
    Legacy,
    /// Its holder has not read it anew for longer than he should.
    Stale,
    /// Its holder keeps it fresh.
    Valid,
    /// It lives in a secret that somebody made.
    Manual,
    /// It lives in a secret that was made by itself.
    Auto,
    /// It lives in one that was marked as no good any more.
    Invalidated,
}

/// Counts somebody as waiting until it is dropped, also when his request is given up.
pub(crate) struct Waits<'a>(&'a dyn Tally, Waiting);

impl<'a> Waits<'a> {
    pub(crate) fn new(tally: &'a dyn Tally, as_what: Waiting) -> Waits<'a> {
        tally.waiting(as_what, 1);
        Waits(tally, as_what)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting(self.1, -1);
    }
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uncounted;

impl Tally for Uncounted {}

/// The time between two instants.
pub(crate) fn seconds_since(clock: &dyn api::time::Clock, from: jiff::Timestamp) -> f64 {
    clock.now().duration_since(from).as_secs_f64().max(0.0)
}

/// Notes what it is told, for tests.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Noted(parking_lot::Mutex<Vec<String>>);

#[cfg(test)]
impl Noted {
    fn note(&self, text: String) {
        self.0.lock().push(text);
    }

    /// What was noted since this was asked last.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

#[cfg(test)]
impl Tally for Noted {
    fn remembered(&self, is_known: bool, _: f64) {
        self.note(format!("remembered {is_known}"));
    }

    fn fetched(&self, is_ok: bool) {
        self.note(format!("fetched {is_ok}"));
    }

    fn waiting(&self, as_what: Waiting, more: i32) {
        self.note(format!("{as_what:?} {more:+}"));
    }

    fn certificate_shown(&self, seconds_left: f64) {
        self.note(format!("shown {seconds_left}"));
    }

    fn account_token(&self, is: AccountToken) {
        self.note(format!("{is:?}"));
    }

    fn keys_read(&self, issuer: &str, published: Option<&[u8]>, at: UnixSeconds) {
        self.note(format!("keys of {issuer}: {} at {at}", published.is_some()));
    }

    fn graph_changed(&self, operation: &'static str, _: f64) {
        self.note(operation.to_owned());
    }
}
