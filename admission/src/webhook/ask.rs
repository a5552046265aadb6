//! One webhook is asked: whether it has to be, and what it says.

use std::time::Duration;

use api::{Status, names};
use jiff::Timestamp;

use super::{
    CallError, Failure, Hook, Outside, Place,
    review::{self, Verdict},
};
use crate::{
    Cluster, Request,
    expressions::{Activation, Stage, View, conditions},
    tally::{Called, Side},
};

/// For a webhook that says nothing of its time. Upstream's requests end after 34 seconds.
const WITHIN: Duration = Duration::from_secs(30);

impl Hook {
    /// Whether the match conditions hold.
    pub fn conditions_hold(
        &self,
        request: &Request<'_>,
        view: &View,
        cluster: &Cluster,
        side: Side,
        outside: &Outside,
    ) -> Result<bool, Status> {
        if self.conditions.is_empty() {
            return Ok(true);
        }
        let stage = Stage::new(request, cluster);
        // Webhooks are told neither parameters nor the namespace.
        let scene = stage.conditions_scene(view, self.needs, None);
        let counted = conditions::Counted {
            tally: &*outside.tally,
            of: "webhook",
            name: &self.name,
            side: side.word(),
            operation: request.operation.word(),
        };
        let holds = conditions::hold(&self.conditions, &Activation::new(scene), self.ignores_failure, &counted)
            .map_err(|why| Status::forbidden(request.resource, request.name_known(), why))?;
        if !holds {
            outside.tally.excluded(&self.name, side, request.operation.word());
        }
        Ok(holds)
    }

    /// Asks; a yes comes with what the webhook wants besides.
    pub async fn ask(
        &self,
        request: &Request<'_>,
        view: &View,
        side: Side,
        outside: &Outside,
    ) -> Result<Verdict, Failure> {
        if request.dry_run {
            match self.side_effects.as_deref() {
                None => return Err(Failure::calling("Webhook SideEffects is nil", 400)),
                Some("None" | "NoneOnDryRun") => {}
                Some(_) => return Err(Failure::dry_run(&self.name)),
            }
        }
        let version = review::version_of(&self.review_versions)
            .map_err(|why| Failure::calling(format!("could not create admission objects: {why}"), 400))?;
        if self.address.place == Place::Nowhere {
            let why = "could not get REST client: webhook configuration must have either service or URL";
            return Err(Failure::calling(why, 500));
        }
        let uid = (outside.uid)();
        let question = review::question(version, &uid, request, &view.seen, &view.object, &view.old);
        let said = outside.call.call(&self.address, &question, self.within.unwrap_or(WITHIN)).await;
        let said = said.map_err(|error| match error {
            CallError::Status(status) => Failure::calling(format!("failed to call webhook: {status}"), status.code()),
            CallError::Unreachable(why) => Failure::calling(format!("failed to call webhook: {why}"), 503),
        })?;
        let verdict = review::answer(version, &uid, side == Side::Mutating, &said)
            .map_err(|why| Failure::calling(format!("received invalid webhook response: {why}"), 503))?;
        for (key, text) in &verdict.annotations {
            let key = format!("{}/{key}", self.name);
            // Upstream logs and forgets a key that is none.
            if names::qualified_name(&key).is_empty() {
                request.annotate(&key, text);
            }
        }
        verdict.warnings.iter().for_each(|warning| request.warn(warning));
        match verdict.allowed {
            true => Ok(verdict),
            false => Err(Failure::rejected(&self.name, &verdict.result)),
        }
    }

    /// Counts a call that is over.
    pub fn count<T>(
        &self,
        outcome: &Result<T, Failure>,
        request: &Request<'_>,
        side: Side,
        (since, until): (Timestamp, Timestamp),
        outside: &Outside,
    ) {
        let failed = outcome.as_ref().err().map(Failure::counted);
        let failed_open = self.ignores_failure && matches!(outcome, Err(Failure::Calling { .. }));
        outside.tally.called(&Called {
            name: &self.name,
            side,
            operation: request.operation.word(),
            seconds: until.duration_since(since).as_secs_f64(),
            rejected: failed.is_some() && !failed_open,
            code: failed.map_or(200, |(_, code)| code),
            rejection: failed.filter(|_| !failed_open).map(|(kind, _)| kind),
            failed_open,
        });
    }

    /// What a failure means for the request; none when it goes on without.
    pub fn refusal(&self, failure: Failure) -> Option<Status> {
        match failure {
            Failure::Calling { .. } if self.ignores_failure => None,
            Failure::Calling { why, .. } => Some(Failure::closed(&self.name, &why)),
            Failure::Rejected(status) | Failure::Own(status) => Some(status),
        }
    }
}
