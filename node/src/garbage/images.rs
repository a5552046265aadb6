//! Images that nobody uses, when the disk is full. Upstream: pkg/kubelet/images/image_gc_manager.go.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::{pods::observe::PodView, runtime::Image};

/// When images go, and how many. Upstream: imageGCHighThresholdPercent and its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of the disk: at so much images begin to go, …
    pub high_percent: i64,
    /// … until so much is used.
    pub low_percent: i64,
    /// One that was not there for so long is not removed: it was pulled for somebody.
    pub age_min: SignedDuration,
    /// What nobody has used for so long goes though there is room.
    pub age_max: Option<SignedDuration>,
}

/// What the disk has that images are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    pub capacity_bytes: i64,
    pub available_bytes: i64,
}

/// When images were seen, by their ids.
#[derive(Debug, Default)]
pub struct Records {
    seen: BTreeMap<String, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    first_at: Timestamp,
    used_at: Option<Timestamp>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { high_percent: 85, low_percent: 80, age_min: SignedDuration::from_mins(2), age_max: None }
    }
}

/// Ids of the images that containers were made of, by whatever name the containers know them.
pub fn used<'a>(views: impl Iterator<Item = &'a PodView>, all: &[Image]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for container in views.flat_map(|view| &view.containers) {
        names.extend([&container.image_id, &container.image_ref, &container.image.image]);
    }
    let is_named = |image: &&Image| {
        names.contains(&image.id) || image.tags.iter().chain(&image.digests).any(|name| names.contains(name))
    };
    all.iter().filter(is_named).map(|image| image.id.clone()).collect()
}

// === impl Disk ===

impl Disk {
    pub fn at(place: &str) -> std::io::Result<Disk> {
        let found = rustix::fs::statvfs(place)?;
        let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(found.f_frsize)).unwrap_or(i64::MAX);
        Ok(Disk { capacity_bytes: bytes(found.f_blocks), available_bytes: bytes(found.f_bavail) })
    }

    fn available(&self) -> i64 {
        self.available_bytes.min(self.capacity_bytes)
    }

    fn used_percent(&self) -> i64 {
        100 - self.share(self.available())
    }

    fn share(&self, bytes: i64) -> i64 {
        i64::try_from(i128::from(bytes) * 100 / i128::from(self.capacity_bytes.max(1))).unwrap_or(100)
    }

    /// How much has to go; `None` while there is room.
    pub fn excess_bytes(&self, limits: &Limits) -> Result<Option<i64>, String> {
        if self.capacity_bytes == 0 {
            return Err("invalid capacity 0 on image filesystem".into());
        }
        let free = i128::from(self.capacity_bytes) * i128::from(100 - limits.low_percent) / 100;
        let excess = i64::try_from(free).unwrap_or(i64::MAX) - self.available();
        Ok((self.used_percent() >= limits.high_percent).then_some(excess))
    }

    /// What is told when too little could go.
    pub fn insufficient(&self, freed_bytes: i64) -> String {
        format!(
            "Insufficient free disk space on the node's image filesystem ({}% of {} used). Failed to free sufficient space \
             by deleting unused images (freed {freed_bytes} bytes). Investigate disk usage, as it could be used by active \
             images, logs, volumes, or other data.",
            self.used_percent(),
            size(self.capacity_bytes)
        )
    }
}

/// Upstream: `formatSize`.
fn size(bytes: i64) -> String {
    let (mut amount, mut unit) = (bytes as f64, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if amount < 1024.0 {
            break;
        }
        (amount, unit) = (amount / 1024.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{amount:.1} {unit}") }
}

// === impl Records ===

impl Records {
    /// Notes what there is, and what of it is used now.
    pub fn see(&mut self, all: &[Image], used: &BTreeSet<String>, now: Timestamp) {
        let there: BTreeSet<&str> = all.iter().map(|image| image.id.as_str()).collect();
        self.seen.retain(|id, _| there.contains(id.as_str()));
        for image in all {
            let seen = self.seen.entry(image.id.clone()).or_insert(Seen { first_at: now, used_at: None });
            if used.contains(&image.id) {
                seen.used_at = Some(now);
            }
        }
    }

    /// What may go, in order: what has not been used for longest, then what has been there for longest.
    pub fn removable<'a>(
        &self,
        all: &'a [Image],
        used: &BTreeSet<String>,
        limits: &Limits,
        now: Timestamp,
    ) -> Vec<&'a Image> {
        let seen = |image: &Image| self.seen.get(&image.id).copied();
        let is_old = |image: &&Image| seen(image).is_some_and(|s| now.duration_since(s.first_at) >= limits.age_min);
        let free = all.iter().filter(|image| !image.pinned && !used.contains(&image.id));
        let mut removable: Vec<&Image> = free.filter(is_old).collect();
        removable.sort_by_key(|image| seen(image).map(|s| (s.used_at, s.first_at)));
        removable
    }

    /// What goes because of its age alone. What was used before `began_at` is not known. Upstream: freeOldImages.
    pub fn too_old<'a>(
        &self,
        all: &'a [Image],
        used: &BTreeSet<String>,
        (limits, began_at, now): (&Limits, Timestamp, Timestamp),
    ) -> Vec<&'a Image> {
        let Some(most) = limits.age_max.filter(|most| now.duration_since(began_at) > *most) else { return Vec::new() };
        let used_at = |image: &Image| self.seen.get(&image.id).and_then(|seen| seen.used_at);
        let is_old = |image: &&Image| used_at(image).is_none_or(|at| now.duration_since(at) > most);
        all.iter().filter(|image| !image.pinned && !used.contains(&image.id)).filter(is_old).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::new(1_700_000_000 + second, 0).expect("is a time")
    }

    fn image(id: &str) -> Image {
        Image { id: id.into(), size_bytes: 10, ..Image::default() }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let limits = Limits::default();
        let all = [image("a"), image("b"), image("c"), Image { pinned: true, ..image("p") }];
        let ids = |records: &Records, used: &BTreeSet<String>, now| {
            let removable = records.removable(&all, used, &limits, at(now));
            removable.iter().map(|image| image.id.clone()).collect::<Vec<_>>()
        };
        let none = BTreeSet::new();
        let of = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        let mut records = Records::default();
        records.see(&all[..1], &of(&["a"]), at(0));
        records.see(&all, &of(&["b"]), at(10));
        assert_eq!(ids(&records, &none, 119), Vec::<String>::new(), "all are young");
        assert_eq!(ids(&records, &none, 129), ["a"]);
        assert_eq!(ids(&records, &none, 130), ["c", "a", "b"]);
        assert_eq!(ids(&records, &of(&["c"]), 130), ["a", "b"]);
    }

    #[test]
    fn what_nobody_has_used_for_long_goes_though_there_is_room() {
        let limits = Limits { age_max: Some(SignedDuration::from_secs(100)), ..Limits::default() };
        let all = [image("a"), image("b"), Image { pinned: true, ..image("p") }];
        let mut records = Records::default();
        records.see(&all, &BTreeSet::from(["a".to_owned()]), at(90));
        let ids = |second| {
            let old = records.too_old(&all, &BTreeSet::new(), (&limits, at(0), at(second)));
            old.iter().map(|image| image.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(100), Vec::<String>::new(), "it may have been used before the agent began");
        assert_eq!(ids(101), ["b"]);
        assert_eq!(ids(191), ["a", "b"]);
    }

    #[test]
    fn room_is_made_down_to_the_low_mark() {
        let limits = Limits::default();
        let disk = |available| Disk { capacity_bytes: 1000, available_bytes: available };
        assert_eq!(disk(160).excess_bytes(&limits), Ok(None));
        assert_eq!(disk(150).excess_bytes(&limits), Ok(Some(50)));
        assert_eq!(disk(0).excess_bytes(&limits), Ok(Some(200)));
        assert_eq!(disk(5000).excess_bytes(&limits), Ok(None));
        assert!(Disk { capacity_bytes: 0, available_bytes: 0 }.excess_bytes(&limits).is_err());
        let told = Disk { capacity_bytes: 3 << 29, available_bytes: 0 }.insufficient(7);
        assert!(told.contains("(100% of 1.5 GiB used)") && told.contains("(freed 7 bytes)"), "{told}");
    }
}
