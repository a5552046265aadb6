//! Being told to stop: by Ctrl-C or SIGTERM. Who says so twice does not wait for what is still being done.
//!
//! Upstream: apiserver/pkg/server/signal.go.

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that do not end this process by themselves from here on.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    pub fn listen() -> Result<Stop> {
        Ok(Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the first; a second one ends the process at once.
    pub async fn told(&mut self) {
        self.heard().await;
        if let Ok(mut again) = Stop::listen() {
            tokio::spawn(async move {
                again.heard().await;
                #[expect(clippy::disallowed_methods, reason = "it is what a second signal asks for")]
                std::process::exit(1);
            });
        }
    }

    async fn heard(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
