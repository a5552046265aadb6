//! Networks. Upstream: apiserver/pkg/cel/library/cidr.go, apiserver/pkg/cel/cidr.go.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::functions::{Cost, Row, global, member};
use crate::types::Type;
use crate::value::show::quote;
use crate::value::{EvalError, Object, Outcome, Value};

use super::ip::{Ip, address, not_mapped};
use super::{object, text};

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    global("cidr", "string_to_cidr", "string", "net.CIDR", |a| cidr(&a[0]).map(Value::object)).cost(Cost::Scan(1)),
    member("containsIP", "cidr_contains_ip_string", "net.CIDR, string", "bool", contains_ip_text).cost(Cost::ContainsIp(true)),
    member("containsIP", "cidr_contains_ip_ip", "net.CIDR, net.IP", "bool", contains_ip).cost(Cost::ContainsIp(false)),
    member("containsCIDR", "cidr_contains_cidr_string", "net.CIDR, string", "bool", contains_cidr_text).cost(Cost::ContainsCidr(true)),
    member("containsCIDR", "cidr_contains_cidr", "net.CIDR, net.CIDR", "bool", contains_cidr).cost(Cost::ContainsCidr(false)),
    member("ip", "cidr_ip", "net.CIDR", "net.IP", |a| Ok(Value::object(Ip(object::<Cidr>(&a[0])?.ip)))).cost(Cost::Fixed(1)),
    member("prefixLength", "cidr_prefix_length", "net.CIDR", "int", |a| Ok(Value::Int(i64::from(object::<Cidr>(&a[0])?.bits)))).cost(Cost::Fixed(1)),
    member("masked", "cidr_masked", "net.CIDR", "net.CIDR", |a| Ok(Value::object(object::<Cidr>(&a[0])?.masked()))).cost(Cost::Fixed(1)),
    global("isCIDR", "is_cidr", "string", "bool", |a| Ok(Value::Bool(parse(text(&a[0])?).is_ok()))).cost(Cost::Scan(1)),
    global("string", "cidr_to_string", "net.CIDR", "string", |a| Ok(Value::string(object::<Cidr>(&a[0])?.to_string()))),
];

/// A network as a value: an address, and how many of its bits are the network's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cidr {
    ip: IpAddr,
    bits: u8,
}

impl Object for Cidr {
    fn value_type(&self) -> Type {
        Type::opaque("net.CIDR", Vec::new())
    }

    fn equals(&self, other: &Value) -> Result<bool, EvalError> {
        Ok(object::<Cidr>(other)? == self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn size(&self) -> Option<u64> {
        Some(u64::from(self.bits).div_ceil(8))
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.ip, self.bits)
    }
}

impl Cidr {
    fn masked(self) -> Cidr {
        Cidr { ip: mask(self.ip, self.bits), bits: self.bits }
    }

    fn contains(self, ip: IpAddr) -> bool {
        self.ip.is_ipv4() == ip.is_ipv4() && mask(ip, self.bits) == mask(self.ip, self.bits)
    }
}

fn mask(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(ip) & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(ip) & mask))
        }
    }
}

fn contains_ip(arguments: &[Value]) -> Outcome {
    let network = object::<Cidr>(&arguments[0])?;
    Ok(Value::Bool(network.contains(object::<Ip>(&arguments[1])?.0)))
}

/// What is no address is no address of the network's, as upstream says it: not that it is none.
fn contains_ip_text(arguments: &[Value]) -> Outcome {
    let network = object::<Cidr>(&arguments[0])?;
    let text = text(&arguments[1])?;
    let parsed = address(text).ok().filter(|address| !address.has_zone);
    match parsed.map(|address| not_mapped(text, address.ip)) {
        Some(Ok(ip)) => Ok(Value::Bool(network.contains(ip))),
        _ => super::mismatch(),
    }
}

fn contains_cidr(arguments: &[Value]) -> Outcome {
    let (outer, inner) = (object::<Cidr>(&arguments[0])?, object::<Cidr>(&arguments[1])?);
    Ok(Value::Bool(holds(*outer, *inner)))
}

fn contains_cidr_text(arguments: &[Value]) -> Outcome {
    let outer = object::<Cidr>(&arguments[0])?;
    Ok(Value::Bool(holds(*outer, cidr(&arguments[1])?)))
}

fn holds(outer: Cidr, inner: Cidr) -> bool {
    outer.bits <= inner.bits && outer.contains(inner.ip)
}

fn cidr(value: &Value) -> Result<Cidr, EvalError> {
    let twice = "network address parse error during conversion from string";
    parse(text(value)?).map_err(|error| EvalError::new(format!("{twice}: {error}")))
}

fn parse(text: &str) -> Result<Cidr, EvalError> {
    let (ip, bits) = prefix(text).map_err(|why| {
        let quoted = quote(text);
        EvalError::new(format!(
            "network address parse error during conversion from string: netip.ParsePrefix({quoted}): {why}"
        ))
    })?;
    Ok(Cidr { ip: not_mapped(text, ip)?, bits })
}

/// An address and its bits, or why not in Go's words.
fn prefix(text: &str) -> Result<(IpAddr, u8), String> {
    let (ip, bits) = text.rsplit_once('/').ok_or("no '/'")?;
    let parsed = address(ip)?;
    if parsed.has_zone {
        return Err("IPv6 zones cannot be present in a prefix".to_owned());
    }
    let bad = || format!("bad bits after slash: {}", quote(bits));
    if bits.is_empty() || !bits.bytes().all(|b| b.is_ascii_digit()) || (bits.len() > 1 && bits.starts_with('0')) {
        return Err(bad());
    }
    let most = if parsed.ip.is_ipv4() { 32 } else { 128 };
    let count: u64 = bits.parse().map_err(|_| bad())?;
    match u8::try_from(count) {
        Ok(count) if count <= most => Ok((parsed.ip, count)),
        _ => Err("prefix length out of range".to_owned()),
    }
}
