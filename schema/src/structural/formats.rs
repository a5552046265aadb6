//! Formats of strings. Upstream: kube-openapi/pkg/validation/strfmt, apiserver/validation/formats.go.

use std::{net::IpAddr, sync::OnceLock};

use api::{EcoString, names};
use regex::Regex;

use super::luhn;

/// What a string has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    ObjectId,
    Uri,
    Email,
    Hostname,
    Ipv4,
    Ipv6,
    Cidr,
    Mac,
    /// The version's digit, none for any.
    Uuid(Option<char>),
    Isbn,
    Isbn10,
    Isbn13,
    CreditCard,
    Ssn,
    HexColor,
    RgbColor,
    Byte,
    Password,
    Date,
    Duration,
    DateTime,
    ShortName,
    LongName,
}

const ALL: [(&str, Format); 26] = [
    ("bsonobjectid", Format::ObjectId),
    ("uri", Format::Uri),
    ("email", Format::Email),
    ("hostname", Format::Hostname),
    ("ipv4", Format::Ipv4),
    ("ipv6", Format::Ipv6),
    ("cidr", Format::Cidr),
    ("mac", Format::Mac),
    ("uuid", Format::Uuid(None)),
    ("uuid3", Format::Uuid(Some('3'))),
    ("uuid4", Format::Uuid(Some('4'))),
    ("uuid5", Format::Uuid(Some('5'))),
    ("isbn", Format::Isbn),
    ("isbn10", Format::Isbn10),
    ("isbn13", Format::Isbn13),
    ("creditcard", Format::CreditCard),
    ("ssn", Format::Ssn),
    ("hexcolor", Format::HexColor),
    ("rgbcolor", Format::RgbColor),
    ("byte", Format::Byte),
    ("password", Format::Password),
    ("date", Format::Date),
    ("duration", Format::Duration),
    ("datetime", Format::DateTime),
    ("k8sshortname", Format::ShortName),
    ("k8slongname", Format::LongName),
];

/// The format's name where it means something for a type (`""`: of several), and what it asks of strings.
pub fn of(kind: &str, format: &str) -> (EcoString, Option<Format>) {
    let known = || ALL.iter().find(|(name, _)| *name == format.replace('-', "")).map(|(_, format)| *format);
    match kind {
        "" | "string" => match known() {
            Some(found) => (format.into(), Some(found)),
            None => (EcoString::new(), None),
        },
        "integer" if matches!(format, "int32" | "int64") => (format.into(), None),
        "number" if matches!(format, "float" | "double") => (format.into(), None),
        _ => (EcoString::new(), None),
    }
}

impl Format {
    pub fn fits(self, text: &str) -> bool {
        match self {
            Format::ObjectId => text.len() == 24 && text.chars().all(|c| c.is_ascii_hexdigit()),
            Format::Uri => is_uri(text),
            Format::Email => is_email(text),
            Format::Hostname => is_hostname(text),
            Format::Ipv4 => text.contains('.') && parse_ip(text).is_some(),
            Format::Ipv6 => text.contains(':') && parse_ip(text).is_some(),
            Format::Cidr => is_cidr(text),
            Format::Mac => is_mac(text),
            Format::Uuid(version) => is_uuid(text, version),
            Format::Isbn => luhn::is_isbn10(text) || luhn::is_isbn13(text),
            Format::Isbn10 => luhn::is_isbn10(text),
            Format::Isbn13 => luhn::is_isbn13(text),
            Format::CreditCard => luhn::is_credit_card(text),
            Format::Ssn => is(text, r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$", &SSN),
            Format::HexColor => is(text, r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$", &HEX),
            Format::RgbColor => is(text, RGB_PATTERN, &RGB),
            Format::Byte => is(text, BASE64_PATTERN, &BASE64),
            Format::Password => true,
            Format::Date => is_date(text),
            Format::Duration => is_duration(text),
            Format::DateTime => is_date_time(text),
            Format::ShortName => names::dns1123_label(text).is_empty(),
            Format::LongName => names::dns1123_subdomain(text).is_empty(),
        }
    }
}

static SSN: OnceLock<Option<Regex>> = OnceLock::new();
static HEX: OnceLock<Option<Regex>> = OnceLock::new();
static RGB: OnceLock<Option<Regex>> = OnceLock::new();
static BASE64: OnceLock<Option<Regex>> = OnceLock::new();
static DATE_TIME: OnceLock<Option<Regex>> = OnceLock::new();
static SCALA: OnceLock<Option<Regex>> = OnceLock::new();

const RGB_PATTERN: &str = r"^rgb\(\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*,\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*,\s*(0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])\s*\)$";
const BASE64_PATTERN: &str = r"^(?:[A-Za-z0-9+\/]{4})*(?:[A-Za-z0-9+\/]{2}==|[A-Za-z0-9+\/]{3}=|[A-Za-z0-9+\/]{4})$";
const DATE_TIME_PATTERN: &str = r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$";
const SCALA_PATTERN: &str = r"([0-9]+)\s*([A-Za-zµ]+)";

fn is(text: &str, pattern: &str, kept: &'static OnceLock<Option<Regex>>) -> bool {
    kept.get_or_init(|| super::pattern::compile(pattern).ok()).as_ref().is_some_and(|regex| regex.is_match(text))
}

/// Go's `url.ParseRequestURI`: an absolute path, or a scheme.
fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.chars().any(|c| c.is_ascii_control()) {
        return false;
    }
    let path = |rest: &str| escapes_are_whole(rest.split('?').next().unwrap_or(""));
    if text.starts_with('/') || text == "*" {
        return path(text);
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let mut letters = scheme.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && authority_is_right(rest)
        && path(rest)
}

fn authority_is_right(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix("//") else { return true };
    let authority = rest.split(['/', '?']).next().unwrap_or("");
    let host = authority.rsplit('@').next().unwrap_or("");
    let port =
        if host.starts_with('[') { host.split_once("]:").map(|p| p.1) } else { host.split_once(':').map(|p| p.1) };
    !host.contains([' ', '<', '>', '"']) && port.is_none_or(|p| p.chars().all(|c| c.is_ascii_digit()))
}

fn escapes_are_whole(text: &str) -> bool {
    let is_hex = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    let mut percents = bytes.iter().enumerate().filter(|(_, b)| **b == b'%');
    percents.all(|(i, _)| is_hex(bytes.get(i + 1)) && is_hex(bytes.get(i + 2)))
}

/// Go's `mail.ParseAddress`, roughly: a name may stand before an address in angle brackets.
fn is_email(text: &str) -> bool {
    let text = text.trim();
    let address = match (text.rfind('<'), text.ends_with('>')) {
        (Some(from), true) => &text[from + 1..text.len() - 1],
        (None, false) => text,
        _ => return false,
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let is_atom = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let dotted = |s: &str| s.split('.').all(|part| !part.is_empty() && part.chars().all(is_atom));
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    (dotted(local) || quoted) && (dotted(domain) || (domain.starts_with('[') && domain.ends_with(']')))
}

/// One label, with a dash behind its first character at most; or several labels and a last one of letters.
fn is_hostname(text: &str) -> bool {
    // Go's class of symbols has some of ASCII's.
    let is_word = |c: char| {
        c.is_ascii_alphanumeric() || "$+<=>^`|~".contains(c) || (!c.is_ascii() && !c.is_whitespace() && !c.is_numeric())
    };
    let is_letter = |c: char| c.is_ascii_alphabetic() || (!c.is_ascii() && c.is_alphabetic());
    if text.len() > 255 || text.split('.').any(|part| part.len() > 63) {
        return false;
    }
    let Some((labels, last)) = text.rsplit_once('.') else {
        let mut letters = text.chars();
        let first = letters.next().is_some_and(is_word);
        let rest = letters.as_str();
        return first && rest.strip_prefix('-').unwrap_or(rest).chars().all(is_word);
    };
    let is_label = |label: &str| {
        label.chars().all(|c| c == '-' || is_word(c)) && label.starts_with(is_word) && label.ends_with(is_word)
    };
    labels.split('.').all(is_label) && last.chars().count() >= 2 && last.chars().all(is_letter)
}

/// As Go did before 1.17: leading zeros are taken.
fn parse_ip(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    if text.contains(':') {
        return None;
    }
    let parts: Vec<&str> = text.split('.').collect();
    let byte = |part: &&str| match !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()) {
        true => part.parse::<u16>().ok().and_then(|n| u8::try_from(n).ok()),
        false => None,
    };
    let bytes: Option<Vec<u8>> = parts.iter().map(byte).collect();
    let bytes: [u8; 4] = bytes?.try_into().ok()?;
    Some(IpAddr::from(bytes))
}

fn is_cidr(text: &str) -> bool {
    let Some((ip, len)) = text.split_once('/') else { return false };
    let Some(ip) = parse_ip(ip) else { return false };
    let max = if ip.is_ipv4() { 32 } else { 128 };
    !len.is_empty() && len.chars().all(|c| c.is_ascii_digit()) && len.parse::<u32>().is_ok_and(|len| len <= max)
}

/// Go's `net.ParseMAC`: 6, 8 or 20 bytes by colons or dashes, or pairs of them by dots.
fn is_mac(text: &str) -> bool {
    let hex = |part: &str, len: usize| part.len() == len && part.chars().all(|c| c.is_ascii_hexdigit());
    let by = |mark: char, width: usize, counts: [usize; 3]| {
        let parts: Vec<&str> = text.split(mark).collect();
        counts.contains(&parts.len()) && parts.iter().all(|p| hex(p, width))
    };
    by(':', 2, [6, 8, 20]) || by('-', 2, [6, 8, 20]) || by('.', 4, [3, 4, 10])
}

fn is_uuid(text: &str, version: Option<char>) -> bool {
    let mut rest = text;
    for (i, len) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if i > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let Some(part) = rest.get(..len).filter(|p| p.chars().all(|c| c.is_ascii_hexdigit())) else { return false };
        let first = part.chars().next().map(|c| c.to_ascii_lowercase());
        let fits = match (i, version) {
            (2, Some(_)) => first == version,
            (3, Some('4' | '5')) => matches!(first, Some('8' | '9' | 'a' | 'b')),
            _ => true,
        };
        if !fits {
            return false;
        }
        rest = &rest[len..];
    }
    rest.is_empty()
}

/// `2006-01-02`
fn is_date(text: &str) -> bool {
    text.len() == 10 && text.is_ascii() && text.parse::<jiff::civil::Date>().is_ok()
}

/// Upstream: `strfmt.IsDateTime`.
fn is_date_time(text: &str) -> bool {
    if text.len() < 4 {
        return false;
    }
    let lower = text.to_lowercase();
    let Some((date, time)) = lower.split_once('t').filter(|(_, time)| !time.contains('t')) else { return false };
    if !is_date(date) || !is(time, DATE_TIME_PATTERN, &DATE_TIME) {
        return false;
    }
    let part = |at: usize| time.get(at..at + 2).and_then(|p| p.parse::<u32>().ok()).unwrap_or(99);
    part(0) <= 23 && part(3) <= 59 && part(6) <= 59
}

fn is_duration(text: &str) -> bool {
    duration(text).is_some()
}

/// Nanoseconds: Go's form, or any number before a unit that is known. Upstream: `strfmt.ParseDuration`.
pub fn duration(text: &str) -> Option<i64> {
    const SECOND: i64 = 1_000_000_000;
    /// The names of each unit, and its nanoseconds; more letters may follow the last name.
    const UNITS: [(&[&str], i64); 8] = [
        (&["ns", "nano"], 1),
        (&["us", "µs", "micro"], 1_000),
        (&["ms", "milli"], 1_000_000),
        (&["s", "sec"], SECOND),
        (&["m", "min"], 60 * SECOND),
        (&["h", "hr", "hour"], 3_600 * SECOND),
        (&["d", "day"], 86_400 * SECOND),
        (&["w", "wk", "week"], 7 * 86_400 * SECOND),
    ];
    if let Ok(nanos) = api::duration::parse(text) {
        return Some(nanos);
    }
    let regex = SCALA.get_or_init(|| super::pattern::compile(SCALA_PATTERN).ok()).as_ref()?;
    let mut sum = None;
    for found in regex.captures_iter(text) {
        let count: i64 = found.get(1)?.as_str().parse().ok()?;
        let unit = found.get(2)?.as_str().to_lowercase();
        for (names, nanos) in UNITS {
            if names.contains(&unit.as_str()) || names.last().is_some_and(|last| unit.starts_with(last)) {
                sum = Some(sum.unwrap_or(0i64).wrapping_add(count.wrapping_mul(nanos)));
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_upstreams() {
        let cases: [(&str, &str, bool); 24] = [
            ("date", "2024-02-30", false),
            ("date", "2024-02-29", true),
            ("date-time", "2014-12-15T19:30:20.000Z", true),
            ("date-time", "2014-12-15 19:30:20", false),
            ("duration", "22 ns", true),
            ("duration", "1h30m", true),
            ("duration", "soon", false),
            ("ipv4", "1.2.3.4", true),
            ("ipv4", "::1", false),
            ("ipv6", "::1", true),
            ("cidr", "10.0.0.0/33", false),
            ("cidr", "10.0.0.0/8", true),
            ("mac", "00:00:5e:00:53:01", true),
            ("uuid", "D2D8F8B3-8D1B-4A5E-9A7F-3B3D7F3D1C11", true),
            ("uuid4", "d2d8f8b3-8d1b-3a5e-9a7f-3b3d7f3d1c11", false),
            ("uri", "http://example.com/a", true),
            ("uri", "example", false),
            ("email", "a@b.c", true),
            ("email", "a", false),
            ("hostname", "a.example.com", true),
            ("hexcolor", "#fff", true),
            ("rgbcolor", "rgb(1,2,256)", false),
            ("byte", "YQ==", true),
            ("byte", "?", false),
        ];
        for (name, text, wanted) in cases {
            let (_, format) = of("string", name);
            assert_eq!(format.map(|f| f.fits(text)), Some(wanted), "{name} of {text}");
        }
        assert_eq!(of("integer", "date").0, "");
        assert_eq!(duration("2 weeks 3 days"), Some((14 + 3) * 86_400 * 1_000_000_000));
        assert_eq!(duration("1h30m"), Some(5_400 * 1_000_000_000));
    }
}
