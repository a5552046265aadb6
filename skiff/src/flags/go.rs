//! Values of flags as Go reads them, and refusals in its words.

use std::{net::IpAddr, time::Duration};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::features::go_bool;

/// `1m0s`; may be negative, which whoever uses it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub i64);

// === impl Span ===

impl Span {
    pub fn parse(text: &str) -> Result<Span, String> {
        api::duration::parse(text).map(Span)
    }

    /// None when it is negative.
    pub fn duration(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

pub fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("strconv.ParseInt: parsing {}: invalid syntax", api::field::quote(text)))
}

pub fn boolean(text: &str) -> Result<bool, String> {
    go_bool(text).ok_or_else(|| format!("strconv.ParseBool: parsing {}: invalid syntax", api::field::quote(text)))
}

pub fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("failed to parse IP: {}", api::field::quote(text)))
}

/// A refusal as upstream's programs word it; none when they would have said nothing (help) or something of their own.
pub fn words(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let given = text(ContextKind::InvalidArg)?;
    let flag = given.split([' ', '=']).next().unwrap_or(&given);
    match error.kind() {
        ErrorKind::UnknownArgument if flag.starts_with("--") => Some(format!("unknown flag: {flag}")),
        ErrorKind::ValueValidation => {
            let value = api::field::quote(&text(ContextKind::InvalidValue)?).to_string();
            let why = std::error::Error::source(error)?;
            Some(format!("invalid argument {value} for \"{flag}\" flag: {why}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::flags::Skiff;

    fn refused(arguments: &[&str]) -> Option<String> {
        let all = ["skiff", "apiserver"].iter().chain(arguments);
        Skiff::try_parse_from(all).err().as_ref().and_then(super::words)
    }

    #[test]
    fn wrong_flags_are_refused_in_upstreams_words() {
        let cases = [
            ("--nosuch=1", "unknown flag: --nosuch"),
            ("--nosuch", "unknown flag: --nosuch"),
            (
                "--secure-port=x",
                "invalid argument \"x\" for \"--secure-port\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
            (
                "--request-timeout=x",
                "invalid argument \"x\" for \"--request-timeout\" flag: time: invalid duration \"x\"",
            ),
            ("--bind-address=foo", "invalid argument \"foo\" for \"--bind-address\" flag: failed to parse IP: \"foo\""),
        ];
        for (flag, words) in cases {
            assert_eq!(refused(&[flag]).as_deref(), Some(words));
        }
    }
}
