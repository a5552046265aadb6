//! Acting as somebody else: which user the headers ask for, and whether the one who asks may be it.
//!
//! Five modes are tried in order, but first the one by which this requester last came to be somebody: it tells which refusal
//! he reads. The first four are the constrained ones (the verb itself has to be allowed with `impersonate-on:<mode>:<verb>`,
//! and the user with `impersonate:<mode>`); the last is plain `impersonate`. What is refused is refused with the reason of the
//! one that was tried first. Upstream: apiserver pkg/endpoints/filters/impersonation constrained_impersonation.go and mode.go;
//! its caches of decisions are left out, since a decision here costs less than a lookup.

use std::collections::BTreeMap;

use api::field::quote;
use api::time::Clock;
use api::{Attributes, Status, User, user};
use http::{HeaderMap, HeaderName};

use crate::authenticate::request_header::{suffix, values};
use crate::authenticate::service_account::user_of;
use crate::authorize::{Authorizer, forbidden};
use crate::tally::seconds_since;
use crate::text::{is_dns_subdomain, percent_decoded, split_service_account};

/// Who a request is to be taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonated {
    pub user: User,
    /// The verb that allowed it, for the audit log; empty for plain impersonation.
    pub constraint: String,
}

/// One way to impersonate.
struct Mode {
    /// Empty for plain impersonation.
    name: &'static str,
    /// Whether this mode is for such a user, asked for by such a requester.
    fits: fn(wanted: &User, requester: &User) -> bool,
}

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA_PREFIX: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";
const ASSOCIATED_NODE: &str = "associated-node";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// From so many values on, one question about all of them is asked first.
const MANY: usize = 4;

const MODES: [Mode; 5] = [
    Mode {
        name: ASSOCIATED_NODE,
        fits: |wanted, requester| is_only_name(wanted) && is_own_node(requester, &wanted.name),
    },
    Mode { name: "arbitrary-node", fits: |wanted, _| is_only_name(wanted) && node_name(&wanted.name).is_some() },
    Mode {
        name: "serviceaccount",
        fits: |wanted, _| is_only_name(wanted) && split_service_account(&wanted.name).is_some(),
    },
    Mode {
        name: "user-info",
        fits: |wanted, _| node_name(&wanted.name).is_none() && split_service_account(&wanted.name).is_none(),
    },
    Mode { name: "", fits: |_, _| true },
];

/// The user that the headers ask for, as they say it; `None` when they ask for none.
pub fn wanted(headers: &HeaderMap) -> Result<Option<User>, Status> {
    let first = |name: &str| values(headers, name).into_iter().next().unwrap_or_default();
    let groups = values(headers, GROUP);
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in headers.keys() {
        if let Some(key) = suffix(name, EXTRA_PREFIX) {
            extra.entry(percent_decoded(key)).or_default().extend(values(headers, name.as_str()));
        }
    }
    let wanted = User { name: first(USER), uid: first(UID), groups, extra };
    match wanted.name.is_empty() {
        false => Ok(Some(wanted)),
        true if wanted == User::default() => Ok(None),
        true => Err(Status::bad_request(format!("requested {} without impersonating a user name", in_go(&wanted)))),
    }
}

/// Takes the headers out: nothing behind the door is to act on them.
pub fn clear(headers: &mut HeaderMap) {
    for name in [USER, GROUP, UID] {
        headers.remove(name);
    }
    let found: Vec<HeaderName> = headers.keys().filter(|name| suffix(name, EXTRA_PREFIX).is_some()).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// May `requester` be `wanted` for this request? The answer is the user it then is, with the groups it has by itself.
pub async fn authorize(
    authorizer: &Authorizer,
    clock: &dyn Clock,
    requester: &User,
    wanted: &User,
    request: &Attributes,
) -> Result<Impersonated, Status> {
    let begun = clock.now();
    let found = by_modes(authorizer, clock, requester, wanted, request).await;
    let (mode, decision) = match &found {
        Ok((mode, _)) => (mode.label(), "allowed"),
        Err(_) => ("", "denied"),
    };
    authorizer.tally().impersonated(mode, decision, seconds_since(clock, begun));
    found.map(|(mode, user)| Impersonated { user, constraint: mode.constraint() })
}

/// Tries the mode first by which this requester last came to be somebody else.
async fn by_modes(
    authorizer: &Authorizer,
    clock: &dyn Clock,
    requester: &User,
    wanted: &User,
    request: &Attributes,
) -> Result<(&'static Mode, User), Status> {
    let last = authorizer.impersonated.lock().get(&requester.name, 0).copied();
    let mut refused = None;
    for at in last.into_iter().chain((0..MODES.len()).filter(|at| Some(*at) != last)) {
        let mode = &MODES[at];
        if !(mode.fits)(wanted, requester) {
            continue;
        }
        let attempt = Attempt { authorizer, clock, mode, requester: mode.requester(requester) };
        match attempt.run(wanted, request).await {
            Ok(user) => {
                authorizer.impersonated.lock().put(requester.name.clone(), at, i128::MAX);
                return Ok((mode, user));
            }
            Err(status) => drop(refused.get_or_insert(status)),
        }
    }
    Err(refused.unwrap_or_else(|| Status::internal("all impersonation modes failed")))
}

// === impl Mode ===

impl Mode {
    fn is_constrained(&self) -> bool {
        !self.name.is_empty()
    }

    /// As it is counted.
    fn label(&self) -> &'static str {
        if self.is_constrained() { self.name } else { "legacy" }
    }

    fn verb(&self) -> String {
        if self.is_constrained() { format!("impersonate:{}", self.name) } else { "impersonate".to_owned() }
    }

    fn constraint(&self) -> String {
        if self.is_constrained() { self.verb() } else { String::new() }
    }

    /// An agent on its own node is judged as its account on any node: only the names of its extra keys are shown.
    fn requester(&self, requester: &User) -> User {
        let mut shown = requester.clone();
        if self.name == ASSOCIATED_NODE {
            let keys = shown.extra.keys().cloned().collect();
            shown.extra = BTreeMap::from([("authentication.kubernetes.io/associated-node-keys".to_owned(), keys)]);
        }
        shown
    }
}

/// One mode at work.
struct Attempt<'a> {
    authorizer: &'a Authorizer,
    clock: &'a dyn Clock,
    mode: &'a Mode,
    requester: User,
}

// === impl Attempt ===

impl Attempt<'_> {
    async fn run(&self, wanted: &User, request: &Attributes) -> Result<User, Status> {
        if self.mode.is_constrained() {
            let verb = format!("impersonate-on:{}:{}", self.mode.name, request.verb);
            self.check(Attributes { verb, ..request.clone() }).await?;
        }
        let mut user = wanted.clone();
        self.may_be_named(&mut user).await?;
        if !wanted.uid.is_empty() {
            self.check(self.question(AUTHENTICATION, "v1", "uids", &wanted.uid)).await?;
        }
        self.may_be_in(&wanted.groups).await?;
        self.may_have(&wanted.extra).await?;
        let implied = match user.name == user::ANONYMOUS {
            true => user::UNAUTHENTICATED,
            false if user.is_in(user::UNAUTHENTICATED) => return Ok(user),
            false => user::AUTHENTICATED,
        };
        if !user.is_in(implied) {
            user.groups.push(implied.to_owned());
        }
        Ok(user)
    }

    /// Also gives nodes and service accounts the groups that they have by nature, unless others are asked for.
    async fn may_be_named(&self, user: &mut User) -> Result<(), Status> {
        let name = user.name.clone();
        let mut question = self.question_about_user("users", &name);
        if let Some(node) = node_name(&name).filter(|_| self.mode.is_constrained()) {
            question = self.question_about_user("nodes", if self.mode.name == ASSOCIATED_NODE { "*" } else { node });
            user.groups = vec!["system:nodes".to_owned()];
        }
        if let Some((namespace, account)) = split_service_account(&name) {
            question = self.question_about_user("serviceaccounts", account);
            question.namespace = namespace.to_owned();
            if user.groups.is_empty() {
                user.groups = user_of(namespace, account, "").groups;
            }
        }
        self.check(question).await
    }

    async fn may_be_in(&self, groups: &[String]) -> Result<(), Status> {
        if self.mode.is_constrained() {
            if groups.iter().any(String::is_empty) {
                let why = "impersonating the empty string group is not allowed";
                return Err(self.refuse(self.question_about_user("groups", ""), why));
            }
            if groups.iter().any(|group| group == user::MASTERS) {
                let why = "impersonating the system:masters group is not allowed";
                return Err(self.refuse(self.question_about_user("groups", user::MASTERS), why));
            }
            if groups.len() >= MANY && self.check(self.question_about_user("groups", "*")).await.is_ok() {
                return Ok(());
            }
        }
        for group in groups {
            self.check(self.question_about_user("groups", group)).await?;
        }
        Ok(())
    }

    async fn may_have(&self, extra: &BTreeMap<String, Vec<String>>) -> Result<(), Status> {
        if self.mode.is_constrained() {
            check_extra(extra).map_err(|why| self.refuse(self.question_about_extra("", ""), &why))?;
            let many = extra.len() >= MANY || extra.values().map(Vec::len).sum::<usize>() >= MANY;
            if many && self.check(self.question_about_extra("*", "*")).await.is_ok() {
                return Ok(());
            }
        }
        for (key, values) in extra {
            for value in values {
                self.check(self.question_about_extra(key, value)).await?;
            }
        }
        Ok(())
    }

    /// Plain impersonation asks about users and groups in the core group, the constrained modes where they are defined.
    fn question_about_user(&self, resource: &str, name: &str) -> Attributes {
        let group = if self.mode.is_constrained() { AUTHENTICATION } else { "" };
        self.question(group, "v1", resource, name)
    }

    fn question_about_extra(&self, key: &str, value: &str) -> Attributes {
        let question = self.question(AUTHENTICATION, "v1", "userextras", value);
        Attributes { subresource: key.to_owned(), ..question }
    }

    fn question(&self, group: &str, version: &str, resource: &str, name: &str) -> Attributes {
        Attributes {
            verb: self.mode.verb(),
            is_resource: true,
            group: group.to_owned(),
            version: version.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        }
    }

    async fn check(&self, question: Attributes) -> Result<(), Status> {
        let begun = self.clock.now();
        let answer = self.authorizer.check(&self.requester, &question).await;
        let decision = if answer.is_ok() { "allowed" } else { "denied" };
        self.authorizer.tally().impersonation_checked(self.mode.label(), decision, seconds_since(self.clock, begun));
        answer
    }

    fn refuse(&self, question: Attributes, why: &str) -> Status {
        forbidden(&self.requester, &question, why)
    }
}

fn check_extra(extra: &BTreeMap<String, Vec<String>>) -> Result<(), String> {
    for (key, values) in extra {
        if key.is_empty() {
            return Err("impersonating the empty string key in extra is not allowed".to_owned());
        }
        if let Some(problem) = prefixed_path_problem(key) {
            return Err(format!("impersonating an invalid key in extra is not allowed: {problem}"));
        }
        if key.to_lowercase() != *key {
            return Err(format!("impersonating a non-lowercase key in extra is not allowed: {}", quote(key)));
        }
        if values.is_empty() {
            return Err("impersonating empty values in extra is not allowed".to_owned());
        }
        if values.iter().any(String::is_empty) {
            return Err("impersonating the empty string value in extra is not allowed".to_owned());
        }
    }
    Ok(())
}

/// Upstream: apimachinery pkg/util/validation IsDomainPrefixedPath.
fn prefixed_path_problem(key: &str) -> Option<String> {
    let invalid = |value: &str, why: &str| Some(format!("extra.key: Invalid value: {}: {why}", quote(value)));
    let Some((host, path)) = key.split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty()) else {
        return invalid(key, "must be a domain-prefixed path (such as \"acme.io/foo\")");
    };
    if !is_dns_subdomain(host) {
        return invalid(
            host,
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        );
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
    if path.chars().all(fits) {
        return None;
    }
    invalid(path, "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')")
}

fn is_only_name(user: &User) -> bool {
    user.uid.is_empty() && user.groups.is_empty() && user.extra.is_empty()
}

/// The node whose name a user has, when it is a node's in every detail.
fn node_name(user: &str) -> Option<&str> {
    user.strip_prefix("system:node:").filter(|name| is_dns_subdomain(name))
}

/// Whether `wanted` is the node that the requesting service account's token was issued for.
fn is_own_node(requester: &User, wanted: &str) -> bool {
    let Some(node) = node_name(wanted) else { return false };
    let own = requester.extra.get(NODE_NAME).map(Vec::as_slice);
    split_service_account(&requester.name).is_some() && own.is_some_and(|own| own == [node])
}

/// As Go's `%#v` prints the user, which is what upstream's message shows.
fn in_go(user: &User) -> String {
    let list = |items: &[String]| {
        let items: Vec<String> = items.iter().map(|item| quote(item)).collect();
        format!("[]string{{{}}}", items.join(", "))
    };
    let groups = if user.groups.is_empty() { "[]string(nil)".to_owned() } else { list(&user.groups) };
    let extra = match user.extra.is_empty() {
        true => "map[string][]string(nil)".to_owned(),
        false => {
            let pairs: Vec<String> =
                user.extra.iter().map(|(key, values)| format!("{}:{}", quote(key), list(values))).collect();
            format!("map[string][]string{{{}}}", pairs.join(", "))
        }
    };
    let (name, uid) = (quote(&user.name), quote(&user.uid));
    format!("&user.DefaultInfo{{Name:{name}, UID:{uid}, Groups:{groups}, Extra:{extra}}}")
}

#[cfg(test)]
mod tests;
