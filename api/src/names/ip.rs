//! IP addresses and CIDRs: the old lenient reading, the strict one, and what lies between.
//!
//! Upstream: apimachinery/pkg/util/validation/ip.go, utils/net `ParseIPSloppy` and `ParseCIDRSloppy`. IPv4-mapped IPv6
//! addresses read as IPv4, as Go's `net.IP` prints them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::field::{Errors, Path, quote};

/// Reads an address leniently: leading zeros and IPv4-mapped IPv6 are taken (the latter as IPv4).
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    match text.bytes().find(|b| matches!(b, b'.' | b':'))? {
        b'.' => sloppy_v4(text).map(IpAddr::V4),
        _ => sloppy_v6(text).map(|ip| IpAddr::V6(ip).to_canonical()),
    }
}

/// Reads a CIDR leniently into the address as written, and its network with the prefix's length.
/// The length counts in the family of the text: `::ffff:1.2.3.0/120` has 120.
pub fn parse_cidr(text: &str) -> Option<Cidr> {
    let (address, length) = text.split_once('/')?;
    let (ip, bits) = match sloppy_v4(address) {
        Some(ip) => (IpAddr::V4(ip), 32),
        None => (IpAddr::V6(sloppy_v6(address)?), 128),
    };
    let length = decimal(length).filter(|n| *n <= bits)? as u8;
    Some(Cidr { ip, length })
}

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    ip: IpAddr,
    length: u8,
}

impl Cidr {
    /// The address as written; IPv4-mapped ones as IPv4.
    pub fn ip(self) -> IpAddr {
        self.ip.to_canonical()
    }

    /// The first address of the network.
    pub fn network(self) -> IpAddr {
        masked(self.ip, self.length).to_canonical()
    }

    pub fn prefix_length(self) -> u8 {
        self.length
    }

    pub fn contains(self, ip: IpAddr) -> bool {
        let ip = match (self.ip, ip) {
            (IpAddr::V6(_), IpAddr::V4(v4)) => IpAddr::V6(v4.to_ipv6_mapped()),
            _ => ip,
        };
        ip.is_ipv4() == self.ip.is_ipv4() && masked(ip, self.length) == masked(self.ip, self.length)
    }

    /// The network as Go's `IPNet.String` prints it.
    pub fn canonical(self) -> String {
        format!("{}/{}", self.network(), self.shown_length())
    }

    /// Go counts the mask's bits in the family that the network prints in.
    fn shown_length(self) -> u8 {
        let mapped = self.ip.is_ipv6() && masked(self.ip, self.length).to_canonical().is_ipv4();
        if mapped && self.length >= 96 { self.length - 96 } else { self.length }
    }
}

/// An address in a field that has never been strict: strict now, unless the old object had it. Upstream:
/// `IsValidIPForLegacyField` with StrictIPCIDRValidation.
pub fn valid_ip_legacy(at: &Path, value: &str, old: &[&str]) -> Errors {
    if old.contains(&value) { Errors::new() } else { strict_ip(at, value).1 }
}

/// Upstream: `IsValidIP`.
pub fn valid_ip(at: &Path, value: &str) -> Errors {
    let (ip, mut errors) = strict_ip(at, value);
    if let Some(ip) = ip
        && errors.is_empty()
        && ip.to_string() != value
    {
        errors.invalid(at, value, format!("must be in canonical form (\"{ip}\")"));
    }
    errors
}

/// Upstream: `IsValidCIDRForLegacyField` with StrictIPCIDRValidation.
pub fn valid_cidr_legacy(at: &Path, value: &str, old: &[&str]) -> Errors {
    if old.contains(&value) { Errors::new() } else { strict_cidr(at, value).1 }
}

/// Upstream: `IsValidCIDR`.
pub fn valid_cidr(at: &Path, value: &str) -> Errors {
    let (cidr, mut errors) = strict_cidr(at, value);
    if let Some(canonical) = cidr.map(Cidr::canonical)
        && errors.is_empty()
        && canonical != value
    {
        errors.invalid(at, value, format!("must be in canonical form (\"{canonical}\")"));
    }
    errors
}

/// Upstream: `IsValidInterfaceAddress`.
pub fn valid_interface_address(at: &Path, value: &str) -> Errors {
    let mut errors = Errors::new();
    let Some(cidr) = parse_cidr(value) else {
        errors.invalid(at, value, "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
        return errors;
    };
    let length = if cidr.ip().is_ipv4() && cidr.length > 32 { cidr.length - 96 } else { cidr.length };
    let canonical = format!("{}/{length}", cidr.ip());
    if canonical != value {
        errors.invalid(at, value, format!("must be in canonical form (\"{canonical}\")"));
    }
    errors
}

/// Warnings for an address that has passed [`valid_ip_legacy`]. Upstream: `GetWarningsForIP`.
pub fn ip_warnings(at: &Path, value: &str) -> Vec<String> {
    let Some(ip) = parse_ip(value) else { return Vec::new() };
    let text = quote(value);
    match value.parse::<IpAddr>() {
        Ok(IpAddr::V6(strict)) if strict.to_ipv4_mapped().is_none() => match strict.to_string() {
            canonical if canonical == value => Vec::new(),
            canonical => {
                vec![format!("{at}: IPv6 address {text} should be in RFC 5952 canonical format (\"{canonical}\")")]
            }
        },
        Ok(IpAddr::V4(_)) => Vec::new(),
        _ => vec![format!("{at}: non-standard IP address {text} is invalid: use \"{ip}\"")],
    }
}

/// Warnings for a CIDR that has passed [`valid_cidr_legacy`]. Upstream: `GetWarningsForCIDR`.
pub fn cidr_warnings(at: &Path, value: &str) -> Vec<String> {
    let Some(cidr) = parse_cidr(value) else { return Vec::new() };
    let (text, canonical) = (quote(value), cidr.canonical());
    let mut warnings = Vec::new();
    if cidr.ip() != cidr.network() {
        let single = format!("{}/{}", cidr.ip(), if cidr.ip.is_ipv4() { 32 } else { 128 });
        warnings.push(format!(
            "{at}: CIDR value {text} is ambiguous in this context (should be \"{canonical}\" or \"{single}\"?)"
        ));
    }
    match strict_prefix(value) {
        Some(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_none() => {
            let prefix = format!("{ip}/{}", cidr.length);
            if warnings.is_empty() && prefix != value {
                warnings.push(format!(
                    "{at}: IPv6 CIDR value {text} should be in RFC 5952 canonical format (\"{prefix}\")"
                ));
            }
        }
        Some(IpAddr::V4(_)) => {}
        _ => warnings.push(format!("{at}: non-standard CIDR value {text} is invalid: use \"{canonical}\"")),
    }
    warnings
}

fn strict_ip(at: &Path, value: &str) -> (Option<IpAddr>, Errors) {
    let mut errors = Errors::new();
    let Some(ip) = parse_ip(value) else {
        errors.invalid(at, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        return (None, errors);
    };
    match value.parse::<IpAddr>() {
        Err(_) => errors.invalid(at, value, "must not have leading 0s"),
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            errors.invalid(at, value, "must not be an IPv4-mapped IPv6 address");
        }
        Ok(_) => {}
    }
    (Some(ip), errors)
}

fn strict_cidr(at: &Path, value: &str) -> (Option<Cidr>, Errors) {
    let mut errors = Errors::new();
    let Some(cidr) = parse_cidr(value) else {
        errors.invalid(at, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        return (None, errors);
    };
    match strict_prefix(value) {
        None => errors.invalid(at, value, "must not have leading 0s in IP or prefix length"),
        Some(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            errors.invalid(at, value, "must not have an IPv4-mapped IPv6 address");
        }
        Some(ip) if masked(ip, cidr.length) != ip => {
            errors.invalid(at, value, "must not have bits set beyond the prefix length");
        }
        Some(_) => {}
    }
    (Some(cidr), errors)
}

/// The address of a prefix that Go's `netip.ParsePrefix` takes too.
fn strict_prefix(value: &str) -> Option<IpAddr> {
    let (ip, length) = value.split_once('/')?;
    let plain = length == "0" || !length.starts_with('0');
    if plain { ip.parse().ok() } else { None }
}

fn masked(ip: IpAddr, length: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

/// A decimal number with any number of leading zeros, below Go's limit for it.
fn decimal(text: &str) -> Option<u32> {
    let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let digits = text.trim_start_matches('0');
    match (good, digits) {
        (true, "") => Some(0),
        (true, digits) if digits.len() <= 7 => digits.parse().ok(),
        _ => None,
    }
}

fn sloppy_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = u8::try_from(decimal(parts.next()?)?).ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// Groups may have leading zeros beyond four digits, and the IPv4 tail may be sloppy; beyond that it is RFC 4291.
fn sloppy_v6(text: &str) -> Option<Ipv6Addr> {
    let mut plain = String::with_capacity(text.len());
    let mut groups = text.split(':').peekable();
    while let Some(group) = groups.next() {
        if group.contains('.') {
            if groups.peek().is_some() {
                return None;
            }
            plain.push_str(&sloppy_v4(group)?.to_string());
        } else {
            let digits = group.trim_start_matches('0');
            plain.push_str(if digits.is_empty() && !group.is_empty() { "0" } else { digits });
        }
        if groups.peek().is_some() {
            plain.push(':');
        }
    }
    plain.parse().ok()
}
