//! Scenarios: files of rows, each of which is sent to both servers.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use api::{Value, value};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use conformance::{clock::now, upstream::Settings};
use regex::Regex;
use tempfile::TempDir;

use crate::{
    beside::Beside,
    issuer::Signers,
    sides::{Answer, Ask, Keys, Side, Sides},
};

/// What both servers and their surroundings are started with.
pub struct Stage {
    pub directory: TempDir,
    pub settings: Settings,
    pub keys: Keys,
    pub beside: Beside,
    signers: Arc<Signers>,
    /// What stands for what in the texts of rows.
    names: BTreeMap<String, String>,
}

/// One row as it is sent.
struct Row {
    name: String,
    ask: Ask,
    what: Value,
}

/// What one side made of a row.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    status: u16,
    said: String,
    asked: Vec<String>,
}

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ONESELF: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
/// Headers that are compared.
const COMPARED: [&str; 5] = ["content-type", "www-authenticate", "warning", "x-content-type-options", "retry-after"];
/// Shorter tokens are words that may stand anywhere.
const TELLING: usize = 20;
/// What follows a write may take so long: what is remembered of tokens is kept for ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a scenario, and tells of all rows that differ.
pub async fn run(text: &str) -> Result<()> {
    let scenario = codec::yaml::any(text.as_bytes())?;
    let mut stage = Stage::new().await?;
    for (name, text) in scenario.at("define").members() {
        stage.names.insert(format!("{{{name}}}"), text.as_str().unwrap_or_default().to_owned());
    }
    stage.write(scenario.at("files"))?;
    let filled = |list: &str| scenario.list(list).iter().map(|row| stage.filled(row)).collect::<Vec<Value>>();
    stage.beside.answers(filled("answers"));
    let flags: Vec<String> = filled("flags").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let sides = Sides::start(&stage.directory, stage.settings.clone(), &flags).await?;
    let (mut faults, mut tokens, mut sent) = (Vec::new(), Vec::new(), 0);
    for row in scenario.list("requests") {
        for row in stage.rows(row)? {
            sent += 1;
            let bearer = row.ask.headers.iter().filter_map(|(_, value)| value.strip_prefix("Bearer "));
            tokens.extend(bearer.filter(|token| token.len() > TELLING).map(str::to_owned));
            stage.compare(&sides, &row).await.with_context(|| row.name.clone())?.into_iter().for_each(|fault| {
                faults.push(format!("{}: {fault}", row.name));
            });
        }
    }
    // CVE-2019-11250: no token stands in a log.
    let log = std::fs::read_to_string(&sides.log)?;
    for token in &tokens {
        ensure!(!log.contains(token.as_str()), "a token stands in our log");
    }
    ensure!(sent > 10, "only {sent} rows were sent");
    ensure!(faults.is_empty(), "{} of {sent} rows differ:\n{}", faults.len(), faults.join("\n"));
    Ok(())
}

// === impl Stage ===

impl Stage {
    pub async fn new() -> Result<Stage> {
        let directory = tempfile::tempdir()?;
        let settings = Settings::new(&directory.path().join("upstream"))?;
        let keys = Keys::complete(&settings.lay_out_keys()?)?;
        let account = std::fs::read_to_string(keys.folder.join("service-account.key"))?;
        let signers = Arc::new(Signers::new(&account)?);
        let beside = Beside::start(&keys, signers.clone()).await?;
        let files = directory.path().join("files");
        std::fs::create_dir_all(&files)?;
        let authority = keys.authority.bundle_pem().trim_end().replace('\n', "\n      ");
        let names = [
            ("{dir}", files.display().to_string()),
            ("{keys}", keys.folder.display().to_string()),
            ("{hook}", beside.url.clone()),
            ("{issuer}", format!("{}/oidc", beside.url)),
            ("{ca-indented}", authority),
        ];
        let names = names.map(|(name, text)| (name.to_owned(), text)).into();
        Ok(Stage { directory, settings, keys, beside, signers, names })
    }

    /// Writes files that a row names; what is put in for names is put in.
    pub fn write(&self, files: &Value) -> Result<()> {
        for (name, text) in files.members() {
            std::fs::write(self.file(name), self.text(text.as_str().unwrap_or_default()))?;
        }
        Ok(())
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("files").join(name)
    }

    pub fn text(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, put)| text.replace(name, put))
    }

    fn filled(&self, tree: &Value) -> Value {
        match tree {
            Value::Str(text) => self.text(text).into(),
            Value::Array(items) => items.iter().map(|item| self.filled(item)).collect(),
            Value::Object(_) => {
                let mut filled = Value::object();
                tree.members().for_each(|(name, member)| filled.set(name, self.filled(member)));
                filled
            }
            other => other.clone(),
        }
    }

    /// A row, and after it the reviews of its token.
    fn rows(&self, row: &Value) -> Result<Vec<Row>> {
        let row = self.filled(row);
        let mut ask = Ask {
            path: row.opt_str("path").unwrap_or(ONESELF).to_owned(),
            certificate: row.opt_str("certificate").map(str::to_owned),
            ..Ask::default()
        };
        let token = match row.at("jwt").is_null() {
            true => row.opt_str("token").map(str::to_owned),
            false => Some(self.signers.token(row.at("jwt"), &self.text("{issuer}"), now()?)?),
        };
        let mut header = |name: &str, value: &str| ask.headers.push((name.to_owned(), value.to_owned()));
        if let Some(token) = &token {
            header("authorization", &format!("Bearer {token}"));
        }
        for (i, name) in row.list("as").iter().enumerate() {
            let kind = if i == 0 { "impersonate-user" } else { "impersonate-group" };
            header(kind, name.as_str().unwrap_or_default());
        }
        for pair in row.list("headers") {
            let part = |i: usize| pair.items().get(i).and_then(Value::as_str).unwrap_or_default();
            header(part(0), part(1));
        }
        let oneself = value!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"});
        let is_oneself = row.at("path").is_null();
        let body = if is_oneself { &oneself } else { row.at("body") };
        ask.body = (!body.is_null()).then(|| codec::json::to_string(body));
        ask.method = row.opt_str("method").unwrap_or(if body.is_null() { "GET" } else { "POST" }).to_owned();
        if ask.body.is_some() && !ask.headers.iter().any(|(name, _)| name == "content-type") {
            ask.headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let name = row.str("name").to_owned();
        let reviewed = token.filter(|_| is_oneself && !row.bool("plain"));
        let mut rows = vec![Row { name: name.clone(), ask, what: row.clone() }];
        let audiences = row.list("audiences");
        let audiences = if audiences.is_empty() { &[Value::Null][..] } else { audiences };
        for (token, audiences) in reviewed.iter().flat_map(|token| audiences.iter().map(move |them| (token, them))) {
            rows.push(review(&name, token, audiences, &row));
        }
        Ok(rows)
    }

    /// Sends a row to both, again and again where it is to become true, and says what differs.
    async fn compare(&mut self, sides: &Sides, row: &Row) -> Result<Option<String>> {
        let what = &row.what;
        let wanted = what.at("eventually");
        let last = std::sync::Mutex::new(None);
        let differs = async {
            loop {
                let (answer, theirs) = self.outcome(&sides.upstream, row).await?;
                self.keep(what, &answer);
                if what.str("at") == "upstream" {
                    ensure!((200..300).contains(&theirs.status), "upstream says {}", theirs.said);
                    return anyhow::Ok(None);
                }
                let (_, ours) = self.outcome(&sides.ours, row).await?;
                let fault = fault(what, &theirs, &ours);
                let is_there = wanted.as_int().is_none_or(|code| i64::from(theirs.status) == code);
                if wanted.is_null() || fault.is_none() && is_there {
                    return Ok(fault);
                }
                *last.lock().expect("nobody panics with it") = fault.or(Some(format!("{} at both", theirs.said)));
            }
        };
        let differs = tokio::time::timeout(PATIENCE, differs).await;
        let differs = match differs {
            Ok(differs) => differs?,
            Err(_) => last.into_inner().expect("nobody panics with it"),
        };
        Ok(match (what.opt_str("known"), differs) {
            (None, differs) => differs,
            (Some(_), Some(_)) => None,
            (Some(why), None) => Some(format!("it is known to differ ({why}), and does not")),
        })
    }

    async fn outcome(&self, side: &Side, row: &Row) -> Result<(Answer, Outcome)> {
        self.beside.asked();
        let answer = side.send(&row.ask).await?;
        let shown: Vec<String> = COMPARED
            .iter()
            .flat_map(|name| answer.headers.get_all(*name).iter().map(move |value| format!("{name}: {value:?}")))
            .collect();
        let is_dry = row.ask.path.contains("dryRun");
        let said = format!("{} {} {}", answer.status, shown.join(", "), masked(&answer.body, is_dry));
        let outcome = Outcome { status: answer.status, said, asked: self.beside.asked() };
        Ok((answer, outcome))
    }

    /// Members of an answer that later rows name.
    fn keep(&mut self, what: &Value, answer: &Answer) {
        let object = codec::json::any(answer.body.as_bytes()).map(|read| read.value).unwrap_or_default();
        for (name, path) in what.at("keep").members() {
            let path: Vec<&str> = path.as_str().unwrap_or_default().split('.').collect();
            let found = object.at_path(&path).as_str().unwrap_or("nothing").to_owned();
            self.names.insert(format!("{{kept:{name}}}"), found);
        }
    }
}

fn review(name: &str, token: &str, audiences: &Value, row: &Value) -> Row {
    let mut spec = value!({"token": (token)});
    if !audiences.is_null() {
        spec.set("audiences", audiences.clone());
    }
    let body = value!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": (spec)});
    let mut what = Value::object();
    for member in ["known", "uncounted"] {
        what.set(member, row.at(member).clone());
    }
    let ask = Ask {
        method: "POST".to_owned(),
        path: REVIEWS.to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Some(codec::json::to_string(&body)),
        certificate: Some("admin".to_owned()),
    };
    Row { name: format!("{name}, reviewed for {}", codec::json::to_string(audiences)), ask, what }
}

fn fault(what: &Value, theirs: &Outcome, ours: &Outcome) -> Option<String> {
    let is_alike = theirs.status == ours.status && (what.bool("unlike") || theirs.said == ours.said);
    if !is_alike {
        return Some(format!("\n  upstream {}\n  here     {}", theirs.said, ours.said));
    }
    let is_counted = !what.bool("uncounted");
    let asked = |side: &Outcome| format!("{} times {}", side.asked.len(), side.asked.first().map_or("", |a| a));
    (is_counted && theirs.asked != ours.asked)
        .then(|| format!("\n  upstream asks {}\n  here          {}", asked(theirs), asked(ours)))
}

/// Without what may differ: times, revisions, tokens' signatures, and the order of what upstream puts out in none.
fn masked(body: &str, is_dry: bool) -> String {
    let replace = |text: &str, pattern: &str, by: &str| {
        Regex::new(pattern).expect("the pattern is right").replace_all(text, by).into_owned()
    };
    let mut text = sorted(body);
    for (pattern, by) in [
        (r#""(creationTimestamp|expirationTimestamp|deletionTimestamp|time|resourceVersion)":"[^"]*""#, r#""$1":"…""#),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? \+0000 UTC( m=\+[\d.]+)?", "TIME"),
        // Upstream's clients race with themselves about which of these it is.
        (r"net/http: request canceled \(Client.Timeout exceeded while awaiting headers\)", "LATE"),
        (r"context deadline exceeded( \(Client.Timeout exceeded while awaiting headers\))?", "LATE"),
    ] {
        text = replace(&text, pattern, by);
    }
    if is_dry {
        text = replace(&text, r#""uid":"[0-9a-f-]{36}""#, r#""uid":"…""#);
    }
    let tokens = Regex::new(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]*").expect("the pattern is right");
    tokens
        .replace_all(&text, |found: &regex::Captures<'_>| shown(&found[0]).unwrap_or_else(|_| "TOKEN".into()))
        .into_owned()
}

/// What a token says, but for times and its own name.
fn shown(token: &str) -> Result<String> {
    let Some((header, rest)) = token.split_once('.') else { bail!("no token") };
    let payload = rest.split('.').next().unwrap_or_default();
    let mut claims = codec::json::any(&URL_SAFE_NO_PAD.decode(payload)?)?.value;
    for claim in ["exp", "iat", "nbf", "jti"] {
        claims.remove(claim);
    }
    if let Some(own) = claims.get_mut("kubernetes.io") {
        own.remove("warnafter");
    }
    let header = String::from_utf8(URL_SAFE_NO_PAD.decode(header)?)?;
    Ok(format!("<{header} {}>", codec::json::to_string(&claims).replace('"', "'")))
}

/// Rules of a review come in no order.
fn sorted(body: &str) -> String {
    let Ok(read) = codec::json::any(body.as_bytes()) else { return body.to_owned() };
    let mut object = read.value;
    if object.str("kind") != "SelfSubjectRulesReview" {
        return body.to_owned();
    }
    for list in ["resourceRules", "nonResourceRules"] {
        let mut rules = object.at("status").list(list).to_vec();
        rules.sort_by_key(codec::json::to_string);
        if let Some(status) = object.get_mut("status") {
            status.set(list, Value::array(rules));
        }
    }
    codec::json::to_string(&object)
}
