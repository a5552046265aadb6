//! Evictions within disruption budgets: who may go, what is taken off a budget, and in which words it is refused.

use anyhow::{Result, ensure};
use api::{Value, meta, value};
use bytes::Bytes;
use conformance::{
    http::{Client, Response},
    skiff::{self, Skiff},
};

const NAMESPACE: &str = "evictions";
const FAST: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// A pod, the budgets over it, and what comes of its eviction.
struct Case {
    name: &'static str,
    /// `Ready`, `Unready` or `Pending`.
    pod: &'static str,
    /// Of each budget its policy for pods that are not ready, what it allows, and its status.
    budgets: &'static [Budget],
    query: &'static str,
    /// Members of the Eviction.
    eviction: &'static str,
    wanted: &'static str,
}

#[derive(Clone, Copy)]
struct Budget {
    policy: &'static str,
    allowed: i64,
    current: i64,
    desired: i64,
    /// The generation that its status is about.
    observed: i64,
}

const FULL: Budget = Budget { policy: "", allowed: 1, current: 3, desired: 2, observed: 1 };
const SPENT: Budget = Budget { allowed: 0, current: 2, ..FULL };
const SHORT: Budget = Budget { allowed: 0, current: 1, ..FULL };
const CASE: Case = Case { name: "", pod: "Ready", budgets: &[], query: "", eviction: "{}", wanted: "" };

/// Upstream: pkg/registry/core/pod/storage/eviction.go.
const CASES: &[Case] = &[
    Case { name: "free", wanted: "201 Success; gone", ..CASE },
    Case { name: "allowed", budgets: &[FULL], wanted: "201 Success; gone; allowed 0, allowed is disrupted", ..CASE },
    Case { name: "tried", budgets: &[FULL], query: "?dryRun=All", wanted: "201 Success; there; allowed 1", ..CASE },
    Case {
        name: "tried-inside",
        budgets: &[FULL],
        eviction: r#"{"deleteOptions": {"dryRun": ["All"]}}"#,
        wanted: "201 Success; there; allowed 1",
        ..CASE
    },
    Case {
        name: "blocked",
        budgets: &[SPENT],
        wanted: "429 TooManyRequests DisruptionBudget: The disruption budget blocked-0 needs 2 healthy pods and has 2 currently; there; allowed 0",
        ..CASE
    },
    Case {
        name: "unseen",
        budgets: &[Budget { observed: 0, ..FULL }],
        wanted: "429 TooManyRequests, after 10 s DisruptionBudget: The disruption budget unseen-0 is still being processed by the server.; there; allowed 1",
        ..CASE
    },
    Case {
        name: "twofold",
        budgets: &[FULL, FULL],
        wanted: "500 This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.; there; allowed 1; allowed 1",
        ..CASE
    },
    Case { name: "pending", pod: "Pending", budgets: &[SPENT], wanted: "201 Success; gone; allowed 0", ..CASE },
    Case {
        name: "unready-always",
        pod: "Unready",
        budgets: &[Budget { policy: "AlwaysAllow", ..SHORT }],
        wanted: "201 Success; gone; allowed 0",
        ..CASE
    },
    Case {
        name: "ready-always",
        budgets: &[Budget { policy: "AlwaysAllow", ..SHORT }],
        wanted: "429 TooManyRequests DisruptionBudget: The disruption budget ready-always-0 needs 2 healthy pods and has 1 currently; there; allowed 0",
        ..CASE
    },
    Case {
        name: "unready-healthy",
        pod: "Unready",
        budgets: &[Budget { policy: "IfHealthyBudget", ..SPENT }],
        wanted: "201 Success; gone; allowed 0",
        ..CASE
    },
    Case {
        name: "unready-short",
        pod: "Unready",
        budgets: &[Budget { policy: "IfHealthyBudget", ..SHORT }],
        wanted: "429 TooManyRequests DisruptionBudget: The disruption budget unready-short-0 needs 2 healthy pods and has 1 currently; there; allowed 0",
        ..CASE
    },
    Case { name: "unready-default", pod: "Unready", budgets: &[SPENT], wanted: "201 Success; gone; allowed 0", ..CASE },
    Case {
        name: "unready-none-desired",
        pod: "Unready",
        budgets: &[Budget { desired: 0, current: 0, ..SPENT }],
        wanted: "429 TooManyRequests DisruptionBudget: The disruption budget unready-none-desired-0 needs 0 healthy pods and has 0 currently; there; allowed 0",
        ..CASE
    },
    Case {
        name: "another",
        budgets: &[FULL],
        eviction: r#"{"deleteOptions": {"preconditions": {"uid": "11111111-2222-3333-4444-555555555555"}}}"#,
        wanted: "409 Conflict; there; allowed 0, another is disrupted",
        ..CASE
    },
];

fn pods(name: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods{name}")
}

fn budgets(name: &str) -> String {
    format!("/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets{name}")
}

async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Result<Response> {
    let form = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    client.send(method, path, &[("content-type", form)], Bytes::from(codec::json::to_string(body))).await
}

async fn done(client: &Client, method: &str, path: &str, body: &Value) -> Result<()> {
    let answer = send(client, method, path, body).await?;
    ensure!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.json().str("message"));
    Ok(())
}

async fn get(client: &Client, path: &str) -> Result<(u16, Value)> {
    let answer = client.send("GET", path, &[], Bytes::new()).await?;
    Ok((answer.status, answer.json()))
}

// === impl Case ===

impl Case {
    async fn furnish(&self, client: &Client) -> Result<()> {
        let name = self.name;
        let pod = value!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"automountServiceAccountToken": false, "containers": [{"name": "c", "image": "c"}]}
        });
        done(client, "POST", &pods(""), &pod).await?;
        if self.pod != "Pending" {
            let ready = if self.pod == "Ready" { "True" } else { "False" };
            let status = value!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
            done(client, "PATCH", &pods(&format!("/{name}/status")), &status).await?;
        }
        for (i, budget) in self.budgets.iter().enumerate() {
            let own = format!("{name}-{i}");
            let mut object = value!({
                "metadata": {"name": (own.as_str())},
                "spec": {"minAvailable": (budget.desired), "selector": {"matchLabels": {"app": name}}}
            });
            if !budget.policy.is_empty() {
                object.set_path(&["spec", "unhealthyPodEvictionPolicy"], budget.policy);
            }
            done(client, "POST", &budgets(""), &object).await?;
            let status = value!({"status": {
                "disruptionsAllowed": (budget.allowed), "currentHealthy": (budget.current),
                "desiredHealthy": (budget.desired), "expectedPods": 3, "observedGeneration": (budget.observed)
            }});
            done(client, "PATCH", &budgets(&format!("/{own}/status")), &status).await?;
        }
        Ok(())
    }

    async fn run(&self, client: &Client) -> Result<String> {
        self.furnish(client).await?;
        let name = self.name;
        let mut eviction = codec::json::any(self.eviction.as_bytes())?.value;
        eviction.set("metadata", value!({"name": name}));
        let path = pods(&format!("/{name}/eviction{}", self.query));
        let mut said = vec![told(&send(client, "POST", &path, &eviction).await?)];
        let (code, pod) = get(client, &pods(&format!("/{name}"))).await?;
        let is_gone = code == 404 || meta::of(&pod).is_terminating();
        said.push(if is_gone { "gone" } else { "there" }.to_owned());
        for i in 0..self.budgets.len() {
            let (_, budget) = get(client, &budgets(&format!("/{name}-{i}"))).await?;
            let status = budget.at("status");
            let disrupted = status.at("disruptedPods").members().map(|(pod, _)| format!(", {pod} is disrupted"));
            said.push(format!("allowed {}{}", status.int("disruptionsAllowed"), disrupted.collect::<String>()));
        }
        Ok(said.join("; "))
    }
}

/// `429 TooManyRequests, after 10 s CAUSE: MESSAGE`
fn told(answer: &Response) -> String {
    let status = answer.json();
    let mut said = answer.status.to_string();
    for word in [status.str("reason"), if answer.status < 300 { status.str("status") } else { "" }] {
        if !word.is_empty() {
            said += &format!(" {word}");
        }
    }
    if let Some(after) = answer.headers.get("retry-after").and_then(|after| after.to_str().ok()) {
        said += &format!(", after {after} s");
    }
    let causes = status.at("details").list("causes");
    for cause in causes {
        said += &format!(" {}: {}", cause.str("reason"), cause.str("message"));
    }
    let message = status.str("message");
    if causes.is_empty() && status.str("reason").is_empty() && !message.is_empty() {
        said += &format!(" {message}");
    }
    if !causes.is_empty() && message != FAST {
        said += &format!(" ({message})");
    }
    said
}

/// Runs all cases, and says what came otherwise.
async fn run(client: &Client) -> Result<()> {
    done(client, "POST", "/api/v1/namespaces", &value!({"metadata": {"name": NAMESPACE}})).await?;
    let account = value!({"metadata": {"name": "default"}});
    done(client, "POST", &format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts"), &account).await?;
    let mut wrong = Vec::new();
    for case in CASES {
        let said = case.run(client).await?;
        if said != case.wanted {
            wrong.push(format!("{}\n  wanted {}\n  got    {said}", case.name, case.wanted));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn evictions_keep_within_budgets() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let skiff = Skiff::start_apiserver(&skiff::build()?, &directory.path().join("data"), &[])?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    run(&client).await
}

mod upstream {
    use conformance::upstream::{Settings, Upstream};

    use super::*;

    /// The cases are true.
    #[tokio::test(flavor = "multi_thread")]
    async fn evictions_keep_within_budgets_as_said() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let upstream = Upstream::start(&Settings::new(directory.path())?)?;
        run(&Client::from_kubeconfig(&upstream.kubeconfig).await?).await
    }
}
