//! Sends requests to both servers, and asks again where they differ: upstream walks some of its maps at random, and what
//! it says itself now in one way and now in another is no difference.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use api::{Value, meta};
use tokio::{sync::Semaphore, time::timeout};

use super::{
    answer::{Answer, Reader},
    case::{Case, Class, Live, MOMENTS},
    compare::{Difference, ORDER_OF_CAUSES, difference},
    pair::{Pair, Side},
    target::{LARGE, NAMESPACE, Target},
};

/// What came of a request.
pub struct Outcome {
    pub case: Case,
    pub theirs: Answer,
    pub difference: Option<Difference>,
    /// Upstream says the same each time.
    pub steady: bool,
}

/// What the live object has, Skiff's first.
pub type Lives = [Live; 2];

/// Twice what upstream sends unpacked.
const LARGE_LEN: usize = 256 * 1024;
const AT_ONCE: usize = 32;
const WATCHES_AT_ONCE: usize = 64;
/// Of two orders in which upstream may say something it says the same each time once in a billion.
const ASKED_AGAIN: usize = 30;
/// The same of a server's account of itself, which is long and said in one way.
const DOCUMENTS_ASKED_AGAIN: usize = 2;
/// How often one looks whether a server's own loops have seen a new object, and after which time again.
const SETTLED_LOOKS: usize = 60;
/// So often in a row it was as it had been.
const STILL_LOOKS: usize = 15;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// An answer that does not come within this is none. Much longer than any takes, as a busy machine stalls for many seconds.
const PATIENCE: Duration = Duration::from_secs(90);

/// Sends all requests and hands what came of each to `told`, in the order of the requests.
pub async fn all(pair: &Arc<Pair>, cases: Vec<Case>, lives: &Lives, mut told: impl FnMut(Outcome)) -> Result<()> {
    let (few, many) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(WATCHES_AT_ONCE)));
    let mut tasks = Vec::with_capacity(cases.len());
    for case in cases {
        let limit = if case.class == Class::Watch { &many } else { &few };
        let permit = limit.clone().acquire_owned().await?;
        let (pair, lives) = (pair.clone(), lives.clone());
        tasks.push(tokio::spawn(async move {
            let outcome = one(&pair, case, &lives).await;
            drop(permit);
            outcome
        }));
    }
    for task in tasks {
        told(task.await??);
    }
    Ok(())
}

async fn one(pair: &Pair, case: Case, lives: &Lives) -> Result<Outcome> {
    let (ours, theirs) = tokio::try_join!(ask(&pair.ours, &case, &lives[0]), ask(&pair.theirs, &case, &lives[1]))?;
    let mut found = difference(&ours, &theirs);
    let steady = found.is_none();
    let mut ours = ours;
    let times = if case.class == Class::Discovery { DOCUMENTS_ASKED_AGAIN } else { ASKED_AGAIN };
    for again in 0..times {
        if found.is_none() {
            break;
        }
        if again == 1 {
            ours = ask(&pair.ours, &case, &lives[0]).await?;
        }
        let now = ask(&pair.theirs, &case, &lives[1]).await?;
        if difference(&ours, &now).is_none() || have_no_order(found.as_ref(), &now, &theirs) {
            found = None;
        }
    }
    Ok(Outcome { case, theirs, difference: found, steady })
}

/// Whether only the order of complaints differs, and upstream itself has now one and now another: of many that come out of
/// a map ours may never be seen.
fn have_no_order(found: Option<&Difference>, now: &Answer, before: &Answer) -> bool {
    let is_order = |difference: &Difference| difference.what == ORDER_OF_CAUSES;
    found.is_some_and(is_order) && difference(now, before).as_ref().is_some_and(is_order)
}

/// Having no answer in time is an answer too, of status 0.
pub async fn ask(side: &Side, case: &Case, live: &Live) -> Result<Answer> {
    match timeout(PATIENCE, side.send(case, live)).await {
        Ok(response) => Ok(Reader::of(side, case, live.clone()).read(&response?)),
        Err(_) => Ok(Answer { status: 0, headers: Vec::new(), body: Value::from("no answer in time") }),
    }
}

/// The namespace and what else requests stand on.
pub async fn set_up(side: &Side) -> Result<()> {
    let namespace = format!(r#"{{"kind":"Namespace","apiVersion":"v1","metadata":{{"name":"{NAMESPACE}"}}}}"#);
    let account = r#"{"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"default"}}"#;
    side.set_up("POST", "/api/v1/namespaces", "application/json", &namespace).await?;
    let namespace = namespace.replace(NAMESPACE, LARGE.0);
    side.set_up("POST", "/api/v1/namespaces", "application/json", &namespace).await?;
    let large = format!(
        r#"{{"kind":"ConfigMap","apiVersion":"v1","metadata":{{"name":"large"}},"data":{{"a":"{}"}}}}"#,
        "0123456789abcde ".repeat(LARGE_LEN / 16)
    );
    side.set_up("POST", &format!("/api/v1/namespaces/{}/configmaps", LARGE.0), "application/json", &large).await?;
    let accounts = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
    side.set_up("POST", &accounts, "application/json", account).await?;
    Ok(())
}

/// The resource of which an object has to be there, so that requests about this one can be accepted.
pub fn stands_on(target: &Target) -> Option<&'static str> {
    (&*target.resource == "core/bindings").then_some("core/pods")
}

/// Whether kube-apiserver itself writes the status of such objects, some time after their creation.
pub fn is_touched_by_the_server(target: &Target) -> bool {
    matches!(&*target.resource, "apiextensions.k8s.io/customresourcedefinitions" | "apiregistration.k8s.io/apiservices")
        || target.gvk.group == "flowcontrol.apiserver.k8s.io"
}

/// Makes the live object on a side. An error says why it is refused.
pub async fn make_live(side: &Side, target: &Target) -> Result<Live> {
    let sample = target.samples.first().context("there is no sample")?;
    let body = codec::json::to_string(sample);
    let made = side.set_up("POST", &target.collection(), "application/json", &body).await?;
    let mut object = made.json();
    if made.status == 409 {
        object = side.set_up("GET", &target.path(), "", "").await?.json();
    }
    let meta = meta::of(&object);
    anyhow::ensure!(!meta.uid().is_empty(), "{}", String::from_utf8_lossy(&made.body));
    Ok(Live::of(&object))
}

/// The live object after the server's own loops have looked at it, where they do: when it has the condition that they
/// write last, or as it is after a while.
pub async fn settled(side: &Side, target: &Target, live: Live) -> Result<Live> {
    let last = match &*target.resource {
        "apiextensions.k8s.io/customresourcedefinitions" => "Established",
        "apiregistration.k8s.io/apiservices" => "Available",
        "flowcontrol.apiserver.k8s.io/flowschemas" => "Dangling",
        _ => return Ok(live),
    };
    let (mut now, mut before, mut still) = (live, String::new(), 0);
    for _ in 0..SETTLED_LOOKS {
        let object = side.set_up("GET", &target.path(), "", "").await?.json();
        now = Live::of(&object);
        let conditions = object.at("status").list("conditions");
        let seen = conditions.iter().any(|condition| condition.str("type") == last);
        let same = now.resource_version == before;
        still = if seen && same { still + 1 } else { 0 };
        if still == STILL_LOOKS {
            break;
        }
        before.clone_from(&now.resource_version);
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Ok(now)
}

/// The live object as a client would send it back: without what is the server's, its own uid as `$uid`.
pub async fn read_live(side: &Side, target: &Target, live: &Live) -> Result<Value> {
    let text = side.set_up("GET", &target.path(), "", "").await?;
    let mut text = String::from_utf8_lossy(&text.body).replace(&live.uid, "$uid");
    if !live.moment.is_empty() {
        for name in MOMENTS.iter().filter_map(|path| path.last()) {
            let member = |moment: &str| format!("\"{name}\":\"{moment}\"");
            text = text.replace(&member(&live.moment), &member("$moment"));
        }
    }
    let mut object = codec::json::any(text.as_bytes())?.value;
    for member in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
        object.remove_path(&["metadata", member]);
    }
    Ok(object)
}

/// Whether the live object is still the one that was made: dry runs change nothing.
pub async fn is_untouched(side: &Side, target: &Target, live: &Live) -> Result<bool> {
    let object = side.set_up("GET", &target.path(), "", "").await?.json();
    let meta = meta::of(&object);
    Ok(meta.uid() == live.uid && meta.resource_version() == live.resource_version)
}

/// Takes the live object away, whoever still holds it.
pub async fn take_away(side: &Side, target: &Target) -> Result<()> {
    if !target.can("delete") {
        return Ok(());
    }
    let path = target.path();
    side.set_up("DELETE", &path, "application/json", r#"{"gracePeriodSeconds":0,"propagationPolicy":"Background"}"#)
        .await?;
    let free = r#"{"metadata":{"finalizers":null}}"#;
    side.set_up("PATCH", &path, "application/merge-patch+json", free).await?;
    Ok(())
}
