//! From claims to a user: by names of claims, or by expressions; and the conditions on both.
//!
//! Upstream: apiserver plugin/pkg/authenticator/token/oidc/oidc.go.

use std::collections::BTreeMap;

use api::{User, field::quote};
use cel::{Budget, EvalError, List, MapLike};
use serde_json::Value;

use super::token::Claims;
use crate::authenticate::service_account::credential_id;
use crate::authenticate::x509::CREDENTIAL_ID;

/// Where a part of a user comes from.
#[derive(Default)]
pub enum Source {
    /// It stays empty.
    #[default]
    Nowhere,
    /// A claim, behind a prefix.
    Claim {
        name: String,
        prefix: String,
    },
    Expression(Box<Expression>),
}

/// An expression, its text, and what is said when it is a condition and does not hold.
pub struct Expression {
    pub text: String,
    pub message: String,
    pub compiled: cel::identity::Compiled,
}

/// How a user comes of claims.
#[derive(Default)]
pub struct Mapping {
    pub username: Source,
    pub groups: Source,
    pub uid: Source,
    /// By key.
    pub extra: Vec<(String, Expression)>,
    /// Claims with the text that they have to have.
    pub required: Vec<(String, String)>,
    pub claim_rules: Vec<Expression>,
    pub user_rules: Vec<Expression>,
}

/// JSON as a value of the language whose members are found by escaped names too: `claims.a__dot__b`.
#[derive(Debug)]
struct Members(Vec<(String, cel::Value)>);

const LIST_WANTED: &str = "expression must return a string or a list of strings";

// === impl Mapping ===

impl Mapping {
    /// The user that these claims come to.
    pub fn user(&self, claims: &Claims) -> Result<User, String> {
        let value = BTreeMap::from([("claims".to_owned(), members(claims))]);
        let mut user = User {
            name: self.username(claims, &value)?,
            groups: self.groups(claims, &value)?,
            uid: self.uid(claims, &value)?,
            extra: BTreeMap::new(),
        };
        self.extra(claims, &value, &mut user)?;
        for (claim, wanted) in &self.required {
            let Some(found) = claims.get(claim) else {
                return Err(format!("oidc: required claim {claim} not present in ID token"));
            };
            let found = nullable_text(found).map_err(|why| format!("oidc: parse claim {claim}: {why}"))?;
            if found != wanted {
                let words = format!("value does not match. Got = {found}, want = {wanted}");
                return Err(format!("oidc: required claim {claim} {words}"));
            }
        }
        let context = "oidc: error evaluating claim validation expression";
        conditions(&self.claim_rules, &value).map_err(|why| format!("{context}: {why}"))?;
        let shown = BTreeMap::from([("user".to_owned(), shown(&user))]);
        let context = "oidc: error evaluating user info validation rule";
        conditions(&self.user_rules, &shown).map_err(|why| format!("{context}: {why}"))?;
        Ok(user)
    }

    fn username(&self, claims: &Claims, value: &Variables) -> Result<String, String> {
        match &self.username {
            Source::Nowhere => Err("oidc: empty username via CEL expression is not allowed".to_owned()),
            Source::Expression(expression) => {
                let context = |why: String| format!("oidc: error evaluating username claim expression: {why}");
                match expression.evaluate(value).map_err(context)? {
                    cel::Value::String(name) if name.is_empty() => {
                        Err("oidc: empty username via CEL expression is not allowed".to_owned())
                    }
                    cel::Value::String(name) => Ok(name.to_string()),
                    _ => Err(context("username claim expression must return a string".to_owned())),
                }
            }
            Source::Claim { name, prefix } => {
                let found = claim(claims, name);
                let found = found.map_err(|why| format!("oidc: parse username claims {}: {why}", quote(name)))?;
                if name == "email" {
                    check_email(claims)?;
                }
                Ok(format!("{prefix}{found}"))
            }
        }
    }

    fn groups(&self, claims: &Claims, value: &Variables) -> Result<Vec<String>, String> {
        match &self.groups {
            Source::Nowhere => Ok(Vec::new()),
            Source::Expression(expression) => {
                let context = |why: String| format!("oidc: error evaluating group claim expression: {why}");
                texts(&expression.evaluate(value).map_err(context)?).map_err(|why| context(why.to_owned()))
            }
            Source::Claim { name, prefix } => {
                let Some(found) = claims.get(name) else { return Ok(Vec::new()) };
                let wrong = |why: String| format!("oidc: parse groups claim {}: {why}", quote(name));
                let groups = match found {
                    Value::Array(several) if several.iter().all(|each| each.is_string() || each.is_null()) => {
                        several.iter().map(|each| each.as_str().unwrap_or_default()).collect()
                    }
                    Value::Null => Vec::new(),
                    one => vec![text(one).map_err(wrong)?],
                };
                Ok(groups.into_iter().map(|group| format!("{prefix}{group}")).collect())
            }
        }
    }

    fn uid(&self, claims: &Claims, value: &Variables) -> Result<String, String> {
        match &self.uid {
            Source::Nowhere => Ok(String::new()),
            Source::Claim { name, .. } => {
                let found = claim(claims, name).map(str::to_owned);
                found.map_err(|why| format!("oidc: parse uid claim {}: {why}", quote(name)))
            }
            Source::Expression(expression) => {
                let context = |why: String| format!("oidc: error evaluating uid claim expression: {why}");
                match expression.evaluate(value).map_err(context)? {
                    cel::Value::String(uid) => Ok(uid.to_string()),
                    _ => Err(context("uid claim expression must return a string".to_owned())),
                }
            }
        }
    }

    fn extra(&self, claims: &Claims, value: &Variables, user: &mut User) -> Result<(), String> {
        if let Some(id) = claims.get("jti").and_then(Value::as_str).filter(|id| !id.is_empty()) {
            user.extra.insert(CREDENTIAL_ID.to_owned(), vec![credential_id(id)]);
        }
        for (key, expression) in &self.extra {
            let found = expression.evaluate(value)?;
            let found = texts(&found)
                .map_err(|why| format!("oidc: error evaluating extra claim expression: {}: {why}", expression.text))?;
            if !found.is_empty() {
                user.extra.insert(key.clone(), found);
            }
        }
        Ok(())
    }
}

type Variables = BTreeMap<String, cel::Value>;

// === impl Expression ===

impl Expression {
    fn evaluate(&self, variables: &Variables) -> Result<cel::Value, String> {
        let found = self.compiled.program.evaluate(variables, &mut Budget::default());
        found.map_err(|error| format!("expression '{}' resulted in error: {}", self.text, error.message))
    }
}

fn conditions(rules: &[Expression], variables: &Variables) -> Result<(), String> {
    let found: Vec<cel::Value> = rules.iter().map(|rule| rule.evaluate(variables)).collect::<Result<_, _>>()?;
    for (rule, found) in rules.iter().zip(found) {
        match found {
            cel::Value::Bool(true) => {}
            cel::Value::Bool(false) => {
                return Err(format!("validation expression '{}' failed: {}", rule.text, rule.message));
            }
            _ => return Err("validation expression must return a boolean".to_owned()),
        }
    }
    Ok(())
}

/// An address that the issuer has, and says that it has not looked at, is nobody's name.
fn check_email(claims: &Claims) -> Result<(), String> {
    match claims.get("email_verified") {
        None | Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false) | Value::Null) => Err("oidc: email not verified".to_owned()),
        Some(other) => Err(format!("oidc: parse 'email_verified' claim: {}", misfit(other, "bool"))),
    }
}

fn claim<'a>(claims: &'a Claims, name: &str) -> Result<&'a str, String> {
    nullable_text(claims.get(name).ok_or("claim not present")?)
}

/// Go reads null as the empty text.
fn nullable_text(value: &Value) -> Result<&str, String> {
    if value.is_null() { Ok("") } else { text(value) }
}

pub(super) fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| misfit(value, "string"))
}

/// What Go's encoding/json says of a value of another type.
pub(super) fn misfit(value: &Value, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {wanted}", type_word(value))
}

/// What Go calls a value of JSON.
pub(super) fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A text or a list of texts without those that are empty. Upstream: convertCELValueToStringList.
fn texts(value: &cel::Value) -> Result<Vec<String>, &'static str> {
    let one = |value: &cel::Value| match value {
        cel::Value::String(text) => Ok(text.to_string()),
        _ => Err(LIST_WANTED),
    };
    let mut found = match value {
        cel::Value::Null => Vec::new(),
        cel::Value::List(List::Own(items)) => items.iter().map(one).collect::<Result<_, _>>()?,
        cel::Value::List(List::Foreign(items)) => {
            let item = |index| one(&items.get(index).map_err(|_| LIST_WANTED)?);
            (0..items.len()).map(item).collect::<Result<_, _>>()?
        }
        other => vec![one(other)?],
    };
    found.retain(|text| !text.is_empty());
    Ok(found)
}

fn members(claims: &Claims) -> cel::Value {
    cel::Value::foreign_map(Members(claims.iter().map(|(name, claim)| (name.clone(), value(claim))).collect()))
}

/// As Go reads JSON into nothing in particular: all numbers are doubles.
fn value(json: &Value) -> cel::Value {
    match json {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Number(number) => cel::Value::Double(number.as_f64().unwrap_or_default()),
        Value::String(text) => cel::Value::string(text.as_str()),
        Value::Array(items) => cel::Value::list(items.iter().map(value).collect()),
        Value::Object(found) => members(found),
    }
}

/// What conditions on a user see of it.
fn shown(user: &User) -> cel::Value {
    let texts =
        |items: &[String]| cel::Value::list(items.iter().map(|item| cel::Value::string(item.as_str())).collect());
    let extra = user.extra.iter().map(|(key, values)| (key.clone(), texts(values))).collect();
    cel::Value::foreign_map(Members(vec![
        ("username".to_owned(), cel::Value::string(user.name.as_str())),
        ("uid".to_owned(), cel::Value::string(user.uid.as_str())),
        ("groups".to_owned(), texts(&user.groups)),
        ("extra".to_owned(), cel::Value::foreign_map(Members(extra))),
    ]))
}

impl MapLike for Members {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &cel::Value) -> Result<Option<cel::Value>, EvalError> {
        let cel::Value::String(name) = key else { return Ok(None) };
        let unescaped = cel::unescape_name(name);
        let name = unescaped.as_deref().unwrap_or(name);
        Ok(self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
    }

    fn keys(&self) -> Vec<cel::Value> {
        self.0.iter().map(|(name, _)| cel::Value::string(name.as_str())).collect()
    }
}
