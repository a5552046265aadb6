//! Addresses. Upstream: apiserver/pkg/cel/library/ip.go, apiserver/pkg/cel/ip.go; Go's net/netip for what is one.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::functions::{Cost, Row, global, member};
use crate::types::Type;
use crate::value::show::quote;
use crate::value::{EvalError, Object, Outcome, Value};

use super::{object, text};

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    global("ip", "string_to_ip", "string", "net.IP", |a| parse(text(&a[0])?).map(|ip| Value::object(Ip(ip)))).cost(Cost::Scan(1)),
    member("family", "ip_family", "net.IP", "int", |a| Ok(Value::Int(if ip(&a[0])?.is_ipv4() { 4 } else { 6 }))).cost(Cost::Fixed(1)),
    global("ip.isCanonical", "ip_is_canonical", "string", "bool", is_canonical).cost(Cost::Scan(2)),
    member("isUnspecified", "ip_is_unspecified", "net.IP", "bool", |a| Ok(Value::Bool(ip(&a[0])?.is_unspecified()))).cost(Cost::Fixed(1)),
    member("isLoopback", "ip_is_loopback", "net.IP", "bool", |a| Ok(Value::Bool(ip(&a[0])?.is_loopback()))).cost(Cost::Fixed(1)),
    member("isLinkLocalMulticast", "ip_is_link_local_multicast", "net.IP", "bool", |a| Ok(Value::Bool(is_link_local_multicast(ip(&a[0])?)))).cost(Cost::Fixed(1)),
    member("isLinkLocalUnicast", "ip_is_link_local_unicast", "net.IP", "bool", |a| Ok(Value::Bool(is_link_local_unicast(ip(&a[0])?)))).cost(Cost::Fixed(1)),
    member("isGlobalUnicast", "ip_is_global_unicast", "net.IP", "bool", |a| Ok(Value::Bool(is_global_unicast(ip(&a[0])?)))).cost(Cost::Fixed(1)),
    global("isIP", "is_ip", "string", "bool", |a| Ok(Value::Bool(parse(text(&a[0])?).is_ok()))).cost(Cost::Scan(1)),
    global("string", "ip_to_string", "net.IP", "string", |a| Ok(Value::string(ip(&a[0])?.to_string()))),
];

/// An address as a value.
#[derive(Debug)]
pub(crate) struct Ip(pub IpAddr);

impl Object for Ip {
    fn value_type(&self) -> Type {
        Type::opaque("net.IP", Vec::new())
    }

    fn equals(&self, other: &Value) -> Result<bool, EvalError> {
        Ok(object::<Ip>(other)?.0 == self.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn size(&self) -> Option<u64> {
        Some(if self.0.is_ipv4() { 4 } else { 16 })
    }
}

fn ip(value: &Value) -> Result<IpAddr, EvalError> {
    object::<Ip>(value).map(|ip| ip.0)
}

fn is_canonical(arguments: &[Value]) -> Outcome {
    let text = text(&arguments[0])?;
    Ok(Value::Bool(parse(text)?.to_string() == text))
}

fn is_link_local_multicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn is_global_unicast(ip: IpAddr) -> bool {
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !is_broadcast && !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && !is_link_local_unicast(ip)
}

/// An address without a zone, which is no IPv4 address in IPv6's clothes.
fn parse(text: &str) -> Result<IpAddr, EvalError> {
    let parsed = address(text).map_err(|why| {
        EvalError::new(format!("IP Address {} parse error during conversion from string: {why}", quote(text)))
    })?;
    if parsed.has_zone {
        return Err(EvalError::new(format!("IP address {} with zone value is not allowed", quote(text))));
    }
    not_mapped(text, parsed.ip)
}

pub(super) fn not_mapped(text: &str, ip: IpAddr) -> Result<IpAddr, EvalError> {
    if matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some()) {
        return Err(EvalError::new(format!("IPv4-mapped IPv6 address {} is not allowed", quote(text))));
    }
    Ok(ip)
}

pub(super) struct Address {
    pub ip: IpAddr,
    pub has_zone: bool,
}

/// An address, or why it is none in Go's words.
pub(super) fn address(text: &str) -> Result<Address, String> {
    let refuse = |(why, at): Refusal<'_>| {
        let at = at.map(|at| format!(" (at {})", quote(at))).unwrap_or_default();
        format!("ParseAddr({}): {why}{at}", quote(text))
    };
    match text.bytes().find(|b| matches!(b, b'.' | b':' | b'%')) {
        Some(b'.') => {
            let octets = octets(text).map_err(refuse)?;
            Ok(Address { ip: IpAddr::V4(Ipv4Addr::from(octets)), has_zone: false })
        }
        Some(b':') => {
            let (digits, zone) = match text.split_once('%') {
                Some((digits, zone)) => (digits, Some(zone)),
                None => (text, None),
            };
            if zone == Some("") {
                return Err(refuse(("zone must be a non-empty string", None)));
            }
            let ip = hextets(digits).map_err(refuse)?;
            Ok(Address { ip: IpAddr::V6(Ipv6Addr::from(ip)), has_zone: zone.is_some() })
        }
        Some(_) => Err(refuse(("missing IPv6 address", None))),
        None => Err(refuse(("unable to parse IP", None))),
    }
}

/// Why, and what stood there.
type Refusal<'a> = (&'static str, Option<&'a str>);

fn octets(text: &str) -> Result<[u8; 4], Refusal<'_>> {
    let (mut fields, mut place, mut value, mut digits) = ([0u8; 4], 0, 0u32, 0);
    let bytes = text.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                if digits == 1 && value == 0 {
                    return Err(("IPv4 field has octet with leading zero", None));
                }
                value = value * 10 + u32::from(byte - b'0');
                digits += 1;
                if value > 255 {
                    return Err(("IPv4 field has value >255", None));
                }
            }
            b'.' => {
                if index == 0 || index == bytes.len() - 1 || bytes[index - 1] == b'.' {
                    return Err(("IPv4 field must have at least one digit", Some(&text[index..])));
                }
                if place == 3 {
                    return Err(("IPv4 address too long", None));
                }
                fields[place] = value as u8;
                (place, value, digits) = (place + 1, 0, 0);
            }
            _ => return Err(("unexpected character", text.get(index..))),
        }
    }
    if place < 3 {
        return Err(("IPv4 address too short", None));
    }
    fields[3] = value as u8;
    Ok(fields)
}

fn hextets(text: &str) -> Result<[u8; 16], Refusal<'_>> {
    let (mut ip, mut at, mut ellipsis, mut rest) = ([0u8; 16], 0, None, text);
    if let Some(after) = rest.strip_prefix("::") {
        (ellipsis, rest) = (Some(0), after);
        if rest.is_empty() {
            return Ok(ip);
        }
    }
    while at < 16 {
        let len = hextet(rest)?;
        if rest.as_bytes().get(len) == Some(&b'.') {
            if ellipsis.is_none() && at != 12 {
                return Err(("embedded IPv4 address must replace the final 2 fields of the address", Some(rest)));
            }
            if at + 4 > 16 {
                return Err(("too many hex fields to fit an embedded IPv4 at the end of the address", Some(rest)));
            }
            ip[at..at + 4].copy_from_slice(&octets(rest)?);
            (rest, at) = ("", at + 4);
            break;
        }
        let value = u16::from_str_radix(&rest[..len], 16).unwrap_or(0);
        ip[at..at + 2].copy_from_slice(&value.to_be_bytes());
        at += 2;
        rest = &rest[len..];
        if rest.is_empty() {
            break;
        }
        let Some(after) = rest.strip_prefix(':') else {
            return Err(("unexpected character, want colon", Some(rest)));
        };
        if after.is_empty() {
            return Err(("colon must be followed by more characters", Some(rest)));
        }
        rest = after;
        if let Some(after) = rest.strip_prefix(':') {
            if ellipsis.is_some() {
                return Err(("multiple :: in address", Some(rest)));
            }
            (ellipsis, rest) = (Some(at), after);
            if rest.is_empty() {
                break;
            }
        }
    }
    if !rest.is_empty() {
        return Err(("trailing garbage after address", Some(rest)));
    }
    match ellipsis {
        None if at < 16 => Err(("address string too short", None)),
        Some(_) if at == 16 => Err(("the :: must expand to at least one field of zeros", None)),
        Some(from) => {
            ip.copy_within(from..at, 16 - (at - from));
            ip[from..16 - (at - from)].fill(0);
            Ok(ip)
        }
        None => Ok(ip),
    }
}

/// How many hexadecimal digits stand here.
fn hextet(rest: &str) -> Result<usize, Refusal<'_>> {
    let len = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
    match len {
        0 => Err(("each colon-separated field must have at least one digit", Some(rest))),
        1..=4 => Ok(len),
        _ => Err(("each group must have 4 or less digits", Some(rest))),
    }
}
