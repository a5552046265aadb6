//! Files by which a program is set up.

use std::collections::BTreeSet;

use api::{Attributes, Gvk, User, Value, meta};
use auth::{
    authenticate::jwt,
    authorize::{Abac, Mode as _, Verdict, configuration::check_modes},
};
use seal::configuration::Said;

/// A file of a kind, without anything that nobody knows.
fn read(text: &[u8], kind: &Gvk) -> Option<Value> {
    let said = codec::yaml::any(text).ok()?;
    let id = schema::builtin().kind(kind).expect("the facts know it");
    let read = codec::yaml::object(text, id, schema::builtin()).ok()?;
    (meta::gvk(&said) == *kind && read.strict.is_empty()).then_some(read.value)
}

const SERVER: &str = "apiserver.config.k8s.io";

/// Which requests are told of. Whoever is named nowhere is told of by a level all the same, and what is refused says where.
pub fn audits(data: &[u8]) {
    let policy = match audit::Policy::read(data, "policy.yaml") {
        Ok(policy) => policy,
        Err(why) => return assert!(why.ends_with(": from file policy.yaml") && why.len() > 24),
    };
    let pods = Attributes { verb: "get".into(), is_resource: true, resource: "pods".into(), ..Attributes::default() };
    let page = Attributes { verb: "get".into(), path: "/healthz".into(), ..Attributes::default() };
    for attributes in [pods, page] {
        for user in [None, Some(&User::new("u", &["g"]))] {
            let rule = policy.rule(user, &attributes);
            let stages: BTreeSet<_> = rule.omit_stages.iter().map(|stage| stage.word()).collect();
            assert_eq!(stages.len(), rule.omit_stages.len(), "a stage is left out once");
        }
    }
}

/// Whose tokens are taken. What is accepted names issuers that can be asked, each once.
pub fn authentication(data: &[u8]) {
    let Some(tree) = read(data, &Gvk::new(SERVER, "v1", "AuthenticationConfiguration")) else { return };
    let configuration = match jwt::Configuration::read(&tree) {
        Ok(configuration) => configuration,
        Err(errors) => return assert!(!errors.message().is_empty()),
    };
    let urls: BTreeSet<_> = configuration.issuers.iter().map(|issuer| issuer.url.as_str()).collect();
    assert_eq!(urls.len(), configuration.issuers.len(), "somebody is named twice");
    for issuer in &configuration.issuers {
        assert!(!issuer.audiences.is_empty());
        // A scheme is a scheme in letters of any case. Upstream: `validateURL`, which asks Go's parser.
        assert!(issuer.url.to_ascii_lowercase().starts_with("https:"), "{}", issuer.url);
        assert!(issuer.check(&[], None).is_ok() || !issuer.egress.is_empty());
        assert!(issuer.check(std::slice::from_ref(&issuer.url), None).is_err(), "it is this server");
        let claims = serde_json::from_str(r#"{"sub":"u","groups":["g"],"email":"a@b","email_verified":true}"#);
        if let Err(why) = issuer.mapping.user(&claims.expect("it is an object")) {
            assert!(!why.is_empty());
        }
    }
}

/// Who decides. What is accepted has a mode, each once but for webhooks, and webhooks that do not keep anybody waiting.
/// Or lines of policies, by which a stranger may nothing that nobody has named.
pub fn authorization(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        policies(text);
    }
    let Some(tree) = read(data, &Gvk::new(SERVER, "v1", "AuthorizationConfiguration")) else { return };
    let modes = match auth::authorize::configuration::read(&tree, &|path| Ok(path.starts_with('/'))) {
        Ok(modes) => modes,
        Err(errors) => return assert!(!errors.message().is_empty()),
    };
    let plain: Vec<&str> = modes.iter().filter(|one| one.mode != "Webhook").map(|one| one.mode.as_str()).collect();
    assert!(!modes.is_empty() && plain.iter().collect::<BTreeSet<_>>().len() == plain.len());
    for mode in &modes {
        assert_eq!(mode.mode == "Webhook", mode.webhook.is_some());
        let Some(webhook) = &mode.webhook else { continue };
        assert!((1..=30_000_000_000).contains(&webhook.timeout_nanos));
        assert!(webhook.settings.allowed_nanos >= 0 && webhook.settings.refused_nanos >= 0);
        assert!(webhook.kubeconfig.is_empty() || webhook.kubeconfig.starts_with('/'));
    }
    assert!(check_modes(&modes, &["Nothing".to_owned()]).is_err_and(|why| !why.is_empty()));
}

fn policies(text: &str) {
    let policies = match Abac::read("policies", text, server::outgoing::any) {
        Ok(policies) => policies,
        Err(error) => return assert!(error.to_string().starts_with("error reading policy file policies, line ")),
    };
    let request = Attributes { verb: "get".into(), path: "/healthz".into(), ..Attributes::default() };
    let decision = policies.decide(&User::new("u", &["g"]), &request);
    assert!(decision.verdict != Verdict::Allow || !text.trim().is_empty(), "nobody has said so");
    let _ = policies.rules(&User::new("u", &["g"]), "ns");
}

/// What lies encrypted in the store. What is accepted has a provider for each rule, and keys that fit.
pub fn encryption(data: &[u8]) {
    let configuration = match seal::configuration::read(data, "encryption.yaml", true) {
        Ok(configuration) => configuration,
        Err(why) => return assert!(!why.is_empty()),
    };
    assert!(!configuration.rules.is_empty());
    assert_eq!(configuration.hash, seal::configuration::hash(data));
    for rule in &configuration.rules {
        assert!(!rule.resources.is_empty() && !rule.providers.is_empty());
        for provider in &rule.providers {
            match provider {
                Said::Identity => {}
                Said::AesCbc(keys) | Said::AesGcm(keys) | Said::Secretbox(keys) => {
                    assert!(keys.iter().all(|key| !key.name.is_empty()) && !keys.is_empty());
                }
                Said::Kms(plugin) => {
                    assert!(plugin.endpoint.starts_with("unix://") && !plugin.name.is_empty());
                    assert!(!plugin.timeout.is_zero(), "nobody can answer so fast");
                }
            }
        }
    }
}

/// The ways to networks. What is accepted selects each network once.
pub fn ways(data: &[u8]) {
    let Some(tree) = read(data, &Gvk::new("apiserver.k8s.io", "v1beta1", "EgressSelectorConfiguration")) else {
        return;
    };
    match egress::configuration::read(&tree, &|path| path.starts_with('/')) {
        Ok(selections) => {
            let words: Vec<&str> = selections.iter().flatten().map(|selection| selection.network.word()).collect();
            assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
        }
        Err(errors) => assert!(!errors.message().is_empty()),
    }
}

/// A node's file. What counts is a file too, and counts as it is.
pub fn kubelet(data: &[u8]) {
    let Ok(file) = codec::yaml::any(data) else { return };
    let configuration = match node::Configuration::read(&file) {
        Ok(configuration) => configuration,
        Err(why) => return assert!(!why.is_empty()),
    };
    let again = node::Configuration::read(&configuration.effective).expect("what counts can be read");
    assert_eq!(codec::json::to_string(&again.effective), codec::json::to_string(&configuration.effective));
}
