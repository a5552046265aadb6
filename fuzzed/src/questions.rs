//! Questions of DNS, as messages and as words, and the file that names other servers.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, LazyLock, atomic::Ordering},
};

use api::value;
use async_trait::async_trait;
use dns::{
    cluster::Cluster,
    forward::Forward,
    resolv_conf,
    resolve::{Answer, Zone, resolve},
    serve::Handler,
};
use hickory_server::{
    net::{NetError, runtime::TokioTime, xfer::Protocol},
    proto::{
        op::{Message, MessageType, Query, ResponseCode},
        rr::{Name, Record, RecordType},
        serialize::binary::BinEncoder,
    },
    server::{Request, RequestHandler as _, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponse,
};
use parking_lot::Mutex;

use crate::{Noon, frames::now};

/// A server of a cluster with some services, which knows nobody else to ask.
static HANDLER: LazyLock<Handler> = LazyLock::new(|| {
    let handler = Handler {
        cluster: Arc::new(cluster().into()),
        zone: Zone {
            domain: vec!["cluster".into(), "local".into()],
            ttl_seconds: TTL,
            own_ips: vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10))],
            own_port: 53,
        },
        forward: Arc::new(Forward::new(Vec::new(), Arc::new(|| 7))),
        health: Arc::default(),
        clock: Arc::new(Noon),
        cache: Mutex::default(),
        turn: 0.into(),
    };
    handler.health.is_ready.store(true, Ordering::Release);
    handler
});

const TTL: u32 = 30;
/// Of the version of the schema, which is the only text. Upstream: kubernetes/dns docs/specification.md section 2.2.
const VERSION_TTL: u32 = 28_800;
/// More servers are not asked.
const SERVERS_MAX: usize = 15;
const ASKER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4242);

fn cluster() -> Cluster {
    let mut cluster = Cluster::default();
    let ports = value!([{"name": "http", "protocol": "TCP", "port": 80}]);
    let service =
        |name: &str, spec: api::Value| value!({"metadata": {"name": name, "namespace": "ns"}, "spec": (spec)});
    let slice = value!({
        "metadata": {"name": "db-1", "namespace": "ns", "labels": {"kubernetes.io/service-name": "db"}},
        "ports": (ports.clone()),
        "endpoints": [{"addresses": ["10.1.0.1"], "hostname": "a"}, {"addresses": ["10.1.0.2", "fd00::2"]}]
    });
    for (plural, object) in [
        ("namespaces", value!({"metadata": {"name": "ns"}})),
        ("services", service("web", value!({"clusterIPs": ["10.96.0.1", "fd00::1"], "ports": (ports.clone())}))),
        ("services", service("db", value!({"clusterIP": "None", "ports": (ports.clone())}))),
        ("services", service("far", value!({"type": "ExternalName", "externalName": "web.ns.svc.cluster.local"}))),
        ("services", service("out", value!({"type": "ExternalName", "externalName": "example.com"}))),
        ("services", service("odd", value!({"type": "ExternalName", "externalName": "no..name"}))),
        ("endpointslices", slice),
    ] {
        cluster.change(plural, &object, false, 1_800_000_000);
    }
    cluster
}

/// What is answered, in bytes.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

#[async_trait]
impl ResponseHandler for Heard {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut bytes = Vec::new();
        let info = response.destructive_emit(&mut BinEncoder::new(&mut bytes))?;
        *self.0.lock() = bytes;
        Ok(info)
    }
}

/// A message, or a name and a type with a space between; and a resolv.conf. What is answered can be read, answers what was
/// asked, and does not depend on the case of its letters.
pub fn questions(data: &[u8]) {
    let text = std::str::from_utf8(data).ok();
    let servers = text.map(resolv_conf::servers).unwrap_or_default();
    assert!(servers.len() <= SERVERS_MAX && servers.iter().all(|server| server.port() == 53));
    let message = text.and_then(spoken).unwrap_or_else(|| data.to_vec());
    let Ok(request) = Request::from_bytes(message, ASKER, Protocol::Udp) else { return };
    if request.metadata.message_type != MessageType::Query {
        return;
    }
    let heard = Heard::default();
    now(HANDLER.handle_request::<_, TokioTime>(&request, heard.clone()));
    let bytes = heard.0.lock().clone();
    let answer = Message::from_vec(&bytes).expect("what is answered can be read");
    let meta = &answer.metadata;
    assert_eq!((meta.id, meta.message_type), (request.metadata.id, MessageType::Response));
    let asked: Vec<&Query> = request.queries.queries().iter().map(|query| query.original()).collect();
    assert_eq!(answer.queries.iter().collect::<Vec<_>>(), asked);
    let has_answers = !answer.answers.is_empty();
    assert!(!has_answers || meta.authoritative && meta.response_code == ResponseCode::NoError);
    // What an extension says of itself stands where others say how long they live.
    let mut records = answer.all_sections().filter(|record| record.record_type() != RecordType::OPT);
    let most = |record: &Record| if record.record_type() == RecordType::TXT { VERSION_TTL } else { TTL };
    assert!(records.all(|record| record.ttl <= most(record)), "{answer}");
    for query in asked {
        let known = HANDLER.cluster.read();
        let shape = |name: &Name| shape(&resolve(&known, &HANDLER.zone, name, query.query_type));
        assert_eq!(shape(&query.name), shape(&query.name.to_lowercase()));
    }
}

/// `web.ns.svc.cluster.local. A` as a message.
fn spoken(text: &str) -> Option<Vec<u8>> {
    let (name, kind) = text.trim().split_once(' ')?;
    let kind: RecordType = kind.parse().ok()?;
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).ok()?, kind));
    message.to_vec().ok()
}

fn shape(answer: &Answer) -> (&'static str, usize) {
    match answer {
        Answer::Elsewhere => ("elsewhere", 0),
        Answer::Refused => ("refused", 0),
        Answer::Records { answers, .. } => ("records", answers.len()),
        Answer::Alias { answers, .. } => ("alias", answers.len()),
        Answer::NoData(_) => ("no data", 0),
        Answer::NoName(_) => ("no name", 0),
    }
}
