//! Values of flags as Go reads them, and refusals in its words.

use std::{net::IpAddr, time::Duration};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use certs::tls::OldestVersion;

use super::upstreams;
use crate::features::go_bool;

/// `1m0s`; may be negative, which whoever uses it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub i64);

/// The oldest version of TLS that is spoken: `VersionTLS12`.
#[derive(Clone, Copy, Debug)]
pub struct TlsVersion(pub OldestVersion);

// === impl TlsVersion ===

impl TlsVersion {
    pub fn parse(text: &str) -> Result<TlsVersion, String> {
        match text {
            "VersionTLS12" => Ok(TlsVersion(OldestVersion::Tls12)),
            "VersionTLS13" => Ok(TlsVersion(OldestVersion::Tls13)),
            "VersionTLS10" | "VersionTLS11" => {
                Err("versions before TLS 1.2 are not spoken; say VersionTLS12 or VersionTLS13".into())
            }
            _ => Err(format!("unknown tls version {}", api::field::quote(text))),
        }
    }
}

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

pub fn float(text: &str) -> Result<f32, String> {
    text.parse().map_err(|_| format!("strconv.ParseFloat: parsing {}: invalid syntax", api::field::quote(text)))
}

pub fn double(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("strconv.ParseFloat: parsing {}: invalid syntax", api::field::quote(text)))
}

pub fn boolean(text: &str) -> Result<bool, String> {
    go_bool(text).ok_or_else(|| format!("strconv.ParseBool: parsing {}: invalid syntax", api::field::quote(text)))
}

pub fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("failed to parse IP: {}", api::field::quote(text)))
}

/// A port that can be listened on.
pub fn port(text: &str) -> Result<u16, String> {
    let number = integer(text)?;
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.ok_or_else(|| "it must be between 1 and 65535, inclusive".into())
}

/// A refusal in one sentence, in the words of upstream's programs where they have some; none for what is no refusal (help,
/// the version). `command` is who refuses: `skiff up`.
pub fn words(error: &clap::Error, command: &str) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    let given = text(ContextKind::InvalidArg).unwrap_or_default();
    // A switch is shown with the value that it may have.
    let flag = given.split([' ', '=', '[']).next().unwrap_or(&given);
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    Some(match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return None;
        }
        ErrorKind::InvalidSubcommand => {
            let given = text(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("unknown command {} for {}", api::field::quote(&given), api::field::quote(command))
        }
        ErrorKind::UnknownArgument if upstreams::refused(flag).is_some() => {
            let why = upstreams::refused(flag).unwrap_or_default();
            format!("{flag} is a flag of kube-apiserver that is not supported here: {why}")
        }
        ErrorKind::UnknownArgument if flag.starts_with("--") => format!("unknown flag: {flag}"),
        ErrorKind::UnknownArgument if flag.starts_with('-') => {
            format!("unknown shorthand flag: '{}' in {flag}", flag.chars().nth(1).unwrap_or_default())
        }
        ErrorKind::UnknownArgument => {
            format!("{} does not take any arguments, got [{}]", api::field::quote(command), api::field::quote(&given))
        }
        ErrorKind::InvalidValue | ErrorKind::NoEquals | ErrorKind::WrongNumberOfValues if value.is_empty() => {
            format!("flag needs an argument: {flag}")
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            format!("invalid argument {} for \"{flag}\" flag: {why}", api::field::quote(&value))
        }
        ErrorKind::MissingRequiredArgument => {
            let given = given.replace(['<', '>'], "");
            let flags: Vec<&str> = given.split([' ', ',']).filter(|word| word.starts_with("--")).collect();
            match flags.is_empty() {
                true => format!("required argument(s) {given} not set"),
                false => format!("required flag(s) {} not set", flags.join(", ")),
            }
        }
        // The first line says it; what follows is about the program.
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").into(),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::flags::Skiff;

    fn refused(arguments: &[&str]) -> Option<String> {
        let all = ["skiff", "apiserver"].iter().chain(arguments);
        Skiff::try_parse_from(all).err().as_ref().and_then(|error| super::words(error, "skiff apiserver"))
    }

    #[test]
    fn the_log_says_as_much_as_upstreams_level_asks_for() {
        let steps = |words: &[&str]| Skiff::try_parse_from(words).ok().map(|flags| flags.log_steps());
        assert_eq!(steps(&["skiff", "apiserver"]), Some(0));
        for (level, wanted) in [("1", 0), ("2", 1), ("4", 1), ("5", 2), ("9", 3), ("10", 3), ("-1", 0)] {
            assert_eq!(steps(&["skiff", "apiserver", &format!("--v={level}")]), Some(wanted), "{level}");
        }
        assert_eq!(steps(&["skiff", "-vv", "apiserver", "--v=2"]), Some(2));
        assert_eq!(refused(&["--v=x"]), refused(&["--v", "x"]));
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
            (
                "--audit-webhook-batch-throttle-qps=x",
                "invalid argument \"x\" for \"--audit-webhook-batch-throttle-qps\" flag: strconv.ParseFloat: parsing \"x\": invalid syntax",
            ),
            ("--secure-port", "flag needs an argument: --secure-port"),
            ("-x", "unknown shorthand flag: 'x' in -x"),
            ("more", "\"skiff apiserver\" does not take any arguments, got [\"more\"]"),
            ("--tls-cert-file=x", "required flag(s) --tls-private-key-file not set"),
            ("--bind-address=foo", "invalid argument \"foo\" for \"--bind-address\" flag: failed to parse IP: \"foo\""),
        ];
        for (flag, words) in cases {
            assert_eq!(refused(&[flag]).as_deref(), Some(words));
        }
    }
}
