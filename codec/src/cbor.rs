//! CBOR as upstream writes and reads it behind the gate CBORServingAndStorage.
//!
//! Strings and names go out as byte strings, maps in the order of their encoded keys, numbers in the shortest form that
//! keeps them, all of it behind the tag by which CBOR describes itself. What comes in may be any well-formed CBOR that has
//! a JSON form. Upstream: apimachinery/pkg/runtime/serializer/cbor and its internal/modes.

use api::Value;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use schema::{Schemas, TypeId};

use crate::{DEPTH_MAX, Decoded, Error, json};

#[cfg(test)]
mod tests;

/// The head of the tag 55799.
const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

/// Reads an object of a struct type.
pub fn object(bytes: &[u8], id: TypeId, schemas: &Schemas) -> Result<Decoded, Error> {
    json::object(json::to_string(&any(bytes)?).as_bytes(), id, schemas)
}

/// Reads one data item and nothing behind it.
pub fn any(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader { rest: bytes };
    let value = reader.item(0, Later::Nothing)?;
    match reader.rest.len() {
        0 => Ok(value),
        more => Err(Error(format!("cbor: {more} bytes of extraneous data starting at index {}", bytes.len() - more))),
    }
}

/// Writes a value behind the self-describing tag.
pub fn write(value: &Value) -> Result<bytes::Bytes, Error> {
    let mut out = SELF_DESCRIBED.to_vec();
    put(value, &mut out)?;
    Ok(out.into())
}

/// One event of a watch. Events stand one behind the other: an item says itself where it ends.
pub fn watch_frame(kind: &str, object: &[u8]) -> bytes::Bytes {
    let mut out = SELF_DESCRIBED.to_vec();
    head(MAP, 2, &mut out);
    string("type", &mut out);
    string(kind, &mut out);
    string("object", &mut out);
    out.extend_from_slice(object);
    out.into()
}

fn put(value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(false) => out.push(0xf4),
        Value::Bool(true) => out.push(0xf5),
        Value::Int(i) if *i >= 0 => head(UNSIGNED, i.unsigned_abs(), out),
        Value::Int(i) => head(NEGATIVE, !*i as u64, out),
        Value::Float(f) => float(*f, out)?,
        Value::Str(s) => string(s, out),
        Value::Array(items) => {
            head(ARRAY, items.len() as u64, out);
            items.iter().try_for_each(|item| put(item, out))?;
        }
        Value::Object(members) => {
            let mut encoded: Vec<(Vec<u8>, &Value)> = Vec::with_capacity(members.len());
            for (key, member) in members.iter() {
                let mut name = Vec::with_capacity(key.len() + 2);
                string(key, &mut name);
                encoded.push((name, member));
            }
            encoded.sort_by(|(a, _), (b, _)| a.cmp(b));
            head(MAP, encoded.len() as u64, out);
            for (name, member) in encoded {
                out.extend_from_slice(&name);
                put(member, out)?;
            }
        }
    }
    Ok(())
}

fn string(text: &str, out: &mut Vec<u8>) {
    head(BYTES, text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// A major type with its argument, in as few bytes as hold it.
fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    if argument < 24 {
        out.push(major | argument as u8);
    } else if let Ok(byte) = u8::try_from(argument) {
        out.extend_from_slice(&[major | 24, byte]);
    } else if let Ok(two) = u16::try_from(argument) {
        out.push(major | 25);
        out.extend_from_slice(&two.to_be_bytes());
    } else if let Ok(four) = u32::try_from(argument) {
        out.push(major | 26);
        out.extend_from_slice(&four.to_be_bytes());
    } else {
        out.push(major | 27);
        out.extend_from_slice(&argument.to_be_bytes());
    }
}

/// In the narrowest of three widths that keeps the number.
fn float(number: f64, out: &mut Vec<u8>) -> Result<(), Error> {
    if !number.is_finite() {
        return Err(Error("cbor: NaN and infinity have no JSON form".into()));
    }
    let single = number as f32;
    if f64::from(single).to_bits() != number.to_bits() {
        out.push(0xfb);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Some(half) = to_half(single) {
        out.push(0xf9);
        out.extend_from_slice(&half.to_be_bytes());
    } else {
        out.push(0xfa);
        out.extend_from_slice(&single.to_be_bytes());
    }
    Ok(())
}

/// The bits of a half-precision number, when it is exactly one.
fn to_half(single: f32) -> Option<u16> {
    let bits = single.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let exponent = ((bits >> 23) & 0xff) as i32 - 127;
    let mantissa = bits & 0x7f_ffff;
    let half = match exponent {
        -127 if mantissa == 0 => sign,
        -14..=15 if mantissa & 0x1fff == 0 => sign | ((exponent + 15) as u16) << 10 | (mantissa >> 13) as u16,
        -24..=-15 => {
            // Subnormal: the leading one becomes visible and moves to the right.
            let whole = mantissa | 0x80_0000;
            let shift = (-exponent - 1) as u32;
            if whole & ((1 << shift) - 1) != 0 {
                return None;
            }
            sign | (whole >> shift) as u16
        }
        _ => return None,
    };
    (from_half(half) == f64::from(single)).then_some(half)
}

fn from_half(half: u16) -> f64 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, mantissa) = (i32::from(half >> 10 & 0x1f), f64::from(half & 0x3ff));
    match exponent {
        0 => sign * mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1.0 + mantissa / 1024.0) * 2f64.powi(exponent - 15),
    }
}

/// What a tag says bytes become when they are text. Upstream: `ByteStringToStringAllowedWithExpectedLaterEncoding`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Later {
    Nothing,
    Base64Url,
    Base64,
    Hex,
}

struct Reader<'a> {
    rest: &'a [u8],
}

// === impl Reader ===

impl Reader<'_> {
    fn item(&mut self, depth: usize, later: Later) -> Result<Value, Error> {
        if depth > DEPTH_MAX {
            return Err(Error(format!("cbor: exceeded max nested level {DEPTH_MAX}")));
        }
        let first = self.take(1)?[0];
        let (major, short) = (first >> 5, first & 31);
        if major == 7 {
            return self.simple(short);
        }
        let argument = if short == 31 { None } else { Some(self.argument(short)?) };
        match (major, argument) {
            (UNSIGNED, Some(number)) => integer(i64::try_from(number).ok()),
            (NEGATIVE, Some(number)) => integer(i64::try_from(number).ok().map(|n| !n)),
            (BYTES | TEXT, _) => {
                let bytes = self.string(major, argument)?;
                text(bytes, if major == BYTES { later } else { Later::Nothing }).map(Value::from)
            }
            (ARRAY, _) => self.array(argument, depth, later),
            (MAP, _) => self.map(argument, depth, later),
            (TAG, Some(number)) => self.tagged(number, depth, later),
            _ => Err(Error(format!("cbor: invalid additional information {short} for type {major}"))),
        }
    }

    fn array(&mut self, len: Option<u64>, depth: usize, later: Later) -> Result<Value, Error> {
        let (mut items, mut left) = (Vec::new(), len);
        while self.another(&mut left)? {
            items.push(self.item(depth + 1, later)?);
        }
        Ok(items.into())
    }

    fn map(&mut self, len: Option<u64>, depth: usize, later: Later) -> Result<Value, Error> {
        let (mut object, mut left) = (Value::object(), len);
        while self.another(&mut left)? {
            let key = match self.item(depth + 1, Later::Nothing)? {
                Value::Str(key) => key,
                _ => return Err(Error("cbor: cannot unmarshal a map whose keys are not strings".into())),
            };
            if object.has(&key) {
                return Err(Error(format!("cbor: found duplicate map key {:?}", key.as_str())));
            }
            let member = self.item(depth + 1, later)?;
            object.set(&key, member);
        }
        Ok(object)
    }

    fn tagged(&mut self, number: u64, depth: usize, later: Later) -> Result<Value, Error> {
        match number {
            2 | 3 => Err(Error("cbor: cannot decode big numbers".into())),
            1 => match self.item(depth + 1, Later::Nothing)? {
                Value::Int(seconds) => time(seconds).map(Value::from),
                _ => Err(Error("cbor: a time is not in whole seconds".into())),
            },
            21 => self.item(depth + 1, Later::Base64Url),
            22 => self.item(depth + 1, Later::Base64),
            23 => self.item(depth + 1, Later::Hex),
            _ => self.item(depth + 1, later),
        }
    }

    /// Whether there is one more: by count, or until the break.
    fn another(&mut self, left: &mut Option<u64>) -> Result<bool, Error> {
        match left {
            Some(0) => Ok(false),
            Some(count) => {
                *count -= 1;
                Ok(true)
            }
            None if self.rest.first() == Some(&0xff) => self.take(1).map(|_| false),
            None if self.rest.is_empty() => Err(ended()),
            None => Ok(true),
        }
    }

    /// The bytes of a string: whole, or in chunks of its own type.
    fn string(&mut self, major: u8, len: Option<u64>) -> Result<Vec<u8>, Error> {
        if let Some(len) = len {
            return Ok(self.take(usize::try_from(len).map_err(|_| ended())?)?.to_vec());
        }
        let mut all = Vec::new();
        let mut forever = None;
        while self.another(&mut forever)? {
            let first = self.take(1)?[0];
            if first >> 5 != major || first & 31 == 31 {
                return Err(Error("cbor: wrong element type for an indefinite-length string".into()));
            }
            let len = self.argument(first & 31)?;
            all.extend_from_slice(self.take(usize::try_from(len).map_err(|_| ended())?)?);
        }
        Ok(all)
    }

    fn simple(&mut self, short: u8) -> Result<Value, Error> {
        let number = match short {
            20 => return Ok(false.into()),
            21 => return Ok(true.into()),
            22 => return Ok(Value::Null),
            25 => from_half(self.argument(25)? as u16),
            26 => f64::from(f32::from_bits(self.argument(26)? as u32)),
            27 => f64::from_bits(self.argument(27)?),
            _ => return Err(Error(format!("cbor: simple value {short} is not recognized"))),
        };
        if number.is_finite() {
            Ok(Value::Float(number))
        } else {
            Err(Error("cbor: NaN and infinity have no JSON form".into()))
        }
    }

    fn argument(&mut self, short: u8) -> Result<u64, Error> {
        let len = match short {
            0..=23 => return Ok(u64::from(short)),
            24..=27 => 1 << (short - 24),
            _ => return Err(Error(format!("cbor: invalid additional information {short}"))),
        };
        Ok(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn take(&mut self, len: usize) -> Result<&[u8], Error> {
        if self.rest.len() < len {
            return Err(ended());
        }
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(taken)
    }
}

/// Seconds since the epoch as JSON has them.
fn time(seconds: i64) -> Result<String, Error> {
    let at = jiff::Timestamp::from_second(seconds).ok().and_then(api::time::tellable);
    at.map(api::time::seconds).ok_or_else(|| Error("cbor: a time is out of range".into()))
}

fn ended() -> Error {
    Error("unexpected EOF".into())
}

fn integer(number: Option<i64>) -> Result<Value, Error> {
    number.map(Value::Int).ok_or_else(|| Error("cbor: an integer is larger than 64 bits with a sign".into()))
}

fn text(bytes: Vec<u8>, later: Later) -> Result<String, Error> {
    Ok(match later {
        Later::Nothing => String::from_utf8(bytes).map_err(|_| Error("cbor: invalid UTF-8 string".into()))?,
        Later::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
        Later::Base64 => STANDARD.encode(bytes),
        Later::Hex => bytes.iter().map(|b| format!("{b:02X}")).collect(),
    })
}
