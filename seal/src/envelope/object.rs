//! A sealed value as it lies in the store, and what beside it says where its key comes from.
//!
//! Upstream: apiserver/pkg/storage/value/encrypt/envelope/kmsv2/envelope.go ValidateEncryptedObject, generateCacheKey.

use std::collections::BTreeMap;

use api::{field::Path, names};
use bytes::Bytes;
use kms::{EncryptedDekSourceType, EncryptedObject};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::Failure;

/// In bytes, as are those below.
const ANNOTATIONS_LEN_MAX: usize = 32 << 10;
const KEY_ID_LEN_MAX: usize = 1 << 10;
const SOURCE_LEN_MAX: usize = 1 << 10;

/// What a value's key is made of, as it lies beside the value: shut by a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub form: Form,
    /// What the plugin made of it.
    pub shut: Bytes,
    /// By which of its keys.
    pub key_id: String,
    pub annotations: BTreeMap<String, Bytes>,
}

/// What comes out when a plugin opens a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The key itself. Upstream wrote so before 1.29.
    Key,
    /// What a key for each value is made of.
    Seed,
}

/// Tells sources apart.
pub type Id = [u8; 32];

/// Why an id can be none: the metric's word, and a sentence.
pub type Misnamed = (&'static str, String);

/// Upstream: `ValidateKeyID`.
pub fn check_key_id(id: &str) -> Result<(), Misnamed> {
    match id.len() {
        0 => Err(("empty", "keyID is empty".into())),
        len if len > KEY_ID_LEN_MAX => {
            Err(("too_long", format!("keyID is {len} bytes, which exceeds the max size of {KEY_ID_LEN_MAX}")))
        }
        _ => Ok(()),
    }
}

/// A value in the store apart.
pub fn decode(stored: &Bytes) -> Result<(Source, Bytes), Failure> {
    let object = EncryptedObject::decode(stored.clone())
        .map_err(|_| Failure::new("proto: cannot parse invalid wire-format data"))?;
    let form = match EncryptedDekSourceType::try_from(object.encrypted_dek_source_type) {
        Ok(EncryptedDekSourceType::AesGcmKey) => Form::Key,
        Ok(EncryptedDekSourceType::HkdfSha256XnonceAesGcmSeed) => Form::Seed,
        Err(unknown) => return Err(Failure::new(format!("unknown encryptedDEKSourceType: {}", unknown.0))),
    };
    if object.encrypted_data.is_empty() {
        return Err(Failure::new("encrypted data is empty"));
    }
    let EncryptedObject { encrypted_data, key_id, encrypted_dek_source, annotations, .. } = object;
    let source = Source { form, shut: encrypted_dek_source, key_id, annotations };
    source.check().map_err(Failure::new)?;
    Ok((source, encrypted_data))
}

/// A value with its source, as it goes to the store.
pub fn encode(source: &Source, sealed: Vec<u8>) -> Bytes {
    let form = match source.form {
        Form::Key => EncryptedDekSourceType::AesGcmKey,
        Form::Seed => EncryptedDekSourceType::HkdfSha256XnonceAesGcmSeed,
    };
    let object = EncryptedObject {
        encrypted_data: sealed.into(),
        key_id: source.key_id.clone(),
        encrypted_dek_source: source.shut.clone(),
        annotations: source.annotations.clone(),
        encrypted_dek_source_type: form.into(),
    };
    object.encode_to_vec().into()
}

// === impl Source ===

impl Source {
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        match self.shut.len() {
            0 => return Err("failed to validate encrypted DEK source: encrypted DEK source is empty".into()),
            len if len > SOURCE_LEN_MAX => {
                return Err(format!(
                    "failed to validate encrypted DEK source: encrypted DEK source is {len} bytes, which exceeds the max size of {SOURCE_LEN_MAX}"
                ));
            }
            _ => {}
        }
        check_key_id(&self.key_id).map_err(|(_, why)| format!("failed to validate key id: {why}"))?;
        self.check_annotations().map_err(|why| format!("failed to validate annotations: {why}"))
    }

    /// Upstream: `validateAnnotations`.
    fn check_annotations(&self) -> Result<(), String> {
        let at = Path::new("annotations");
        let wrong = self.annotations.keys().map(|key| names::fully_qualified_domain_name(&at, key));
        let mut wrong: Vec<Failure> =
            wrong.filter(|errors| !errors.is_empty()).map(|errors| Failure::new(errors.message())).collect();
        let len: usize = self.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
        if len > ANNOTATIONS_LEN_MAX {
            wrong.push(Failure::new(format!(
                "total size of annotations is {len}, which exceeds the max size of {ANNOTATIONS_LEN_MAX}"
            )));
        }
        Failure::of_all(wrong).map_or(Ok(()), |failure| Err(failure.text))
    }

    /// The same for the same source alone: every part goes in with its length.
    pub fn id(&self) -> Id {
        let mut hash = Sha256::new();
        let mut put = |part: &[u8]| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        put(&[self.form as u8]);
        put(&self.shut);
        put(self.key_id.as_bytes());
        for (key, value) in &self.annotations {
            put(key.as_bytes());
            put(value);
        }
        hash.finalize().into()
    }
}
