//! Objects of a server, with what was last read kept for the time when it does not answer.
//!
//! A pod whose container dies while the server is away is to come up again with the configuration it had. So a read that
//! gets no answer at all falls back on the last one; an answer, be it a refusal, always counts.

use std::{collections::BTreeMap, sync::Arc};

use api::Value;
use async_trait::async_trait;
use client::{Client, Error, ListOptions, Resource};
use parking_lot::Mutex;

use super::{Kind, Objects, SERVICE_ACCOUNT};

/// More answers than this are not kept: the ones that have not been read for longest go.
const KEPT_MAX: usize = 4096;

pub struct Served {
    client: Client,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    reads: u64,
    answers: BTreeMap<(Kind, String, String), (u64, Arc<Value>)>,
}

// === impl Served ===

impl Served {
    pub fn new(client: Client) -> Arc<Served> {
        Arc::new(Served { client, kept: Mutex::default() })
    }
}

#[async_trait]
impl Objects for Served {
    async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Arc<Value>, Error> {
        let resource = resource(kind);
        let key = (kind, namespace.to_owned(), name.to_owned());
        match self.client.get(resource.named(namespace, name)).await {
            Ok(object) => {
                let object = Arc::new(object);
                self.kept.lock().keep(key, object.clone());
                Ok(object)
            }
            Err(error) if error.is_not_found() => {
                self.kept.lock().answers.remove(&key);
                Err(kind.not_found(name))
            }
            Err(error) if error.status().is_some() => Err(error),
            Err(error) => self.kept.lock().recall(&key).ok_or(error),
        }
    }

    async fn list(&self, kind: Kind, namespace: &str) -> Result<Vec<Arc<Value>>, Error> {
        let resource = resource(kind);
        let list = self.client.list(resource.within(namespace), &ListOptions::default()).await?;
        Ok(list.items.into_iter().map(Arc::new).collect())
    }

    async fn create(&self, kind: Kind, namespace: &str, object: &Value) -> Result<Value, Error> {
        self.client.create(resource(kind).within(namespace), object).await
    }

    async fn token(&self, namespace: &str, service_account: &str, request: &Value) -> Result<Value, Error> {
        let accounts = resource(SERVICE_ACCOUNT);
        self.client.create(accounts.named(namespace, service_account).below("token"), request).await
    }
}

fn resource(kind: Kind) -> Resource {
    Resource::parse(kind.resource).expect("the rows are written so")
}

// === impl Kept ===

impl Kept {
    fn keep(&mut self, key: (Kind, String, String), object: Arc<Value>) {
        self.reads += 1;
        self.answers.insert(key, (self.reads, object));
        if self.answers.len() > KEPT_MAX {
            let oldest = self.answers.iter().min_by_key(|(_, (read, _))| *read).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.answers.remove(&key));
        }
    }

    fn recall(&mut self, key: &(Kind, String, String)) -> Option<Arc<Value>> {
        self.reads += 1;
        let reads = self.reads;
        self.answers.get_mut(key).map(|(read, object)| {
            *read = reads;
            object.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::SECRET, *};
    use api::value;

    #[test]
    fn what_was_read_longest_ago_is_forgotten_first() {
        let mut kept = Kept::default();
        let key = |i: usize| (SECRET, "ns".to_owned(), format!("s{i}"));
        for i in 0..KEPT_MAX {
            kept.keep(key(i), Arc::new(value!({"i": i})));
        }
        assert!(kept.recall(&key(0)).is_some());
        kept.keep(key(KEPT_MAX), Arc::new(Value::object()));
        assert_eq!(kept.answers.len(), KEPT_MAX);
        assert!(kept.recall(&key(0)).is_some(), "it was read again");
        assert!(kept.recall(&key(1)).is_none());
    }
}
