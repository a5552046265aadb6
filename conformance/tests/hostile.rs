//! What no client should send. Each request gets the answer that upstream gives (`hostile/requests.txt`), costs nobody else
//! anything, and the server's memory stays bounded.

use std::{future::Future, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use conformance::{
    http::{self, Client},
    skiff::{self, Skiff},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

const REQUESTS: &str = include_str!("hostile/requests.txt");
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// What stands for a token in the table.
const TOKEN: &str = "$continue";
/// An honest client is answered within this, whatever others do. Generous: the programs are not optimised, and the
/// machine has other things to do.
const HONEST: Duration = Duration::from_secs(10);
/// A hostile one may take longer, since it is many.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much more memory than before an attack may cost.
const MORE_KIB_MAX: u64 = 256 << 10;

/// One request of the table with its answers.
struct Case {
    name: String,
    /// As it goes over the wire, to the last byte.
    bytes: Vec<u8>,
    upstream: Wanted,
    ours: Wanted,
}

/// `400 BadRequest message…`, of a watch `200 ADDED BOOKMARK`, `200 ERROR 410 Expired message…` or `200 silence`; or the code of
/// what went well alone.
#[derive(Clone, Debug)]
struct Wanted(String);

/// A server under attack.
struct Target {
    skiff: Skiff,
    honest: Client,
    before_kib: u64,
    _directory: tempfile::TempDir,
}

// === impl Case ===

fn cases() -> Vec<Case> {
    let blocks = REQUESTS.trim_end().split("\n\n# ").skip(1);
    blocks.map(Case::read).collect()
}

impl Case {
    fn read(block: &str) -> Case {
        let (request, answers) = block.split_once("\n=> ").expect("every request has an answer");
        let (head, body) = match request.split_once("\n\n") {
            Some((head, body)) => (head, Some(expand(body))),
            None => (request, None),
        };
        let mut lines = head.lines();
        let name = lines.next().expect("every request has a name").to_string();
        let line = lines.next().expect("every request has a method and a path");
        let mut bytes = expand(&format!("{line} HTTP/1.1\\x0d\\x0aHost: x\\x0d\\x0aConnection: close\\x0d\\x0a"));
        lines.for_each(|header| bytes.extend(expand(&format!("{header}\\x0d\\x0a"))));
        if let Some(body) = &body {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).into_bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body.unwrap_or_default());
        let mut answers = answers.lines().filter(|line| !line.starts_with("-- "));
        let upstream = Wanted(answers.next().unwrap_or_default().to_string());
        let ours = answers.next().and_then(|line| line.strip_prefix("!= ")).map(|text| Wanted(text.to_string()));
        Case { name, bytes, ours: ours.unwrap_or_else(|| upstream.clone()), upstream }
    }
}

/// Resolves `\xNN` and `<N*TEXT>`.
fn expand(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '<']) {
        out.extend(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        let byte = rest.strip_prefix("\\x").and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok());
        let run =
            rest[1..].split_once('*').and_then(|(n, more)| Some((n.parse::<usize>().ok()?, more.split_once('>')?)));
        match (byte, run) {
            (Some(byte), _) => {
                out.push(byte);
                rest = &rest[4..];
            }
            (None, Some((n, (unit, more)))) if rest.starts_with('<') => {
                out.extend(unit.as_bytes().repeat(n));
                rest = more;
            }
            _ => {
                out.push(rest.as_bytes()[0]);
                rest = &rest[1..];
            }
        }
    }
    out.extend(rest.as_bytes());
    out
}

// === impl Wanted ===

impl Wanted {
    fn check(&self, code: u16, body: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(body);
        let status = codec::json::any(body).map(|d| d.value).unwrap_or_default();
        let is_failure = status.str("kind") == "Status" && status.str("status") == "Failure";
        let said = match is_failure {
            true => failure(code.into(), &status),
            false => format!("{code} {}", frames(&text)),
        };
        let fits = match self.0.strip_suffix('…') {
            Some(beginning) => said.starts_with(beginning),
            None => said == self.0 || !is_failure && self.0 == code.to_string(),
        };
        let shown: String = text.chars().take(300).collect();
        ensure!(fits, "wanted {:?}, got {:?} ({shown})", self.0, said.chars().take(300).collect::<String>());
        Ok(())
    }
}

/// `400 BadRequest message`
fn failure(code: i64, status: &api::Value) -> String {
    let message = status.str("message").replace('\n', "\\n");
    let said = [code.to_string(), status.str("reason").to_owned(), message];
    said.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What a watch told, in the order of its frames.
fn frames(text: &str) -> String {
    let events = text.lines().filter_map(|line| Some(codec::json::any(line.as_bytes()).ok()?.value));
    let told = events.map(|event| match event.str("type") {
        "ERROR" => format!("ERROR {}", failure(event.at("object").int("code"), event.at("object"))),
        other => other.to_owned(),
    });
    let told: Vec<String> = told.filter(|told| !told.is_empty()).collect();
    if text.is_empty() { "silence".to_owned() } else { told.join(" ") }
}

/// Sends bytes over a connection of their own and reads all that comes back, or as much as comes before it breaks.
async fn answer(kubeconfig: &Path, bytes: &[u8]) -> Result<(u16, Vec<u8>)> {
    let (stream, _) = http::stream(kubeconfig, false).await?;
    let (mut reading, mut writing) = tokio::io::split(stream);
    // Whoever refuses a body stops reading it.
    let write = async {
        let _ = writing.write_all(bytes).await;
        std::future::pending::<()>().await;
    };
    let read = async {
        let mut all = Vec::new();
        let mut piece = vec![0; 64 << 10];
        while let Ok(len @ 1..) = reading.read(&mut piece).await {
            all.extend_from_slice(&piece[..len]);
        }
        all
    };
    let all = tokio::select! { all = read => all, () = write => Vec::new() };
    let end = all.windows(4).position(|w| w == b"\r\n\r\n").context("no answer")?;
    let head = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
    let code = head.get(9..12).context("no code")?.parse()?;
    let body = &all[end + 4..];
    Ok((code, if head.contains("chunked") { unchunked(body) } else { body.to_vec() }))
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(at) = body.windows(2).position(|w| w == b"\r\n") {
        let len = std::str::from_utf8(&body[..at]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        let Some(piece) = len.and_then(|len| body.get(at + 2..at + 2 + len)).filter(|p| !p.is_empty()) else { break };
        all.extend_from_slice(piece);
        body = body.get(at + 4 + piece.len()..).unwrap_or_default();
    }
    all
}

/// Makes what the table refers to.
async fn furnish(client: &Client) -> Result<()> {
    let json = [("content-type", "application/json")];
    for (path, body) in [
        (CONFIG_MAPS, r#"{"metadata":{"name":"kept"}}"#),
        (CONFIG_MAPS, r#"{"metadata":{"name":"last"}}"#),
        ("/api/v1/namespaces/default/serviceaccounts", r#"{"metadata":{"name":"default"}}"#),
    ] {
        let made = client.send("POST", path, &json, Bytes::from_static(body.as_bytes())).await?;
        ensure!(matches!(made.status, 201 | 409), "{path}: {}", made.status);
    }
    Ok(())
}

/// A token that goes on behind the first object.
async fn token(kubeconfig: &Path) -> Result<String> {
    let client = Client::from_kubeconfig(kubeconfig).await?;
    let page = client.send("GET", &format!("{CONFIG_MAPS}?limit=1"), &[], Bytes::new()).await?.json();
    let token = page.at("metadata").str("continue").to_owned();
    ensure!(!token.is_empty(), "{page:?}");
    Ok(token)
}

/// All that went wrong, by name.
async fn run(kubeconfig: &Path, wanted: fn(&Case) -> &Wanted) -> Result<Vec<String>> {
    let mut failed = Vec::new();
    let token = token(kubeconfig).await?;
    for mut case in cases() {
        if let Some(at) = case.bytes.windows(TOKEN.len()).position(|bytes| bytes == TOKEN.as_bytes()) {
            case.bytes.splice(at..at + TOKEN.len(), token.bytes());
        }
        let answered = timeout(PATIENCE, answer(kubeconfig, &case.bytes)).await.context("no answer in time");
        let checked = answered.and_then(|a| a).and_then(|(code, body)| wanted(&case).check(code, &body));
        if let Err(error) = checked {
            failed.push(format!("{}: {error:#}", case.name));
        }
    }
    Ok(failed)
}

// === impl Target ===

impl Target {
    async fn start() -> Result<Target> {
        let directory = tempfile::tempdir()?;
        let skiff = Skiff::start(&skiff::build()?, &directory.path().join("data"), &["--parts", "apiserver"])?;
        let honest = Client::from_kubeconfig(&skiff.kubeconfig).await?;
        skiff.wait_until_ready(&honest).await?;
        furnish(&honest).await?;
        let before_kib = pss_kib(skiff.pid())?;
        Ok(Target { skiff, honest, before_kib, _directory: directory })
    }

    /// Goes on asking as an honest client while an attack lasts, and looks at the memory.
    async fn under<T>(&self, attack: impl Future<Output = Result<T>>) -> Result<T> {
        let path = format!("{CONFIG_MAPS}/kept");
        let mut most = 0;
        let honest = async {
            loop {
                let asked = timeout(HONEST, self.honest.send("GET", &path, &[], Bytes::new()));
                let answered = asked.await.context("an honest client waited too long")??;
                ensure!(answered.status == 200, "an honest client got {}", answered.status);
                most = most.max(pss_kib(self.skiff.pid())?.saturating_sub(self.before_kib));
                ensure!(most < MORE_KIB_MAX, "{most} KiB more than before");
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            attacked = attack => attacked,
            failed = honest => failed.map(|()| unreachable!("it goes on until it fails")),
        }
    }
}

/// Memory of a process: what is its own, and its share of what is not.
fn pss_kib(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gets_upstreams_answer() -> Result<()> {
    let target = Target::start().await?;
    let failed = target.under(run(&target.skiff.kubeconfig, |case| &case.ours)).await?;
    ensure!(failed.is_empty(), "{}:\n{}", failed.len(), failed.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_huge_bodies_cost_nothing() -> Result<()> {
    let target = Target::start().await?;
    let huge =
        Case::read(REQUESTS.split("\n\n# ").find(|block| block.starts_with("100MB")).context("the table has one")?);
    let attack = async {
        let sent = (0..20).map(|_| answer(&target.skiff.kubeconfig, &huge.bytes));
        for (code, body) in futures_all(sent).await? {
            huge.ours.check(code, &body)?;
        }
        Ok(())
    };
    target.under(attack).await
}

/// Waits for all at once.
async fn futures_all<T>(all: impl Iterator<Item = impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    let mut waiting: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, place) in waiting.iter_mut().zip(&mut done).filter(|(_, place)| place.is_none()) {
            match future.as_mut().poll(cx) {
                std::task::Poll::Ready(Ok(value)) => *place = Some(value),
                std::task::Poll::Ready(Err(error)) => return std::task::Poll::Ready(Err(error)),
                std::task::Poll::Pending => {}
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(Ok(())) } else { std::task::Poll::Pending }
    })
    .await?;
    Ok(done.into_iter().flatten().collect())
}

/// Bodies that are sent but for their last byte are held until then, up to a bound for all of them together. Who comes
/// after that is told to come back, and can when the others have gone.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_never_end_fill_no_memory() -> Result<()> {
    const LEN: usize = 3 << 20;
    /// More of them than the bound has room for (128 MiB).
    const SENDERS: usize = 50;
    let target = Target::start().await?;
    let head = format!(
        "POST {CONFIG_MAPS}?dryRun=All HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {LEN}\r\n\r\n"
    );
    let most = [head.into_bytes(), vec![b' '; LEN - 1]].concat();
    // Blanks before an object are nothing, and take their room.
    let mut padded = vec![b' '; LEN - (64 << 10)];
    padded.extend_from_slice(br#"{"metadata":{"name":"padded"}}"#);
    let padded = Bytes::from(padded);
    let path = format!("{CONFIG_MAPS}?dryRun=All");
    let ask = || target.honest.send("POST", &path, &[("content-type", "application/json")], padded.clone());
    let attack = async {
        ensure!(ask().await?.status == 201, "there is room at first");
        let mut senders = Vec::new();
        for _ in 0..SENDERS {
            let (mut stream, _) = http::stream(&target.skiff.kubeconfig, false).await?;
            // Who is refused in the middle is not listened to any more.
            let _ = async {
                stream.write_all(&most).await?;
                stream.flush().await
            }
            .await;
            senders.push(stream);
        }
        let refused = timeout(PATIENCE, until(ask, 429)).await.context("there is room for all")??;
        let after = refused.headers.get("retry-after").and_then(|value| value.to_str().ok());
        ensure!(after == Some("1"), "{after:?}");
        let status = refused.json();
        let words = "Too many requests, please try again later.";
        ensure!((status.str("reason"), status.str("message")) == ("TooManyRequests", words), "{status:?}");
        drop(senders);
        timeout(PATIENCE, until(ask, 201)).await.context("the room is not given back")??;
        Ok(())
    };
    target.under(attack).await
}

/// Asks until the answer has this code.
async fn until<F: Future<Output = Result<http::Response>>>(ask: impl Fn() -> F, code: u16) -> Result<http::Response> {
    loop {
        let answer = ask().await?;
        if answer.status == code {
            return Ok(answer);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_are_in_nobodys_way() -> Result<()> {
    let target = Target::start().await?;
    let kubeconfig = &target.skiff.kubeconfig;
    let attack = async {
        let mut silent = Vec::new();
        for _ in 0..300 {
            silent.push(tokio::net::TcpStream::connect(("127.0.0.1", target.skiff.port)).await?);
        }
        let mut cut = Vec::new();
        for i in 0..60 {
            let (mut stream, _) = http::stream(kubeconfig, false).await?;
            let part: &[u8] = match i % 4 {
                0 => b"",
                1 => b"GET /api HTT",
                2 => b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
                _ => b"PUT /api/v1/namespaces/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n{",
            };
            stream.write_all(part).await?;
            stream.flush().await?;
            // Some go away in the middle, some stay.
            if i % 8 < 4 {
                cut.push(stream);
            }
        }
        for _ in 0..20 {
            Client::from_kubeconfig(kubeconfig).await?.send("GET", "/readyz", &[], Bytes::new()).await?;
        }
        Ok((silent, cut))
    };
    target.under(attack).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2023_44487_cve_2023_39325_rapid_resets_are_in_nobodys_way() -> Result<()> {
    let target = Target::start().await?;
    let attack = async {
        for _ in 0..10 {
            let (connection, _) = http::stream(&target.skiff.kubeconfig, true).await?;
            let (mut read, mut write) = tokio::io::split(connection);
            let sent = resets();
            // What is sent after the server has had enough goes nowhere.
            let (_, told) = tokio::join!(write.write_all(&sent), timeout(PATIENCE, last_words(&mut read)));
            let told = told.context("who resets for ever is listened to for ever")?;
            ensure!(told == Some(ENHANCE_YOUR_CALM), "the connection ended with {told:?}");
        }
        Ok(())
    };
    target.under(attack).await
}

/// The table goes over HTTP/1.1; most clients speak HTTP/2.
#[tokio::test(flavor = "multi_thread")]
async fn long_headers_are_taken_over_http_2_and_longer_ones_are_not() -> Result<()> {
    let target = Target::start().await?;
    for (len, code) in [(100 << 10, 200), (1_000 << 10, 200), (1_200 << 10, 431)] {
        let long = "a".repeat(len);
        let answer = target.honest.send("GET", CONFIG_MAPS, &[("x-a", &long)], Bytes::new()).await?;
        ensure!(answer.status == code, "{len}: {answer:?}");
    }
    Ok(())
}

/// A connection has so many streams as the server said, whoever asks; the next one is refused, and the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_upstreams_number_of_streams() -> Result<()> {
    let target = Target::start().await?;
    let streams = timeout(PATIENCE, streams(&target.skiff.kubeconfig)).await.context("nothing is refused")??;
    ensure!(streams == UPSTREAMS_STREAMS, "{streams:?}");
    Ok(())
}

/// What a server says of its streams and what it does.
#[derive(Debug, PartialEq)]
struct Streams {
    announced: u32,
    /// How many had been begun before the first that was refused, and how it was.
    begun: u32,
    refused: u32,
}

const UPSTREAMS_STREAMS: Streams = Streams { announced: 100, begun: 100, refused: REFUSED_STREAM };

/// Begins watches on one connection, which never end, until one is refused. As if it did not know of the limit: upstream finds
/// a fault with the connection of who says that it does.
async fn streams(kubeconfig: &Path) -> Result<Streams> {
    /// One of the settings, RFC 9113, 6.5.2.
    const MAX_CONCURRENT_STREAMS: [u8; 2] = [0, 3];
    let (connection, _) = http::stream(kubeconfig, true).await?;
    let (mut read, mut write) = tokio::io::split(connection);
    write.write_all(&[PREFACE, &SETTINGS].concat()).await?;
    let path = format!("{CONFIG_MAPS}?watch=1");
    let block = block(path.as_bytes());
    let mut announced = None;
    loop {
        let (kind, flags, id, payload) = frame(&mut read).await?;
        match kind {
            // The server's own settings, and not that it has read these.
            4 if flags & 1 == 0 => {
                let limit = payload.chunks(6).find(|setting| setting[..2] == MAX_CONCURRENT_STREAMS);
                let limit = limit.context("no limit is announced")?;
                let limit = u32::from_be_bytes(limit[2..].try_into()?);
                announced = Some(limit);
                for id in (1..2 * limit + 2).step_by(2) {
                    write.write_all(&headers(&block, id)).await?;
                }
                write.flush().await?;
            }
            // RST_STREAM
            3 => {
                let refused = u32::from_be_bytes(payload.try_into().map_err(|_| anyhow::anyhow!("it says why"))?);
                return Ok(Streams { announced: announced.context("it came first")?, begun: (id - 1) / 2, refused });
            }
            // GOAWAY
            7 => anyhow::bail!("the connection ends: {payload:?}"),
            _ => {}
        }
    }
}

/// RFC 9113, 7.
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A connection's whole side, as no library would say it: requests, each taken back at once.
fn resets() -> Vec<u8> {
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    let block = block(b"/api/v1/pods");
    let mut bytes = [PREFACE, &SETTINGS].concat();
    for id in (1..4_000_u32).step_by(2) {
        bytes.extend(headers(&block, id));
        bytes.extend([&[0, 0, 4, 3, 0][..], &id.to_be_bytes(), &CANCEL].concat());
    }
    bytes
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// No settings.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// GET, https, and two that are said in full: `:path` and `:authority`.
fn block(path: &[u8]) -> Vec<u8> {
    let len = u8::try_from(path.len()).unwrap_or(u8::MAX);
    [&[0x82, 0x87, 0x04, len][..], path, &[0x01, 1], b"x"].concat()
}

/// A whole request without a body.
fn headers(block: &[u8], id: u32) -> Vec<u8> {
    let len = u8::try_from(block.len()).unwrap_or(u8::MAX);
    [&[0, 0, len, 1, 0x5][..], &id.to_be_bytes(), block].concat()
}

/// The next frame of HTTP/2: its type, flags, stream and payload.
async fn frame(connection: &mut (impl AsyncReadExt + Unpin)) -> Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    connection.read_exact(&mut head).await?;
    let [a, b, c, kind, flags, id @ ..] = head;
    let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c]))?];
    connection.read_exact(&mut payload).await?;
    Ok((kind, flags, u32::from_be_bytes(id), payload))
}

/// Why the server ended a connection of HTTP/2; none when it went without a word.
async fn last_words(connection: &mut (impl AsyncReadExt + Unpin)) -> Option<u32> {
    let mut why = None;
    while let Ok((kind, _, _, payload)) = frame(connection).await {
        if let (7, Some(code)) = (kind, payload.get(4..8)) {
            why = code.try_into().ok().map(u32::from_be_bytes);
        }
    }
    why
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_watchers_that_do_not_read_cost_little() -> Result<()> {
    let target = Target::start().await?;
    let attack = async {
        let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion=0");
        let mut watchers = Vec::new();
        for _ in 0..10 {
            let client = Client::from_kubeconfig(&target.skiff.kubeconfig).await?;
            for _ in 0..100 {
                let begun = client.open("GET", &path, &[], Bytes::new()).await?;
                ensure!(begun.status() == 200, "a watcher got {}", begun.status());
                watchers.push(begun);
            }
        }
        let text = "x".repeat(500 << 10);
        for i in 0..40 {
            let body = format!(r#"{{"data":{{"text":"{i}{text}"}}}}"#);
            let headers = [("content-type", "application/merge-patch+json")];
            let written = target.honest.send("PATCH", &format!("{CONFIG_MAPS}/kept"), &headers, body.into()).await?;
            ensure!(written.status == 200, "a write got {}", written.status);
        }
        Ok(watchers)
    };
    target.under(attack).await.map(drop)
}

mod upstream {
    use conformance::upstream::{Settings, Upstream};

    use super::*;

    /// The table is true.
    #[tokio::test(flavor = "multi_thread")]
    async fn each_answer_of_the_table_is_upstreams() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let upstream = Upstream::start(&Settings::new(directory.path())?)?;
        furnish(&Client::from_kubeconfig(&upstream.kubeconfig).await?).await?;
        let failed = run(&upstream.kubeconfig, |case| &case.upstream).await?;
        ensure!(failed.is_empty(), "{}:\n{}", failed.len(), failed.join("\n"));
        let streams = timeout(PATIENCE, streams(&upstream.kubeconfig)).await.context("nothing is refused")??;
        ensure!(streams == UPSTREAMS_STREAMS, "{streams:?}");
        Ok(())
    }
}
