//! Questions as they come in, and answers as they go out.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use api::time::Clock;
use async_trait::async_trait;
use hickory_server::{
    net::{runtime::Time, xfer::Protocol},
    proto::{
        op::{Edns, Header, HeaderCounts, Message, Metadata, OpCode, Query, ResponseCode},
        rr::{DNSClass, Name, Record, RecordType},
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use parking_lot::{Mutex, RwLock};

use crate::{
    cache::{Asked, Cache},
    cluster::Cluster,
    forward::{Failure, Forward, Over},
    health::Health,
    resolve::{Answer, Zone, resolve},
};

/// Longer answers over UDP are cut, whatever the client takes.
const PAYLOAD_MAX: u16 = 4096;
/// Upstream's newest version of EDNS.
const EDNS_VERSION: u8 = 0;

/// Who answers.
pub struct Handler {
    pub cluster: Arc<RwLock<Cluster>>,
    pub zone: Zone,
    pub forward: Arc<Forward>,
    pub health: Arc<Health>,
    pub clock: Arc<dyn Clock>,
    pub cache: Mutex<Cache>,
    /// Which of a name's addresses stands first.
    pub turn: AtomicUsize,
}

/// An answer in its parts.
#[derive(Debug, Default)]
struct Reply {
    code: ResponseCode,
    is_authoritative: bool,
    is_recursive: bool,
    is_truncated: bool,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
}

// === impl Reply ===

impl Reply {
    fn code(code: ResponseCode) -> Reply {
        Reply { code, ..Reply::default() }
    }

    fn denial(code: ResponseCode, soa: Record) -> Reply {
        Reply { code, is_authoritative: true, authorities: vec![soa], ..Reply::default() }
    }

    fn of(message: Message) -> Reply {
        let meta = message.metadata;
        Reply {
            code: meta.response_code,
            is_authoritative: meta.authoritative,
            is_recursive: meta.recursion_available,
            is_truncated: meta.truncation,
            answers: message.answers,
            authorities: message.authorities,
            additionals: message.additionals,
        }
    }
}

// === impl Handler ===

impl Handler {
    async fn reply(&self, request: &Request) -> Reply {
        if request.metadata.op_code != OpCode::Query {
            return Reply::code(ResponseCode::NotImp);
        }
        let [query] = request.queries.queries() else { return Reply::code(ResponseCode::FormErr) };
        if request.edns.as_ref().is_some_and(|edns| edns.version() > EDNS_VERSION) {
            return Reply::code(ResponseCode::BADVERS);
        }
        let query = query.original();
        if query.query_class != DNSClass::IN {
            return Reply::code(ResponseCode::Refused);
        }
        if self.forward.is_own_probe(query) {
            return Reply::code(ResponseCode::Refused);
        }
        let over = if request.protocol() == Protocol::Udp { Over::Udp } else { Over::Tcp };
        let answer = resolve(&self.cluster.read(), &self.zone, &query.name, query.query_type);
        if answer != Answer::Elsewhere && !self.health.is_ready.load(Ordering::Acquire) {
            return Reply::code(ResponseCode::ServFail);
        }
        match answer {
            Answer::Elsewhere => self.elsewhere(query, request.edns.as_ref(), over).await,
            Answer::Refused => Reply::code(ResponseCode::Refused),
            Answer::NoData(soa) => Reply::denial(ResponseCode::NoError, soa),
            Answer::NoName(soa) => Reply::denial(ResponseCode::NXDomain, soa),
            Answer::Records { answers, additionals } => {
                Reply { is_authoritative: true, answers: self.turned(answers), additionals, ..Reply::default() }
            }
            Answer::Alias { answers, target } => self.alias(answers, target, query.query_type).await,
        }
    }

    /// What others say.
    async fn elsewhere(&self, query: &Query, edns: Option<&Edns>, over: Over) -> Reply {
        let signed = edns.is_some_and(|edns| edns.flags().dnssec_ok);
        let asked = Asked::new(&query.name, query.query_type, signed);
        if let Some(kept) = self.cache.lock().get(&asked, self.clock.now()) {
            self.health.hits.add(1);
            return Reply::of(kept);
        }
        self.health.misses.add(1);
        match self.forward.ask(query, edns, over).await {
            Ok(message) => {
                self.cache.lock().put(asked, message.clone(), self.clock.now());
                Reply::of(message)
            }
            Err(Failure::Busy) => Reply::code(ResponseCode::Refused),
            Err(failure) => {
                tracing::debug!(name = %query.name, %failure, "a name of others is not known");
                Reply::code(ResponseCode::ServFail)
            }
        }
    }

    /// A service that stands for a name of others: their records behind ours. When they say nothing, it is as though
    /// there were no records.
    async fn alias(&self, mut answers: Vec<Record>, target: Name, kind: RecordType) -> Reply {
        let query = Query::query(target, kind);
        let mut there = self.elsewhere(&query, None, Over::Udp).await;
        if there.is_truncated {
            there = self.elsewhere(&query, None, Over::Tcp).await;
        }
        if !matches!(there.code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return Reply::code(ResponseCode::ServFail);
        }
        answers.extend(there.answers);
        Reply { is_authoritative: true, answers, ..Reply::default() }
    }

    /// Each question finds another address in front, so that clients who take the first are spread.
    fn turned(&self, mut answers: Vec<Record>) -> Vec<Record> {
        if answers.len() > 1 && answers.iter().all(|r| matches!(r.record_type(), RecordType::A | RecordType::AAAA)) {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % answers.len();
            answers.rotate_left(turn);
        }
        answers
    }

    fn count(&self, request: &Request, reply: &Reply, started: Instant) {
        let Some(query) = request.queries.queries().first().map(|query| query.original()) else { return };
        let family = match request.src() {
            SocketAddr::V4(_) => "1",
            SocketAddr::V6(_) => "2",
        };
        let protocol = if request.protocol() == Protocol::Udp { "udp" } else { "tcp" };
        let ours = crate::question::Question::read(&query.name, &self.zone.domain);
        let zone = ours.map_or(".".into(), |question| question.origin.join(".") + ".");
        self.health.asked(family, protocol, &query.query_type.to_string(), &zone);
        self.health.answered(&code_name(reply.code), &zone, started.elapsed().as_secs_f64());
    }
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut respond: R) -> ResponseInfo {
        let started = Instant::now();
        let reply = self.reply(request).await;
        self.count(request, &reply, started);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = reply.code;
        metadata.authoritative = reply.is_authoritative;
        metadata.recursion_available = reply.is_recursive;
        metadata.truncation = reply.is_truncated;
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_version(EDNS_VERSION)
                .set_max_payload(asked.max_payload().clamp(512, PAYLOAD_MAX))
                .set_dnssec_ok(asked.flags().dnssec_ok)
                .set_rcode_high(reply.code.high());
            edns
        });
        let builder = MessageResponseBuilder::new(&request.queries, edns.as_ref());
        let nothing: &[Record] = &[];
        let response = builder.build(metadata, &reply.answers, &reply.authorities, nothing, &reply.additionals);
        match respond.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "an answer could not be sent");
                metadata.response_code = ResponseCode::ServFail;
                Header { metadata, counts: HeaderCounts::default() }.into()
            }
        }
    }
}

/// As CoreDNS' metrics have it.
fn code_name(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".into(),
        ResponseCode::FormErr => "FORMERR".into(),
        ResponseCode::ServFail => "SERVFAIL".into(),
        ResponseCode::NXDomain => "NXDOMAIN".into(),
        ResponseCode::NotImp => "NOTIMP".into(),
        ResponseCode::Refused => "REFUSED".into(),
        other => u16::from(other).to_string(),
    }
}
