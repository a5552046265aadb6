//! Asking others about names that are not the cluster's.
//!
//! A question goes on as it came, over the transport it came over, under a number of our own and from a port of its own.
//! Whoever is asked first is drawn by lot. A question that comes back to us would go round for ever: before anything is
//! passed on, one that nobody else can know is sent out, and if it comes in again nothing is passed on at all.
//! Upstream: coredns plugin/forward, plugin/loop.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hickory_server::proto::{
    op::{Edns, Message, Query},
    rr::{Name, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::Semaphore,
    time,
};

/// So long one server may take. Upstream: defaultReadTimeout.
const SERVER_WITHIN: Duration = Duration::from_secs(2);
/// So long all together may take. Upstream: defaultTimeout.
const ALL_WITHIN: Duration = Duration::from_secs(5);
/// More questions are not under way at a time. Upstream: `max_concurrent 1000`.
const UNDER_WAY_MAX: usize = 1000;
/// What fits without being cut on the way.
const PAYLOAD: u16 = 1232;
/// So many answers that are none of ours are read before another server is asked.
const STRANGERS_MAX: usize = 16;

/// Draws numbers; handed in.
pub type Lots = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Those who are asked.
pub struct Forward {
    servers: Vec<SocketAddr>,
    lots: Lots,
    seats: Semaphore,
    /// The question that nobody else can know.
    probe: Name,
    is_loop: AtomicBool,
}

/// How a question goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Udp,
    Tcp,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("there is nobody to ask")]
    Nobody,
    #[error("those who could be asked ask us")]
    Loop,
    #[error("too many questions are under way")]
    Busy,
    #[error("nobody answers")]
    Silence,
}

// === impl Forward ===

impl Forward {
    pub fn new(servers: Vec<SocketAddr>, lots: Lots) -> Forward {
        let text = format!("{}.{}.", lots(), lots());
        let probe = Name::from_ascii(&text).unwrap_or_else(|_| Name::root());
        Forward { servers, lots, seats: Semaphore::new(UNDER_WAY_MAX), probe, is_loop: AtomicBool::new(false) }
    }

    /// Sends out the question that shows a loop. Nobody has to answer it.
    pub async fn probe(&self) {
        for server in &self.servers {
            let query = Query::query(self.probe.clone(), RecordType::HINFO);
            let _ = time::timeout(SERVER_WITHIN, self.exchange(*server, &query, None, Over::Udp)).await;
        }
    }

    /// Whether a question is our own that came back; from then on nothing is passed on.
    pub fn is_own_probe(&self, query: &Query) -> bool {
        let own = query.query_type == RecordType::HINFO && query.name == self.probe;
        if own && !self.is_loop.swap(true, Ordering::AcqRel) {
            tracing::error!("the servers of resolv.conf ask us what we ask them; no question is passed on");
        }
        own
    }

    /// Asks until somebody answers. What comes back has a number of ours.
    pub async fn ask(&self, query: &Query, edns: Option<&Edns>, over: Over) -> Result<Message, Failure> {
        if self.servers.is_empty() {
            return Err(Failure::Nobody);
        }
        if self.is_loop.load(Ordering::Acquire) {
            return Err(Failure::Loop);
        }
        let Ok(_seat) = self.seats.try_acquire() else { return Err(Failure::Busy) };
        let first = usize::try_from((self.lots)() % self.servers.len() as u64).unwrap_or(0);
        let turns = self.servers.iter().cycle().skip(first).take(self.servers.len() * 2);
        let asking = async {
            for server in turns {
                match time::timeout(SERVER_WITHIN, self.exchange(*server, query, edns, over)).await {
                    Ok(Ok(message)) => return Ok(message),
                    Ok(Err(error)) => tracing::debug!(%server, %error, "a server does not answer"),
                    Err(_) => tracing::debug!(%server, "a server takes too long"),
                }
            }
            Err(Failure::Silence)
        };
        time::timeout(ALL_WITHIN, asking).await.unwrap_or(Err(Failure::Silence))
    }

    async fn exchange(
        &self,
        server: SocketAddr,
        query: &Query,
        edns: Option<&Edns>,
        over: Over,
    ) -> std::io::Result<Message> {
        let mut message = Message::query();
        message.metadata.id = (self.lots)() as u16;
        message.metadata.recursion_desired = true;
        message.add_query(query.clone());
        if let Some(asked) = edns {
            let mut edns = Edns::new();
            edns.set_max_payload(PAYLOAD).set_dnssec_ok(asked.flags().dnssec_ok);
            message.set_edns(edns);
        }
        let bytes = message.to_vec().map_err(std::io::Error::other)?;
        match over {
            Over::Udp => over_udp(server, &bytes, &message).await,
            Over::Tcp => over_tcp(server, &bytes, &message).await,
        }
    }
}

async fn over_udp(server: SocketAddr, bytes: &[u8], asked: &Message) -> std::io::Result<Message> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // A port of its own: whoever wants to forge the answer has to guess it as well.
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; 65535];
    for _ in 0..STRANGERS_MAX {
        let len = socket.recv(&mut buffer).await?;
        if let Some(message) = Message::from_vec(&buffer[..len]).ok().filter(|answer| answers(asked, answer)) {
            return Ok(message);
        }
    }
    Err(std::io::Error::other("only strangers answer"))
}

async fn over_tcp(server: SocketAddr, bytes: &[u8], asked: &Message) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let len = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), bytes].concat()).await?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    let message = Message::from_vec(&buffer).map_err(std::io::Error::other)?;
    if answers(asked, &message) { Ok(message) } else { Err(std::io::Error::other("an answer to another question")) }
}

/// Whether it is an answer to what was asked.
fn answers(asked: &Message, answer: &Message) -> bool {
    answer.metadata.id == asked.metadata.id
        && answer.metadata.message_type == hickory_server::proto::op::MessageType::Response
        && answer.queries == asked.queries
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn lots() -> Lots {
        let next = AtomicU64::new(40_000);
        Arc::new(move || next.fetch_add(1, Ordering::Relaxed))
    }

    fn query() -> Query {
        Query::query(Name::from_ascii("Example.com.").expect("a name"), RecordType::A)
    }

    /// Answers each question with what `change` makes of the right answer.
    async fn server(change: fn(&mut Message)) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("it is bound");
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                let mut message = Message::from_vec(&buffer[..len]).expect("a question");
                message.metadata.message_type = hickory_server::proto::op::MessageType::Response;
                let right = message.clone();
                change(&mut message);
                for message in [message, right] {
                    let bytes = message.to_vec().expect("it can be written");
                    socket.send_to(&bytes, from).await.expect("it is sent");
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn answers_of_strangers_are_passed_over() {
        for change in [
            (|message| message.metadata.id ^= 1) as fn(&mut Message),
            |message| message.queries[0].query_type = RecordType::AAAA,
            |message| message.metadata.message_type = hickory_server::proto::op::MessageType::Query,
        ] {
            let forward = Forward::new(vec![server(change).await], lots());
            let answer = forward.ask(&query(), None, Over::Udp).await.expect("the second is right");
            assert_eq!(answer.queries, [query()]);
        }
    }

    #[tokio::test]
    async fn another_is_asked_when_one_is_not_there() {
        let gone = UdpSocket::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("it is bound");
        let forward = Forward::new(vec![gone, server(|_| {}).await], lots());
        for _ in 0..2 {
            assert!(forward.ask(&query(), None, Over::Udp).await.is_ok());
        }
    }

    #[tokio::test]
    async fn a_question_that_comes_back_stops_everything() {
        let forward = Forward::new(vec![server(|_| {}).await], lots());
        assert!(!forward.is_own_probe(&query()));
        let probe = Query::query(forward.probe.clone(), RecordType::HINFO);
        assert!(forward.is_own_probe(&probe));
        assert_eq!(forward.ask(&query(), None, Over::Udp).await.err(), Some(Failure::Loop));
        let nobody = Forward::new(Vec::new(), lots());
        assert_eq!(nobody.ask(&query(), None, Over::Udp).await.err(), Some(Failure::Nobody));
    }
}
