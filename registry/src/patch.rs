//! Patches: what a client wants changed, in one of four forms.
//!
//! A patch is made against the object in the request's version, and the result is read back as strictly as a body.
//! Upstream: handlers/patch.go.

use api::{
    Reason, Status, Value,
    field::{Errors, Path},
    patch::{json_patch, merge_patch},
};
use schema::TypeId;

use crate::{
    Answer, Ask, Registry,
    body::{Body, Media},
    change::Change,
    options::{Validation, WriteOptions},
    types::{Plain, Types},
};

/// The forms of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Merge,
    Strategic,
    /// Server-side apply, in YAML (or JSON) or CBOR.
    Apply {
        cbor: bool,
    },
}

/// A patch as it came.
struct Patch<'a> {
    form: Form,
    bytes: &'a [u8],
    validation: Validation,
}

impl Registry {
    /// Patches an object, or a part of it on a subresource.
    pub async fn patch(&self, ask: &Ask, form: Form, bytes: &[u8], options: &WriteOptions) -> Result<Answer, Status> {
        if let Form::Apply { cbor } = form {
            return crate::managed::apply(self, ask, bytes, cbor, options).await;
        }
        if !codec::json::is_valid(bytes) {
            return Err(Status::bad_request("invalid JSON patch"));
        }
        self.change(ask, &Patch { form, bytes, validation: options.validation }, options).await
    }
}

impl Change for Patch<'_> {
    fn make(&self, ask: &Ask, live: &Value) -> Result<Value, Status> {
        if live.is_null() {
            return Err(Status::not_found(&ask.definition.resource, ask.name()));
        }
        let served = ask.served();
        let mut current = live.clone();
        ask.definition.from_hub(&mut current, served);
        let types = &*ask.definition.world;
        let (patched, strict) = self.apply(types, current, served.kind_type)?;
        let said = crate::body::with_defaults(api::meta::gvk(&patched), &served.gvk);
        if !types.has_protobuf() {
            types.check_kind(&said, &served.gvk, &patched, self.bytes)?;
        }
        let is_known = ask.definition.world.knows(&said);
        // What a strategic patch makes is converted by its type, whatever it says it is.
        if said.kind != served.gvk.kind && is_known && self.form != Form::Strategic {
            return Err(refuse(&patched, crate::body::no_conversion(&said, &served.gvk)));
        }
        if !is_known && self.form != Form::Strategic {
            return Err(refuse(&patched, crate::body::not_registered(&said)));
        }
        let mut object = self.read_back(types, ask, &patched, strict, served.kind_type)?;
        api::meta::set_gvk(&mut object, &served.gvk);
        ask.to_hub(&mut object);
        Ok(object)
    }
}

/// Patches an object of any kind: a scale.
pub(crate) fn apply_to(
    form: Form,
    bytes: &[u8],
    current: Value,
    schema: &str,
    ask: &Ask,
    validation: Validation,
) -> Result<Value, Status> {
    let kind_type = schema::builtin().id(schema).ok_or_else(|| Status::internal(format!("{schema} is no type")))?;
    // Of an object that belongs to nobody, an apply is a merge.
    let form = if matches!(form, Form::Apply { .. }) { Form::Merge } else { form };
    Patch { form, bytes, validation }.patched(&Plain, ask, current, kind_type)
}

impl Patch<'_> {
    /// The patched object, read back as strictly as a body.
    fn patched(&self, types: &dyn Types, ask: &Ask, current: Value, kind_type: TypeId) -> Result<Value, Status> {
        let (patched, strict) = self.apply(types, current, kind_type)?;
        self.read_back(types, ask, &patched, strict, kind_type)
    }

    /// The patched object as a tree that nobody has checked yet, with what strict reading of the patch itself found.
    fn apply(&self, types: &dyn Types, current: Value, kind_type: TypeId) -> Result<(Value, Vec<String>), Status> {
        match self.form {
            Form::Json => {
                let document = self.decode("error decoding patch: ")?.value;
                let patch = match self.validation {
                    Validation::Ignore => json_patch::Patch::decode(document)?,
                    _ => json_patch::Patch::decode_checked(document)?,
                };
                // Upstream does not say what was wrong.
                let patched = patch.apply(current).map_err(|_| json_patch::rejected())?;
                Ok((patched, patch.unknown_fields()))
            }
            Form::Merge => {
                let patch = self.decode("error decoding patch: ")?;
                if !matches!(patch.value, Value::Object(_) | Value::Null) {
                    return Err(Status::bad_request(match self.validation {
                        Validation::Ignore => "Invalid JSON Patch".to_string(),
                        _ => {
                            let kind = json_patch::kind_of(&patch.value);
                            format!(
                                "error decoding patch: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
                            )
                        }
                    }));
                }
                let mut patched = current;
                merge_patch::apply(&mut patched, patch.value).map_err(Status::bad_request)?;
                Ok((patched, patch.strict))
            }
            Form::Strategic => {
                let patch = self.decode("")?;
                let patched = schema::strategic::apply(current, patch.value, kind_type, types.schemas())?;
                Ok((patched, patch.strict))
            }
            Form::Apply { .. } => Err(Status::internal("apply is no patch of the live object")),
        }
    }

    fn decode(&self, before: &str) -> Result<codec::Decoded, Status> {
        codec::json::any(self.bytes).map_err(|e| Status::bad_request(format!("{before}{e}")))
    }

    fn read_back(
        &self,
        types: &dyn Types,
        ask: &Ask,
        patched: &Value,
        mut strict: Vec<String>,
        kind_type: TypeId,
    ) -> Result<Value, Status> {
        let decoded = match self.form {
            Form::Strategic => types.read_tree(patched, kind_type),
            _ => {
                let text = codec::json::to_string(patched);
                types.read(Body { media: Media::Json, bytes: text.as_bytes() }, kind_type)
            }
        };
        // An object without a type of Go's is a map to upstream, whose members are sorted.
        let sorted = (!types.has_protobuf()).then(|| {
            let mut sorted = patched.clone();
            crate::managed::sort_members(&mut sorted);
            sorted
        });
        let patched = sorted.as_ref().unwrap_or(patched);
        let decoded = decoded.map_err(|error| self.refuse(patched, error.to_string()))?;
        let convertible = match kind_type == ask.served().kind_type {
            true => (ask.definition.row.convertible)(&decoded.value),
            false => Ok(()),
        };
        // A strategic patch is merged into a version's struct, whose conversion comes last and is nobody's mistake.
        if self.form != Form::Strategic {
            convertible.clone().map_err(|why| self.refuse(patched, why))?;
        }
        strict.extend(decoded.strict);
        match self.validation {
            Validation::Strict if !strict.is_empty() => {
                return Err(self.refuse(patched, format!("strict decoding error: {}", strict.join(", "))));
            }
            Validation::Warn => strict.iter().for_each(|text| ask.warn(text.as_str())),
            _ => {}
        }
        convertible.map_err(|why| Status::new(500, Reason::Unknown, why))?;
        Ok(decoded.value)
    }

    /// What came out of a patch is not what it has to be; of a strategic one upstream shows the patch.
    fn refuse(&self, patched: &Value, why: String) -> Status {
        match (self.form, codec::json::any(self.bytes)) {
            (Form::Strategic, Ok(patch)) => refuse_as(&api::field::go_plain(&patch.value), why),
            _ => refuse(patched, why),
        }
    }
}

/// What came out of a patch is not what it has to be.
fn refuse(patched: &Value, why: String) -> Status {
    refuse_as(&codec::json::to_string(patched), why)
}

fn refuse_as(shown: &str, why: String) -> Status {
    let mut errors = Errors::new();
    errors.invalid(&Path::new("patch"), shown, why);
    match errors.into_status(&api::GroupResource::default(), "") {
        Err(status) => status,
        Ok(()) => Status::new(422, Reason::Invalid, "the patch is invalid"),
    }
}
