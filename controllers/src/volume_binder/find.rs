//! Which volume fits a claim. Upstream: index.go, component-helpers/storage/volume pv_helpers.go.

use std::{collections::BTreeMap, sync::Arc};

use api::{Value, quantity::Quantity, selector::Selector};

use super::class_of;

/// The volume that is meant for a claim, or else the smallest that fits, of those with the fewest access modes. When
/// binding waits for a consumer, only what is meant for it counts: the rest is the scheduler's.
pub(super) fn volume(claim: &Value, volumes: &[Arc<Value>], delays: bool) -> Result<Option<Arc<Value>>, String> {
    let selector = match claim.at("spec").at("selector") {
        Value::Null => Selector::everything(),
        selector => Selector::from_label_selector(selector)?,
    };
    let mut by_modes: BTreeMap<(usize, Vec<&str>), Vec<&Arc<Value>>> = BTreeMap::new();
    for volume in volumes.iter().filter(|v| has_modes(v, claim)) {
        let mut modes: Vec<&str> = modes(volume).collect();
        modes.sort_unstable();
        modes.dedup();
        by_modes.entry((modes.len(), modes)).or_default().push(volume);
    }
    Ok(by_modes.values().find_map(|volumes| best(claim, volumes, &selector, delays)))
}

/// Upstream: FindMatchingVolume, without a node.
fn best(claim: &Value, volumes: &[&Arc<Value>], selector: &Selector, delays: bool) -> Option<Arc<Value>> {
    let requested = requested(claim);
    let mut smallest: Option<(&Arc<Value>, Quantity)> = None;
    for volume in volumes {
        let is_meant = is_for(volume, claim);
        let capacity = capacity(volume);
        let fits = (volume.at("spec").at("claimRef").is_null() || is_meant)
            && capacity >= requested
            && mode(volume) == mode(claim)
            && attributes(volume) == attributes(claim)
            && !api::meta::of(volume).is_terminating();
        if !fits {
            continue;
        }
        if is_meant {
            return Some((*volume).clone());
        }
        let is_free = !delays
            && volume.at("status").str("phase") == "Available"
            && selector.matches(api::meta::of(volume).labels())
            && class_of(volume) == class_of(claim);
        if is_free && smallest.as_ref().is_none_or(|(_, known)| *known > capacity) {
            smallest = Some((volume, capacity));
        }
    }
    smallest.map(|(volume, _)| volume.clone())
}

/// Whether a volume that a claim asks for by name may be its. Upstream: checkVolumeSatisfyClaim.
pub(super) fn check(volume: &Value, claim: &Value) -> Result<(), String> {
    let meta = api::meta::of(volume);
    let rules = [
        (!meta.is_terminating(), format!("the volume is marked for deletion {:?}", meta.name())),
        (capacity(volume).value() >= requested(claim).value(), "requested PV is too small".to_owned()),
        (class_of(volume) == class_of(claim), "storageClassName does not match".to_owned()),
        (attributes(volume) == attributes(claim), "volumeAttributesClassName does not match".to_owned()),
        (mode(volume) == mode(claim), "incompatible volumeMode".to_owned()),
        (has_modes(volume, claim), "incompatible accessMode".to_owned()),
    ];
    rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, why)| Err(why))
}

/// Whether a volume is meant for a claim, or bound to it. Upstream: IsVolumeBoundToClaim.
pub(super) fn is_for(volume: &Value, claim: &Value) -> bool {
    let (reference, meta) = (volume.at("spec").at("claimRef"), api::meta::of(claim));
    let uid = reference.str("uid");
    !reference.is_null()
        && reference.str("name") == meta.name()
        && reference.str("namespace") == meta.namespace()
        && (uid.is_empty() || uid == meta.uid())
}

pub(super) fn mode(object: &Value) -> &str {
    object.at("spec").opt_str("volumeMode").unwrap_or("Filesystem")
}

fn attributes(object: &Value) -> &str {
    object.at("spec").str("volumeAttributesClassName")
}

fn modes(object: &Value) -> impl Iterator<Item = &str> {
    object.at("spec").list("accessModes").iter().filter_map(Value::as_str)
}

fn has_modes(volume: &Value, claim: &Value) -> bool {
    modes(claim).all(|wanted| modes(volume).any(|mode| mode == wanted))
}

pub(super) fn capacity(volume: &Value) -> Quantity {
    Quantity::of(volume.at("spec").at("capacity").at("storage"))
}

fn requested(claim: &Value) -> Quantity {
    Quantity::of(claim.at_path(&["spec", "resources", "requests", "storage"]))
}
