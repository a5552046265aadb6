//! What a kubelet sets for the whole machine, put back when the last node has gone.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Upstream: pkg/kubelet/cm setupKernelTunables.
const SET: [&str; 3] = ["/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/panic", "/proc/sys/kernel/panic_on_oops"];

static NODES: AtomicUsize = AtomicUsize::new(0);

/// Settings as they were.
pub struct Sysctls(Vec<(&'static str, String)>);

impl Sysctls {
    pub fn remember() -> Sysctls {
        let is_first = NODES.fetch_add(1, Ordering::SeqCst) == 0;
        let read = |path: &'static str| fs::read_to_string(path).ok().map(|value| (path, value));
        Sysctls(if is_first { SET.into_iter().filter_map(read).collect() } else { Vec::new() })
    }
}

impl Drop for Sysctls {
    fn drop(&mut self) {
        NODES.fetch_sub(1, Ordering::SeqCst);
        for (path, value) in &self.0 {
            let _ = fs::write(path, value);
        }
    }
}
