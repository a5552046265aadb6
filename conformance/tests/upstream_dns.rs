//! Cluster DNS beside stock CoreDNS on the same cluster: the same questions, the same answers.
//!
//! CoreDNS is set up as clusters set it up, but that nothing is shuffled and nothing kept. Both ask one and the same small
//! server about names that are not the cluster's. What may differ stands in a list with its reason.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use conformance::{
    machine::until,
    ports,
    skiff::{self, Skiff},
    upstream,
};
use hickory_server::proto::{
    op::{Edns, Message, MessageType, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::A},
};

const MANIFEST: &str = include_str!("upstream_dns/services.yaml");

/// Each is asked for every type.
const NAMES: &[&str] = &[
    "cluster.local.",
    "svc.cluster.local.",
    "pod.cluster.local.",
    "any.cluster.local.",
    "demo.svc.cluster.local.",
    "demo.pod.cluster.local.",
    "nobody.svc.cluster.local.",
    "dns-version.cluster.local.",
    "x.dns-version.cluster.local.",
    "web.demo.svc.cluster.local.",
    "WEB.Demo.svc.Cluster.LOCAL.",
    "web.nobody.svc.cluster.local.",
    "nothing.demo.svc.cluster.local.",
    "_http._tcp.web.demo.svc.cluster.local.",
    "_HTTP._TCP.web.demo.svc.cluster.local.",
    "_https._tcp.web.demo.svc.cluster.local.",
    "_http._udp.web.demo.svc.cluster.local.",
    "_other._tcp.web.demo.svc.cluster.local.",
    "_tcp.web.demo.svc.cluster.local.",
    "http.tcp.web.demo.svc.cluster.local.",
    "a.b.c.web.demo.svc.cluster.local.",
    "web-0.web.demo.svc.cluster.local.",
    "10-1-0-2.web.demo.svc.cluster.local.",
    "10-1-0-9.web.demo.svc.cluster.local.",
    "one.demo.svc.cluster.local.",
    "db.demo.svc.cluster.local.",
    "db-0.db.demo.svc.cluster.local.",
    "DB-1.db.demo.svc.cluster.local.",
    "db-2.db.demo.svc.cluster.local.",
    "_sql._tcp.db.demo.svc.cluster.local.",
    "10-1-0-7.db.demo.svc.cluster.local.",
    "empty.demo.svc.cluster.local.",
    "bare.demo.svc.cluster.local.",
    "unready.demo.svc.cluster.local.",
    "v6.demo.svc.cluster.local.",
    "fd00-1--2.v6.demo.svc.cluster.local.",
    "_web._tcp.v6.demo.svc.cluster.local.",
    "far.demo.svc.cluster.local.",
    "gone.demo.svc.cluster.local.",
    "near.demo.svc.cluster.local.",
    "chain.demo.svc.cluster.local.",
    "itself.demo.svc.cluster.local.",
    "broken.demo.svc.cluster.local.",
    "x.far.demo.svc.cluster.local.",
    "10-1-0-2.demo.pod.cluster.local.",
    "fd00--2.demo.pod.cluster.local.",
    "10-1-0-2.nobody.pod.cluster.local.",
    "web.demo.pod.cluster.local.",
    "1.7.96.10.in-addr.arpa.",
    "2.0.1.10.in-addr.arpa.",
    "7.0.1.10.in-addr.arpa.",
    "9.9.9.9.in-addr.arpa.",
    "96.10.in-addr.arpa.",
    "example.com.",
    "Www.Example.com.",
    "nothing.example.net.",
];
const TYPES: &[RecordType] = &[
    RecordType::A,
    RecordType::AAAA,
    RecordType::SRV,
    RecordType::PTR,
    RecordType::CNAME,
    RecordType::TXT,
    RecordType::MX,
    RecordType::SOA,
    RecordType::HTTPS,
    RecordType::ANY,
];

/// Questions that are answered otherwise on purpose: the name (or its end, with a dot in front), the type, why.
const DIFFERENT: &[(&str, RecordType, &str)] = &[
    (
        "cluster.local.",
        RecordType::TXT,
        "a name with names below it exists; CoreDNS denies it for TXT, and with it all below",
    ),
    ("svc.cluster.local.", RecordType::TXT, "likewise"),
    ("pod.cluster.local.", RecordType::TXT, "likewise"),
    ("demo.svc.cluster.local.", RecordType::TXT, "likewise"),
    ("demo.pod.cluster.local.", RecordType::TXT, "likewise"),
    (".demo.pod.cluster.local.", RecordType::SRV, "a pod has no port; CoreDNS says port 0"),
    (".cluster.local.", RecordType::SOA, "CoreDNS says that every name exists when it is asked for its SOA"),
    (".arpa.", RecordType::SOA, "likewise, also of addresses that are others'"),
];

/// What matters of an answer.
#[derive(Debug, PartialEq)]
struct Shown {
    code: ResponseCode,
    /// Authoritative, recursion desired, cut.
    flags: [bool; 3],
    answers: BTreeSet<String>,
    authorities: BTreeSet<String>,
    additionals: BTreeSet<String>,
    /// Whether signatures were asked for; nothing without EDNS.
    is_signed: Option<bool>,
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn answers_are_those_of_coredns() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let program = skiff::build()?;
    let data = directory.path().join("data");
    std::fs::create_dir_all(data.join("manifests"))?;
    std::fs::write(data.join("manifests/services.yaml"), MANIFEST)?;
    let skiff = Skiff::start(&program, &data, &["--parts", "apiserver"])?;
    let others = world()?;
    let (ours, theirs) = (port()?, port()?);
    let _dns = start_dns(&program, &skiff.kubeconfig, ours, others, directory.path())?;
    let _coredns = start_coredns(&skiff.kubeconfig, theirs, others, directory.path())?;
    for server in [ours, theirs] {
        for name in ["last.demo.svc.cluster.local.", "example.com."] {
            let ask = || ask(server, name, RecordType::A, false, false);
            until(name, ask, |answer| !answer.answers.is_empty())?;
        }
    }
    let (mut asked, mut wrong) = (0, Vec::new());
    for (name, kind, edns, tcp) in questions() {
        let lower = name.to_lowercase();
        let is = |known: &str| lower == known || (known.starts_with('.') && lower.ends_with(known));
        if DIFFERENT.iter().any(|(known, of, _)| is(known) && *of == kind) {
            continue;
        }
        let (ours, theirs) = (ask(ours, name, kind, edns, tcp)?, ask(theirs, name, kind, edns, tcp)?);
        let (ours, theirs) = (shown(&ours), shown(&theirs));
        asked += 1;
        if ours != theirs {
            wrong.push(format!("{name} {kind}: ours {ours:#?}, CoreDNS' {theirs:#?}"));
        }
    }
    ensure!(wrong.is_empty(), "{} of {asked} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    ensure!(asked > 500, "only {asked} questions were asked");
    Ok(())
}

/// All names and types over UDP; addresses with EDNS and over TCP as well.
fn questions() -> Vec<(&'static str, RecordType, bool, bool)> {
    let all = NAMES.iter().flat_map(|name| TYPES.iter().map(move |kind| (*name, *kind, false, false)));
    let mut all: Vec<_> = all.collect();
    for name in NAMES {
        all.push((name, RecordType::A, true, false));
        all.push((name, RecordType::A, false, true));
    }
    all
}

/// What matters of an answer, in an order of its own. Serials are points in time; letters have no case but in the question.
fn shown(message: &Message) -> Shown {
    let text = |record: &Record| match &record.data {
        RData::SOA(soa) => format!(
            "{} {} SOA {} {} {} {} {} {}",
            record.name, record.ttl, soa.mname, soa.rname, soa.refresh, soa.retry, soa.expire, soa.minimum
        ),
        _ => record.to_string(),
    };
    let all = |records: &[Record]| records.iter().map(|record| text(record).to_lowercase()).collect();
    let meta = &message.metadata;
    Shown {
        code: meta.response_code,
        flags: [meta.authoritative, meta.recursion_desired, meta.truncation],
        answers: all(&message.answers),
        authorities: all(&message.authorities),
        additionals: all(&message.additionals),
        is_signed: message.edns.as_ref().map(|edns| edns.flags().dnssec_ok),
    }
}

fn ask(port: u16, name: &str, kind: RecordType, edns: bool, tcp: bool) -> Result<Message> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name)?, kind));
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(4096);
        message.set_edns(edns);
    }
    let (bytes, to) = (message.to_vec()?, SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let answer = if tcp { over_tcp(to, &bytes)? } else { over_udp(to, &bytes)? };
    Ok(Message::from_vec(&answer)?)
}

fn over_udp(to: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(6)))?;
    socket.connect(to)?;
    socket.send(bytes)?;
    let mut buffer = vec![0; 65535];
    let len = socket.recv(&mut buffer).with_context(|| format!("{to} says nothing"))?;
    buffer.truncate(len);
    Ok(buffer)
}

fn over_tcp(to: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(6)))?;
    stream.write_all(&[&u16::try_from(bytes.len())?.to_be_bytes(), bytes].concat())?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut buffer = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut buffer)?;
    Ok(buffer)
}

/// The rest of the world: `example.com` and what is below it have one address, all else does not exist. UDP and TCP.
fn world() -> Result<u16> {
    use std::io::{Read, Write};
    let tcp = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = tcp.local_addr()?.port();
    let udp = UdpSocket::bind(("127.0.0.1", port))?;
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((len, from)) = udp.recv_from(&mut buffer) {
            if let Some(answer) = answer(&buffer[..len]) {
                let _ = udp.send_to(&answer, from);
            }
        }
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming().filter_map(Result::ok) {
            std::thread::spawn(move || {
                let (mut stream, mut len) = (stream, [0; 2]);
                while stream.read_exact(&mut len).is_ok() {
                    let mut buffer = vec![0; usize::from(u16::from_be_bytes(len))];
                    let Some(answer) = stream.read_exact(&mut buffer).ok().and_then(|()| answer(&buffer)) else {
                        return;
                    };
                    let len = u16::try_from(answer.len()).unwrap_or(0).to_be_bytes();
                    if stream.write_all(&[&len, answer.as_slice()].concat()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(port)
}

fn answer(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut message = Message::from_vec(bytes).ok()?;
    let query = message.queries.first()?.clone();
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    if !query.name.to_lowercase().to_string().ends_with("example.com.") {
        message.metadata.response_code = ResponseCode::NXDomain;
    } else if query.query_type == RecordType::A {
        message.add_answer(Record::from_rdata(query.name, 20, RData::A(A(Ipv4Addr::new(192, 0, 2, 77)))));
    }
    message.to_vec().ok()
}

fn start_dns(program: &Path, kubeconfig: &Path, port: u16, others: u16, directory: &Path) -> Result<Running> {
    let log = std::fs::File::create(directory.join("dns.log"))?;
    let child = Command::new(program)
        .args(["dns", "--bind-address", &format!("127.0.0.1:{port}"), "--health-bind-address", "", "--kubeconfig"])
        .arg(kubeconfig)
        .args(["--forward-to", &format!("127.0.0.1:{others}")])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(Running(child))
}

fn start_coredns(kubeconfig: &Path, port: u16, others: u16, directory: &Path) -> Result<Running> {
    let corefile: PathBuf = directory.join("Corefile");
    let text = format!(
        ".:{port} {{\n bind 127.0.0.1\n errors\n kubernetes cluster.local in-addr.arpa ip6.arpa {{\n  kubeconfig {}\n  \
         pods insecure\n  fallthrough in-addr.arpa ip6.arpa\n  ttl 30\n }}\n forward . 127.0.0.1:{others}\n}}\n",
        kubeconfig.display()
    );
    std::fs::write(&corefile, text)?;
    let log = std::fs::File::create(directory.join("coredns.log"))?;
    let child = Command::new(upstream::programs().join("coredns"))
        .arg("-conf")
        .arg(corefile)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("coredns cannot be started; `cargo xtask reference` builds it")?;
    Ok(Running(child))
}

/// A port that is free for UDP and TCP.
fn port() -> Result<u16> {
    let port = ports::on_loopback()?;
    UdpSocket::bind(("127.0.0.1", port))?;
    Ok(port)
}
