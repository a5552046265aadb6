//! Names and lists of this group. Upstream: validation.go validateSet, validatePoolName, validateQualifiedName.

use std::borrow::Cow;

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use crate::checks;
pub use crate::pod::claim::csi_driver_name as driver_name;

const POOL_NAME_LEN_MAX: usize = 253;
const ID_LEN_MAX: usize = 32;
/// A domain, a slash and an identifier. Upstream: `attributeAndCapacityMaxKeyLength`.
const QUALIFIED_NAME_LEN_MAX: usize = 63 + 1 + ID_LEN_MAX;

/// Judges each item, unless there are too many to look at.
pub fn slice(
    list: &[Value],
    max: usize,
    at: &Path,
    errs: &mut Errors,
    mut one: impl FnMut(&Value, &Path, &mut Errors),
) -> bool {
    if list.len() > max {
        errs.too_many(at, list.len(), max);
        return false;
    }
    for (i, item) in list.iter().enumerate() {
        one(item, &at.index(i), errs);
    }
    true
}

/// As [`slice`], and no key twice.
pub fn set(
    list: &[Value],
    max: usize,
    at: &Path,
    errs: &mut Errors,
    key: impl Fn(&Value) -> String,
    one: impl FnMut(&Value, &Path, &mut Errors),
) {
    if !slice(list, max, at, errs, one) {
        return;
    }
    let keys: Vec<String> = list.iter().map(key).collect();
    for (i, key) in keys.iter().enumerate().filter(|(i, key)| keys[..*i].contains(key)) {
        errs.duplicate(&at.index(i), key);
    }
}

/// Judges each entry of a map: its name where the map is, its value where it stands, which a very long name does not tell
/// whole. Upstream: `validateMap`.
pub fn map(map: &Value, at: &Path, errs: &mut Errors, mut one: impl FnMut(&Value, &Path, &mut Errors)) {
    for (name, item) in map.members() {
        qualified_name(name, at, errs);
        one(item, &at.key(&shortened(name)), errs);
    }
}

/// Upstream: `truncateIfTooLong`, which counts bytes.
fn shortened(name: &str) -> Cow<'_, str> {
    let Some(room) = QUALIFIED_NAME_LEN_MAX.checked_sub(3).filter(|_| name.len() > QUALIFIED_NAME_LEN_MAX) else {
        return name.into();
    };
    let (head, tail) = (&name.as_bytes()[..room.div_ceil(2)], &name.as_bytes()[name.len() - room / 2..]);
    format!("{}...{}", String::from_utf8_lossy(head), String::from_utf8_lossy(tail)).into()
}

pub fn name_of(item: &Value) -> String {
    item.str("name").into()
}

pub fn text_of(item: &Value) -> String {
    item.as_str().unwrap_or("").into()
}

pub fn label(name: &str, at: &Path, errs: &mut Errors) {
    checks::messages(errs, at, name, names::dns1123_label(name));
}

/// Upstream: `validatePoolName`: subdomains between slashes.
pub fn pool_name(name: &str, at: &Path, errs: &mut Errors) {
    if name.is_empty() {
        return errs.required(at, "");
    }
    if name.len() > POOL_NAME_LEN_MAX {
        errs.too_long(at, POOL_NAME_LEN_MAX as i64);
    }
    for part in name.split('/') {
        checks::messages(errs, at, part, names::dns1123_subdomain(part));
    }
}

/// Upstream: `validateQualifiedName`: an identifier, perhaps after a domain. More slashes are not judged there.
pub fn qualified_name(name: &str, at: &Path, errs: &mut Errors) {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [id] => identifier(id, at, errs),
        [domain, id] => {
            if domain.is_empty() {
                errs.invalid(at, "", "the domain must not be empty");
            } else {
                driver_name(domain, at, errs);
            }
            if id.is_empty() {
                errs.invalid(at, "", "the name must not be empty");
            } else {
                identifier(id, at, errs);
            }
        }
        _ => {}
    }
}

/// Upstream: `validateFullyQualifiedName`.
pub fn fully_qualified_name(name: &str, at: &Path, errs: &mut Errors) {
    qualified_name(name, at, errs);
    if !name.contains('/') {
        errs.invalid(at, name, "a fully qualified name must be a domain and a name separated by a slash");
    }
}

fn identifier(id: &str, at: &Path, errs: &mut Errors) {
    if id.len() > ID_LEN_MAX {
        errs.too_long(at, ID_LEN_MAX as i64);
    }
    checks::messages(errs, at, id, names::c_identifier(id));
}

/// Upstream: `validateUID`.
pub fn uid(text: &str, at: &Path, errs: &mut Errors) {
    let dashes_right = |t: &str| [8, 13, 18, 23].iter().all(|&i| t.as_bytes()[i] == b'-');
    let core = match text.len() {
        45 => text.get(9..),
        38 => text.get(1..37),
        36 | 32 => Some(text),
        other => return errs.invalid(at, text, format!("error validating uid: invalid UUID length: {other}")),
    };
    let well_formed = core.is_some_and(|core| {
        let hex = core.bytes().filter(u8::is_ascii_hexdigit).count() == 32;
        hex && core.is_ascii() && (core.len() == 32 || dashes_right(core))
    });
    if !well_formed {
        errs.invalid(at, text, "error validating uid: invalid UUID format");
    } else if text.len() != 36 || text != text.to_lowercase() {
        let why = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal \
                   characters";
        errs.invalid(at, text, why);
    }
}

/// A JSON object of limited size. Upstream: `validateRawExtension`.
pub fn raw(value: &Value, stored: bool, max: usize, at: &Path, errs: &mut Errors) {
    match value {
        Value::Null => errs.required(at, ""),
        _ if !stored && api::field::go_json(value).len() > max => errs.too_long(at, max as i64),
        Value::Object(_) => {}
        _ => errs.invalid(at, "<value omitted>", "must be a valid JSON object"),
    }
}
