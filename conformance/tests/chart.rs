//! A chart that brings a kind, a validating webhook and an object (`conformance/clients/chart`): helm installs, upgrades and
//! takes it away, and the webhook is asked, on Skiff as on upstream.

use std::{
    path::Path,
    process::{Command, Output},
};

use anyhow::{Result, ensure};
use api::value;
use bytes::Bytes;
use conformance::{http::Client, tour, webhook::Webhook};

const WARES: &str = "/apis/skiff.test/v1/namespaces/default/wares";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// What helm is given each time.
struct Helm<'a> {
    version: &'static str,
    kubeconfig: &'a Path,
    directory: &'a Path,
    url: String,
}

impl Helm<'_> {
    fn run(&self, words: &[&str], price: Option<&str>) -> Result<Output> {
        let mut helm = Command::new(tour::clients().join(format!("helm-{}", self.version)));
        helm.args(words).env("KUBECONFIG", self.kubeconfig).env("HOME", self.directory);
        if let Some(price) = price {
            helm.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/chart"));
            helm.args(["--set", &format!("webhook.url={},price={price}", self.url), "--set-file"]);
            helm.arg(format!("webhook.authority={}", self.directory.join("authority.pem").display()));
        }
        Ok(helm.output()?)
    }

    fn succeeds(&self, words: &[&str], price: Option<&str>) -> Result<()> {
        let done = self.run(words, price)?;
        ensure!(done.status.success(), "helm {words:?}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }
}

async fn install(kubeconfig: &Path, version: &'static str) -> Result<()> {
    let directory = tempfile::tempdir()?;
    // It finds what costs more than 9 too dear.
    let webhook = Webhook::start("127.0.0.1", "too dear", |ware| ware.at("spec").int("price") < 10).await?;
    std::fs::write(directory.path().join("authority.pem"), &webhook.authority)?;
    let url = format!("https://{}/", webhook.address);
    let helm = Helm { version, kubeconfig, directory: directory.path(), url };
    tokio::task::block_in_place(|| helm.succeeds(&["install", "shop"], Some("3")))?;
    let client = Client::from_kubeconfig(kubeconfig).await?;
    let ware = client.send("GET", &format!("{WARES}/shop"), &[], Bytes::new()).await?.json();
    ensure!(ware.at("spec").int("price") == 3 && ware.at("spec").str("currency") == "EUR", "{ware:?}");
    // The webhook is asked: by who writes past helm, and by helm.
    let dear =
        value!({"apiVersion": "skiff.test/v1", "kind": "Ware", "metadata": {"name": "dear"}, "spec": {"price": 10}});
    let refused = client.send("POST", WARES, JSON, Bytes::from(codec::json::to_string(&dear))).await?;
    let words = r#"admission webhook "wares.skiff.test" denied the request: too dear"#;
    // An upstream server may hear of a configuration a moment after who wrote it has been answered.
    ensure!(refused.status == 400 && refused.json().str("message") == words, "{refused:?}");
    let failed = tokio::task::block_in_place(|| helm.run(&["upgrade", "shop"], Some("11")))?;
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    ensure!(!failed.status.success() && said.contains(words), "{said}");
    tokio::task::block_in_place(|| helm.succeeds(&["upgrade", "shop"], Some("4")))?;
    let ware = client.send("GET", &format!("{WARES}/shop"), &[], Bytes::new()).await?.json();
    ensure!(ware.at("spec").int("price") == 4, "{ware:?}");
    tokio::task::block_in_place(|| helm.succeeds(&["uninstall", "shop"], None))?;
    let gone = client.send("GET", &format!("{WARES}/shop"), &[], Bytes::new()).await?;
    ensure!(gone.status == 404, "{gone:?}");
    // The kind stays, as helm leaves what is in `crds`; nobody guards it any more.
    let free = client.send("POST", WARES, JSON, Bytes::from(codec::json::to_string(&dear))).await?;
    ensure!(free.status == 201, "{free:?}");
    Ok(())
}

mod clients {
    use anyhow::Result;
    use conformance::tour::KITS;
    use skiff_test::Cluster;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_chart_with_a_webhook_is_installed() -> Result<()> {
        let mut versions: Vec<&str> = KITS.iter().map(|kit| kit.helm).collect();
        versions.dedup();
        for version in versions {
            let cluster = Cluster::start()?;
            super::install(&cluster.kubeconfig_path(), version).await?;
        }
        Ok(())
    }
}

mod upstream {
    use anyhow::Result;
    use conformance::{
        tour::KITS,
        upstream::{Settings, Upstream},
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn a_chart_with_a_webhook_is_installed_on_upstream() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let upstream = Upstream::start(&Settings::new(directory.path())?)?;
        super::install(&upstream.kubeconfig, KITS[0].helm).await
    }
}
