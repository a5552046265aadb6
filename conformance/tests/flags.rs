//! What flags say to a server, as its clients see it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use api::{Value, value};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use certs::{Authority, Names, PrivateKey, Profile, tls};
use conformance::{clock::now, http::Client};
use rustls::pki_types::ServerName;
use skiff_test::Cluster;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

async fn get(client: &Client, path: &str) -> Result<Value> {
    let answer = client.send("GET", path, &[], Bytes::new()).await?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    Ok(answer.json())
}

async fn create(client: &Client, path: &str, object: &Value) -> Result<Value> {
    let answer = client.send("POST", path, JSON, Bytes::from(codec::json::to_string(object))).await?;
    ensure!(answer.status == 201, "{path}: {answer:?}");
    Ok(answer.json())
}

/// A connection to a cluster by somebody who believes these authorities and asks for this name.
async fn connected(cluster: &Cluster, believed: &str, name: &str) -> Result<TlsStream<TcpStream>> {
    let config = tls::client_config(believed, None, true)?;
    let tcp = TcpStream::connect(cluster.url().trim_start_matches("https://")).await?;
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned())?, tcp).await?)
}

fn authority_of(cluster: &Cluster) -> Result<String> {
    let config = codec::yaml::any(cluster.kubeconfig().as_bytes())?;
    let clusters = config.list("clusters").first().context("no cluster")?.at("cluster").clone();
    Ok(String::from_utf8(STANDARD.decode(clusters.str("certificate-authority-data"))?)?)
}

#[tokio::test]
async fn browsers_are_told_who_may_ask_and_how_to_come_back() -> Result<()> {
    let cluster = Cluster::builder()
        .flag("--cors-allowed-origins=//pages\\.example(:|$)")
        .flag("--strict-transport-security-directives=max-age=7,includeSubDomains")
        .start()?;
    let client = Client::from_kubeconfig(&cluster.kubeconfig_path()).await?;
    let asked = |method: &'static str, path: &'static str, origin: &'static str| {
        let client = client.clone();
        async move { client.send(method, path, &[("origin", origin)], Bytes::new()).await }
    };
    let shown = |answer: &conformance::http::Response, name: &str| {
        answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    // A preflight asks for nothing, and so nobody has to be known.
    let preflight = asked("OPTIONS", "/api/v1/namespaces/default/pods", "https://pages.example").await?;
    ensure!(preflight.status == 204 && preflight.body.is_empty(), "{preflight:?}");
    for (name, wanted) in [
        ("access-control-allow-origin", "https://pages.example"),
        ("access-control-allow-methods", "POST, GET, OPTIONS, PUT, DELETE, PATCH"),
        ("access-control-expose-headers", "Date"),
        ("access-control-allow-credentials", "true"),
        ("strict-transport-security", "max-age=7; includeSubDomains"),
        ("cache-control", "no-cache, private"),
    ] {
        ensure!(shown(&preflight, name) == wanted, "{name}: {preflight:?}");
    }
    let answer = asked("GET", "/api", "http://pages.example:8080").await?;
    ensure!(answer.status == 200 && shown(&answer, "access-control-allow-origin") == "http://pages.example:8080");
    let answer = asked("GET", "/api", "https://pages.example.evil").await?;
    ensure!(answer.status == 200 && shown(&answer, "access-control-allow-origin").is_empty(), "{answer:?}");
    ensure!(shown(&answer, "strict-transport-security") == "max-age=7; includeSubDomains");
    Ok(())
}

#[tokio::test]
async fn a_server_is_called_by_its_external_name() -> Result<()> {
    let cluster = Cluster::builder().flag("--external-hostname=api.example").start()?;
    let client = Client::from_kubeconfig(&cluster.kubeconfig_path()).await?;
    let name = format!("api.example:{}", client.port());
    let api = get(&client, "/api").await?;
    let told = api.list("serverAddressByClientCIDRs").first().map(|one| one.str("serverAddress").to_owned());
    ensure!(told.as_deref() == Some(&name), "{api:?}");
    let issuer = get(&client, "/.well-known/openid-configuration").await?;
    ensure!(issuer.str("jwks_uri") == format!("https://{name}/openid/v1/jwks"), "{issuer:?}");
    Ok(())
}

#[tokio::test]
async fn who_asks_for_a_name_is_shown_its_certificate() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let authority = Authority::generate("names", now()?)?;
    let mut names = Names::default();
    ["sni.example", "127.0.0.1"].iter().for_each(|name| names.add(name));
    let issued = authority.issue(&Profile::server("sni.example", names), now()?)?;
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("crt"), &issued.certificate_pem)?;
    std::fs::write(at("key"), issued.key.to_pem())?;
    let pair = format!("--tls-sni-cert-key={},{}", at("crt").display(), at("key").display());
    let cluster = Cluster::builder().flag(&pair).start()?;
    let (theirs, own) = (authority.bundle_pem().to_owned(), authority_of(&cluster)?);
    ensure!(connected(&cluster, &theirs, "sni.example").await.is_ok());
    ensure!(connected(&cluster, &own, "localhost").await.is_ok());
    ensure!(connected(&cluster, &theirs, "localhost").await.is_err());
    // Who asks by address asks for no name; addresses in certificates do not count.
    ensure!(connected(&cluster, &own, "127.0.0.1").await.is_ok());
    let cluster = Cluster::builder().flag(format!("{pair}:127.0.0.1,*.said.example")).start()?;
    ensure!(connected(&cluster, &theirs, "127.0.0.1").await.is_ok(), "but those that are said");
    ensure!(connected(&cluster, &theirs, "sni.example").await.is_ok(), "what stands in it is looked at last");
    let own = authority_of(&cluster)?;
    ensure!(connected(&cluster, &own, "localhost").await.is_ok(), "who asks for a name is not told by his address");
    Ok(())
}

#[tokio::test]
async fn connections_are_as_they_are_said_to_be() -> Result<()> {
    let cluster = Cluster::builder().flag("--http2-max-streams-per-connection=7").start()?;
    let mut stream = connected(&cluster, &authority_of(&cluster)?, "localhost").await?;
    ensure!(stream.get_ref().1.alpn_protocol() == Some(b"h2".as_slice()));
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    stream.flush().await?;
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let [a, b, c, kind, ..] = head;
    let mut settings = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut settings).await?;
    // SETTINGS, and in them MAX_CONCURRENT_STREAMS.
    ensure!(kind == 4 && settings.chunks(6).any(|one| one == [0, 3, 0, 0, 0, 7]), "{settings:?}");

    let cluster = Cluster::builder().flag("--disable-http2-serving").start()?;
    let stream = connected(&cluster, &authority_of(&cluster)?, "localhost").await?;
    ensure!(stream.get_ref().1.alpn_protocol() == Some(b"http/1.1".as_slice()));
    Ok(())
}

#[tokio::test]
async fn families_are_left_out_and_tokens_end_when_they_say() -> Result<()> {
    let cluster = Cluster::builder()
        .flag("--disabled-metrics=apiserver_request_total,kubernetes_build_info")
        .flag("--service-account-extend-token-expiration=false")
        .start()?;
    let client = Client::from_kubeconfig(&cluster.kubeconfig_path()).await?;
    get(&client, "/api").await?;
    // A request is counted when all of its answer is gone.
    let is_counted = |_: u16, page: &str| page.contains("apiserver_request_duration_seconds");
    let text = client.until_answered("/metrics", is_counted).await?;
    ensure!(!text.contains("apiserver_request_total"), "{text}");
    ensure!(!text.contains("kubernetes_build_info"));

    let account = value!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}});
    create(&client, "/api/v1/namespaces/default/serviceaccounts", &account).await?;
    let pod = value!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"serviceAccountName": "a", "containers": [{"name": "c", "image": "i"}]}
    });
    create(&client, "/api/v1/namespaces/default/pods", &pod).await?;
    // As long as kubelets ask for, who may be told that a token lives on.
    let request = value!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3607, "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}
    });
    let made = create(&client, "/api/v1/namespaces/default/serviceaccounts/a/token", &request).await?;
    let token = made.at("status").str("token").to_owned();
    let claims = token.split('.').nth(1).context("it has claims")?;
    let claims = codec::json::any(&URL_SAFE_NO_PAD.decode(claims)?)?.value;
    ensure!(claims.int("exp") - claims.int("iat") == 3607 && claims.at("kubernetes.io").at("warnafter").is_null());
    Ok(())
}

/// A service account's token is made in the name of the first issuer, and believed when it is of any.
#[tokio::test]
async fn several_issuers_are_believed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let key = PrivateKey::generate()?;
    let file = directory.path().join("key");
    std::fs::write(&file, key.to_pem())?;
    let public = directory.path().join("pub");
    std::fs::write(&public, key.public_pem())?;
    let start = |issuers: &[&str]| {
        let keys = [
            format!("--service-account-signing-key-file={}", file.display()),
            format!("--service-account-key-file={}", public.display()),
            // It is not the audience that makes the difference.
            "--api-audiences=here".to_owned(),
        ];
        let issuers = issuers.iter().map(|issuer| format!("--service-account-issuer={issuer}"));
        issuers.chain(keys).fold(Cluster::builder(), skiff_test::Builder::flag).start()
    };
    let (old, both, new) = (
        start(&["https://old.example"])?,
        start(&["https://new.example", "https://old.example"])?,
        start(&["https://new.example"])?,
    );
    let mut tokens = Vec::new();
    for cluster in [&old, &both, &new] {
        let client = Client::from_kubeconfig(&cluster.kubeconfig_path()).await?;
        let account = value!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}});
        create(&client, "/api/v1/namespaces/default/serviceaccounts", &account).await?;
        let request = value!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let made = create(&client, "/api/v1/namespaces/default/serviceaccounts/a/token", &request).await?;
        tokens.push(made.at("status").str("token").to_owned());
    }
    // Each knows another account by that name: the token is read where its issuer is believed, and no further.
    let why = |cluster: &Cluster, token: &str| {
        let (path, token) = (cluster.kubeconfig_path(), token.to_owned());
        async move {
            let client = Client::from_kubeconfig(&path).await?;
            let review = value!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}
            });
            let said = create(&client, "/apis/authentication.k8s.io/v1/tokenreviews", &review).await?;
            let status = said.at("status");
            anyhow::Ok(if status.bool("authenticated") { "yes".to_owned() } else { status.str("error").to_owned() })
        }
    };
    let [of_old, of_both, of_new] = tokens.as_slice() else { anyhow::bail!("{tokens:?}") };
    ensure!(why(&old, of_old).await? == "yes" && why(&both, of_both).await? == "yes");
    let known = |why: &str| why.contains("does not match claim");
    ensure!(known(&why(&both, of_old).await?), "it is of the second");
    ensure!(known(&why(&new, of_both).await?) && known(&why(&both, of_new).await?), "it is of the first");
    ensure!(!known(&why(&new, of_old).await?) && !known(&why(&old, of_both).await?), "it is of nobody's");
    Ok(())
}
