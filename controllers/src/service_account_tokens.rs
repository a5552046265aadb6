//! Secrets of the type for service accounts' tokens are filled: a token, the namespace, the authorities to trust.
//!
//! A key is of a secret and the account that it names, so that a secret that is gone can still be taken off its
//! account's list. Not a plan: before a secret is taken for an orphan, the server is asked for its account.
//! Upstream: pkg/controller/serviceaccount/tokens_controller.go.

use std::{sync::Arc, time::Duration};

use api::Value;
use async_trait::async_trait;
use client::{Change, Client, DeleteOptions, Resource, mirror::Key};

use crate::{
    driver::{Failed, Spec, Steps, Wake, Work, world::World},
    secrets::{self, ACCOUNT_NAME, ACCOUNT_UID, ACCOUNTS, SECRETS},
};

pub const SPEC: Spec = Spec {
    name: "serviceaccount-token-controller",
    alias: "serviceaccount-token",
    // Upstream: the root client, since without these tokens no other had rights once.
    acts_for: "",
    tells_as: "tokens-controller",
    wakes_on: &[Wake::By(SECRETS, of_secret), Wake::By(ACCOUNTS, of_account)],
    workers: 5,
    work: Work::Steps(|_| Arc::new(Tokens)),
};

struct Tokens;

/// Between the names of a secret and its account: neither can have one.
const BETWEEN: char = '/';

fn key(secret: &Value) -> Option<Key> {
    let meta = api::meta::of(secret);
    let account = meta.annotation(ACCOUNT_NAME).filter(|name| !name.is_empty())?;
    let is_token = secret.str("type") == secrets::TOKEN;
    is_token.then(|| Key::new(meta.namespace(), format!("{}{BETWEEN}{account}", meta.name())))
}

fn of_secret(_: &World<'_>, change: &Change) -> Vec<Key> {
    [&change.old, &change.new].into_iter().flatten().filter_map(|s| key(s)).collect()
}

fn of_account(world: &World<'_>, change: &Change) -> Vec<Key> {
    let meta = api::meta::of(change.object());
    let secrets = world.mirror(SECRETS).in_namespace(meta.namespace());
    secrets.iter().filter(|s| names(s, meta.name())).filter_map(|s| key(s)).collect()
}

fn names(secret: &Value, account: &str) -> bool {
    api::meta::of(secret).annotation(ACCOUNT_NAME) == Some(account)
}

/// Whether an account is the one that a secret means, by its uid where the secret says one.
fn is_meant(secret: &Value, account: &Value) -> bool {
    let uid = api::meta::of(secret).annotation(ACCOUNT_UID).unwrap_or_default();
    uid.is_empty() || uid == api::meta::of(account).uid()
}

/// A secret with all that it lacks; nothing when it lacks nothing. `token` makes a token of this account.
fn filled(
    secret: &Value,
    account: &Value,
    root_ca: &str,
    token: impl FnOnce() -> Result<String, String>,
) -> Result<Option<Value>, String> {
    let needs_ca = !root_ca.is_empty() && secrets::data(secret, "ca.crt") != root_ca;
    let lacks = |key: &str| secret.at("data").str(key).is_empty();
    if !needs_ca && !lacks("namespace") && !lacks("token") {
        return Ok(None);
    }
    let (meta, account) = (api::meta::of(secret), api::meta::of(account));
    let mut new = secret.clone();
    if needs_ca {
        secrets::set_data(&mut new, "ca.crt", root_ca);
    }
    if lacks("namespace") {
        secrets::set_data(&mut new, "namespace", meta.namespace());
    }
    if lacks("token") {
        secrets::set_data(&mut new, "token", &token()?);
    }
    new.set_path(&["metadata", "annotations", ACCOUNT_NAME], account.name());
    new.set_path(&["metadata", "annotations", ACCOUNT_UID], account.uid());
    Ok(Some(new))
}

async fn account(
    world: &World<'_>,
    client: &Client,
    name: &str,
    fits: impl Fn(&Value) -> bool,
) -> Result<Option<Arc<Value>>, Failed> {
    let namespace = &world.key.namespace;
    if let Some(known) = world.get(ACCOUNTS, namespace, name).filter(|a| fits(a)) {
        return Ok(Some(known));
    }
    let accounts = Resource::new("", "v1", "serviceaccounts");
    match client.get(accounts.named(namespace, name)).await {
        Ok(found) => Ok(Some(Arc::new(found)).filter(|a| fits(a))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A secret that is gone goes off its account's list.
async fn unlist(world: &World<'_>, client: &Client, secret: &str, account: &str) -> Result<(), Failed> {
    let namespace = &world.key.namespace;
    let Some(known) = world.get(ACCOUNTS, namespace, account).filter(|a| secrets::lists(a, secret)) else {
        return Ok(());
    };
    let left: Vec<Value> = known.list("secrets").iter().filter(|s| s.str("name") != secret).cloned().collect();
    let mut new = Value::clone(&known);
    new.set("secrets", Value::array(left));
    let accounts = Resource::new("", "v1", "serviceaccounts");
    match client.update(accounts.named(namespace, account), &new).await {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Somebody else has changed or removed it: they come up again.
fn settled(result: Result<Value, client::Error>) -> Result<Option<Duration>, Failed> {
    match result {
        Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error.into()),
        _ => Ok(None),
    }
}

#[async_trait]
impl Steps for Tokens {
    async fn step(&self, world: &World<'_>, client: &Client) -> Result<Option<Duration>, Failed> {
        let Some(make) = &world.settings.secret_tokens else { return Ok(None) };
        let Some((name, account_name)) = world.key.name.split_once(BETWEEN) else { return Ok(None) };
        let Some(secret) = world.get(SECRETS, &world.key.namespace, name) else {
            unlist(world, client, name, account_name).await?;
            return Ok(None);
        };
        if secret.str("type") != secrets::TOKEN || !names(&secret, account_name) {
            return Ok(None);
        }
        let meta = api::meta::of(&secret);
        let resource = Resource::new("", "v1", "secrets");
        let target = resource.named(meta.namespace(), name);
        let Some(account) = account(world, client, account_name, |a| is_meant(&secret, a)).await? else {
            let options = DeleteOptions { uid: meta.uid().into(), ..DeleteOptions::default() };
            return settled(client.delete(target, &options).await);
        };
        let token = || make.of(&account, name);
        match filled(&secret, &account, &world.settings.root_ca, token).map_err(Failed)? {
            Some(new) => settled(client.update(target, &new).await),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
