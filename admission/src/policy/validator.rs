//! What a validating policy says of a request.
//!
//! Upstream: plugin/policy/validating/{plugin,validator}.go.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api::{Reason, Value};
use cel::{
    Mode,
    admission::{Composer, Declares, POLICY_BUDGET, Returns},
};

use super::{Evaluator, Policy};
use crate::{
    expressions::{Activation, Expression, Needs, OutOfBudget, Scene, Stage, View, conditions},
    tally::Tally,
};

/// A validating policy's own part.
pub(crate) struct Validator {
    validations: Vec<Validation>,
    annotations: Vec<Annotation>,
}

struct Validation {
    /// As it was written.
    text: String,
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: Reason,
}

/// A note for the audit log.
struct Annotation {
    key: String,
    expression: Expression,
}

/// What one validation comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Admit,
    Deny {
        message: String,
        reason: Reason,
    },
    /// It could not be evaluated, and the policy passes that over.
    PassedOver(String),
}

/// What one audit annotation comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audit {
    Publish { key: String, text: String },
    Failed(String),
}

/// What a policy says of a request: a decision for each validation, and notes; and how long each of them took.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub decisions: Vec<(Decision, Duration)>,
    pub audits: Vec<(Audit, Duration)>,
}

/// The values of a scene's expressions, or why they have none, and how long that took.
type Values = Vec<(Result<cel::Value, String>, Duration)>;

/// A message is no longer than this. Upstream: MaxEvaluatedMessageExpressionSizeBytes.
const MESSAGE_LEN_MAX: usize = 5 * 1024;

// === impl Validator ===

impl Evaluator for Validator {
    fn compile(spec: &Value, composer: &Composer, declares: Declares, needs: &mut Needs) -> Validator {
        let mut compile = |text: &str, declares: Declares, returns: Returns| {
            let compiled = composer.compile(text, Mode::StoredExpressions, declares, returns);
            Expression::new(text, compiled, needs)
        };
        // A message says nothing of what others may do.
        let telling = Declares { authorizer: false, ..declares };
        let validations = spec.list("validations").iter().map(|validation| Validation {
            text: validation.str("expression").into(),
            expression: compile(validation.str("expression"), declares, Returns::Bool),
            message: validation.str("message").into(),
            message_expression: match validation.str("messageExpression") {
                "" => None,
                text => Some(compile(text, telling, Returns::Text)),
            },
            reason: reason(validation.str("reason")),
        });
        let validations = validations.collect();
        let annotations = spec.list("auditAnnotations").iter().map(|annotation| Annotation {
            key: annotation.str("key").into(),
            expression: compile(annotation.str("valueExpression"), declares, Returns::TextOrNull),
        });
        Validator { validations, annotations: annotations.collect() }
    }
}

fn reason(text: &str) -> Reason {
    let known = [Reason::Forbidden, Reason::Unauthorized, Reason::RequestEntityTooLarge];
    known.into_iter().find(|reason| reason.as_str() == text).unwrap_or(Reason::Invalid)
}

impl Policy<Validator> {
    /// What it says of a request as it is seen in a view.
    pub fn judge(
        &self,
        stage: &Stage<'_>,
        view: &View,
        params: Option<&Arc<Value>>,
        namespace: Option<&Arc<Value>>,
        tally: &dyn Tally,
    ) -> Said {
        let only = |decision: Decision| Said { decisions: vec![(decision, Duration::ZERO)], audits: Vec::new() };
        if !self.conditions.is_empty() {
            let scene = stage.conditions_scene(view, self.needs, params);
            let counted = self.counted(stage.operation(), tally);
            match conditions::hold(&self.conditions, &self.activation(scene), self.ignores_failure, &counted) {
                Ok(true) => {}
                Ok(false) => return Said::default(),
                Err(why) => return only(self.failure(why)),
            }
        }
        let scene = stage.scene(view, self.needs, params, namespace);
        let Ok(decisions) = self.decisions(&scene) else {
            return only(self.failure(OutOfBudget::TEXT.into()));
        };
        match self.audits(&scene) {
            Ok(audits) => Said { decisions, audits },
            Err(OutOfBudget) => only(self.failure(OutOfBudget::TEXT.into())),
        }
    }

    fn activation(&self, scene: Scene) -> Arc<Activation> {
        Activation::with(scene, &self.variables)
    }

    /// What cannot be evaluated is refused, or passed over.
    fn failure(&self, why: String) -> Decision {
        match self.ignores_failure {
            true => Decision::PassedOver(why),
            false => Decision::Deny { message: why, reason: Reason::Invalid },
        }
    }

    fn decisions(&self, scene: &Scene) -> Result<Vec<(Decision, Duration)>, OutOfBudget> {
        let mut remaining = POLICY_BUDGET;
        let activation = self.activation(scene.clone());
        let validations = &self.evaluator.validations;
        let evaluated = validations.iter().map(|v| timed(&v.expression, &activation, &mut remaining));
        let values: Values = evaluated.collect::<Result<_, _>>()?;
        let messages = self.messages(scene, &mut remaining);
        let decide = |i: usize, value: Result<cel::Value, String>| match (value, &messages) {
            (Err(why), _) => self.failure(why),
            (Ok(_), Err(OutOfBudget)) => self.failure(format!("failed messageExpression: {}", OutOfBudget::TEXT)),
            (Ok(value), Ok(_)) if value.as_bool() == Some(true) => Decision::Admit,
            (Ok(_), Ok(messages)) => {
                let validation = &validations[i];
                Decision::Deny { message: validation.message(messages[i].as_deref()), reason: validation.reason }
            }
        };
        Ok(values.into_iter().enumerate().map(|(i, (value, took))| (decide(i, value), took)).collect())
    }

    /// The messages that are expressions. All are evaluated, whatever their validations say, as all count.
    fn messages(&self, scene: &Scene, remaining: &mut u64) -> Result<Vec<Option<String>>, OutOfBudget> {
        let activation = self.activation(scene.clone());
        let message = |validation: &Validation| match &validation.message_expression {
            None => Ok(None),
            Some(expression) => {
                let value = expression.evaluate(&activation, remaining)?;
                Ok(value.ok().and_then(|value| value.as_str().map(Into::into)))
            }
        };
        self.evaluator.validations.iter().map(message).collect()
    }

    fn audits(&self, scene: &Scene) -> Result<Vec<(Audit, Duration)>, OutOfBudget> {
        if self.evaluator.annotations.is_empty() {
            return Ok(Vec::new());
        }
        let mut remaining = POLICY_BUDGET;
        let activation = self.activation(scene.clone());
        let mut audits = Vec::new();
        for Annotation { key, expression } in &self.evaluator.annotations {
            let (value, took) = timed(expression, &activation, &mut remaining)?;
            match value {
                Ok(value) => {
                    let text = value.as_str().map(str::trim).filter(|text| !text.is_empty());
                    audits.extend(text.map(|text| (Audit::Publish { key: key.clone(), text: text.into() }, took)));
                }
                Err(_) if self.ignores_failure => {}
                Err(why) => audits.push((Audit::Failed(why), took)),
            }
        }
        Ok(audits)
    }
}

/// What an expression comes to, and how long that took.
fn timed(
    expression: &Expression,
    activation: &Arc<Activation>,
    remaining: &mut u64,
) -> Result<(Result<cel::Value, String>, Duration), OutOfBudget> {
    let since = Instant::now();
    let value = expression.evaluate(activation, remaining)?;
    Ok((value, since.elapsed()))
}

// === impl Validation ===

impl Validation {
    /// What it says when it does not hold; `evaluated` is what its message's expression came to.
    fn message(&self, evaluated: Option<&str>) -> String {
        let fits = |text: &&str| text.len() <= MESSAGE_LEN_MAX && !text.contains('\n') && !text.is_empty();
        let said = evaluated.map(str::trim).filter(fits).or(Some(self.message.trim()).filter(|text| !text.is_empty()));
        said.map_or_else(|| format!("failed expression: {}", self.text.trim()), Into::into)
    }
}
