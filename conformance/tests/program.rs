//! The program as its user meets it: refusals that say what to do, a kubeconfig that works, starts that go on, an end that
//! leaves nobody without an answer.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use api::{Value, value};
use bytes::Bytes;
use conformance::{
    http::{self, Client, Response},
    ports,
    skiff::{self, Skiff},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const EVENTS: &str = "/api/v1/namespaces/default/events";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
/// Where SQLite's format says whose file it is.
const APPLICATION: std::ops::Range<usize> = 68..72;

async fn get(client: &Client, path: &str) -> Result<Value> {
    let answer = client.send("GET", path, &[], Bytes::new()).await?;
    ensure!(answer.status == 200, "{path}: {answer:?}");
    Ok(answer.json())
}

async fn create(client: &Client, path: &str, object: &Value) -> Result<Response> {
    let answer = client.send("POST", path, &JSON, Bytes::from(codec::json::to_string(object))).await?;
    ensure!(answer.status == 201, "{path}: {answer:?}");
    Ok(answer)
}

fn config_map(name: &str) -> Value {
    value!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"a": "1"}})
}

async fn started(program: &Path, data: &Path, more: &[&str]) -> Result<(Skiff, Client)> {
    let skiff = Skiff::start(program, data, &[&["--parts", "apiserver"], more].concat())?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    Ok((skiff, client))
}

/// Has it end as it should, with its log folded into the database.
fn stop(mut skiff: Skiff) -> Result<()> {
    skiff.signal("TERM")?;
    let status = skiff.wait_for_end()?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

fn run(program: &Path, arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(program).args(arguments).stdin(Stdio::null()).output()?)
}

/// What it says when it does not start: one line, and no success.
fn refusal(program: &Path, arguments: &[&str]) -> Result<String> {
    let Output { status, stderr, stdout } = run(program, arguments)?;
    let said = String::from_utf8_lossy(&stderr).into_owned();
    ensure!(status.code().is_some_and(|code| code != 0), "{arguments:?} ended with {status}: {said}");
    ensure!(said.lines().count() == 1, "{arguments:?} is not refused in one sentence: {said}");
    let promised = String::from_utf8_lossy(&stdout).into_owned();
    ensure!(promised.is_empty(), "{arguments:?} is refused, but said before: {promised}");
    Ok(said.trim_end().to_owned())
}

/// The beginning and the end of each refusal: what is wrong, and what to do.
#[test]
fn wrong_flags_are_refused_in_one_sentence() -> Result<()> {
    let program = skiff::build()?;
    let help = "; `skiff up --help` says what there is";
    let cases: [(&[&str], &str, &str); 11] = [
        (&["up", "--nosuch"], "Error: unknown flag: --nosuch", help),
        (&["up", "-x"], "Error: unknown shorthand flag: 'x' in -x", help),
        (&["up", "more"], "Error: \"skiff up\" does not take any arguments, got [\"more\"]", help),
        (&["up", "--data-dir"], "Error: flag needs an argument: --data-dir", help),
        (
            &["up", "--secure-port", "x"],
            "Error: invalid argument \"x\" for \"--secure-port\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            help,
        ),
        (
            &["up", "--secure-port=70000"],
            "Error: invalid argument \"70000\" for \"--secure-port\" flag: it must be between 1 and 65535, inclusive",
            help,
        ),
        (
            &["up", "--bind-address=here"],
            "Error: invalid argument \"here\" for \"--bind-address\" flag: failed to parse IP: \"here\"",
            help,
        ),
        (&["nosuch"], "Error: unknown command \"nosuch\" for \"skiff\"", "; `skiff --help` says what there is"),
        (&["up", "--parts=cloud"], "skiff: --parts: there is no part \"cloud\"; there are: apiserver,", "dns"),
        (
            &["apiserver", "--tls-cert-file=x"],
            "Error: required flag(s) --tls-private-key-file not set",
            "; `skiff apiserver --help` says what there is",
        ),
        (
            &["apiserver", "--service-cluster-ip-range=all"],
            "skiff: --service-cluster-ip-range: \"all\" is neither a CIDR nor one of each family",
            "by comma",
        ),
    ];
    for (arguments, begins, ends) in cases {
        let said = refusal(&program, arguments)?;
        ensure!(said.starts_with(begins) && said.ends_with(ends), "{arguments:?}: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_start_says_so_and_harms_nobody() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (program, data) = (skiff::build()?, directory.path().join("data"));
    let (skiff, client) = started(&program, &data, &[]).await?;
    create(&client, CONFIG_MAPS, &config_map("kept")).await?;
    let kubeconfig = fs::read(&skiff.kubeconfig)?;
    let with = |port: u16, data: &Path| {
        let arguments = ["up", "--parts=apiserver", &format!("--secure-port={port}"), "--data-dir"];
        let data = data.to_string_lossy().into_owned();
        arguments.iter().map(|word| (*word).to_owned()).chain([data]).collect::<Vec<String>>()
    };
    let refused = |port: u16, data: &Path| {
        let arguments = with(port, data);
        refusal(&program, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };

    let said = refused(skiff.port, &directory.path().join("other"))?;
    let words = "is taken or not ours to listen on; choose another with --secure-port or --bind-address";
    ensure!(said.contains(&skiff.port.to_string()) && said.contains(words), "a port in use: {said}");

    let said = refused(0, &data);
    ensure!(said.is_err() || said.is_ok_and(|said| said.contains("--secure-port")), "port 0");

    let free = ports::on_loopback()?;
    let said = refused(free, &data)?;
    let words = "is in use by another process: stop that one, or choose another directory with --data-dir";
    ensure!(said.contains("data/db") && said.contains(words), "a directory in use: {said}");

    let file = directory.path().join("file");
    fs::write(&file, "not a directory")?;
    // Nobody may make directories in the kernel's own tree, whoever they are.
    for place in [file.join("data"), PathBuf::from("/sys/skiff-test")] {
        let said = refused(free, &place)?;
        let words = "make it one that can be written to, or choose another directory with --data-dir";
        ensure!(said.contains(&*place.to_string_lossy()) && said.contains(words), "{}: {said}", place.display());
    }

    ensure!(fs::read(&skiff.kubeconfig)? == kubeconfig, "the way to the running server was overwritten");
    get(&client, &format!("{CONFIG_MAPS}/kept")).await?;
    stop(skiff)?;
    let (_skiff, client) = started(&program, &data, &[]).await?;
    get(&client, &format!("{CONFIG_MAPS}/kept")).await?;
    Ok(())
}

/// A database that is not as it was written, or somebody else's, is left as it is; put back, it is served again.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_no_good_is_left_alone() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (program, data) = (skiff::build()?, directory.path().join("data"));
    let (skiff, client) = started(&program, &data, &[]).await?;
    create(&client, CONFIG_MAPS, &config_map("kept")).await?;
    stop(skiff)?;

    let database = database(&data.join("db"))?;
    let whole = fs::read(&database)?;
    let cut = whole[..whole.len() / 2].to_vec();
    let overwritten: Vec<u8> = [b"nothing of the sort".as_slice(), &whole[19..]].concat();
    let mut flipped = whole.clone();
    // Whatever stands in the second half, some of it was written.
    let middle = flipped.len() / 2;
    flipped[middle..].iter_mut().for_each(|byte| *byte ^= 0x55);
    let mut others = whole.clone();
    others[APPLICATION].copy_from_slice(b"abcd");
    let put_back = "put a copy of";
    let cases = [
        ("cut", cut, put_back),
        ("overwritten", overwritten, put_back),
        ("flipped", flipped, put_back),
        ("another program's", others, "is another program's database; choose another directory with --data-dir"),
    ];
    for (what, bytes, words) in cases {
        fs::write(&database, &bytes)?;
        refused_twice(&program, &data, &database, words).with_context(|| what)?;
    }

    fs::write(&database, &whole)?;
    let (skiff, client) = started(&program, &data, &[]).await?;
    get(&client, &format!("{CONFIG_MAPS}/kept")).await?;

    // What was written since lies in the log alone when a process is killed. A log that begins with nonsense is empty to
    // SQLite, which would go on without it.
    create(&client, CONFIG_MAPS, &config_map("late")).await?;
    drop(skiff);
    let log = PathBuf::from(format!("{}-wal", database.display()));
    let whole = fs::read(&log)?;
    let overwritten = [b"nothing of the sort".as_slice(), &whole[19..]].concat();
    fs::write(&log, &overwritten)?;
    refused_twice(&program, &data, &log, put_back).context("a log")?;
    fs::write(&log, &whole)?;
    let (_skiff, client) = started(&program, &data, &[]).await?;
    get(&client, &format!("{CONFIG_MAPS}/late")).await?;
    Ok(())
}

/// The first refusal leaves the file as it is, so that there is a second.
fn refused_twice(program: &Path, data: &Path, file: &Path, words: &str) -> Result<()> {
    let bytes = fs::read(file)?;
    let data = data.to_string_lossy().into_owned();
    for _ in 0..2 {
        let port = format!("--secure-port={}", ports::on_loopback()?);
        let said = refusal(program, &["up", "--parts=apiserver", &port, "--data-dir", &data])?;
        ensure!(said.contains(words) && said.contains(&data), "{said}");
        ensure!(fs::read(file)? == bytes, "it was changed");
    }
    Ok(())
}

/// The largest file of the directory is the database.
fn database(directory: &Path) -> Result<PathBuf> {
    let files = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let size = |path: &PathBuf| fs::metadata(path).map_or(0, |found| found.len());
    files.into_iter().max_by_key(size).context("the directory is empty")
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What it says last on its start is true at once.
#[tokio::test(flavor = "multi_thread")]
async fn the_kubeconfig_works_as_soon_as_it_is_named() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("data");
    let mut child = Command::new(skiff::build()?)
        .args(["up", "--parts=apiserver", &format!("--secure-port={}", ports::on_loopback()?), "--data-dir"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().context("it was asked for")?;
    let _running = Running(child);
    let named =
        BufReader::new(stdout).lines().find_map(|line| Some(line.ok()?.strip_prefix("export KUBECONFIG=")?.to_owned()));
    let kubeconfig = PathBuf::from(named.context("it names no kubeconfig")?);
    ensure!(kubeconfig == data.join("admin.kubeconfig"), "{}", kubeconfig.display());
    ensure!(mode(&kubeconfig)? == 0o600, "others may read it: {:o}", mode(&kubeconfig)?);
    let client = Client::from_kubeconfig(&kubeconfig).await?;
    let ready = client.send("GET", "/readyz", &[], Bytes::new()).await?;
    ensure!(ready.status == 200, "{ready:?}");
    create(&client, CONFIG_MAPS, &config_map("first")).await?;
    Ok(())
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

/// A kubeconfig of somebody who has another cluster.
const OWN: &str = "apiVersion: v1
kind: Config
current-context: work
preferences:
  colors: true
clusters:
- cluster:
    insecure-skip-tls-verify: true
    server: https://192.0.2.1:6443
  name: work
users:
- name: work
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      args:
      - token
      command: login
      interactiveMode: Never
contexts:
- context:
    cluster: work
    namespace: mine
    user: work
  name: work
";

#[tokio::test(flavor = "multi_thread")]
async fn merging_harms_nothing_that_is_there() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (program, data) = (skiff::build()?, directory.path().join("data"));
    let (skiff, _) = started(&program, &data, &[]).await?;
    let home = directory.path().join("home");
    fs::create_dir(&home)?;
    let merge = |kubeconfig: &str| -> Result<Output> {
        let mut command = Command::new(&program);
        command.args(["kubeconfig", "--merge", "--data-dir"]).arg(&data).env("HOME", &home);
        match kubeconfig {
            "" => command.env_remove("KUBECONFIG"),
            list => command.env("KUBECONFIG", list),
        };
        Ok(command.stdin(Stdio::null()).output()?)
    };
    let merged = |kubeconfig: &str| -> Result<()> {
        let done = merge(kubeconfig)?;
        ensure!(done.status.success(), "{kubeconfig}: {done:?}");
        Ok(())
    };

    // Where there is none, one is made, for its owner alone, and it works.
    merged("")?;
    let made = home.join(".kube/config");
    ensure!(mode(&made)? == 0o600, "{:o}", mode(&made)?);
    get(&Client::from_kubeconfig(&made).await?, "/api/v1/namespaces/default").await?;

    // The first file of a list, through a link; the others are nobody's business.
    let (real, link, second) = (home.join("real"), home.join("link"), home.join("second"));
    fs::write(&real, OWN)?;
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640))?;
    std::os::unix::fs::symlink(&real, &link)?;
    fs::write(&second, OWN)?;
    let list = format!("{}:{}", link.display(), second.display());
    merged(&list)?;
    ensure!(fs::symlink_metadata(&link)?.is_symlink(), "the link is gone");
    ensure!(mode(&real)? == 0o640, "another mode: {:o}", mode(&real)?);
    ensure!(fs::read_to_string(&second)? == OWN, "another file was changed");
    let (before, after) = (codec::yaml::any(OWN.as_bytes())?, codec::yaml::any(&fs::read(&real)?)?);
    for key in ["current-context", "preferences"] {
        ensure!(before.at(key) == after.at(key), "{key}: {:?}", after.at(key));
    }
    for key in ["clusters", "users", "contexts"] {
        let (old, new) = (before.list(key), after.list(key));
        ensure!(new.len() == 2 && new.first() == old.first() && new[1].str("name") == "skiff", "{key}: {new:?}");
    }
    ensure!(after.list("clusters")[1].at("cluster").str("server").ends_with(&format!(":{}", skiff.port)));

    let once = fs::read(&real)?;
    merged(&list)?;
    ensure!(fs::read(&real)? == once, "a second time changes something");

    // What is no kubeconfig is left as it is.
    fs::write(&real, "- a list\n")?;
    let refused = merge(&list)?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success() && said.lines().count() == 1 && said.contains("real"), "{said}");
    ensure!(fs::read_to_string(&real)? == "- a list\n", "it was changed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_goes_on() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (program, data) = (skiff::build()?, directory.path().join("data"));
    let mut before: Option<Vec<(String, Value)>> = None;
    let mut newest = 0;
    for round in 0..3 {
        let (skiff, client) = started(&program, &data, &[]).await?;
        let made = create(&client, CONFIG_MAPS, &config_map(&format!("made-{round}"))).await?.json();
        let revision: u64 = made.at("metadata").str("resourceVersion").parse()?;
        ensure!(revision > newest, "revision {revision} after {newest}");
        newest = revision;
        let mut now = Vec::new();
        for path in [
            "/api/v1/namespaces/default",
            "/api/v1/namespaces/kube-system",
            "/api/v1/namespaces/default/services/kubernetes",
        ] {
            now.push((path.to_owned(), get(&client, path).await?.at("metadata").at("uid").clone()));
        }
        now.push(("made-0".into(), get(&client, &format!("{CONFIG_MAPS}/made-0")).await?.at("metadata").clone()));
        match &before {
            Some(before) => ensure!(*before == now, "before {before:?}, now {now:?}"),
            None => before = Some(now),
        }
        // One end is orderly, the other is not.
        match round {
            0 => stop(skiff)?,
            _ => drop(skiff),
        }
    }
    Ok(())
}

/// Who is being answered gets the answer, who watches sees the end of it, and the port is free.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_leaves_nobody_without_an_answer() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (program, data) = (skiff::build()?, directory.path().join("data"));
    for signal in ["TERM", "INT"] {
        let (mut skiff, client) = started(&program, &data, &[]).await?;
        let (kubeconfig, port) = (skiff.kubeconfig.clone(), skiff.port);
        let mut watch = client.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion=0")).await?;
        let mut plain =
            under_way(&kubeconfig, &format!("GET {CONFIG_MAPS}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n"), "200").await?;
        let body = codec::json::to_string(&config_map(&format!("slow-{}", signal.to_lowercase())));
        // The server asks for the body when it has begun to serve the request.
        let head = format!(
            "POST {CONFIG_MAPS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut slow = under_way(&kubeconfig, &head, "100").await?;
        let (first, rest) = body.split_at(body.len() / 2);
        slow.write_all(first.as_bytes()).await?;
        slow.flush().await?;

        skiff.signal(signal)?;
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            tokio::task::yield_now().await;
        }
        slow.write_all(rest.as_bytes()).await?;
        slow.flush().await?;
        let answered = to_its_end(&mut slow).await;
        ensure!(answered.starts_with("HTTP/1.1 201"), "{signal}: a request under way got {answered:?}");
        while let Some(event) = watch.next().await.with_context(|| format!("{signal}: a watch broke off"))? {
            ensure!(event.str("type") != "ERROR", "{event:?}");
        }
        let told = to_its_end(&mut plain).await;
        ensure!(told.ends_with("0\r\n\r\n"), "{signal}: a watch over HTTP/1.1 broke off: {told:?}");
        let status = skiff.wait_for_end()?;
        ensure!(status.code() == Some(0), "{signal}: it ended with {status}");
        TcpListener::bind(("127.0.0.1", port)).with_context(|| format!("{signal}: the port is not free"))?;
    }
    let (_skiff, client) = started(&program, &data, &[]).await?;
    for name in ["slow-term", "slow-int"] {
        get(&client, &format!("{CONFIG_MAPS}/{name}")).await?;
    }
    Ok(())
}

type Stream = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

/// Sends a head and waits for the first of the answer.
async fn under_way(kubeconfig: &Path, head: &str, code: &str) -> Result<Stream> {
    let (mut stream, _) = http::stream(kubeconfig, false).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    let mut begun = Vec::new();
    while !begun.ends_with(b"\r\n\r\n") {
        begun.push(stream.read_u8().await.with_context(|| String::from_utf8_lossy(&begun).into_owned())?);
    }
    let begun = String::from_utf8_lossy(&begun).into_owned();
    ensure!(begun.starts_with(&format!("HTTP/1.1 {code}")), "{begun}");
    Ok(stream)
}

/// All that still comes.
async fn to_its_end(stream: &mut Stream) -> String {
    let mut all = Vec::new();
    // Who closes without a word of TLS has said all the same what came before.
    let _ = stream.read_to_end(&mut all).await;
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_when_their_time_is_over() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("data");
    let skiff = Skiff::start_apiserver(&skiff::build()?, &data, &["--event-ttl", "1s"])?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    let event = value!({
        "kind": "Event", "apiVersion": "v1", "metadata": {"name": "short"}, "reason": "Tested", "type": "Normal",
        "involvedObject": {"kind": "ConfigMap", "apiVersion": "v1", "namespace": "default", "name": "a"}
    });
    let made = create(&client, EVENTS, &event).await?.json();
    create(&client, CONFIG_MAPS, &config_map("lasting")).await?;
    let from = made.at("metadata").str("resourceVersion");
    let path = format!("{EVENTS}?watch=1&resourceVersion={from}&fieldSelector=metadata.name%3Dshort");
    let told = client.watch(&path).await?.next().await?.context("the watch ended")?;
    ensure!(told.str("type") == "DELETED" && told.at("object").str("reason") == "Tested", "{told:?}");
    let now: u64 = told.at("object").at("metadata").str("resourceVersion").parse()?;
    ensure!(now > from.parse::<u64>()?, "a deletion is a revision of its own");
    let gone = client.send("GET", &format!("{EVENTS}/short"), &[], Bytes::new()).await?;
    ensure!(gone.status == 404, "{gone:?}");
    get(&client, &format!("{CONFIG_MAPS}/lasting")).await?;
    Ok(())
}
