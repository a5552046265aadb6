//! Asks users' webhooks whether a request may go on, all at the same time.
//!
//! Upstream: apiserver/pkg/admission/plugin/webhook/validating/dispatcher.go.

use api::Status;
use async_trait::async_trait;
use futures::future;

use crate::{
    Cluster, Operation, Plugin, Request,
    expressions::View,
    tally::Side,
    webhook::{Failure, Hook, Hooks, Outside},
};

pub struct ValidatingAdmissionWebhook {
    hooks: Hooks,
    outside: Outside,
}

impl ValidatingAdmissionWebhook {
    pub fn new(outside: Outside) -> ValidatingAdmissionWebhook {
        ValidatingAdmissionWebhook { hooks: Hooks::of("validatingwebhookconfigurations"), outside }
    }

    async fn ask(
        &self,
        hook: &Hook,
        place: usize,
        request: &Request<'_>,
        view: &View,
        cluster: &Cluster,
    ) -> Result<(), Status> {
        let since = cluster.clock.now();
        let outcome = hook.ask(request, view, Side::Validating, &self.outside).await;
        hook.count(&outcome, request, Side::Validating, (since, cluster.clock.now()), &self.outside);
        let Err(failure) = outcome else { return Ok(()) };
        let open = matches!(failure, Failure::Calling { .. });
        match hook.refusal(failure) {
            Some(status) => Err(status),
            None => {
                if open {
                    let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{place}");
                    request.annotate(&key, &hook.name);
                }
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Plugin for ValidatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionWebhook"
    }

    fn handles(&self, _: Operation) -> bool {
        true
    }

    async fn validate(&self, request: &Request<'_>, cluster: &Cluster) -> Result<(), Status> {
        let hooks = self.hooks.for_request(request, cluster);
        let mut views: Vec<View> = Vec::new();
        let mut asked: Vec<(&Hook, usize)> = Vec::new();
        for hook in hooks.iter() {
            let Some(seen) = hook.criteria.wants(request, &request.object, cluster).await? else { continue };
            let place = match views.iter().position(|view| view.seen == seen) {
                Some(place) => place,
                None => {
                    views.push(View::of(request, &request.object, seen, cluster).await?);
                    views.len() - 1
                }
            };
            if hook.conditions_hold(request, &views[place], cluster, Side::Validating, &self.outside)? {
                asked.push((hook, place));
            }
        }
        let asking = asked.iter().enumerate();
        let asking = asking.map(|(i, (hook, view))| self.ask(hook, i, request, &views[*view], cluster));
        // The first refusal is the answer; upstream waits for all as well.
        future::join_all(asking).await.into_iter().collect()
    }
}
