//! Flags about who asks and what he may: upstream's names and meanings.

use std::path::PathBuf;

use clap::Args;

use super::go::{Span, boolean};

#[derive(Args)]
#[group(skip)]
pub struct Access {
    /// An AuthenticationConfiguration: issuers of tokens, and where nobody in particular may ask. Read again when it changes.
    #[arg(long)]
    pub authentication_config: Option<PathBuf>,
    /// Whether requests that show nothing are system:anonymous. When left out: on /healthz, /livez, /readyz and /version alone, and
    /// for the cluster-info of those who join with tokens.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub anonymous_auth: Option<bool>,
    /// A kubeconfig that names a webhook which tells whose a token is.
    #[arg(long)]
    pub authentication_token_webhook_config_file: Option<PathBuf>,
    #[arg(long, default_value = "v1beta1")]
    pub authentication_token_webhook_version: String,
    /// How long its answers are kept.
    #[arg(long, default_value = "2m0s", value_parser = Span::parse)]
    pub authentication_token_webhook_cache_ttl: Span,
    #[arg(long)]
    pub oidc_issuer_url: Option<String>,
    #[arg(long)]
    pub oidc_client_id: Option<String>,
    /// The authorities of the issuer's certificate; those that this machine believes when left out.
    #[arg(long)]
    pub oidc_ca_file: Option<PathBuf>,
    /// `sub` when left out.
    #[arg(long)]
    pub oidc_username_claim: Option<String>,
    /// The issuer and `#` when left out, but before an email; `-` for none.
    #[arg(long)]
    pub oidc_username_prefix: Option<String>,
    #[arg(long)]
    pub oidc_groups_claim: Option<String>,
    #[arg(long)]
    pub oidc_groups_prefix: Option<String>,
    /// `RS256` when left out.
    #[arg(long, value_delimiter = ',')]
    pub oidc_signing_algs: Vec<String>,
    /// A claim that has to have a value, as key=value; may stand several times.
    #[arg(long)]
    pub oidc_required_claim: Vec<String>,
    /// An AuthorizationConfiguration, instead of modes. Read again when it changes.
    #[arg(long)]
    pub authorization_config: Option<PathBuf>,
    /// Policies of the mode ABAC, one a line.
    #[arg(long)]
    pub authorization_policy_file: Option<PathBuf>,
    /// A kubeconfig that names the webhook of the mode Webhook.
    #[arg(long)]
    pub authorization_webhook_config_file: Option<PathBuf>,
    /// `v1beta1` when left out.
    #[arg(long)]
    pub authorization_webhook_version: Option<String>,
    /// How long a yes is kept; 5m0s when left out.
    #[arg(long, value_parser = Span::parse)]
    pub authorization_webhook_cache_authorized_ttl: Option<Span>,
    /// How long anything else is kept; 30s when left out.
    #[arg(long, value_parser = Span::parse)]
    pub authorization_webhook_cache_unauthorized_ttl: Option<Span>,
}

impl Access {
    /// Whether anything is said about an issuer by flags.
    pub fn names_issuer(&self) -> bool {
        let texts = [
            &self.oidc_issuer_url,
            &self.oidc_client_id,
            &self.oidc_username_claim,
            &self.oidc_username_prefix,
            &self.oidc_groups_claim,
            &self.oidc_groups_prefix,
        ];
        texts.iter().any(|text| text.is_some())
            || self.oidc_ca_file.is_some()
            || !self.oidc_signing_algs.is_empty()
            || !self.oidc_required_claim.is_empty()
    }

    /// Whether anything is said about the webhook of the mode Webhook.
    pub fn names_authorizer(&self) -> bool {
        self.authorization_webhook_config_file.is_some()
            || self.authorization_webhook_version.is_some()
            || self.authorization_webhook_cache_authorized_ttl.is_some()
            || self.authorization_webhook_cache_unauthorized_ttl.is_some()
    }
}
