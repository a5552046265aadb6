//! Objects that a test has put there.

use std::{collections::BTreeMap, sync::Arc};

use api::{Value, value};
use async_trait::async_trait;
use client::Error;
use parking_lot::Mutex;

use super::{Kind, Objects, SERVICE_ACCOUNT};

#[derive(Default)]
pub struct Stored {
    objects: Mutex<BTreeMap<(Kind, String, String), Arc<Value>>>,
    /// What was created and which tokens were asked for, in order.
    asked: Mutex<Vec<Value>>,
    /// What `status` a created object gets and how tokens expire.
    pub expiration: Mutex<String>,
    away: Mutex<bool>,
}

impl Stored {
    pub fn new() -> Arc<Stored> {
        Arc::new(Stored::default())
    }

    pub fn put(&self, kind: Kind, namespace: &str, name: &str, object: Value) {
        self.objects.lock().insert((kind, namespace.into(), name.into()), Arc::new(object));
    }

    pub fn remove(&self, kind: Kind, namespace: &str, name: &str) {
        self.objects.lock().remove(&(kind, namespace.into(), name.into()));
    }

    pub fn be_away(&self, away: bool) {
        *self.away.lock() = away;
    }

    pub fn asked(&self) -> Vec<Value> {
        self.asked.lock().clone()
    }

    fn reach(&self) -> Result<(), Error> {
        if *self.away.lock() { Err(Error::Unreachable("away".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl Objects for Stored {
    async fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Arc<Value>, Error> {
        self.reach()?;
        let found = self.objects.lock().get(&(kind, namespace.to_owned(), name.to_owned())).cloned();
        found.ok_or_else(|| kind.not_found(name))
    }

    async fn list(&self, kind: Kind, namespace: &str) -> Result<Vec<Arc<Value>>, Error> {
        self.reach()?;
        let objects = self.objects.lock();
        let of = objects.iter().filter(|((k, ns, _), _)| *k == kind && (namespace.is_empty() || ns == namespace));
        Ok(of.map(|(_, object)| object.clone()).collect())
    }

    async fn create(&self, kind: Kind, namespace: &str, object: &Value) -> Result<Value, Error> {
        self.reach()?;
        let mut created = object.clone();
        let mut asked = self.asked.lock();
        let name = match created.at("metadata").str("name") {
            "" => format!("{}{}", created.at("metadata").str("generateName"), asked.len()),
            name => name.to_owned(),
        };
        created.set_path(&["metadata", "name"], name.as_str());
        asked.push(created.clone());
        self.objects.lock().insert((kind, namespace.into(), name), Arc::new(created.clone()));
        Ok(created)
    }

    async fn token(&self, namespace: &str, service_account: &str, request: &Value) -> Result<Value, Error> {
        self.reach()?;
        self.get(SERVICE_ACCOUNT, namespace, service_account).await?;
        let mut asked = self.asked.lock();
        asked.push(request.clone());
        let mut answer = request.clone();
        let token = format!("token-{}", asked.len());
        answer.set("status", value!({"token": token, "expirationTimestamp": self.expiration.lock().as_str()}));
        Ok(answer)
    }
}
