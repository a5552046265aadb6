//! A KubeletConfiguration as it counts: what a file says, what is so when it says nothing, and what is said in vain.
//!
//! Every member has a row ([`rows`]). One that has no effect here is named as soon as it says something else than what is
//! done anyway; one that nobody knows is named too. Nothing is taken silently.

mod rows;
#[cfg(test)]
mod tests;

use std::time::Duration;

use api::{Value, pod_resources, quantity::Quantity};
use jiff::SignedDuration;

use self::rows::{Effect, ROWS};
use crate::{capacity::Reserved, eviction, garbage, rotation, statics, sysctls};

/// What a node is set to.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Every member as it counts: what `/configz` says.
    pub effective: Value,
    /// What is said in vain, in words.
    pub warnings: Vec<String>,
    pub rhythm: Rhythm,
    pub pulls: Pulls,
    /// Unused images; none: they stay.
    pub images: Option<garbage::Limits>,
    pub eviction: eviction::Policy,
    pub reserved: Reserved,
    /// Whether what is reserved is also kept from pods by their control group.
    pub bounds_pods: bool,
    pub statics: statics::Sources,
    /// None: logs grow for ever.
    pub logs: Option<rotation::Limits>,
    pub pods: Pods,
    pub registers: bool,
    pub taints: Vec<Value>,
    pub provider_id: String,
    pub status_images_max: usize,
}

/// How often things are done.
#[derive(Clone, Debug)]
pub struct Rhythm {
    pub sync: SignedDuration,
    pub status: Duration,
    pub report: SignedDuration,
    pub lease_seconds: i64,
}

/// How images are pulled.
#[derive(Clone, Debug)]
pub struct Pulls {
    pub parallel: usize,
    pub per_second: f64,
    pub burst: f64,
}

/// How pods are treated.
#[derive(Clone, Debug)]
pub struct Pods {
    /// Processes of a pod at most.
    pub pids_max: Option<i64>,
    pub enforces_quota: bool,
    pub quota_period_us: i64,
    pub seccomp_default: bool,
    /// Patterns of sysctls beside the safe ones.
    pub unsafe_sysctls: Vec<String>,
    pub restart_wait_max: SignedDuration,
}

impl Default for Configuration {
    fn default() -> Configuration {
        Configuration::read(&Value::object()).expect("the defaults are right")
    }
}

impl Configuration {
    /// Of a file, which may have been changed by flags; no file is an empty one.
    pub fn read(file: &Value) -> Result<Configuration, String> {
        let mut warnings = warnings(file);
        let effective = effective(file)?;
        let said = Said(&effective);
        let eviction = eviction::Policy::read(&effective)?;
        let high = percent(&said, "imageGCHighThresholdPercent")?;
        let low = percent(&said, "imageGCLowThresholdPercent")?;
        if low >= high && high < 100 {
            return Err(format!(
                "imageGCLowThresholdPercent {low} must be less than imageGCHighThresholdPercent {high}"
            ));
        }
        let age_max = said.duration("imageMaximumGCAge")?;
        let limits = garbage::Limits {
            high_percent: high,
            low_percent: low,
            age_min: said.duration("imageMinimumGCAge")?,
            age_max: (!age_max.is_zero()).then_some(age_max),
        };
        let bounds = texts(&effective, "enforceNodeAllocatable");
        for what in bounds.iter().filter(|what| !matches!(what.as_str(), "pods" | "none")) {
            warnings.push(format!("enforceNodeAllocatable: {what:?} has no effect yet"));
        }
        Ok(Configuration {
            rhythm: said.rhythm(file)?,
            pulls: said.pulls(file)?,
            images: (high < 100 || limits.age_max.is_some()).then_some(limits),
            reserved: Reserved {
                pods_max: u64::try_from(effective.int("maxPods")).unwrap_or_default(),
                pods_per_core: u64::try_from(effective.int("podsPerCore")).unwrap_or_default(),
                system: pod_resources::amounts(effective.at("systemReserved")),
                kube: pod_resources::amounts(effective.at("kubeReserved")),
                eviction: eviction.clone(),
            },
            eviction,
            bounds_pods: bounds.iter().any(|what| what == "pods"),
            statics: said.statics()?,
            logs: said.logs()?,
            pods: said.pods()?,
            registers: effective.bool("registerNode"),
            taints: effective.list("registerWithTaints").to_vec(),
            provider_id: effective.str("providerID").to_owned(),
            status_images_max: usize::try_from(effective.int("nodeStatusMaxImages")).unwrap_or(usize::MAX),
            warnings,
            effective,
        })
    }
}

/// The defaults, with what the file says over them.
fn effective(file: &Value) -> Result<Value, String> {
    let mut all = Value::object();
    all.set("kind", "KubeletConfiguration");
    all.set("apiVersion", "kubelet.config.k8s.io/v1beta1");
    for row in ROWS {
        let name = row.path.join(".");
        let said = file.at_path(row.path);
        let default = match row.default {
            "" => Value::Null,
            text => codec::json::any(text.as_bytes()).expect("defaults are JSON").value,
        };
        let value = if said.is_null() { default } else { alike(&name, said, &default)? };
        if !value.is_null() {
            all.set_path(row.path, value);
        }
    }
    Ok(all)
}

/// What was said, when it is of the default's sort; durations as Go writes them.
fn alike(name: &str, said: &Value, default: &Value) -> Result<Value, String> {
    let wrong = |want: &str| Err(format!("{name}: {} is no {want}", codec::json::to_string(said)));
    if default.as_str().is_some_and(is_duration) {
        return match said.as_str().map(api::duration::parse) {
            Some(Ok(nanos)) => Ok(api::duration::format(nanos).as_str().into()),
            Some(Err(error)) => Err(format!("{name}: {error}")),
            None => wrong("duration"),
        };
    }
    match default {
        Value::Str(_) if said.as_str().is_none() => wrong("string"),
        Value::Int(_) if said.as_int().is_none() => wrong("number"),
        Value::Bool(_) if said.as_bool().is_none() => wrong("boolean"),
        _ => Ok(said.clone()),
    }
}

fn is_duration(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && api::duration::parse(text).is_ok()
}

/// A line for each member that is said in vain.
fn warnings(file: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for row in ROWS.iter().filter(|row| row.effect == Effect::None) {
        let said = file.at_path(row.path);
        let name = row.path.join(".");
        let default = match row.default {
            "" => Value::Null,
            text => codec::json::any(text.as_bytes()).expect("defaults are JSON").value,
        };
        let same = alike(&name, said, &default).is_ok_and(|said| said.is_same(&default));
        // Nothing in particular is said by what is empty, where nothing is the default.
        let says_nothing = said.is_null() || default.is_null() && said.is_empty();
        if !says_nothing && !same {
            lines.push(format!("{name}: it has no effect yet"));
        }
    }
    unknown(file, &mut Vec::new(), &mut lines);
    lines
}

/// Names members that there are no rows for.
fn unknown<'a>(value: &'a Value, at: &mut Vec<&'a str>, lines: &mut Vec<String>) {
    for (name, member) in value.members() {
        at.push(name);
        let is_row = ROWS.iter().any(|row| row.path == at.as_slice());
        let is_above = ROWS.iter().any(|row| row.path.starts_with(at));
        match (is_row, is_above) {
            (true, _) => {}
            (false, true) => unknown(member, at, lines),
            (false, false) if at.len() == 1 && matches!(name, "kind" | "apiVersion") => {}
            (false, false) => lines.push(format!("{}: there is no such member", at.join("."))),
        }
        at.pop();
    }
}

fn percent(said: &Said<'_>, name: &str) -> Result<i64, String> {
    let percent = said.0.int(name);
    match percent {
        0..=100 => Ok(percent),
        _ => Err(format!("{name} {percent} must be between 0 and 100, inclusive")),
    }
}

fn texts(of: &Value, member: &str) -> Vec<String> {
    of.list(member).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What counts, read as it is meant.
struct Said<'a>(&'a Value);

impl Said<'_> {
    fn duration(&self, name: &str) -> Result<SignedDuration, String> {
        self.duration_at(&[name])
    }

    fn duration_at(&self, path: &[&str]) -> Result<SignedDuration, String> {
        let nanos = match self.0.at_path(path).as_str() {
            None => 0,
            Some(text) => api::duration::parse(text).map_err(|error| format!("{}: {error}", path.join(".")))?,
        };
        Ok(SignedDuration::from_nanos(nanos))
    }

    fn positive(&self, name: &str) -> Result<Duration, String> {
        let duration = self.duration(name)?;
        match Duration::try_from(duration) {
            Ok(duration) if !duration.is_zero() => Ok(duration),
            _ => Err(format!("{name} must be a positive duration")),
        }
    }

    fn rhythm(&self, file: &Value) -> Result<Rhythm, String> {
        let status = self.positive("nodeStatusUpdateFrequency")?;
        let lease_seconds = self.0.int("nodeLeaseDurationSeconds");
        if lease_seconds <= 0 {
            return Err(format!("nodeLeaseDurationSeconds {lease_seconds} must be greater than 0"));
        }
        // Who says how often the node looks at itself means how often it tells, unless he says that too.
        let reports_as_it_looks = file.has("nodeStatusUpdateFrequency") && !file.has("nodeStatusReportFrequency");
        let report = if reports_as_it_looks { "nodeStatusUpdateFrequency" } else { "nodeStatusReportFrequency" };
        Ok(Rhythm { sync: self.duration("syncFrequency")?, status, report: self.duration(report)?, lease_seconds })
    }

    /// Upstream: SetDefaults_KubeletConfiguration, NewImageManager.
    fn pulls(&self, file: &Value) -> Result<Pulls, String> {
        let most = self.0.opt_int("maxParallelImagePulls");
        let serial = match file.opt_bool("serializeImagePulls") {
            Some(serial) => serial,
            None => most.is_none_or(|most| most < 2),
        };
        if most.is_some_and(|most| most < 1) {
            return Err("maxParallelImagePulls must be a positive number".into());
        }
        if serial && most.is_some_and(|most| most > 1) {
            return Err(
                "maxParallelImagePulls cannot be larger than 1 unless serializeImagePulls is set to false".into()
            );
        }
        // Where nobody sets a bound, there has to be one of some sort.
        let unbounded = tokio::sync::Semaphore::MAX_PERMITS;
        let most = most.map_or(unbounded, |most| usize::try_from(most).unwrap_or(unbounded));
        Ok(Pulls {
            parallel: if serial { 1 } else { most },
            per_second: self.0.int("registryPullQPS") as f64,
            burst: self.0.int("registryBurst") as f64,
        })
    }

    fn statics(&self) -> Result<statics::Sources, String> {
        let mut headers = Vec::new();
        for (name, values) in self.0.at("staticPodURLHeader").members() {
            headers.extend(values.items().iter().filter_map(|v| Some((name.to_owned(), v.as_str()?.to_owned()))));
        }
        Ok(statics::Sources {
            path: self.0.opt_str("staticPodPath").map(Into::into),
            path_every: self.positive("fileCheckFrequency")?,
            url: self.0.opt_str("staticPodURL").map(str::to_owned),
            url_every: self.positive("httpCheckFrequency")?,
            headers,
        })
    }

    /// Upstream: NewContainerLogManager.
    fn logs(&self) -> Result<Option<rotation::Limits>, String> {
        let text = self.0.str("containerLogMaxSize");
        let size = Quantity::parse(text).map_err(|error| format!("containerLogMaxSize {text:?}: {error}"))?;
        let files = self.0.int("containerLogMaxFiles");
        if files <= 1 {
            return Err(format!("containerLogMaxFiles {files} must be greater than 1"));
        }
        let every = self.positive("containerLogMonitorInterval")?;
        let Ok(size_max) = u64::try_from(size.value()) else { return Ok(None) };
        Ok(Some(rotation::Limits { size_max, files_max: usize::try_from(files).unwrap_or(usize::MAX), every }))
    }

    fn pods(&self) -> Result<Pods, String> {
        let pids = self.0.int("podPidsLimit");
        let period = self.duration("cpuCFSQuotaPeriod")?;
        if period < SignedDuration::from_millis(1) || period > SignedDuration::from_secs(1) {
            return Err("cpuCFSQuotaPeriod must be between 1ms and 1sec, inclusive".into());
        }
        let unsafe_sysctls = texts(self.0, "allowedUnsafeSysctls");
        unsafe_sysctls.iter().try_for_each(|pattern| sysctls::check(pattern))?;
        Ok(Pods {
            pids_max: (pids > 0).then_some(pids),
            enforces_quota: self.0.bool("cpuCFSQuota"),
            quota_period_us: i64::try_from(period.as_micros()).unwrap_or(i64::MAX),
            seccomp_default: self.0.bool("seccompDefault"),
            unsafe_sysctls,
            restart_wait_max: self.duration_at(&["crashLoopBackOff", "maxContainerRestartPeriod"])?,
        })
    }
}
