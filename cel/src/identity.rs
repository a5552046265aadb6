//! Expressions about who asks and what for: claims of a token, the user that they come to, and a request to authorise.
//!
//! Upstream: apiserver/pkg/authentication/cel/compile.go, apiserver/pkg/authorization/cel/compile.go.

use std::sync::{Arc, LazyLock};

use crate::ast::{Expr, Kind};
use crate::environment::{Environment, Mode};
use crate::library::url;
use crate::program::{Expression, Program};
use crate::types::{Type, TypeProvider};
use crate::value::Value;
use crate::value::show::quote;

/// What is known of the address of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerUrl {
    /// In lower case.
    pub scheme: String,
    pub has_user: bool,
    pub has_query: bool,
    pub has_fragment: bool,
}

/// What an expression is about, and with it what it may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// `claims`, for a part of the user: anything may come of it, which is looked at when it has.
    Mapping,
    /// `claims`, for a condition.
    Claims,
    /// `user`, for a condition.
    User,
    /// `request`, for a condition.
    Request,
}

/// An expression that was taken.
pub struct Compiled {
    pub program: Program,
    expression: Expression,
}

/// Why an expression is not taken, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub detail: String,
    /// It is written well, and yet no program can be made of it.
    pub internal: bool,
}

const CLAIMS: &str = "claims";
const USER: &str = "user";
const REQUEST: &str = "request";
const USER_INFO: &str = "kubernetes.UserInfo";
const ACCESS: &str = "kubernetes.SubjectAccessReviewSpec";
const RESOURCE: &str = "kubernetes.ResourceAttributes";
const PATH: &str = "kubernetes.NonResourceAttributes";
const FIELDS: &str = "kubernetes.FieldSelectorAttributes";
const LABELS: &str = "kubernetes.LabelSelectorAttributes";
const REQUIREMENT: &str = "kubernetes.SelectorRequirement";
/// Upstream: cel-go's `operators.OptSelect`.
const OPTIONAL_SELECT: &str = "_?._";

/// An address as Go's net/url takes it apart; the error is its own.
pub fn issuer_url(text: &str) -> Result<IssuerUrl, String> {
    let (whole, fragment) = text.split_once('#').unwrap_or((text, ""));
    let url = url::parse(whole, false).map_err(|why| format!("parse {}: {why}", quote(whole)))?;
    Ok(IssuerUrl {
        scheme: url.scheme().to_owned(),
        has_user: url.has_user(),
        has_query: url.has_query(),
        has_fragment: !fragment.is_empty(),
    })
}

/// Compiles an expression.
pub fn compile(text: &str, about: About) -> Result<Compiled, Refused> {
    let refused = |detail: String| Refused { detail, internal: false };
    let expression =
        crate::compile(environment(about), text).map_err(|issues| refused(format!("compilation failed: {issues}")))?;
    let found = expression.result_type();
    match about {
        About::Mapping => {}
        _ if *found == Type::Bool => {}
        About::Request => return Err(refused(format!("must evaluate to bool but got {}", found.declared_name()))),
        About::Claims | About::User => return Err(refused("must evaluate to bool".to_owned())),
    }
    let program = expression.program().map_err(|error| Refused {
        detail: format!("program instantiation failed: {}", error.message),
        internal: true,
    })?;
    Ok(Compiled { program, expression })
}

// === impl Compiled ===

impl Compiled {
    /// Whether a claim of this name is taken: `claims.email`, `claims.?email`. An index (`claims['email']`) is not seen, as
    /// upstream does not see it.
    pub fn takes_claim(&self, name: &str) -> bool {
        any(self.expression.tree(), &|expr| {
            selected(expr).is_some_and(|(operand, field)| {
                field == name && operand.ident().is_some_and(|ident| &**ident == CLAIMS)
            })
        })
    }

    /// Whether a field of this name is taken of anything.
    pub fn takes_field(&self, name: &str) -> bool {
        any(self.expression.tree(), &|expr| selected(expr).is_some_and(|(_, field)| field == name))
    }
}

/// The operand and the field of `operand.field` and `operand.?field`.
fn selected(expr: &Expr) -> Option<(&Expr, &str)> {
    match &expr.kind {
        Kind::Select(select) => Some((&select.operand, &select.field)),
        Kind::Call(call) if &*call.function == OPTIONAL_SELECT => match call.arguments.as_slice() {
            [operand, field] => match field.literal()? {
                Value::String(name) => Some((operand, name)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn any(root: &Expr, test: &dyn Fn(&Expr) -> bool) -> bool {
    let mut open = vec![root];
    while let Some(expr) = open.pop() {
        if test(expr) {
            return true;
        }
        open.extend(expr.children());
    }
    false
}

fn environment(about: About) -> &'static Environment {
    static OF_CLAIMS: LazyLock<Environment> = LazyLock::new(|| {
        Environment::new(Mode::StoredExpressions).variable(CLAIMS, Type::map(Type::String, Type::Any))
    });
    static OF_USER: LazyLock<Environment> = LazyLock::new(|| declared(USER, USER_INFO));
    static OF_REQUEST: LazyLock<Environment> = LazyLock::new(|| declared(REQUEST, ACCESS));
    match about {
        About::Mapping | About::Claims => &OF_CLAIMS,
        About::User => &OF_USER,
        About::Request => &OF_REQUEST,
    }
}

fn declared(variable: &str, t: &str) -> Environment {
    Environment::new(Mode::StoredExpressions).types(Arc::new(Types)).variable(variable, Type::object(t))
}

/// The object types by name; their fields are texts but for the few that are named in [`Types::field`].
struct Types;

const TEXTS: [(&str, &[&str]); 7] = [
    (USER_INFO, &["username", "uid"]),
    (ACCESS, &["user", "uid"]),
    (RESOURCE, &["namespace", "verb", "group", "version", "resource", "subresource", "name"]),
    (PATH, &["path", "verb"]),
    (FIELDS, &["rawSelector"]),
    (LABELS, &["rawSelector"]),
    (REQUIREMENT, &["key", "operator"]),
];

impl TypeProvider for Types {
    fn has_type(&self, name: &str) -> bool {
        TEXTS.iter().any(|(known, _)| *known == name)
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        let (_, texts) = TEXTS.iter().find(|(known, _)| *known == object)?;
        if texts.contains(&field) {
            return Some(Type::String);
        }
        Some(match (object, field) {
            (USER_INFO | ACCESS, "groups") | (REQUIREMENT, "values") => Type::list(Type::String),
            (USER_INFO | ACCESS, "extra") => Type::map(Type::String, Type::list(Type::String)),
            (ACCESS, "resourceAttributes") => Type::object(RESOURCE),
            (ACCESS, "nonResourceAttributes") => Type::object(PATH),
            (RESOURCE, "fieldSelector") => Type::object(FIELDS),
            (RESOURCE, "labelSelector") => Type::object(LABELS),
            (FIELDS | LABELS, "requirements") => Type::list(Type::object(REQUIREMENT)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Budget;

    fn detail(text: &str, about: About) -> String {
        compile(text, about).err().map(|refused| refused.detail).unwrap_or_default()
    }

    #[test]
    fn conditions_are_truths_and_mappings_anything() {
        assert_eq!(detail("claims.sub", About::Mapping), "");
        assert_eq!(detail("claims.hd == 'x'", About::Claims), "");
        assert_eq!(detail("claims.hd", About::Claims), "must evaluate to bool");
        assert_eq!(detail("user.username", About::User), "must evaluate to bool");
        assert_eq!(detail("request.user", About::Request), "must evaluate to bool but got string");
        assert_eq!(detail("request.resourceAttributes.namespace == 'a'", About::Request), "");
        assert!(
            detail("user.name == 'x'", About::User).starts_with("compilation failed: ERROR: <input>:1:5: undefined")
        );
        assert!(detail("claims.x == 'x'", About::User).contains("undeclared reference to 'claims'"));
    }

    #[test]
    fn claims_that_are_taken_are_known() {
        let takes = |text: &str, name: &str| compile(text, About::Mapping).expect("it compiles").takes_claim(name);
        for text in ["claims.email", "'x' + claims.email", "claims.?email.orValue('')", "[claims.email, claims.sub][0]"]
        {
            assert!(takes(text, "email"), "{text}");
        }
        for text in ["claims['email']", "claims.a.email", "'email'"] {
            assert!(!takes(text, "email"), "{text}");
        }
        let request = compile("has(request.resourceAttributes.labelSelector)", About::Request).expect("it compiles");
        assert!(request.takes_field("labelSelector") && !request.takes_field("fieldSelector"));
    }

    #[test]
    fn claims_are_read_by_name() {
        let compiled = compile("claims.roles.split(',')", About::Mapping).expect("it compiles");
        let claims = Value::map(vec![(Value::string("roles"), Value::string("a,b"))]);
        let variables = std::collections::BTreeMap::from([("claims".to_owned(), claims)]);
        let value = compiled.program.evaluate(&variables, &mut Budget::default()).expect("it has a value");
        assert_eq!(format!("{:?}", value.value_type()), "List(Dyn)");
    }
}
