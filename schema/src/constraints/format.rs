//! The formats that `+k8s:format` names. Upstream: apimachinery/pkg/api/validate/strfmt.go.

use api::{
    Value,
    field::{Bad, Errors, Kind, Path},
    names,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Format {
    ShortName,
    LongName,
    LongNameCaseless,
    LabelKey,
    LabelValue,
    PrefixedLabelKey,
    PathSegmentName,
    Uuid,
    ResourcePoolName,
    ExtendedResourceName,
    ResourceFullyQualifiedName,
}

const UUID_RULE: &str = "must be a lowercase UUID in 8-4-4-4-12 format";
const POOL_NAME_LEN_MAX: i64 = 253;
const DEVICE_LEN_MAX: usize = 32;

impl Format {
    /// The format of a marker's value, and what its errors name as their origin.
    pub fn named(name: &str) -> Option<Format> {
        let all = [
            Format::ShortName,
            Format::LongName,
            Format::LongNameCaseless,
            Format::LabelKey,
            Format::LabelValue,
            Format::PrefixedLabelKey,
            Format::PathSegmentName,
            Format::Uuid,
            Format::ResourcePoolName,
            Format::ExtendedResourceName,
            Format::ResourceFullyQualifiedName,
        ];
        all.into_iter().find(|f| f.origin().strip_prefix("format=") == Some(name))
    }

    pub fn origin(self) -> &'static str {
        match self {
            Format::ShortName => "format=k8s-short-name",
            Format::LongName => "format=k8s-long-name",
            Format::LongNameCaseless => "format=k8s-long-name-caseless",
            Format::LabelKey => "format=k8s-label-key",
            Format::LabelValue => "format=k8s-label-value",
            Format::PrefixedLabelKey => "format=k8s-prefixed-label-key",
            Format::PathSegmentName => "format=k8s-path-segment-name",
            Format::Uuid => "format=k8s-uuid",
            Format::ResourcePoolName => "format=k8s-resource-pool-name",
            Format::ExtendedResourceName => "format=k8s-extended-resource-name",
            Format::ResourceFullyQualifiedName => "format=k8s-resource-fully-qualified-name",
        }
    }

    /// What is wrong with a text; `bad` is how messages show it.
    pub fn check(self, text: &str, bad: &Bad, at: &Path) -> Errors {
        let words = match self {
            Format::ShortName => names::format::dns1123_label(text),
            Format::LongName => names::format::dns1123_subdomain(text),
            Format::LongNameCaseless => names::format::dns1123_subdomain_caseless(text),
            Format::LabelKey => names::qualified_name(text),
            Format::LabelValue => names::label_value(text),
            Format::PrefixedLabelKey => names::format::prefixed_label_key(text),
            Format::PathSegmentName => names::is_valid_path_segment_name(text),
            Format::Uuid if is_uuid(text) => vec![],
            Format::Uuid => vec![UUID_RULE.into()],
            Format::ResourcePoolName => return pool_name(text, at),
            Format::ExtendedResourceName => extended_resource_name(text),
            Format::ResourceFullyQualifiedName => return fully_qualified(text, at),
        };
        let mut errors = Errors::new();
        for said in words {
            errors.push(Kind::Invalid, at, bad.clone(), said);
        }
        errors
    }
}

fn is_uuid(text: &str) -> bool {
    let fits = |(i, b): (usize, u8)| match i {
        8 | 13 | 18 | 23 => b == b'-',
        _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

fn pool_name(text: &str, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if text.len() as i64 > POOL_NAME_LEN_MAX {
        errors.too_long(at, POOL_NAME_LEN_MAX);
    }
    for (i, part) in text.split('/').enumerate() {
        if part.is_empty() {
            errors.invalid(at, text, format!("segment {i}: must not be empty"));
            continue;
        }
        for said in names::format::dns1123_subdomain(part) {
            errors.invalid(at, part, format!("segment {i}: {said}"));
        }
    }
    errors
}

fn extended_resource_name(text: &str) -> Vec<String> {
    let mut words = vec![];
    if !text.contains('/') {
        words.push("a name must be a domain-prefixed path, such as 'example.com/my-prop'".into());
    } else if text.contains("kubernetes.io/") {
        words.push("must not have \"kubernetes.io/\" domain".into());
    }
    if text.starts_with("requests.") {
        words.push("must not have \"requests.\" prefix".into());
    }
    words.extend(names::qualified_name(&format!("requests.{text}")));
    words
}

fn fully_qualified(text: &str, at: &Path) -> Errors {
    let mut errors = Errors::new();
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => identifier(&mut errors, name, at),
        [prefix, name] => {
            if prefix.is_empty() {
                errors.invalid(at, "", "prefix must not be empty");
            } else {
                if prefix.len() > 63 {
                    errors.too_long(at, 63);
                }
                for said in names::format::dns1123_subdomain(prefix) {
                    errors.invalid(at, *prefix, format!("prefix: {said}"));
                }
            }
            if name.is_empty() {
                errors.invalid(at, "", "name must not be empty");
            } else {
                identifier(&mut errors, name, at);
            }
        }
        _ => {}
    }
    if !text.contains('/') {
        errors.invalid(
            at,
            Value::from(text),
            "a fully qualified name must be a domain and a name separated by a slash",
        );
    }
    errors
}

fn identifier(errors: &mut Errors, text: &str, at: &Path) {
    if text.len() > DEVICE_LEN_MAX {
        errors.too_long(at, DEVICE_LEN_MAX as i64);
    }
    for said in names::c_identifier(text) {
        errors.invalid(at, text, said);
    }
}
