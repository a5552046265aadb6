//! Fifty times `kill -9` under load: what was answered is there, nothing is there by half, and revisions go on.
//!
//! Several clients write at once, each to objects of its own, and note what they were answered. After a number of
//! answers that the seed says, the server is killed, and the next one starts on what it left. A write that was not
//! answered may have happened or not, as a whole. What a killed server loses is what it answered before its commit;
//! what a machine without power loses too is the store's own test (`store`, `power_loss`). That the check sees a lost
//! write is tested by putting an older copy of the database back.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result, bail, ensure};
use api::{Value, meta, value};
use bytes::Bytes;
use conformance::{
    http::{Client, Response},
    services,
    skiff::{self, Skiff},
};
use tokio::{sync::Notify, task::JoinSet};

/// Machines that live side by side, and how often each is killed.
const MACHINES: u64 = 2;
const KILLS: u64 = 25;
const CLIENTS: u64 = 6;
/// Objects of each kind that a client writes to.
const NAMES: u64 = 4;
/// Few enough to be asked for one by one.
const PORTS: std::ops::Range<i64> = 30000..30048;
const JSON: (&str, &str) = ("content-type", "application/json");
const APPLY: (&str, &str) = ("content-type", "application/apply-patch+yaml");

/// Numbers from a seed (splitmix64).
struct Dice(u64);

/// What the clients write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Created, replaced, deleted.
    ConfigMap,
    /// With addresses and, now and then, a node port.
    Service,
    /// Applied by two managers.
    Lease,
}

/// One object: its kind and its name.
type Key = (Kind, String);

/// What is known of an object.
#[derive(Clone, Debug, Default)]
struct Known {
    /// As the server answered last; none: not there.
    answered: Option<Value>,
    /// The write that has no answer.
    pending: Option<Write>,
}

/// A write: the mark it leaves in the object, none for a deletion.
#[derive(Clone, Debug)]
struct Write {
    mark: Option<String>,
}

/// What all clients noted.
#[derive(Clone, Debug, Default)]
struct Notes {
    objects: BTreeMap<Key, Known>,
    /// Every revision that a write was answered with: none twice.
    revisions: BTreeSet<u64>,
}

/// A server and its directory.
struct Machine {
    program: PathBuf,
    directory: PathBuf,
}

/// Says when enough was answered.
struct Bell {
    left: AtomicU32,
    rung: Notify,
}

// === impl Dice ===

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }
}

// === impl Kind ===

impl Kind {
    const ALL: [Kind; 3] = [Kind::ConfigMap, Kind::Service, Kind::Lease];

    fn path(self) -> &'static str {
        match self {
            Kind::ConfigMap => "/api/v1/namespaces/default/configmaps",
            Kind::Service => "/api/v1/namespaces/default/services",
            Kind::Lease => "/apis/coordination.k8s.io/v1/namespaces/default/leases",
        }
    }

    /// The object with a mark all over it, so that half of it would be seen.
    fn object(self, name: &str, mark: &str, dice: &mut Dice) -> Value {
        let mut object = value!({"metadata": {"name": name, "annotations": {"mark": mark}}});
        match self {
            Kind::ConfigMap => {
                let text = mark.repeat(1 + dice.below(200) as usize);
                object.set("data", value!({"mark": mark, "text": (text.as_str())}));
                object.set("kind", "ConfigMap");
                object.set("apiVersion", "v1");
            }
            Kind::Service => {
                let kind = if dice.below(2) == 0 { "ClusterIP" } else { "NodePort" };
                let spec = value!({"type": kind, "selector": {"mark": mark}, "ports": [{"port": 80}]});
                object.set("spec", spec);
                object.set("kind", "Service");
                object.set("apiVersion", "v1");
            }
            Kind::Lease => {
                object.set("spec", value!({"holderIdentity": mark, "leaseDurationSeconds": 10}));
                object.set("kind", "Lease");
                object.set("apiVersion", "coordination.k8s.io/v1");
            }
        }
        object
    }

    /// Every place where the mark has to stand.
    fn marks(self, object: &Value) -> Vec<&str> {
        let mut marks = vec![meta::of(object).annotation("mark").unwrap_or_default()];
        marks.push(match self {
            Kind::ConfigMap => object.at("data").str("mark"),
            Kind::Service => object.at_path(&["spec", "selector"]).str("mark"),
            Kind::Lease => object.at("spec").str("holderIdentity"),
        });
        marks
    }
}

// === impl Notes ===

impl Notes {
    /// The write was answered with this object.
    fn answered(&mut self, key: &Key, object: Option<Value>) -> Result<()> {
        if let Some(object) = &object {
            self.note_revision(key, object)?;
        }
        self.objects.insert(key.clone(), Known { answered: object, pending: None });
        Ok(())
    }

    fn note_revision(&mut self, key: &Key, object: &Value) -> Result<()> {
        let revision: u64 = meta::of(object).resource_version().parse().context("a resourceVersion")?;
        let before = self.objects.get(key).and_then(|known| known.answered.as_ref());
        let unchanged = before.is_some_and(|b| meta::of(b).resource_version() == meta::of(object).resource_version());
        ensure!(unchanged || self.revisions.insert(revision), "{key:?}: revision {revision} was given out twice");
        Ok(())
    }

    /// Compares with what is there after a kill, and goes on with that; all that is wrong.
    fn check(&mut self, found: &BTreeMap<Key, Value>) -> Vec<String> {
        let mut faults = Vec::new();
        for (key, known) in std::mem::take(&mut self.objects) {
            let now = found.get(&key).cloned();
            if let Err(fault) = check_one(&key, &known, now.as_ref()) {
                faults.push(format!("{fault:#}"));
            }
            self.objects.insert(key.clone(), Known { answered: known.answered, pending: None });
            if let Some(Err(fault)) = now.as_ref().map(|object| self.note_revision(&key, object)) {
                faults.push(fault.to_string());
            }
            self.objects.insert(key, Known { answered: now, pending: None });
        }
        faults
    }
}

/// Whether an object is what was answered, or what the write without an answer makes of it.
fn check_one(key: &Key, known: &Known, now: Option<&Value>) -> Result<()> {
    if let Some(now) = now {
        let marks = key.0.marks(now);
        ensure!(marks.iter().all(|mark| *mark == marks[0]), "{key:?} is there by half: {marks:?}");
    }
    if known.answered.as_ref() == now {
        return Ok(());
    }
    let mark = now.map(|object| key.0.marks(object)[0].to_owned());
    match &known.pending {
        Some(write) if write.mark == mark => Ok(()),
        _ => {
            let text = |object: Option<&Value>| object.map_or("nothing".to_owned(), codec::json::to_string);
            bail!("{key:?} was answered as {} and is {}", text(known.answered.as_ref()), text(now))
        }
    }
}

// === impl Machine ===

impl Machine {
    async fn start(&self) -> Result<(Skiff, Client)> {
        let ports = format!("{}-{}", PORTS.start, PORTS.end - 1);
        let flags = ["--service-node-port-range", &ports, "--service-cluster-ip-range", "10.96.0.0/24"];
        let skiff = Skiff::start_apiserver(&self.program, &self.directory, &flags)?;
        let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
        Ok((skiff, client))
    }

    async fn start_ready(&self) -> Result<(Skiff, Client)> {
        let (skiff, client) = self.start().await?;
        skiff.wait_until_ready(&client).await?;
        Ok((skiff, client))
    }
}

/// All objects of the clients, as a client reads them one by one.
async fn read_all(client: &Client, notes: &Notes) -> Result<BTreeMap<Key, Value>> {
    let mut found = BTreeMap::new();
    for kind in Kind::ALL {
        let (revision, items) = list(client, kind.path()).await?;
        let last = notes.revisions.last().copied().unwrap_or_default();
        ensure!(revision >= last, "the server is at revision {revision} and has answered with {last}");
        for item in items {
            let name = meta::of(&item).name().to_owned();
            if name == "kubernetes" || name == "kube-root-ca.crt" {
                continue;
            }
            let one = client.send("GET", &format!("{}/{name}", kind.path()), &[], Bytes::new()).await?;
            ensure!(one.status == 200, "{name} is listed, and then {}", one.status);
            found.insert((kind, name), one.json());
        }
    }
    Ok(found)
}

async fn list(client: &Client, path: &str) -> Result<(u64, Vec<Value>)> {
    let answer = client.send("GET", path, &[], Bytes::new()).await?;
    ensure!(answer.status == 200, "GET {path}: {}", answer.status);
    let list = answer.json();
    Ok((meta::of(&list).resource_version().parse()?, list.list("items").to_vec()))
}

// === the load ===

/// Lets all clients write until the bell has rung and `end` has run; what they noted.
async fn work(kubeconfig: &Path, notes: Notes, seed: u64, answers: u32, end: impl FnOnce()) -> Result<Notes> {
    let bell = Arc::new(Bell { left: AtomicU32::new(answers), rung: Notify::new() });
    let mut clients = JoinSet::new();
    for i in 0..CLIENTS {
        let own = Notes { objects: objects_of(&notes, i), revisions: BTreeSet::new() };
        let client = Client::from_kubeconfig(kubeconfig).await?;
        clients.spawn(one_client(client, own, Dice(seed.wrapping_mul(CLIENTS) ^ i), bell.clone()));
    }
    bell.rung.notified().await;
    end();
    let mut all = Notes { objects: BTreeMap::new(), revisions: notes.revisions };
    while let Some(own) = clients.join_next().await {
        let own = own??;
        all.objects.extend(own.objects);
        for revision in own.revisions {
            ensure!(all.revisions.insert(revision), "revision {revision} was given out twice");
        }
    }
    Ok(all)
}

fn objects_of(notes: &Notes, client: u64) -> BTreeMap<Key, Known> {
    let mut own = BTreeMap::new();
    for kind in Kind::ALL {
        for i in 0..NAMES {
            let key = (kind, format!("c{client}-{i}"));
            let known = notes.objects.get(&key).cloned().unwrap_or_default();
            own.insert(key, known);
        }
    }
    own
}

/// Writes until the connection breaks.
async fn one_client(client: Client, mut notes: Notes, mut dice: Dice, bell: Arc<Bell>) -> Result<Notes> {
    let keys: Vec<Key> = notes.objects.keys().cloned().collect();
    loop {
        let key = &keys[dice.below(keys.len() as u64) as usize];
        let before = notes.objects.get(key).and_then(|known| known.answered.clone());
        let (write, request) = next_write(key, before.as_ref(), &mut dice);
        notes.objects.entry(key.clone()).or_default().pending = Some(write.clone());
        let (method, path, header, body) = request;
        let Ok(answer) = client.send(method, &path, &[header], body).await else { return Ok(notes) };
        let Some(now) = now_there(key, &write, &answer)? else { return Ok(notes) };
        notes.answered(key, now)?;
        if bell.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            bell.rung.notify_one();
        }
    }
}

/// What an answer says is there now; none when it says that nobody knows.
fn now_there(key: &Key, write: &Write, answer: &Response) -> Result<Option<Option<Value>>> {
    match (answer.status, &write.mark) {
        (200 | 201, Some(_)) => Ok(Some(Some(answer.json()))),
        (200, None) => Ok(Some(None)),
        (500.., _) => Ok(None),
        (other, _) => bail!("{key:?}, {write:?}: {other} {}", String::from_utf8_lossy(&answer.body)),
    }
}

type Request = (&'static str, String, (&'static str, &'static str), Bytes);

fn next_write(key: &Key, before: Option<&Value>, dice: &mut Dice) -> (Write, Request) {
    let (kind, name) = key;
    let mark = format!("m{:016x}", dice.roll());
    let mut object = kind.object(name, &mark, dice);
    let one = format!("{}/{name}", kind.path());
    let write = Write { mark: Some(mark) };
    if before.is_some() && dice.below(4) == 0 {
        return (Write { mark: None }, ("DELETE", one, JSON, Bytes::new()));
    }
    if *kind == Kind::Lease {
        let manager = ["first", "second"][dice.below(2) as usize];
        let body = codec::json::to_string(&object);
        return (write, ("PATCH", format!("{one}?fieldManager={manager}&force=true"), APPLY, body.into()));
    }
    let Some(before) = before else {
        return (write, ("POST", kind.path().to_owned(), JSON, codec::json::to_string(&object).into()));
    };
    object.set_path(&["metadata", "resourceVersion"], meta::of(before).resource_version());
    (write, ("PUT", one, JSON, codec::json::to_string(&object).into()))
}

// === the tests ===

#[tokio::test(flavor = "multi_thread")]
async fn no_kill_loses_what_was_answered() -> Result<()> {
    let program = skiff::build()?;
    let mut machines = JoinSet::new();
    for seed in 0..MACHINES {
        machines.spawn(live(program.clone(), seed));
    }
    let (mut answered, mut unanswered) = (0, 0);
    while let Some(lived) = machines.join_next().await {
        let (of_one, without) = lived??;
        answered += of_one;
        unanswered += without;
    }
    ensure!(answered > 2_000 && unanswered > 50, "dull: {answered} answered, {unanswered} on their way at a kill");
    Ok(())
}

/// One machine and all its kills; how many writes were answered, and how many had none when the server was killed.
async fn live(program: PathBuf, seed: u64) -> Result<(usize, usize)> {
    let directory = tempfile::tempdir()?;
    let machine = Machine { program, directory: directory.path().join("data") };
    let mut notes = Notes::default();
    let mut unanswered = 0;
    for kill in 0..KILLS {
        let context = || format!("machine {seed}, before kill {kill}");
        let mut dice = Dice(seed << 32 | kill);
        let (skiff, client) = machine.start_ready().await.with_context(context)?;
        let found = read_all(&client, &notes).await.with_context(context)?;
        let mut faults = notes.check(&found);
        faults.extend(services::faults(&client, if kill % 8 == 7 { PORTS } else { 0..0 }).await.with_context(context)?);
        ensure!(faults.is_empty(), "{}:\n{}", context(), faults.join("\n"));
        let kubeconfig = skiff.kubeconfig.clone();
        let answers = 1 + dice.below(160) as u32;
        // Dropping it kills it.
        notes = work(&kubeconfig, notes, dice.roll(), answers, || drop(skiff)).await.with_context(context)?;
        unanswered += notes.objects.values().filter(|known| known.pending.is_some()).count();
        if kill % 5 == 4 {
            // And once more, while it starts.
            drop(machine.start().await.with_context(context)?);
        }
    }
    let (_skiff, client) = machine.start_ready().await?;
    let mut faults = notes.check(&read_all(&client, &notes).await?);
    faults.extend(services::faults(&client, PORTS).await?);
    ensure!(faults.is_empty(), "machine {seed}, in the end:\n{}", faults.join("\n"));
    Ok((notes.revisions.len(), unanswered))
}

/// What a server leaves that answers before it commits is its database without the last of what it answered.
#[tokio::test(flavor = "multi_thread")]
async fn the_check_sees_answers_without_their_commits() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let machine = Machine { program: skiff::build()?, directory: directory.path().join("data") };
    let database = machine.directory.join("db");
    let (skiff, client) = machine.start_ready().await?;
    drop(client);
    let kubeconfig = skiff.kubeconfig.clone();
    let notes = work(&kubeconfig, Notes::default(), 7, 60, || drop(skiff)).await?;
    let older = directory.path().join("older");
    copy(&database, &older)?;
    let (skiff, client) = machine.start_ready().await?;
    let mut notes = notes;
    ensure!(notes.check(&read_all(&client, &notes).await?).is_empty(), "the first kill already lost something");
    let notes = work(&kubeconfig, notes, 8, 60, || drop(skiff)).await?;
    std::fs::remove_dir_all(&database)?;
    copy(&older, &database)?;
    let (_skiff, client) = machine.start_ready().await?;
    // Without the revisions the loss of the writes has to be seen by itself.
    ensure!(read_all(&client, &notes).await.is_err(), "revisions went back, and nobody saw it");
    let mut notes = Notes { revisions: BTreeSet::new(), ..notes };
    let faults = notes.check(&read_all(&client, &notes).await?);
    ensure!(faults.len() > 5, "only {} of 60 lost writes were seen: {faults:?}", faults.len());
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for file in std::fs::read_dir(from)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

#[test]
fn half_an_object_is_seen() {
    let mut object = Kind::ConfigMap.object("a", "one", &mut Dice(1));
    let key = (Kind::ConfigMap, "a".to_owned());
    let known = Known { answered: None, pending: Some(Write { mark: Some("one".to_owned()) }) };
    check_one(&key, &known, Some(&object)).expect("it was on its way");
    object.set_path(&["data", "mark"], "two");
    check_one(&key, &known, Some(&object)).expect_err("its parts are of two writes");
}
