//! Takes out what an applier named the last time, does not name now, and nobody else owns.
//!
//! Upstream: structured-merge-diff/v6/merge/update.go prune. It works on whole objects and their sets: removing a path
//! removes all below it, so what others own there is put back.

use api::{EcoString, Value};

use super::{
    collect,
    entries::Entries,
    form::Form,
    owners::{Refusal, Writer, plain},
    remove::{remove, with_parents},
    set::Set,
};

/// The merged object without what is no longer wanted. `entries` hold the applier's new set; `last` is its old one, of
/// `version`.
pub(super) fn prune(
    writer: &Writer<'_>,
    merged: Value,
    entries: &mut Entries,
    version: &str,
    last: &Set,
) -> Result<Value, Refusal> {
    let Some(form) = writer.parts(version) else { return Ok(merged) };
    let convert = |object: Value, what: &str, from: &str, to: &str| match from == to {
        true => Ok(object),
        false => writer
            .versions
            .convert(&object, from, to)
            .map_err(|why| plain(format!("failed to prune fields: {what}{why}"))),
    };
    let merged =
        convert(merged, "failed to convert merged object to last applied version: ", writer.api_version, version)?;
    let last = with_parents(last, form, writer.schemas);
    let mut pruned = remove(form, &merged, &last, writer.schemas);
    let mut at = EcoString::from(version);
    for (owned_in, owned) in owned_by_version(entries, version)? {
        let Some(form) = writer.parts(&owned_in) else { continue };
        let whole = convert(
            merged.clone(),
            &format!("failed add back owned items: failed to convert merged object at version {owned_in}: "),
            version,
            &owned_in,
        )?;
        let part = convert(
            pruned,
            &format!("failed add back owned items: failed to convert pruned object at version {owned_in}: "),
            &at,
            &owned_in,
        )?;
        pruned = add_back_owned(writer, form, &whole, &part, &owned)?;
        at = owned_in;
    }
    let pruned = convert(
        pruned,
        "failed add back dangling items: failed to convert pruned object to last applied version: ",
        &at,
        version,
    )?;
    let kept = add_back_dangling(writer, form, &merged, &pruned, &last)?;
    convert(kept, "", version, writer.api_version)
}

/// What anybody owns, by version; the pruned version comes first, for what is missing there may break conversions.
fn owned_by_version(entries: &mut Entries, first: &str) -> Result<Vec<(EcoString, Set)>, Refusal> {
    let mut owned: Vec<(EcoString, Set)> = Vec::new();
    for entry in &mut entries.0 {
        let version = entry.api_version.clone();
        let set = entry.set()?;
        match owned.iter_mut().find(|(v, _)| *v == version) {
            Some((_, all)) => *all = all.union(set),
            None => owned.push((version, set.clone())),
        }
    }
    owned.sort_by_key(|(v, _)| v != first);
    Ok(owned)
}

/// Whatever was taken out and is owned comes back.
fn add_back_owned(
    writer: &Writer<'_>,
    form: Form<'_>,
    merged: &Value,
    pruned: &Value,
    owned: &Set,
) -> Result<Value, Refusal> {
    let (all, left) = (paths(writer, form, merged)?, paths(writer, form, pruned)?);
    let kept = left.union(&with_parents(owned, form, writer.schemas));
    Ok(remove(form, merged, &all.difference(&kept), writer.schemas))
}

/// Whatever was taken out and was never this applier's comes back.
fn add_back_dangling(
    writer: &Writer<'_>,
    form: Form<'_>,
    merged: &Value,
    pruned: &Value,
    last: &Set,
) -> Result<Value, Refusal> {
    let (all, left) = (paths(writer, form, merged)?, paths(writer, form, pruned)?);
    Ok(remove(form, merged, &all.difference(&left).intersection(last), writer.schemas))
}

fn paths(writer: &Writer<'_>, form: Form<'_>, object: &Value) -> Result<Set, Refusal> {
    let set = collect::paths(form, object, writer.schemas).map_err(|e| {
        let text = format!("failed to prune fields: {e}");
        Refusal::Status(api::Status::new(500, api::Reason::Unknown, text))
    })?;
    Ok(with_parents(&set, form, writer.schemas))
}
