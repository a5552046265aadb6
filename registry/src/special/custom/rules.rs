//! Rules of users' schemas (`x-kubernetes-validations`), compiled, and what they say of an object.
//!
//! [`Rules`] is a schema's shape with programs in it, and nothing where no rule stands below. [`Rules::judge`] walks an
//! object with its old form beside it: `oldSelf` is the old value at the same place, told by keys in lists that are maps. Of what an
//! update has not changed a rule only warns. Upstream: apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go.

mod typed;
mod values;

#[cfg(test)]
mod tests;

use std::{cell::Cell, collections::BTreeMap, sync::Arc};

use api::{
    EcoString, Value,
    field::{Bad, Errors, FieldError, Kind, Path, quote},
};
use cel::{
    Budget, ErrorKind, EvalError, Program, Variables, escape_name,
    schema::{Declared, declare},
};
use resources::apiextensions::{
    field_path::{self, Stepped},
    rules::{Compiled, Place, compile_stored},
};
use schema::structural::{Additional, Node, lists};

use typed::Typed;
use values::{Outcome, member_of};

/// What all rules may cost for an object. Upstream: RuntimeCELCostBudget.
pub const OBJECT_BUDGET: i64 = 10_000_000;
/// Nobody reads more errors or warnings than these, and an object has room for a million. Upstream tells of all.
const ERRORS_LEN_MAX: usize = 10_000;
const WARNINGS_LEN_MAX: usize = 100;
/// The longest text that an expression may give for an error, in bytes.
const MESSAGE_MAX: usize = 5 << 10;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// The rules of a schema and of those in it.
#[derive(Default)]
pub struct Rules {
    own: Vec<Rule>,
    /// Why the schema's own rules cannot be compiled.
    unusable: Option<&'static str>,
    /// Of an object with apiVersion, kind and metadata.
    is_root: bool,
    uses_old: bool,
    items: Option<Box<Rules>>,
    additional: Option<Box<Rules>>,
    properties: BTreeMap<EcoString, Rules>,
}

struct Rule {
    said: Value,
    compiled: Compiled,
    /// Where errors stand, from the schema's value on; `""` for the value itself.
    at: String,
}

/// What rules say of an object.
#[derive(Debug, Default)]
pub struct Said {
    pub errors: Errors,
    pub warnings: Vec<String>,
}

/// A value and what it was before.
struct Pair<'v> {
    node: &'v Node,
    new: &'v Value,
    old: &'v Value,
    /// Whether they are the same, once somebody has asked.
    is_same: Cell<Option<bool>>,
}

/// Where a walk stands.
#[derive(Clone)]
struct Here<'v> {
    new: &'v Value,
    old: Option<&'v Value>,
    /// The value as expressions see it, where something above has made it.
    typed: Option<Outcome>,
    change: Change<'v>,
}

/// How far what an update changed can be told. Upstream: `ratchetingOptions`.
#[derive(Clone, Copy, Default)]
struct Change<'v> {
    pair: Option<&'v Pair<'v>>,
    /// The innermost above, of whatever stands below what cannot be told.
    above: Option<&'v Pair<'v>>,
}

/// `self`, and `oldSelf` where there is one.
struct Seen {
    own: Outcome,
    old: Option<Outcome>,
}

struct Walk {
    said: Said,
    /// What may still be spent.
    left: i64,
}

/// No rule is looked at any more.
struct Stop;

// === impl Rules ===

impl Rules {
    /// Compiles the rules of a schema; none when there are none.
    pub fn compile(node: &Node, is_root: bool) -> Option<Rules> {
        if !node.has_rules() {
            return None;
        }
        Rules::of(node, is_root, declare(Typed(node), is_root).as_ref())
    }

    /// Upstream: `validator`.
    fn of(node: &Node, is_root: bool, declared: Option<&Arc<Declared>>) -> Option<Rules> {
        let mut rules = Rules { is_root, ..Rules::default() };
        match declared {
            _ if node.rules.is_empty() => {}
            None => rules.unusable = Some("failed to convert to declType for CEL validation rules"),
            Some(declared) => {
                let place = Place::new(declared, &node.rules);
                rules.own = node.rules.iter().map(|said| Rule::of(said, &place, node)).collect();
                rules.uses_old = rules.own.iter().any(|rule| rule.compiled.uses_old);
            }
        }
        let element = declared.and_then(|declared| declared.element());
        if let Some(items) = &node.items {
            rules.items = Rules::of(items, items.embedded, element).map(Box::new);
        }
        if let Additional::Schema(of) = &node.additional {
            rules.additional = Rules::of(of, of.embedded, element).map(Box::new);
        }
        for (name, property) in &node.properties {
            let found = match escape_name(name) {
                // Rules of what expressions do not see are not looked at.
                Some(escaped) => declared.and_then(|declared| declared.field(&escaped).cloned()),
                None => declare(Typed(property), property.embedded),
            };
            if let Some(below) = found.and_then(|found| Rules::of(property, property.embedded, Some(&found))) {
                rules.properties.insert(name.clone(), below);
            }
        }
        let is_empty =
            node.rules.is_empty() && rules.items.is_none() && rules.additional.is_none() && rules.properties.is_empty();
        (!is_empty).then_some(rules)
    }

    /// Judges a value of the schema that stands at `at`. With `ratchets`, rules only warn of what was there before. Returns
    /// what is left of the budget; less than nothing when it did not suffice.
    pub fn judge(
        &self,
        node: &Node,
        new: &Value,
        old: Option<&Value>,
        ratchets: bool,
        at: &Path,
        budget: i64,
    ) -> (Said, i64) {
        let mut walk = Walk { said: Said::default(), left: budget };
        let pair = old.filter(|_| ratchets).map(|old| Pair { node, new, old, is_same: Cell::new(None) });
        let change = Change { pair: pair.as_ref(), above: None };
        if let Err(Stop) = walk.value(self, node, Here { new, old, typed: None, change }, at) {
            walk.left = -1;
        }
        (walk.said, walk.left)
    }
}

impl Rule {
    fn of(said: &Value, place: &Place<'_>, node: &Node) -> Rule {
        let path = said.str("fieldPath");
        let found = (!path.is_empty()).then(|| field_path::walk(path, node, true, step));
        // Upstream leaves out a path that is none.
        let at = found.and_then(Result::ok).map(|(at, _)| at.to_string()).unwrap_or_default();
        Rule { said: said.clone(), compiled: compile_stored(said, place), at }
    }

    /// As errors name the rule.
    fn name(&self) -> &str {
        let (message, rule) = (self.said.str("message"), self.said.str("rule"));
        if message.is_empty() { rule.trim() } else { message.trim() }
    }

    fn message(&self) -> String {
        match self.said.str("message") {
            "" => format!("failed rule: {}", self.name()),
            message => message.trim().into(),
        }
    }

    fn is_optional(&self) -> bool {
        self.said.bool("optionalOldSelf")
    }

    fn reason(&self) -> Kind {
        match self.said.str("reason") {
            "FieldValueForbidden" => Kind::Forbidden,
            "FieldValueRequired" => Kind::Required,
            "FieldValueDuplicate" => Kind::Duplicate,
            _ => Kind::Invalid,
        }
    }
}

fn step<'a>(at: &Path, node: &'a Node, name: &str) -> Stepped<&'a Node> {
    if !node.properties.is_empty() {
        let found = node.properties.get(name).ok_or_else(field_path::nothing)?;
        return Ok((at.child(name), found));
    }
    match &node.additional {
        Additional::Schema(of) => Ok((at.key(name), of)),
        _ => Err(field_path::nothing()),
    }
}

// === impl Pair, Change ===

impl<'v> Pair<'v> {
    fn is_same(&self) -> bool {
        let known = self.is_same.get().unwrap_or_else(|| lists::is_same(self.node, self.new, self.old));
        self.is_same.set(Some(known));
        known
    }

    fn member(&self, name: &str) -> Option<Pair<'v>> {
        let (new, old) = (self.new.get(name)?, self.old.get(name)?);
        Some(Pair { node: self.node.member(name)?, new, old, is_same: Cell::new(None) })
    }
}

impl<'v> Change<'v> {
    /// Whether what stands here was so before.
    fn is_none(self) -> bool {
        self.pair.or(self.above).is_some_and(Pair::is_same)
    }

    fn below(self, pair: Option<&'v Pair<'v>>) -> Change<'v> {
        match self.pair {
            None => self,
            Some(own) => Change { pair, above: Some(own) },
        }
    }
}

// === impl Walk ===

impl Walk {
    fn value(&mut self, rules: &Rules, node: &Node, mut here: Here<'_>, at: &Path) -> Result<(), Stop> {
        if here.new.is_null() {
            return Ok(());
        }
        if self.said.errors.len() >= ERRORS_LEN_MAX {
            return Err(Stop);
        }
        self.own(rules, node, &mut here, at)?;
        match here.new {
            Value::Object(_) => self.members(rules, node, &here, at),
            Value::Array(_) => self.items(rules, node, &here, at),
            _ => Ok(()),
        }
    }

    fn members(&mut self, rules: &Rules, node: &Node, here: &Here<'_>, at: &Path) -> Result<(), Stop> {
        for (name, new) in here.new.members() {
            let (below, of, at) = match (rules.properties.get(name), &rules.additional, &node.additional) {
                (Some(below), _, _) => match node.properties.get(name) {
                    Some(of) => (below, of, at.child(name)),
                    None => continue,
                },
                (None, Some(below), Additional::Schema(of)) => (&**below, &**of, at.key(name)),
                _ => continue,
            };
            let old = here.old.and_then(|old| old.get(name)).filter(|old| !old.is_null());
            // An object's metadata has other types to those who look at the whole than to its own rules.
            let is_meta = rules.is_root && matches!(name, "apiVersion" | "kind" | "metadata");
            let typed = here.typed.as_ref().filter(|_| !is_meta).and_then(|typed| member_of(typed, name));
            let is_hidden = here.change.above.is_none() && matches!(name, "apiVersion" | "kind");
            let pair = here.change.pair.and_then(|pair| pair.member(name));
            // Both forms are of one version by now: whether somebody changed it cannot be told.
            let change = if is_hidden { Change::default() } else { here.change.below(pair.as_ref()) };
            self.value(below, of, Here { new, old, typed, change }, &at)?;
        }
        Ok(())
    }

    fn items(&mut self, rules: &Rules, node: &Node, here: &Here<'_>, at: &Path) -> Result<(), Stop> {
        let (Some(below), Some(of)) = (&rules.items, &node.items) else { return Ok(()) };
        let items = here.new.items();
        let correlated = lists::correlate(node, items, here.old);
        for (i, new) in items.iter().enumerate() {
            let old = correlated.of(i);
            let typed = here.typed.as_ref().and_then(|typed| values::item_of(typed, i));
            let pair = here.change.pair.and(old).map(|old| Pair { node: of, new, old, is_same: Cell::new(None) });
            let change = here.change.below(pair.as_ref());
            self.value(below, of, Here { new, old, typed, change }, &at.index(i))?;
        }
        Ok(())
    }

    /// The rules of the value itself. Upstream: `validateExpressions`.
    fn own(&mut self, rules: &Rules, node: &Node, here: &mut Here<'_>, at: &Path) -> Result<(), Stop> {
        if let Some(why) = rules.unusable {
            self.wrong(node, at, format!("rule compiler initialization error: {why}"));
            return Ok(());
        }
        if rules.own.is_empty() {
            return Ok(());
        }
        if self.left <= 0 {
            self.wrong(node, at, OUT_OF_BUDGET.into());
            return Err(Stop);
        }
        let new = here.new;
        let own = here.typed.get_or_insert_with(|| values::of(new, node, rules.is_root)).clone();
        let old = here.old.filter(|_| rules.uses_old).map(|old| values::of(old, node, rules.is_root));
        let plain = Seen { own: own.clone(), old: old.clone() };
        let optional = Seen { own, old: rules.uses_old.then(|| optional(old)) };
        for rule in &rules.own {
            self.rule(rule, node, here, (&plain, &optional), at)?;
        }
        Ok(())
    }

    /// `seen`: by rules that take an old value, and by those that take it as an optional one.
    fn rule(&mut self, rule: &Rule, node: &Node, here: &Here<'_>, seen: (&Seen, &Seen), at: &Path) -> Result<(), Stop> {
        if let Some(why) = &rule.compiled.error {
            self.wrong(node, at, format!("rule compile error: {why}"));
            return Ok(());
        }
        let Some(program) = &rule.compiled.program else { return Ok(()) };
        if rule.compiled.uses_old && here.old.is_none() && !rule.is_optional() {
            return Ok(());
        }
        let (plain, optional) = seen;
        let (outcome, cost) = run(program, if rule.is_optional() { optional } else { plain });
        if cost > self.left {
            self.wrong(node, at, OUT_OF_BUDGET.into());
            return Err(Stop);
        }
        self.left -= cost;
        match outcome {
            Err(error) => self.failed(&error, rule, node, at),
            Ok(cel::Value::Bool(true)) => Ok(()),
            Ok(_) => self.refused(rule, node, here, plain, at),
        }
    }

    fn failed(&mut self, error: &EvalError, rule: &Rule, node: &Node, at: &Path) -> Result<(), Stop> {
        let (why, name) = (&error.message, rule.name());
        if error.kind == ErrorKind::CostLimit {
            let text = "no further validation rules will be run due to call cost exceeds limit for rule";
            self.wrong(node, at, format!("'{why}': {text}: {name}"));
            return Err(Stop);
        }
        let text = match why.starts_with("no such overload") {
            true => format!(
                "'{why}': call arguments did not match a supported operator, function or macro signature for rule: {name}"
            ),
            false => format!("{why} evaluating rule: {name}"),
        };
        self.wrong(node, at, text);
        Ok(())
    }

    /// What a value is refused with.
    fn refused(&mut self, rule: &Rule, node: &Node, here: &Here<'_>, seen: &Seen, at: &Path) -> Result<(), Stop> {
        let at = at.child(&rule.at);
        let mut detail = None;
        if let Some(program) = &rule.compiled.message {
            match self.message(program, rule, seen) {
                Ok(text) => detail = text,
                Err(why) => {
                    self.say(rule, here, error(Kind::Invalid, &at, type_name(node), why));
                    return Err(Stop);
                }
            }
        }
        let bad = match node.kind.as_str() {
            "object" | "array" => Bad::Omitted,
            _ => Bad::Value(here.new.clone()),
        };
        let (bad, detail) = match rule.reason() {
            Kind::Duplicate => (bad, String::new()),
            Kind::Invalid => (bad, detail.unwrap_or_else(|| rule.message())),
            _ => (Bad::Value("".into()), detail.unwrap_or_else(|| rule.message())),
        };
        self.say(rule, here, error(rule.reason(), &at, bad, detail));
        Ok(())
    }

    /// What the rule's expression says; nothing where it comes to no text that could be shown. An error ends the walk.
    /// Upstream: `evalMessageExpression`.
    fn message(&mut self, program: &Program, rule: &Rule, seen: &Seen) -> Result<Option<String>, String> {
        let (outcome, cost) = run(program, seen);
        if cost > self.left {
            let text = "messageExpression evaluation failed due to running out of cost budget, no further validation \
                        rules will be run";
            return Err(text.into());
        }
        if outcome.as_ref().is_err_and(|error| error.kind == ErrorKind::CostLimit) {
            let text = "no further validation rules will be run due to call cost exceeds limit for messageExpression";
            return Err(format!("{text}: {}", quote(rule.said.str("messageExpression"))));
        }
        self.left -= cost;
        let Ok(cel::Value::String(text)) = outcome else { return Ok(None) };
        let text = text.trim();
        let is_shown = !text.is_empty() && text.len() <= MESSAGE_MAX && !text.contains('\n');
        Ok(is_shown.then(|| text.to_string()))
    }

    fn wrong(&mut self, node: &Node, at: &Path, why: String) {
        self.said.errors.0.push(error(Kind::Invalid, at, type_name(node), why));
    }

    /// Rules that compare with what was judge changes; others do not judge what is as it was.
    fn say(&mut self, rule: &Rule, here: &Here<'_>, error: FieldError) {
        if !rule.compiled.uses_old && here.change.is_none() {
            if self.said.warnings.len() < WARNINGS_LEN_MAX {
                self.said.warnings.push(error.to_string());
            }
        } else {
            self.said.errors.0.push(error);
        }
    }
}

fn error(kind: Kind, at: &Path, bad: Bad, detail: String) -> FieldError {
    FieldError { kind, field: at.as_str().into(), bad, detail }
}

fn type_name(node: &Node) -> Bad {
    Bad::Value(node.kind.as_str().into())
}

fn optional(old: Option<Outcome>) -> Outcome {
    match old {
        None => Ok(cel::Value::Optional(None)),
        Some(old) => old.map(cel::Value::some),
    }
}

/// What a program comes to, and what that cost.
fn run(program: &Program, seen: &Seen) -> (Outcome, i64) {
    let mut budget = Budget::default();
    let outcome = program.evaluate(seen, &mut budget);
    (outcome, i64::try_from(budget.used).unwrap_or(i64::MAX))
}

impl Variables for Seen {
    fn get(&self, name: &str) -> Option<Outcome> {
        match name {
            "self" => Some(self.own.clone()),
            "oldSelf" => self.old.clone(),
            _ => None,
        }
    }
}
