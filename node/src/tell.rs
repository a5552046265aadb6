//! What users are told of pods: events, as whoever records them takes them.

use api::Value;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    pub is_warning: bool,
    /// Upstream: pkg/kubelet/events/event.go.
    pub reason: &'static str,
    pub message: String,
}

/// Records events. It neither waits nor fails: what cannot be recorded is lost.
pub trait Tell: Send + Sync + 'static {
    /// `container` is the name of one of the pod's containers, when it is about that.
    fn tell(&self, pod: &Value, container: Option<&str>, telling: Telling);
}

impl Telling {
    pub fn normal(reason: &'static str, message: impl Into<String>) -> Telling {
        Telling { is_warning: false, reason, message: message.into() }
    }

    pub fn warning(reason: &'static str, message: impl Into<String>) -> Telling {
        Telling { is_warning: true, reason, message: message.into() }
    }
}

/// Keeps what is told, for tests.
#[cfg(test)]
#[derive(Default)]
pub struct Told(parking_lot::Mutex<Vec<String>>);

#[cfg(test)]
impl Told {
    /// `Warning Reason message`, in order, since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

#[cfg(test)]
impl Tell for Told {
    fn tell(&self, _pod: &Value, _container: Option<&str>, telling: Telling) {
        let kind = if telling.is_warning { "Warning" } else { "Normal" };
        self.0.lock().push(format!("{kind} {} {}", telling.reason, telling.message));
    }
}
