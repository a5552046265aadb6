//! `skiff token`: the tokens with which machines join, and all that has to be there for one to count.
//!
//! A token is a secret of kube-system. Who has it may ask for a node's certificate, and can tell by the cluster's card
//! ([`card`]) that this is the cluster. Names of flags, secrets, groups and roles are kubeadm's, so that either program goes
//! on with what the other has made. Upstream: cmd/kubeadm/app/cmd/token.go, phases/bootstraptoken.

mod card;
pub mod rights;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use api::{Value, time::Clock as _, value};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use client::{Client, DeleteOptions, ListOptions, Resource};
use node::certificates::discovery::{self, Token as Drawn};

use crate::{
    clock::{self, Random, Wall},
    controllers::outside::Kubeconfig,
    flags::go::Span,
};

/// What servers read as User-Agent.
const AGENT: &str = concat!("skiff-token/", env!("CARGO_PKG_VERSION"));
const NAMESPACE: &str = "kube-system";
const TYPE: &str = "bootstrap.kubernetes.io/token";
const PREFIX: &str = "bootstrap-token-";
const USAGE: &str = "usage-bootstrap-";
/// Upstream: NodeBootstrapTokenAuthGroup.
pub const GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";
const GROUPS_BEGIN: &str = "system:bootstrappers:";
const USAGES: [&str; 2] = ["signing", "authentication"];

#[derive(Args)]
pub struct Token {
    /// How to reach the API server, and as whom; that of --data-dir when left out.
    #[arg(long, global = true)]
    kubeconfig: Option<PathBuf>,
    /// The data directory of the cluster.
    #[arg(long, global = true, default_value = ".skiff")]
    data_dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a token, and print how to join with it.
    Create(Create),
    /// List the tokens that there are.
    List,
    /// Delete tokens.
    Delete(Delete),
}

#[derive(Args)]
struct Create {
    /// The token, `id.secret`; drawn when left out.
    token: Option<String>,
    /// How long it is good; 0: for ever.
    #[arg(long, default_value = "24h0m0s", value_parser = Span::parse)]
    ttl: Span,
    /// What it is good for, by comma.
    #[arg(long, value_delimiter = ',', default_value = "signing,authentication")]
    usages: Vec<String>,
    /// The groups of who shows it, by comma.
    #[arg(long, value_delimiter = ',', default_value = GROUP)]
    groups: Vec<String>,
    /// What people are told that it is for.
    #[arg(long, default_value = "")]
    description: String,
    /// Where nodes reach the API server, as https://host:port. Said here it is written into the cluster's card; else what
    /// stands there counts, or what this machine is reached at.
    #[arg(long)]
    server: Option<String>,
    /// Print the token alone.
    #[arg(long)]
    token_only: bool,
}

#[derive(Args)]
struct Delete {
    /// Tokens, or their ids.
    #[arg(required = true)]
    tokens: Vec<String>,
}

/// Does what was asked for.
pub fn run(flags: &Token) -> Result<()> {
    let path = flags.kubeconfig.clone().unwrap_or_else(|| flags.data_dir.join("admin.kubeconfig"));
    let kubeconfig = Kubeconfig::read(&path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::new(kubeconfig.transport()?, AGENT);
        match &flags.command {
            Command::Create(flags) => create(&client, &kubeconfig, flags).await,
            Command::List => list(&client).await,
            Command::Delete(flags) => delete(&client, &flags.tokens).await,
        }
    })
}

async fn create(client: &Client, kubeconfig: &Kubeconfig, flags: &Create) -> Result<()> {
    let token = match &flags.token {
        Some(text) => Drawn::parse(text).map_err(anyhow::Error::msg)?,
        None => Random.token(),
    };
    if let Some(server) = &flags.server {
        card::check(server)?;
    }
    let secret = secret(&token, flags, Wall.now())?;
    rights::ensure(client, &rights::OF_BOOTSTRAPPERS.map(rights::Right::object)).await?;
    let secrets = Resource::new("", "v1", "secrets");
    match client.create(secrets.within(NAMESPACE), &secret).await {
        Err(error) if error.is_already_exists() => bail!("a token with id {:?} already exists", token.id),
        other => other.with_context(|| format!("failed to create bootstrap token with name {PREFIX}{}", token.id))?,
    };
    // Only a token that is new changes what the cluster says of itself.
    let card = card::ensure(client, kubeconfig, flags.server.as_deref()).await?;
    match flags.token_only {
        true => clock::say(&token.to_string()),
        false => clock::say(&card.join_command(&token)?),
    }
    Ok(())
}

/// The secret that is the token. Upstream: encodeTokenSecretData, and the validation of a BootstrapToken.
fn secret(token: &Drawn, flags: &Create, now: jiff::Timestamp) -> Result<Value> {
    let mut data = value!({"token-id": (encode(&token.id)), "token-secret": (encode(&token.secret))});
    if !flags.description.is_empty() {
        data.set("description", encode(&flags.description));
    }
    if flags.ttl.0 < 0 {
        bail!("--ttl: a token cannot have ended before it is made");
    }
    if flags.ttl.0 > 0 {
        let end = now.checked_add(jiff::SignedDuration::from_nanos(flags.ttl.0)).context("--ttl: it is too long")?;
        data.set("expiration", encode(&api::time::seconds(end)));
    }
    for usage in &flags.usages {
        if !USAGES.contains(&usage.as_str()) {
            bail!(
                "--usages: invalid bootstrap token usage string: {usage}, valid usage options: {}",
                USAGES.join(", ")
            );
        }
        data.set(&format!("{USAGE}{usage}"), encode("true"));
    }
    if let Some(group) = flags.groups.iter().find(|group| !is_group(group)) {
        bail!("--groups: bootstrap group {group:?} is invalid (must match {GROUPS_BEGIN}[a-z0-9:-]{{0,255}}[a-z0-9])");
    }
    data.set("auth-extra-groups", encode(&flags.groups.join(",")));
    Ok(value!({
        "apiVersion": "v1", "kind": "Secret", "type": TYPE,
        "metadata": {"name": (format!("{PREFIX}{}", token.id)), "namespace": NAMESPACE}, "data": data
    }))
}

/// Upstream: BootstrapGroupRegexp.
fn is_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix(GROUPS_BEGIN) else { return false };
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b':' || byte == b'-';
    let ends = rest.bytes().last().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    rest.len() <= 256 && ends && rest.bytes().all(fits)
}

async fn list(client: &Client) -> Result<()> {
    let secrets = Resource::new("", "v1", "secrets");
    let options = ListOptions { fields: format!("type={TYPE}"), ..ListOptions::default() };
    let list = client.list(secrets.within(NAMESPACE), &options).await.context("failed to list bootstrap tokens")?;
    clock::say(table::of(&list.items, Wall.now()).trim_end());
    Ok(())
}

async fn delete(client: &Client, tokens: &[String]) -> Result<()> {
    let secrets = Resource::new("", "v1", "secrets");
    for text in tokens {
        let id = match discovery::is_id(text) {
            true => text.clone(),
            false => match Drawn::parse(text) {
                Ok(token) => token.id,
                Err(why) => bail!("{why}, and is no id of one"),
            },
        };
        let (name, options) = (format!("{PREFIX}{id}"), DeleteOptions::default());
        let deleted = client.delete(secrets.named(NAMESPACE, &name), &options).await;
        deleted.with_context(|| format!("failed to delete bootstrap token {id:?}"))?;
        clock::say(&format!("bootstrap token {id:?} deleted"));
    }
    Ok(())
}

fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

#[cfg(test)]
mod tests;
