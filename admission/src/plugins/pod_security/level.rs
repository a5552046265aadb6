//! Levels, versions and what a namespace's labels say of them.
//!
//! Upstream: k8s.io/pod-security-admission/api/helpers.go.

use std::fmt;

use api::{
    Value,
    field::{Errors, Path},
};

/// How strict: in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// Which Kubernetes' version of a standard is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `v1.x`
    Minor(u32),
    Latest,
}

/// A level as of a version: `baseline:v1.30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    pub level: Level,
    pub version: Version,
}

/// What a namespace wants to be held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub enforce: Standard,
    pub audit: Standard,
    pub warn: Standard,
}

pub fn label(mode: &str) -> String {
    format!("pod-security.kubernetes.io/{mode}")
}

pub fn version_label(mode: &str) -> String {
    format!("pod-security.kubernetes.io/{mode}-version")
}

// === impl Level ===

impl Level {
    pub fn parse(text: &str) -> Result<Level, &'static str> {
        match text {
            "privileged" => Ok(Level::Privileged),
            "baseline" => Ok(Level::Baseline),
            "restricted" => Ok(Level::Restricted),
            _ => Err("must be one of privileged, baseline, restricted"),
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        }
    }
}

// === impl Version ===

impl Version {
    pub fn parse(text: &str) -> Result<Version, &'static str> {
        let minor = |digits: &str| {
            let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
            digits.parse().ok().filter(|_| plain)
        };
        match text {
            "latest" => Ok(Version::Latest),
            _ => text.strip_prefix("v1.").and_then(minor).map(Version::Minor).ok_or("must be \"latest\" or \"v1.x\""),
        }
    }

    /// The minor version whose checks hold, at most `max`.
    pub fn minor(self, max: u32) -> u32 {
        match self {
            Version::Minor(minor) => minor.min(max),
            Version::Latest => max,
        }
    }
}

// === impl Standard ===

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.level.word();
        match self.version {
            Version::Latest => write!(f, "{level}:latest"),
            Version::Minor(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

impl Standard {
    /// Functionally the same: what is privileged is so in every version.
    fn is_like(&self, other: &Standard) -> bool {
        self == other || self.level == Level::Privileged && other.level == Level::Privileged
    }
}

// === impl Policy ===

impl Policy {
    /// What labels say, and what is wrong with them. What cannot be read enforces the strictest and says nothing else.
    /// Upstream: `PolicyToEvaluate`.
    pub fn of(labels: &Value, defaults: Policy) -> (Policy, Errors) {
        let (mut policy, mut errors) = (defaults, Errors::new());
        let mut level_is_right = false;
        for (mode, standard, unread) in [
            ("enforce", &mut policy.enforce, Level::Restricted),
            ("audit", &mut policy.audit, Level::Privileged),
            ("warn", &mut policy.warn, Level::Privileged),
        ] {
            let mut wrong = |label: &str, text: &str, why: &str| {
                errors.invalid(&Path::new("metadata").child("labels").key(label), text, why);
            };
            if let Some(text) = labels.opt_str(&label(mode)) {
                let read = Level::parse(text).inspect_err(|why| wrong(&label(mode), text, why));
                level_is_right |= mode == "enforce" && read.is_ok();
                standard.level = read.unwrap_or(unread);
            }
            if let Some(text) = labels.opt_str(&version_label(mode)) {
                let read = Version::parse(text).inspect_err(|why| wrong(&version_label(mode), text, why));
                standard.version = read.unwrap_or(Version::Latest);
            }
        }
        // Who is about to be refused later is warned now.
        if !labels.has(&label("warn")) && level_is_right && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if !labels.has(&version_label("warn")) {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, errors)
    }

    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|s| s.level == Level::Privileged)
    }

    pub fn is_like(&self, other: &Policy) -> bool {
        self.enforce.is_like(&other.enforce) && self.audit.is_like(&other.audit) && self.warn.is_like(&other.warn)
    }
}
