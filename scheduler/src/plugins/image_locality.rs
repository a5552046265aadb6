//! Nodes that have the pod's images already are better; the less, the rarer those images are.
//!
//! Upstream: plugins/imagelocality.

use super::{Event, Plugin, Score};
use crate::{
    Pod, Slot,
    cycle::{Cycle, SCORE_MAX},
};

const LEAST: i64 = 23 << 20;
const MOST: i64 = 1000 << 20;

pub struct ImageLocality;

/// The pod's images that some node has, with the share of nodes that have each.
struct Local<'a> {
    cycle: &'a Cycle<'a>,
    images: Vec<(&'a str, f64)>,
}

impl Plugin for ImageLocality {
    fn name(&self) -> &'static str {
        "ImageLocality"
    }

    fn score<'a>(&'a self, cycle: &'a Cycle<'a>, _: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        #[expect(clippy::cast_precision_loss, reason = "a number of nodes")]
        let share = |image: &'a str| {
            let on = cycle.snapshot.spread_of_image(image);
            (on > 0).then(|| (image, f64::from(on) / cycle.snapshot.len() as f64))
        };
        let images: Vec<_> = cycle.pod.images.iter().filter_map(|image| share(image)).collect();
        (!images.is_empty()).then(|| Box::new(Local { cycle, images }) as Box<dyn Score>)
    }

    fn may_help(&self, _: &Pod, _: &Event) -> bool {
        false
    }
}

impl Score for Local<'_> {
    fn points(&self, slot: Slot) -> i64 {
        let node = self.cycle.snapshot.node(slot);
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "bytes, scaled down")]
        let scaled =
            |(image, share): &(&str, f64)| node.images.get(*image).map_or(0, |size| (*size as f64 * share) as i64);
        let sum: i64 = self.images.iter().map(scaled).sum();
        let most = MOST * i64::try_from(self.cycle.pod.images.len()).unwrap_or(1);
        SCORE_MAX * (sum.clamp(LEAST, most) - LEAST) / (most - LEAST)
    }
}
