//! Who asks and what he may, beside a running kube-apiserver: both servers are started with the same files on the same etcd, and
//! ask the same server of the test; the same rows of requests are sent to both, and what they answer and ask is compared.
//!
//! A scenario is a file below `upstream_auth`: flags, files, answers of the server beside them, and requests. A row that is known
//! to come out otherwise says why in `known`, and fails when it comes out the same.

#[path = "upstream_auth/beside.rs"]
mod beside;
#[path = "upstream_auth/issuer.rs"]
mod issuer;
#[path = "upstream_auth/matrix.rs"]
mod matrix;
#[path = "upstream_auth/refused.rs"]
mod refused;
#[path = "upstream_auth/rows.rs"]
mod rows;
#[path = "upstream_auth/sides.rs"]
mod sides;
#[path = "upstream_auth/told.rs"]
mod told;

use anyhow::Result;

macro_rules! scenarios {
    ($($name:ident: $file:literal,)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() -> Result<()> {
            rows::run(include_str!(concat!("upstream_auth/", $file))).await
        })*
    };
}

scenarios! {
    tokens_certificates_and_proxies_are_told_alike: "tokens.yaml",
    service_accounts_and_bootstrap_tokens_are_told_alike: "service_accounts.yaml",
    an_issuer_by_flags_is_believed_alike: "oidc_flags.yaml",
    issuers_by_a_file_are_believed_alike: "issuers.yaml",
    a_webhook_for_tokens_is_asked_alike: "token_webhook.yaml",
    an_older_webhook_for_tokens_is_asked_alike: "token_webhook_beta.yaml",
    roles_allow_alike: "rbac.yaml",
    nodes_may_alike: "nodes.yaml",
    policies_of_a_file_allow_alike: "abac.yaml",
    a_webhook_decides_alike: "access_webhook.yaml",
    a_chain_of_webhooks_decides_alike: "chain.yaml",
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_decisions_are_the_same() -> Result<()> {
    matrix::run().await
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_files_are_refused_in_the_same_words() -> Result<()> {
    refused::run(include_str!("upstream_auth/refused.yaml")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_behind_them_are_told_the_same() -> Result<()> {
    told::run().await
}
