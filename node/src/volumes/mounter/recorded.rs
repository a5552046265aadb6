//! Mounts that are only written down.

use std::{
    io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

use super::Mounter;

#[derive(Default)]
pub struct Recorded {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mounts: Vec<PathBuf>,
    /// `kind options` and `bind` in order.
    told: Vec<String>,
    held: bool,
}

impl Recorded {
    pub fn told(&self) -> Vec<String> {
        self.state.lock().told.clone()
    }

    /// Mounts stay although they are taken away.
    pub fn hold(&self, held: bool) {
        self.state.lock().held = held;
    }

    fn mount(&self, at: &Path, what: String) {
        let mut state = self.state.lock();
        state.mounts.push(at.to_owned());
        state.told.push(what);
    }
}

impl Mounter for Recorded {
    fn filesystem(&self, kind: &str, at: &Path, options: &str) -> io::Result<()> {
        self.mount(at, format!("{kind} {options}"));
        Ok(())
    }

    fn bind(&self, _what: BorrowedFd<'_>, at: &Path) -> io::Result<()> {
        self.mount(at, "bind".to_owned());
        Ok(())
    }

    fn unmount(&self, at: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if !state.held {
            state.mounts.retain(|mount| mount != at);
        }
        Ok(())
    }

    fn is_mounted(&self, at: &Path) -> io::Result<bool> {
        Ok(self.state.lock().mounts.iter().any(|mount| mount == at))
    }

    fn mounts_below(&self, root: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.state.lock().mounts.iter().filter(|mount| mount.starts_with(root)).cloned().collect())
    }
}
