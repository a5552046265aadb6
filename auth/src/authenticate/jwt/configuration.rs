//! An AuthenticationConfiguration (`apiserver.config.k8s.io`): which issuers' tokens are taken and what comes of them, and where
//! nobody in particular may ask.
//!
//! What is wrong is said all at once, in upstream's words.
//! Upstream: apiserver pkg/apis/apiserver/validation/validation.go ValidateAuthenticationConfiguration.

use std::sync::Arc;

use api::Value;
use api::field::{Errors, Path};
use cel::identity::{self, About, Refused};

use super::claims::{Expression, Mapping, Source};
use super::{Jwt, Settings};
use crate::authenticate::Anonymous;
use crate::elsewhere::Fetch;

/// What a configuration comes to.
pub struct Configuration {
    pub issuers: Vec<Issuer>,
    /// Only when the configuration says something about it.
    pub anonymous: Option<AnonymousWhere>,
}

/// An issuer without the means to ask it.
pub struct Issuer {
    pub url: String,
    pub discovery_url: String,
    /// As PEM; empty for those that this machine believes.
    pub authority: String,
    /// Which way out there is to it; empty for none in particular.
    pub egress: String,
    pub audiences: Vec<String>,
    pub mapping: Mapping,
}

/// Whether requests that show nothing are anybody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnonymousWhere {
    Nowhere,
    /// On these paths; on all, when there are none.
    On(Vec<String>),
}

const ISSUERS_MAX: usize = 64;
const EMAIL_WORDS: &str = "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression";

/// What is found out about an issuer while it is judged.
#[derive(Default)]
struct Judge {
    errors: Errors,
    mapping: Mapping,
    takes_email: bool,
    looks_at_email: bool,
}

// === impl Configuration ===

impl Configuration {
    /// Reads one that has the form of its version.
    pub fn read(tree: &Value) -> Result<Configuration, Errors> {
        let (mut errors, mut issuers) = (Errors::new(), Vec::new());
        let root = Path::new("jwt");
        let all = tree.list("jwt");
        if all.len() > ISSUERS_MAX {
            errors.too_many(&root, all.len(), ISSUERS_MAX);
            return Err(errors);
        }
        for (i, jwt) in all.iter().enumerate() {
            let at = root.index(i);
            let mut judge = Judge::default();
            issuers.push(judge.issuer(jwt, &at));
            errors.extend(judge.errors);
            for member in ["url", "discoveryURL"] {
                let of = |jwt: &Value| jwt.at("issuer").str(member).to_owned();
                let own = of(jwt);
                if (member == "url" || !own.is_empty()) && all[..i].iter().any(|other| of(other) == own) {
                    errors.duplicate(&at.children(&["issuer", member]), own);
                }
            }
        }
        let anonymous = anonymous(tree.at("anonymous"), &mut errors);
        if errors.is_empty() { Ok(Configuration { issuers, anonymous }) } else { Err(errors) }
    }
}

impl AnonymousWhere {
    pub fn authenticator(&self) -> Option<Anonymous> {
        match self {
            AnonymousWhere::Nowhere => None,
            AnonymousWhere::On(paths) => Some(Anonymous { paths: paths.clone() }),
        }
    }
}

// === impl Issuer ===

impl Issuer {
    /// Nobody may be an issuer whose tokens this server makes itself, and a way out has to be one of `ways`: those that
    /// the configuration of ways names, where there is one. Upstream: oidc.go New, egressLookupForType.
    pub fn check(&self, own_issuers: &[String], ways: Option<&[&str]>) -> Result<(), String> {
        if own_issuers.contains(&self.url) {
            let mut sorted = own_issuers.to_vec();
            sorted.sort();
            let (url, own) = (api::field::quote(&self.url), sorted.join(" "));
            return Err(format!(
                "issuer.url: Invalid value: {url}: URL must not overlap with disallowed issuers: [{own}]"
            ));
        }
        let egress = api::field::quote(&self.egress);
        match ways {
            _ if self.egress.is_empty() => Ok(()),
            None => Err(format!("oidc: egress lookup required with egress selector type {egress}")),
            Some(ways) if ways.contains(&self.egress.as_str()) => Ok(()),
            Some(_) => Err(format!("oidc: egress lookup for {egress} is not configured")),
        }
    }

    /// With signatures by these algorithms, and its documents read by `fetch`.
    pub fn open(self, algorithms: Vec<String>, fetch: Arc<dyn Fetch>) -> Jwt {
        let Issuer { url, discovery_url, audiences, mapping, authority: _, egress: _ } = self;
        Jwt::new(Settings { issuer: url, discovery_url, audiences, algorithms, mapping, fetch })
    }
}

fn anonymous(tree: &Value, errors: &mut Errors) -> Option<AnonymousWhere> {
    if tree.is_null() {
        return None;
    }
    let conditions = tree.list("conditions");
    let paths: Vec<String> = conditions.iter().map(|condition| condition.str("path").to_owned()).collect();
    if tree.bool("enabled") {
        return Some(AnonymousWhere::On(paths));
    }
    if !conditions.is_empty() {
        let shown = conditions.iter().map(|c| api::value!({"Path": (c.str("path"))})).collect::<Value>();
        let words = "enabled should be set to true when conditions are defined";
        errors.invalid(&Path::new("anonymous").child("conditions"), shown, words);
    }
    Some(AnonymousWhere::Nowhere)
}

// === impl Judge ===

impl Judge {
    fn issuer(&mut self, jwt: &Value, at: &Path) -> Issuer {
        let issuer = jwt.at("issuer");
        self.addresses(issuer, &at.child("issuer"));
        self.claim_rules(jwt.list("claimValidationRules"), &at.child("claimValidationRules"));
        self.mappings(jwt.at("claimMappings"), &at.child("claimMappings"));
        self.user_rules(jwt.list("userValidationRules"), &at.child("userValidationRules"));
        Issuer {
            url: issuer.str("url").to_owned(),
            discovery_url: issuer.str("discoveryURL").to_owned(),
            authority: issuer.str("certificateAuthority").to_owned(),
            egress: issuer.str("egressSelectorType").to_owned(),
            audiences: issuer.list("audiences").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            mapping: std::mem::take(&mut self.mapping),
        }
    }

    fn addresses(&mut self, issuer: &Value, at: &Path) {
        let (url, discovery) = (issuer.str("url"), issuer.str("discoveryURL"));
        if url.is_empty() {
            self.errors.required(&at.child("url"), "");
        } else {
            self.address(url, &at.child("url"));
        }
        if !discovery.is_empty() {
            let at = at.child("discoveryURL");
            if !url.is_empty() && url.trim_end_matches('/') == discovery.trim_end_matches('/') {
                self.errors.invalid(&at, discovery, "discoveryURL must be different from URL");
            }
            self.address(discovery, &at);
        }
        self.audiences(issuer, at);
        let authority = issuer.str("certificateAuthority");
        if !authority.is_empty()
            && let Err(why) = certificates(authority)
        {
            self.errors.invalid(&at.child("certificateAuthority"), "<omitted>", why);
        }
        let egress = issuer.str("egressSelectorType");
        if !["", "controlplane", "cluster"].contains(&egress) {
            let words = "egress selector must be either controlplane or cluster";
            self.errors.invalid(&at.child("egressSelectorType"), egress, words);
        }
    }

    fn address(&mut self, text: &str, at: &Path) {
        let url = match identity::issuer_url(text) {
            Ok(url) => url,
            Err(why) => return self.errors.invalid(at, text, why),
        };
        for (is_wrong, words) in [
            (url.scheme != "https", "URL scheme must be https"),
            (url.has_user, "URL must not contain a username or password"),
            (url.has_query, "URL must not contain a query"),
            (url.has_fragment, "URL must not contain a fragment"),
        ] {
            if is_wrong {
                self.errors.invalid(at, text, words);
            }
        }
    }

    fn audiences(&mut self, issuer: &Value, at: &Path) {
        let (audiences, policy) = (issuer.list("audiences"), issuer.str("audienceMatchPolicy"));
        let (at, policy_at) = (at.child("audiences"), at.child("audienceMatchPolicy"));
        if audiences.is_empty() {
            return self.errors.required(&at, format!("at least one {at} is required"));
        }
        for (i, audience) in audiences.iter().enumerate() {
            let text = audience.as_str().unwrap_or_default();
            if text.is_empty() {
                self.errors.required(&at.index(i), "");
            }
            if audiences[..i].contains(audience) {
                self.errors.duplicate(&at.index(i), text);
            }
        }
        if audiences.len() > 1 && policy != "MatchAny" {
            let words = "audienceMatchPolicy must be MatchAny for multiple audiences";
            self.errors.invalid(&policy_at, policy, words);
        }
        if audiences.len() == 1 && !["", "MatchAny"].contains(&policy) {
            let words = "audienceMatchPolicy must be empty or MatchAny for single audience";
            self.errors.invalid(&policy_at, policy, words);
        }
    }

    fn claim_rules(&mut self, rules: &[Value], at: &Path) {
        for (i, rule) in rules.iter().enumerate() {
            let at = at.index(i);
            let (claim, text) = (rule.str("claim"), rule.str("expression"));
            let seen = |member: &str, value: &str| {
                let without = if member == "claim" { "expression" } else { "claim" };
                rules[..i].iter().any(|other| other.str(without).is_empty() && other.str(member) == value)
            };
            match (claim, text) {
                ("", "") => self.errors.required(&at, "claim or expression is required"),
                (claim, "") => {
                    let message = rule.str("message");
                    if !message.is_empty() {
                        self.errors.invalid(&at.child("message"), message, "may not be specified when claim is set");
                    }
                    if seen("claim", claim) {
                        self.errors.duplicate(&at.child("claim"), claim);
                    }
                    self.mapping.required.push((claim.to_owned(), rule.str("requiredValue").to_owned()));
                }
                ("", text) => {
                    let value = rule.str("requiredValue");
                    if !value.is_empty() {
                        let words = "may not be specified when expression is set";
                        self.errors.invalid(&at.child("requiredValue"), value, words);
                    }
                    if seen("expression", text) {
                        self.errors.duplicate(&at.child("expression"), text);
                        continue;
                    }
                    if let Some(rule) = self.compile(text, rule.str("message"), About::Claims, &at.child("expression"))
                    {
                        self.looks_at_email |= rule.compiled.takes_claim("email_verified");
                        self.mapping.claim_rules.push(rule);
                    }
                }
                (claim, _) => self.errors.invalid(&at, claim, "claim and expression can't both be set"),
            }
        }
    }

    fn mappings(&mut self, mappings: &Value, at: &Path) {
        let username = mappings.at("username");
        self.mapping.username = self.prefixed(username, &at.child("username"), true);
        if let Source::Expression(expression) = &self.mapping.username {
            self.takes_email |= expression.compiled.takes_claim("email");
            self.looks_at_email |= expression.compiled.takes_claim("email_verified");
        }
        self.mapping.groups = self.prefixed(mappings.at("groups"), &at.child("groups"), false);
        self.mapping.uid = self.uid(mappings.at("uid"), &at.child("uid"));
        self.extra(mappings.list("extra"), &at.child("extra"));
        if self.takes_email && !self.looks_at_email {
            let at = at.children(&["username", "expression"]);
            self.errors.invalid(&at, username.str("expression"), EMAIL_WORDS);
        }
    }

    fn prefixed(&mut self, mapping: &Value, at: &Path, is_required: bool) -> Source {
        let (claim, text, prefix) = (mapping.str("claim"), mapping.str("expression"), mapping.opt_str("prefix"));
        match (claim, text) {
            ("", "") => {
                if is_required {
                    self.errors.required(at, "claim or expression is required");
                }
                Source::Nowhere
            }
            ("", text) => {
                if let Some(prefix) = prefix {
                    let words = "may not be specified when expression is set";
                    self.errors.invalid(&at.child("prefix"), prefix, words);
                }
                self.source(text, &at.child("expression"))
            }
            (claim, "") => {
                if prefix.is_none() {
                    let words =
                        "prefix is required when claim is set. It can be set to an empty string to disable prefixing";
                    self.errors.required(&at.child("prefix"), words);
                }
                Source::Claim { name: claim.to_owned(), prefix: prefix.unwrap_or_default().to_owned() }
            }
            _ => {
                self.errors.invalid(at, "", "claim and expression can't both be set");
                Source::Nowhere
            }
        }
    }

    fn uid(&mut self, mapping: &Value, at: &Path) -> Source {
        match (mapping.str("claim"), mapping.str("expression")) {
            ("", "") => Source::Nowhere,
            (claim, "") => Source::Claim { name: claim.to_owned(), prefix: String::new() },
            ("", text) => self.source(text, &at.child("expression")),
            _ => {
                self.errors.invalid(at, "", "claim and expression can't both be set");
                Source::Nowhere
            }
        }
    }

    fn source(&mut self, text: &str, at: &Path) -> Source {
        let compiled = self.compile(text, "", About::Mapping, at);
        compiled.map_or(Source::Nowhere, |expression| Source::Expression(Box::new(expression)))
    }

    fn extra(&mut self, extra: &[Value], at: &Path) {
        for (i, mapping) in extra.iter().enumerate() {
            let (at, key) = (at.index(i), mapping.str("key"));
            let key_at = at.child("key");
            self.errors.extend(api::names::domain_prefixed_path(&key_at, key));
            if key != key.to_lowercase() {
                self.errors.invalid(&key_at, key, "must be lowercase");
            }
            if is_ours(key) {
                let words = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use";
                self.errors.invalid(&key_at, key, words);
            }
            if extra[..i].iter().any(|other| other.str("key") == key) {
                self.errors.duplicate(&key_at, key);
                continue;
            }
            let (text, at) = (mapping.str("valueExpression"), at.child("valueExpression"));
            if text.is_empty() {
                self.errors.required(&at, "");
                continue;
            }
            if let Some(expression) = self.compile(text, "", About::Mapping, &at) {
                self.looks_at_email |= expression.compiled.takes_claim("email_verified");
                self.mapping.extra.push((key.to_owned(), expression));
            }
        }
    }

    fn user_rules(&mut self, rules: &[Value], at: &Path) {
        for (i, rule) in rules.iter().enumerate() {
            let (text, at) = (rule.str("expression"), at.index(i).child("expression"));
            if text.is_empty() {
                self.errors.required(&at, "");
            } else if rules[..i].iter().any(|other| other.str("expression") == text) {
                self.errors.duplicate(&at, text);
            } else if let Some(rule) = self.compile(text, rule.str("message"), About::User, &at) {
                self.mapping.user_rules.push(rule);
            }
        }
    }

    fn compile(&mut self, text: &str, message: &str, about: About, at: &Path) -> Option<Expression> {
        match identity::compile(text, about) {
            Ok(compiled) => Some(Expression { text: text.to_owned(), message: message.to_owned(), compiled }),
            Err(why) => {
                refused(&mut self.errors, at, text, why);
                None
            }
        }
    }
}

/// Upstream: convertCELErrorToValidationError.
pub(crate) fn refused(errors: &mut Errors, at: &Path, text: &str, why: Refused) {
    match why.internal {
        true => errors.internal(at, why.detail),
        false => errors.invalid(at, text, why.detail),
    }
}

fn certificates(pem: &str) -> Result<(), String> {
    match certs::pem::certificates(pem) {
        Ok(found) if !found.is_empty() => certs::Bundle::from_pem(pem).map(drop).map_err(|error| error.to_string()),
        _ => Err("data does not contain any valid RSA or ECDSA certificates".to_owned()),
    }
}

/// Upstream: isKubernetesDomainPrefix.
fn is_ours(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    ["kubernetes.io", "k8s.io"]
        .iter()
        .any(|own| domain.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}
