//! What files a volume is to hold, out of a config map or a secret.

use std::collections::BTreeMap;

use api::Value;
use base64::{Engine, engine::general_purpose::STANDARD};

/// Files by their path in the volume.
pub type Payload = BTreeMap<String, File>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub data: Vec<u8>,
    pub mode: u32,
    /// The owner; none: the node agent's user.
    pub user: Option<u32>,
}

/// How the members of one object become files.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    /// `KeyToPath`s; none: every member under its own name.
    pub items: &'a [Value],
    pub default_mode: u32,
    pub default_user: Option<u32>,
    pub optional: bool,
}

// === impl Shape ===

impl<'a> Shape<'a> {
    /// `source` has the items and says whether it is optional; `volume` has the defaults.
    pub fn of(source: &'a Value, volume: &Value) -> Result<Shape<'a>, String> {
        Ok(Shape {
            items: source.list("items"),
            default_mode: default_mode(volume)?,
            default_user: user(volume, "defaultUser"),
            optional: source.bool("optional"),
        })
    }

    /// The files of `members`. `missing` words the refusal of a key that is not there.
    pub fn files(&self, members: &BTreeMap<String, Vec<u8>>, missing: &str) -> Result<Payload, String> {
        if self.items.is_empty() {
            let file = |data: &Vec<u8>| File { data: data.clone(), mode: self.default_mode, user: self.default_user };
            return Ok(members.iter().map(|(name, data)| (name.clone(), file(data))).collect());
        }
        let mut payload = Payload::new();
        for item in self.items {
            let key = item.str("key");
            let Some(data) = members.get(key) else {
                if self.optional {
                    continue;
                }
                return Err(format!("{missing}: {key}"));
            };
            payload.insert(item.str("path").to_owned(), self.file(item, data.clone()));
        }
        Ok(payload)
    }

    /// A file with the mode and the owner that its item says, or else the volume.
    pub fn file(&self, item: &Value, data: Vec<u8>) -> File {
        let mode = item.opt_int("mode").and_then(|mode| u32::try_from(mode).ok()).unwrap_or(self.default_mode);
        File { data, mode, user: user(item, "user").or(self.default_user) }
    }
}

/// The volume's `defaultMode`, which the server has set where nobody said one.
pub fn default_mode(volume: &Value) -> Result<u32, String> {
    let mode = volume.opt_int("defaultMode").and_then(|mode| u32::try_from(mode).ok());
    mode.ok_or_else(|| "no defaultMode used, not even the default value for it".to_owned())
}

pub fn user(of: &Value, name: &str) -> Option<u32> {
    of.opt_int(name).and_then(|user| u32::try_from(user).ok())
}

/// A config map's members, text and binary.
pub fn config_map(object: &Value) -> BTreeMap<String, Vec<u8>> {
    let text = object.strings("data").map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    text.chain(decoded(object, "binaryData")).collect()
}

/// A secret's members.
pub fn secret(object: &Value) -> BTreeMap<String, Vec<u8>> {
    decoded(object, "data").collect()
}

fn decoded<'a>(object: &'a Value, member: &'a str) -> impl Iterator<Item = (String, Vec<u8>)> + 'a {
    object.strings(member).filter_map(|(name, text)| Some((name.to_owned(), STANDARD.decode(text).ok()?)))
}

/// Errors as upstream's aggregate prints them: one is itself, several stand in brackets, each once.
pub fn aggregate(errors: Vec<String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for error in errors {
        if !distinct.contains(&error) {
            distinct.push(error);
        }
    }
    match distinct.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::value;

    #[test]
    fn items_choose_and_name_and_an_optional_one_may_lack() {
        let map = config_map(&value!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "/w=="}}));
        let all = value!({"defaultMode": 420});
        let shape = Shape::of(&all, &all).expect("has a mode");
        assert_eq!(shape.files(&map, "x").expect("is whole").len(), 3);
        let chosen =
            value!({"items": [{"key": "c", "path": "p/q", "mode": 256, "user": 7}, {"key": "a", "path": "r"}]});
        let files = Shape::of(&chosen, &all).and_then(|shape| shape.files(&map, "x")).expect("is whole");
        assert_eq!(files["p/q"], File { data: vec![255], mode: 0o400, user: Some(7) });
        assert_eq!(files["r"], File { data: b"1".to_vec(), mode: 0o644, user: None });
        let mut missing = value!({"items": [{"key": "z", "path": "z"}]});
        let refused = Shape::of(&missing, &all).and_then(|shape| shape.files(&map, "no such key"));
        assert_eq!(refused, Err("no such key: z".into()));
        missing.set("optional", true);
        assert_eq!(Shape::of(&missing, &all).and_then(|shape| shape.files(&map, "x")), Ok(Payload::new()));
        assert!(Shape::of(&missing, &missing).is_err());
    }

    #[test]
    fn errors_stand_together_once_each() {
        assert_eq!(aggregate(vec!["a".into(), "a".into()]), "a");
        assert_eq!(aggregate(vec!["a".into(), "b".into(), "a".into()]), "[a, b]");
    }
}
