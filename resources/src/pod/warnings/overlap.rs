//! Files of one volume that would lie on or below each other.
//!
//! Upstream: `warningsForOverlappingVirtualPaths`.

use api::{Value, field::quote};

/// A path and where it comes from, which is empty when the volume has one source.
#[derive(Clone, PartialEq)]
struct Place {
    path: String,
    source: String,
}

pub fn warnings(volumes: &[Value], out: &mut Vec<String>) {
    for volume in volumes {
        let name = volume.str("name");
        let single = [
            ("configMap", format!("ConfigMap {}", quote(volume.at("configMap").str("name")))),
            ("secret", format!("Secret {}", quote(volume.at("secret").str("secretName")))),
            ("downwardAPI", "DownwardAPI".to_string()),
        ];
        for (member, what) in single {
            overlaps(name, &what, items(volume.at(member), ""), &mut Vec::new(), out);
        }
        if volume.has("projected") {
            projected(name, volume.at("projected").list("sources"), out);
        }
    }
}

fn projected(name: &str, sources: &[Value], out: &mut Vec<String>) {
    let mut seen = Vec::new();
    for source in sources {
        if source.members().all(|(_, member)| member.is_null()) {
            out.push(format!("volume {} (Projected) has no sources provided", quote(name)));
            continue;
        }
        overlaps(name, "Projected", places(source), &mut seen, out);
    }
}

fn overlaps(volume: &str, what: &str, places: Vec<Place>, seen: &mut Vec<Place>, out: &mut Vec<String>) {
    for mut place in places {
        place.path = place.path.trim_end_matches('/').to_string();
        for other in seen.iter().filter(|other| collide(other, &place)) {
            let volume = quote(volume);
            out.push(format!("volume {volume} ({what}): overlapping paths: {} with {}", place.shown(), other.shown()));
        }
        seen.push(place);
    }
}

fn collide(a: &Place, b: &Place) -> bool {
    let below = |a: &str, b: &str| format!("{a}/").starts_with(&format!("{b}/"));
    !a.path.is_empty() && !b.path.is_empty() && (a == b || below(&a.path, &b.path) || below(&b.path, &a.path))
}

/// The files of one source of a projected volume; the first kind that it has counts.
fn places(source: &Value) -> Vec<Place> {
    let place = |path: &str, source: &str| Place { path: path.into(), source: source.into() };
    let named = |member: &str, kind: &str| format!("{kind} {}", quote(source.at(member).str("name")));
    let has_items = |member: &str| source.at(member).has("items");
    if has_items("configMap") {
        items(source.at("configMap"), &named("configMap", "ConfigMap"))
    } else if has_items("secret") {
        items(source.at("secret"), &named("secret", "Secret"))
    } else if has_items("downwardAPI") {
        items(source.at("downwardAPI"), "DownwardAPI")
    } else if source.has("serviceAccountToken") {
        vec![place(source.at("serviceAccountToken").str("path"), "ServiceAccountToken")]
    } else if source.has("clusterTrustBundle") {
        let bundle = source.at("clusterTrustBundle");
        let name = bundle.opt_str("name").unwrap_or_else(|| bundle.str("signerName"));
        vec![place(bundle.str("path"), &format!("ClusterTrustBundle {}", quote(name)))]
    } else {
        let certificate = source.at("podCertificate");
        [("certificateChainPath", "chain"), ("keyPath", "key"), ("credentialBundlePath", "credential bundle")]
            .into_iter()
            .filter(|(member, _)| !certificate.str(member).is_empty())
            .map(|(member, what)| place(certificate.str(member), &format!("PodCertificate {what}")))
            .collect()
    }
}

fn items(source: &Value, what: &str) -> Vec<Place> {
    source.list("items").iter().map(|item| Place { path: item.str("path").into(), source: what.into() }).collect()
}

impl Place {
    fn shown(&self) -> String {
        match self.source.as_str() {
            "" => quote(&self.path),
            source => format!("{} ({source})", quote(&self.path)),
        }
    }
}
