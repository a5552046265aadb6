//! Answers of others, for as long as they may be believed. Ours need none: they are made as fast as they are found.
//!
//! Upstream: coredns plugin/cache as clusters are set up with it, `cache 30`.

use std::collections::{HashMap, VecDeque};

use hickory_server::proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, RecordType},
};
use jiff::{SignedDuration, Timestamp};

/// More answers are not kept; the oldest go first.
const LEN_MAX: usize = 10_000;
/// No answer is kept longer, whatever it says itself.
const SECONDS_MAX: u32 = 30;
/// A denial that does not say for how long it holds.
const DENIAL_SECONDS: u32 = 5;

/// What was asked, in lower case, and whether with signatures.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    pub name: Name,
    pub kind: RecordType,
    pub signed: bool,
}

/// The answers.
#[derive(Default)]
pub struct Cache {
    entries: HashMap<Asked, Entry>,
    /// In the order in which they came, with the point in time that tells an entry from a later one.
    order: VecDeque<(Asked, Timestamp)>,
}

struct Entry {
    message: Message,
    came: Timestamp,
    until: Timestamp,
}

// === impl Asked ===

impl Asked {
    pub fn new(name: &Name, kind: RecordType, signed: bool) -> Asked {
        Asked { name: name.to_lowercase(), kind, signed }
    }
}

// === impl Cache ===

impl Cache {
    /// An answer with what is left of its times.
    pub fn get(&self, asked: &Asked, now: Timestamp) -> Option<Message> {
        let entry = self.entries.get(asked).filter(|entry| now < entry.until)?;
        let age = u32::try_from(now.duration_since(entry.came).as_secs()).unwrap_or(0);
        let mut message = entry.message.clone();
        let Message { answers, authorities, additionals, .. } = &mut message;
        for record in answers.iter_mut().chain(authorities).chain(additionals) {
            record.ttl = record.ttl.min(SECONDS_MAX).saturating_sub(age);
        }
        Some(message)
    }

    /// Keeps an answer, if it may be kept.
    pub fn put(&mut self, asked: Asked, message: Message, now: Timestamp) {
        let Some(seconds) = seconds(&message).filter(|seconds| *seconds > 0) else { return };
        let until = now + SignedDuration::from_secs(i64::from(seconds));
        while self.order.front().is_some_and(|(_, came)| self.order.len() >= LEN_MAX || is_over(*came, now)) {
            let Some((oldest, came)) = self.order.pop_front() else { break };
            if self.entries.get(&oldest).is_some_and(|entry| entry.came == came) {
                self.entries.remove(&oldest);
            }
        }
        self.order.push_back((asked.clone(), now));
        self.entries.insert(asked, Entry { message, came: now, until });
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn is_over(came: Timestamp, now: Timestamp) -> bool {
    now.duration_since(came).as_secs() >= i64::from(SECONDS_MAX)
}

/// For how long an answer may be believed; nothing when not at all.
fn seconds(message: &Message) -> Option<u32> {
    let meta = &message.metadata;
    if meta.truncation || !matches!(meta.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return None;
    }
    let denies = message.answers.is_empty();
    let least = if denies {
        let soa = message.authorities.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
            _ => None,
        });
        soa.unwrap_or(DENIAL_SECONDS)
    } else {
        message.answers.iter().map(|record| record.ttl).min()?
    };
    Some(least.min(SECONDS_MAX))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_server::proto::rr::{Record, rdata::A};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn asked(name: &str) -> Asked {
        Asked::new(&Name::from_ascii(name).expect("a name"), RecordType::A, false)
    }

    fn answer(ttl: u32) -> Message {
        let mut message = Message::query();
        let name = Name::from_ascii("example.com.").expect("a name");
        message.add_answer(Record::from_rdata(name, ttl, RData::A(A(Ipv4Addr::LOCALHOST))));
        message
    }

    #[test]
    fn an_answer_is_kept_as_long_as_it_says_and_at_most_half_a_minute() {
        let mut cache = Cache::default();
        cache.put(asked("short.example."), answer(10), at(0));
        cache.put(asked("Long.example."), answer(3600), at(0));
        cache.put(asked("never.example."), answer(0), at(0));
        let left = |name: &str, second: i64| Some(cache.get(&asked(name), at(second))?.answers[0].ttl);
        assert_eq!([left("short.example.", 9), left("short.example.", 10)], [Some(1), None]);
        assert_eq!([left("long.example.", 12), left("long.example.", 30)], [Some(18), None]);
        assert_eq!(left("never.example.", 0), None);
    }

    #[test]
    fn failures_and_halves_are_not_kept() {
        let mut cache = Cache::default();
        let mut failed = answer(10);
        failed.metadata.response_code = ResponseCode::ServFail;
        cache.put(asked("failed.example."), failed, at(0));
        let mut half = answer(10);
        half.metadata.truncation = true;
        cache.put(asked("half.example."), half, at(0));
        assert!(cache.is_empty());
        let mut denied = Message::query();
        denied.metadata.response_code = ResponseCode::NXDomain;
        cache.put(asked("denied.example."), denied, at(0));
        assert!(cache.get(&asked("denied.example."), at(4)).is_some());
        assert!(cache.get(&asked("denied.example."), at(5)).is_none());
    }

    #[test]
    fn the_oldest_go_first() {
        let mut cache = Cache::default();
        for number in 0..=LEN_MAX {
            cache.put(asked(&format!("n{number}.example.")), answer(30), at(0));
        }
        assert_eq!(cache.len(), LEN_MAX);
        assert!(cache.get(&asked("n0.example."), at(0)).is_none());
        cache.put(asked("later.example."), answer(30), at(40));
        assert_eq!(cache.len(), 1);
    }
}
