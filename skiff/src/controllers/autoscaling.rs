//! How workloads are scaled. Upstream: cmd/kube-controller-manager/app/options/hpacontroller.go.

use anyhow::Result;
use clap::Args;

use crate::leadership::duration;

/// `--horizontal-pod-autoscaler-*`.
#[derive(Args)]
pub struct Autoscaling {
    /// How often autoscalers look.
    #[arg(long, default_value = "15s")]
    pub horizontal_pod_autoscaler_sync_period: String,
    /// Workloads shrink to the most that was recommended in this time.
    #[arg(long, default_value = "5m0s")]
    pub horizontal_pod_autoscaler_downscale_stabilization: String,
    /// By how much usage may be off before anything is done.
    #[arg(long, default_value_t = 0.1)]
    pub horizontal_pod_autoscaler_tolerance: f64,
    /// What pods use of CPU so long after their start does not count while they are not ready.
    #[arg(long, default_value = "5m0s")]
    pub horizontal_pod_autoscaler_cpu_initialization_period: String,
    /// What becomes unready so soon after its start is taken to have never been ready.
    #[arg(long, default_value = "30s")]
    pub horizontal_pod_autoscaler_initial_readiness_delay: String,
}

// === impl Autoscaling ===

impl Autoscaling {
    pub fn settings(&self) -> Result<controllers::Autoscaling> {
        let read = |name: &str, text: &str| duration(&format!("--horizontal-pod-autoscaler-{name}"), text);
        Ok(controllers::Autoscaling {
            sync: read("sync-period", &self.horizontal_pod_autoscaler_sync_period)?,
            downscale_stabilization: read(
                "downscale-stabilization",
                &self.horizontal_pod_autoscaler_downscale_stabilization,
            )?,
            tolerance: self.horizontal_pod_autoscaler_tolerance,
            cpu_initialization: read(
                "cpu-initialization-period",
                &self.horizontal_pod_autoscaler_cpu_initialization_period,
            )?,
            initial_readiness: read(
                "initial-readiness-delay",
                &self.horizontal_pod_autoscaler_initial_readiness_delay,
            )?,
        })
    }
}
