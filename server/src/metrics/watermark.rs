//! The highest of a number that goes up and down.

/// The highest of a number that goes up and down, second by second. Upstream: `requestWatermark`.
#[derive(Default)]
pub struct Watermark(parking_lot::Mutex<Marks>);

#[derive(Default, Clone, Copy)]
struct Marks {
    now: i64,
    second: i64,
    highest: i64,
    highest_before: i64,
}

// === impl Watermark ===

impl Watermark {
    /// One more or one less, at a second.
    pub fn add(&self, more: i64, second: i64) {
        let mut marks = self.0.lock();
        marks.advance(second);
        marks.now += more;
        marks.highest = marks.highest.max(marks.now);
    }

    /// The highest of the last whole second and of this one so far.
    pub fn highest(&self, second: i64) -> i64 {
        let mut marks = self.0.lock();
        marks.advance(second);
        marks.highest.max(marks.highest_before)
    }
}

impl Marks {
    fn advance(&mut self, second: i64) {
        if second == self.second {
            return;
        }
        self.highest_before = if second == self.second + 1 { self.highest } else { self.now };
        self.highest = self.now;
        self.second = second;
    }
}
