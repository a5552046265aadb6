//! Conversions that plain functions need on their way: who owns what is counted in every version that owns something.
//!
//! Such a function does not wait. It says what it misses, is told, and runs again, until it misses nothing.

use api::Value;
use parking_lot::Mutex;

use super::Asked;
use crate::definition::Definition;

/// What was asked for and told during one request.
#[derive(Default)]
pub struct Answers(Mutex<Told>);

#[derive(Default)]
struct Told {
    known: Vec<(Wanted, Result<Value, String>)>,
    missing: Option<Wanted>,
}

/// An object, and the place of the version in which it is wanted.
#[derive(Clone, PartialEq)]
struct Wanted {
    object: Value,
    place: usize,
}

impl Answers {
    /// The object as a version has it; an error when it cannot be had, or not yet.
    pub fn find(&self, object: &Value, place: usize) -> Result<Value, String> {
        let mut told = self.0.lock();
        if let Some((_, made)) = told.known.iter().find(|(wanted, _)| wanted.place == place && wanted.object == *object)
        {
            return made.clone();
        }
        told.missing.get_or_insert_with(|| Wanted { object: object.clone(), place });
        Err("it has yet to be converted".into())
    }

    /// Asks for what was missing; whether there was such, and what missed it has to run again.
    pub async fn fetch(&self, asked: &Asked, definition: &Definition) -> bool {
        let Some(wanted) = self.0.lock().missing.take() else { return false };
        // Upstream counts by what a webhook said, before what no schema knows is taken out of it.
        let made = asked.bare(definition, vec![wanted.object.clone()], wanted.place).await;
        let made = made.map(|mut made| made.pop().unwrap_or_default());
        self.0.lock().known.push((wanted, made.map_err(|status| status.message().to_owned())));
        true
    }
}
