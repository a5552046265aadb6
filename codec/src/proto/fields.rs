//! Fields of messages, one by one, whatever the messages are.

use super::wire::put_varint;

pub fn tag(number: u32, kind: u8, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | u64::from(kind), out);
}

pub fn varint(number: u32, value: u64, out: &mut Vec<u8>) {
    tag(number, 0, out);
    put_varint(value, out);
}

pub fn bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    tag(number, 2, out);
    put_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// A message in a message. Its length is put in front once it is known: most are short, so little moves.
pub fn nested(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    tag(number, 2, out);
    let start = out.len();
    out.push(0);
    write(out);
    let len = out.len() - start - 1;
    if len < 0x80 {
        out[start] = len as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(5);
    put_varint(len as u64, &mut prefix);
    out.splice(start..=start, prefix);
}

pub fn double(number: u32, value: f64, out: &mut Vec<u8>) {
    tag(number, 1, out);
    out.extend_from_slice(&value.to_le_bytes());
}
