//! Rules that stand in schemas (`x-kubernetes-validations`): what they name, what they come to, what they cost at most.
//!
//! [`Scope`] is the place of a schema within a definition that is judged; [`compile`] is for whoever runs rules, too.
//! Upstream: apiextensions-apiserver/pkg/apiserver/schema/cel/compilation.go, pkg/apis/apiextensions/validation/
//! {validation,cel_validation}.go.

use std::{
    cell::OnceCell,
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use api::{
    Value,
    field::{Errors, Path},
    value,
};
use cel::{
    Environment, Mode, Program, Type,
    schema::{self as declaring, Declared, DeclaredTypes, REQUEST_BYTES_MAX},
};

use super::schema;

/// What a rule may cost at most by its estimate. Upstream: StaticEstimatedCostLimit.
const RULE_COST_MAX: u64 = 10_000_000;
/// What all rules of a schema may cost. Upstream: StaticEstimatedCRDCostLimit.
const SCHEMA_COST_MAX: u64 = 100_000_000;
/// So many of the dearest rules are named.
const DEAREST_LEN_MAX: usize = 4;
const RULES: &str = "x-kubernetes-validations";

/// A schema as a definition holds it, for the types it declares.
#[derive(Clone, Copy)]
pub struct Raw<'a>(pub &'a Value);

/// What came of a rule.
#[derive(Default)]
pub struct Compiled {
    /// None where the rule is empty, or wrong.
    pub program: Option<Program>,
    /// In upstream's words.
    pub error: Option<String>,
    pub uses_old: bool,
    /// By the estimate, once.
    pub cost_max: u64,
    pub message: Option<Program>,
    pub message_error: Option<String>,
    pub message_cost_max: u64,
}

/// Texts of expressions that are stored already: they may use what new ones may not yet.
#[derive(Clone, Default)]
pub struct Stored {
    rules: BTreeSet<String>,
    messages: BTreeSet<String>,
}

/// Where expressions stand: what `self` is.
pub struct Place<'a> {
    declared: &'a Arc<Declared>,
    types: Arc<DeclaredTypes>,
    own: Type,
}

/// The place of a schema within the schema of a version. Upstream: `CELSchemaContext`.
pub struct Scope<'a> {
    schema: &'a Value,
    parent: Option<(&'a Scope<'a>, Step<'a>)>,
    /// Rules stand here or above.
    within: bool,
    /// How often it may stand in an object; none where nothing bounds it.
    times_max: Option<u64>,
    declared: OnceCell<Result<Arc<Declared>, String>>,
}

/// The way from a schema to one in it.
#[derive(Clone, Copy)]
pub enum Step<'a> {
    Property(&'a str),
    Element,
}

/// What is wrong with a schema's rules, and what they cost together.
#[derive(Default)]
pub struct Findings {
    pub errors: Errors,
    total: u64,
    dearest: Vec<(Path, u64)>,
}

/// How strict to be with the rules of a schema.
pub struct Strictness<'a> {
    pub stored: &'a Stored,
    /// A schema that is as it was may be too dear.
    pub any_cost: bool,
    /// The part of the schema, this one included, whose old values nobody can tell.
    pub uncorrelated: Option<&'a Path>,
}

// === impl Stored ===

impl Stored {
    /// Those of an old definition's spec.
    pub fn of(spec: &Value) -> Stored {
        let mut stored = Stored::default();
        for of in schema::all_of(spec) {
            schema::each(of, &mut |s| {
                for rule in s.list(RULES) {
                    stored.rules.insert(rule.str("rule").into());
                    stored.messages.insert(rule.str("messageExpression").into());
                }
            });
        }
        stored
    }

    fn mode(known: &BTreeSet<String>, text: &str) -> Mode {
        if known.contains(text) { Mode::StoredExpressions } else { Mode::NewExpressions }
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    /// `texts` are what the rules say: nobody is to know the name of a type beforehand, and depend on it.
    pub fn new(declared: &'a Arc<Declared>, rules: &[Value]) -> Place<'a> {
        let mut hasher = DefaultHasher::new();
        rules.iter().for_each(|rule| rule.str("rule").hash(&mut hasher));
        let name = format!("selfType{}", hasher.finish() % 1_000_000_000);
        let types = Arc::new(DeclaredTypes::new().with(&name, declared.clone()));
        let own = types.type_of(&name).unwrap_or(Type::Dyn);
        Place { declared, types, own }
    }

    fn environment(&self, mode: Mode, optional_old: bool) -> Environment {
        let old = if optional_old { Type::optional(self.own.clone()) } else { self.own.clone() };
        Environment::new(mode).types(self.types.clone()).variable("self", self.own.clone()).variable("oldSelf", old)
    }
}

/// Compiles a rule that is stored.
pub fn compile_stored(rule: &Value, place: &Place<'_>) -> Compiled {
    compile(rule, place, |_| Mode::StoredExpressions, |_| Mode::StoredExpressions)
}

/// Upstream: `compileRule`.
fn compile(
    rule: &Value,
    place: &Place<'_>,
    rule_mode: impl Fn(&str) -> Mode,
    message_mode: impl Fn(&str) -> Mode,
) -> Compiled {
    let mut compiled = Compiled::default();
    let optional_old = rule.bool("optionalOldSelf");
    let text = rule.str("rule");
    if text.trim().is_empty() {
        return compiled;
    }
    let expression = match cel::compile(&place.environment(rule_mode(text), optional_old), text) {
        Ok(expression) => expression,
        Err(issues) => return Compiled { error: Some(format!("compilation failed: {issues}")), ..compiled },
    };
    if *expression.result_type() != Type::Bool {
        return Compiled { error: Some("cel expression must evaluate to a bool".into()), ..compiled };
    }
    compiled.uses_old = expression.uses("oldSelf");
    match expression.program() {
        Ok(program) => compiled.program = Some(program),
        Err(why) => return Compiled { error: Some(format!("program instantiation failed: {why}")), ..compiled },
    }
    compiled.cost_max = expression.cost_estimate(&**place.declared).max;
    let text = rule.str("messageExpression");
    if text.is_empty() {
        return compiled;
    }
    match message(&place.environment(message_mode(text), optional_old), text, place) {
        Ok((program, cost)) => Compiled { message: Some(program), message_cost_max: cost, ..compiled },
        Err(why) => Compiled { message_error: Some(why), ..compiled },
    }
}

fn message(environment: &Environment, text: &str, place: &Place<'_>) -> Result<(Program, u64), String> {
    let expression =
        cel::compile(environment, text).map_err(|issues| format!("messageExpression compilation failed: {issues}"))?;
    if *expression.result_type() != Type::String {
        return Err("messageExpression must evaluate to a string".into());
    }
    let program = expression.program().map_err(|why| format!("messageExpression instantiation failed: {why}"))?;
    Ok((program, expression.cost_estimate(&**place.declared).max))
}

// === impl Scope ===

impl<'a> Scope<'a> {
    pub fn root(schema: &'a Value) -> Scope<'a> {
        let within = !schema.list(RULES).is_empty();
        Scope { schema, parent: None, within, times_max: Some(1), declared: OnceCell::new() }
    }

    /// The place of a schema that stands in this one.
    pub fn below(&'a self, schema: &'a Value, step: Step<'a>) -> Scope<'a> {
        let times_max = match (self.times_max, times(self.schema)) {
            (Some(outer), Some(inner)) => Some(outer.saturating_mul(inner)),
            _ => None,
        };
        let within = self.within || !schema.list(RULES).is_empty();
        Scope { schema, parent: Some((self, step)), within, times_max, declared: OnceCell::new() }
    }

    /// Out of what stands above where that is known: declaring a schema takes as long as it is large.
    fn declared(&self) -> Result<Arc<Declared>, String> {
        let found = self.declared.get_or_init(|| {
            if let Some((parent, step)) = &self.parent
                && parent.within
            {
                let above = parent.declared()?;
                let here = match step {
                    Step::Property(name) => cel::escape_name(name).and_then(|name| above.field(&name).cloned()),
                    Step::Element => above.element().cloned(),
                };
                if let Some(here) = here {
                    return Ok(here);
                }
            }
            let is_root = self.parent.is_none() || self.schema.bool("x-kubernetes-embedded-resource");
            let unseen = || "unable to convert structural schema to CEL declarations".to_string();
            declaring::declare(Raw(self.schema), is_root).ok_or_else(unseen)
        });
        found.clone()
    }

    /// Judges the rules of this schema.
    pub fn judge(&self, at: &Path, strictness: &Strictness<'_>, findings: &mut Findings) {
        let at = at.child(RULES);
        let declared = match self.declared() {
            Ok(declared) => declared,
            Err(why) => {
                let text = "internal error: failed to construct type information for x-kubernetes-validations rules";
                return findings.errors.internal(&at, format!("{text}: {why}"));
            }
        };
        let rules = self.schema.list(RULES);
        let place = Place::new(&declared, rules);
        // Where nothing bounds how often it stands in an object, as often as a request has room for it.
        let times = self.times_max.unwrap_or(REQUEST_BYTES_MAX as u64 / (declared.size_min() + 1));
        for (i, rule) in rules.iter().enumerate() {
            let stored = strictness.stored;
            let compiled = compile(
                rule,
                &place,
                |text| Stored::mode(&stored.rules, text),
                |text| Stored::mode(&stored.messages, text),
            );
            findings.add(rule, &compiled, times, &at.index(i), strictness);
        }
    }
}

/// By how much a schema multiplies what stands in it. Upstream: `extractMaxElements`.
fn times(schema: &Value) -> Option<u64> {
    let max = |name: &str| schema.opt_int(name).map(|max| max.max(0) as u64);
    match schema.str("type") {
        "object" if schema.has("additionalProperties") => max("maxProperties"),
        "array" => max("maxItems"),
        _ => Some(1),
    }
}

// === impl Findings ===

impl Findings {
    fn add(&mut self, rule: &Value, compiled: &Compiled, times: u64, at: &Path, strictness: &Strictness<'_>) {
        let (rule_at, message_at) = (at.child("rule"), at.child("messageExpression"));
        let cost = compiled.cost_max.saturating_mul(times);
        self.spend(&rule_at, cost, "estimated rule cost", strictness);
        if let Some(why) = &compiled.error {
            self.errors.invalid(&rule_at, shown(rule), why);
        }
        if let Some(why) = &compiled.message_error {
            self.errors.invalid(&message_at, shown(rule), why);
        } else if compiled.message.is_some() {
            self.spend(&message_at, compiled.message_cost_max, "estimated messageExpression cost", strictness);
        }
        if compiled.uses_old {
            if let Some(within) = strictness.uncorrelated {
                let text =
                    format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {within}");
                self.errors.invalid(&rule_at, rule.str("rule"), text);
            }
        } else if let Some(optional) = rule.opt_bool("optionalOldSelf") {
            let text = "may not be set if oldSelf is not used in rule";
            self.errors.invalid(&at.child("optionalOldSelf"), optional, text);
        }
    }

    fn spend(&mut self, at: &Path, cost: u64, what: &str, strictness: &Strictness<'_>) {
        if !strictness.any_cost && cost > RULE_COST_MAX {
            self.errors.forbidden(at, too_dear(what, cost, RULE_COST_MAX));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_COST_MAX / 100 {
            self.dearest.push((at.clone(), cost));
            self.dearest.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
            self.dearest.truncate(DEAREST_LEN_MAX);
        }
    }

    /// What all rules of the schema at `at` cost together.
    pub fn total(&self, at: &Path, errs: &mut Errors) {
        if self.total <= SCHEMA_COST_MAX {
            return;
        }
        for (at, _) in &self.dearest {
            let text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            errs.forbidden(at, text);
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errs.forbidden(at, too_dear(what, self.total, SCHEMA_COST_MAX));
    }
}

/// Upstream: `getCostErrorMessage`.
fn too_dear(what: &str, cost: u64, max: u64) -> String {
    let times = cost as f64 / max as f64;
    let factor = match times {
        _ if times > 100.0 => "more than 100x".to_string(),
        _ if times < 1.5 => format!("{times:.6}x"),
        _ => format!("{times:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

/// A rule as upstream shows it.
fn shown(rule: &Value) -> Value {
    value!({
        "Rule": (rule.str("rule")), "Message": (rule.str("message")),
        "MessageExpression": (rule.str("messageExpression")), "Reason": (rule.at("reason")),
        "FieldPath": (rule.str("fieldPath")), "OptionalOldSelf": (rule.at("optionalOldSelf"))
    })
}

// === impl Raw ===

impl<'a> Raw<'a> {
    fn below(self, name: &str) -> Option<Raw<'a>> {
        self.0.get(name).filter(|below| below.as_object().is_some()).map(Raw)
    }
}

impl<'a> declaring::Schema<'a> for Raw<'a> {
    fn kind(self) -> &'a str {
        self.0.str("type")
    }

    fn format(self) -> &'a str {
        self.0.str("format")
    }

    fn items(self) -> Option<Self> {
        self.below("items")
    }

    fn properties(self) -> impl Iterator<Item = (&'a str, Self)> {
        self.0.at("properties").members().map(|(name, below)| (name, Raw(below)))
    }

    fn property(self, name: &str) -> Option<Self> {
        self.0.at("properties").get(name).map(Raw)
    }

    fn additional(self) -> Option<Self> {
        self.below("additionalProperties")
    }

    fn required(self) -> impl Iterator<Item = &'a str> {
        self.0.list("required").iter().filter_map(Value::as_str)
    }

    fn has_default(self) -> bool {
        self.0.has("default")
    }

    fn is_int_or_string(self) -> bool {
        self.0.bool("x-kubernetes-int-or-string")
    }

    fn is_embedded(self) -> bool {
        self.0.bool("x-kubernetes-embedded-resource")
    }

    fn len_max(self) -> Option<i64> {
        self.0.opt_int("maxLength")
    }

    fn items_max(self) -> Option<i64> {
        self.0.opt_int("maxItems")
    }

    fn members_max(self) -> Option<i64> {
        self.0.opt_int("maxProperties")
    }

    fn longest_choice(self) -> Option<i64> {
        let choices = Some(self.0.list("enum")).filter(|choices| !choices.is_empty())?;
        Some(choices.iter().filter_map(Value::as_str).map(|text| text.len() as i64).max().unwrap_or(0))
    }
}
