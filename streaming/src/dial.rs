//! Connections to nodes, pods and runtimes: the address is looked at when it is dialled, and one connection carries one
//! request.
//!
//! That an address was fit when it was stored says nothing about what its name leads to now (CVE-2022-3294). What goes
//! wrong is told in the words of Go's net package, which clients know. Whoever dials says by which [`Way`], so that all that
//! is meant for a network leaves for it by the same proxy. Upstream: apimachinery util/proxy/dial.go,
//! pkg/registry/core/node/strategy.go isProxyableHostname.

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::BoxedIo;

/// The error of an address that nobody may be sent to.
pub const NOT_ALLOWED: &str = "address not allowed";

/// Where a connection leads.
#[derive(Clone)]
pub struct Target {
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    pub port: u16,
    pub tls: Option<Arc<ClientConfig>>,
    /// The name that its certificate has to be for, where that is not the host's.
    pub name: Option<String>,
    /// Nothing of this machine's own and of its link is dialled.
    pub public_only: bool,
    pub way: Way,
}

/// How connections leave: straight, or by somebody who opens them.
#[derive(Clone, Default)]
pub struct Way(Option<Arc<dyn Dial>>);

/// Opens connections on somebody's behalf.
#[async_trait]
pub trait Dial: Send + Sync {
    /// A connection to `host:port`, which this one alone has to know how to reach. The error is for the client.
    async fn dial(&self, address: &str) -> Result<BoxedIo, String>;
}

// === impl Target ===

impl Target {
    /// A connection; everything that it takes happens `within` this time.
    pub async fn dial(&self, within: Duration) -> Result<BoxedIo, String> {
        match tokio::time::timeout(within, self.connect()).await {
            Ok(connected) => connected,
            Err(_) if self.way.proxy().is_none() => Err(format!("dial tcp {}: i/o timeout", self.authority())),
            Err(_) => Err("context deadline exceeded".into()),
        }
    }

    async fn connect(&self) -> Result<BoxedIo, String> {
        let bare: BoxedIo = match &self.way.0 {
            None => {
                let tcp = self.first(&self.addresses().await?).await?;
                let _ = tcp.set_nodelay(true);
                Box::new(tcp)
            }
            Some(proxy) => proxy.dial(&self.asked_for().await?).await?,
        };
        let Some(tls) = &self.tls else { return Ok(bare) };
        let wanted = self.name.as_ref().unwrap_or(&self.host);
        let name = ServerName::try_from(wanted.clone()).map_err(|e| e.to_string())?;
        let connecting = TlsConnector::from(tls.clone()).connect(name, bare);
        match connecting.await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(tls_text(&error, wanted)),
        }
    }

    /// What a proxy is asked for. Where not everything may be dialled that is an address which was looked at here: a
    /// name could lead elsewhere when the proxy looks.
    async fn asked_for(&self) -> Result<String, String> {
        if !self.public_only {
            return Ok(self.authority());
        }
        let addresses = self.addresses().await?;
        addresses.first().map(SocketAddr::to_string).ok_or_else(|| "no addresses for hostname".into())
    }

    /// What its name leads to, when all of that may be dialled.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let addresses = self.resolve().await?;
        if self.public_only && !addresses.iter().all(|address| is_global_unicast(address.ip())) {
            return Err(NOT_ALLOWED.into());
        }
        Ok(addresses)
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        let unknown = || format!("dial tcp: lookup {}: no such host", self.host);
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await.map_err(|_| unknown())?;
        let found: Vec<SocketAddr> = found.collect();
        if found.is_empty() { Err(unknown()) } else { Ok(found) }
    }

    /// The first of the addresses that answers; when none does, why the first did not.
    async fn first(&self, addresses: &[SocketAddr]) -> Result<TcpStream, String> {
        let mut why = None;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(tcp) => return Ok(tcp),
                Err(error) => {
                    why.get_or_insert_with(|| format!("dial tcp {address}: connect: {}", text(&error)));
                }
            }
        }
        Err(why.unwrap_or_else(|| "no addresses for hostname".into()))
    }

    /// As it stands in URLs.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

// === impl Way ===

impl Way {
    pub const STRAIGHT: Way = Way(None);

    pub fn by(proxy: Arc<dyn Dial>) -> Way {
        Way(Some(proxy))
    }

    /// Who opens connections, when they do not leave straight.
    pub fn proxy(&self) -> Option<&Arc<dyn Dial>> {
        self.0.as_ref()
    }

    /// Tells ways apart for as long as they are kept.
    pub(crate) fn id(&self) -> usize {
        self.0.as_ref().map_or(0, |proxy| Arc::as_ptr(proxy).cast::<()>() as usize)
    }
}

/// Sends a request on a connection of its own, which ends with the response or becomes what the response says.
pub async fn call<B>(io: BoxedIo, request: Request<B>) -> Result<Response<Incoming>, hyper::Error>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.title_case_headers(true).max_buf_size(1 << 20);
    let (mut sender, connection) = builder.handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await
}

/// Whether anybody may be sent to an address. Go: `IP.IsGlobalUnicast`, which counts private networks in.
pub fn is_global_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified() || v4.is_loopback() || v4.is_multicast() || v4.is_link_local() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_global_unicast(IpAddr::V4(v4)),
            None => !(v6.is_unspecified() || v6.is_loopback() || v6.is_multicast() || v6.is_unicast_link_local()),
        },
    }
}

/// What went wrong with a connection, in Go's words for what happens most.
pub fn text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::HostUnreachable => "no route to host".into(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".into(),
        io::ErrorKind::TimedOut => "connection timed out".into(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".into(),
        _ => error.to_string(),
    }
}

/// What is wrong with a certificate, in Go's words for what happens most.
fn tls_text(error: &io::Error, wanted: &str) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let verify = |why: &str| format!("tls: failed to verify certificate: x509: {why}");
    match inner {
        // An authority of the same name with another key is another authority.
        Some(rustls::Error::InvalidCertificate(
            rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature,
        )) => verify("certificate signed by unknown authority"),
        Some(rustls::Error::InvalidCertificate(
            rustls::CertificateError::Expired
            | rustls::CertificateError::ExpiredContext { .. }
            | rustls::CertificateError::NotValidYet
            | rustls::CertificateError::NotValidYetContext { .. },
        )) => verify("certificate has expired or is not yet valid"),
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForNameContext {
            presented, ..
        })) => verify(&misnamed(presented, wanted)),
        Some(rustls::Error::InvalidCertificate(why)) => verify(&why.to_string()),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => "EOF".into(),
        _ => error.to_string(),
    }
}

/// For whom a certificate is that is for somebody else. `presented` are names as rustls shows them: `DnsName("a")`,
/// `IpAddress(10.0.0.1)`. Go: `HostnameError.Error`.
fn misnamed(presented: &[String], wanted: &str) -> String {
    let of = |kind: &str| -> Vec<&str> {
        let inside = |name: &&String| name.starts_with(kind);
        let bare = |name: &'_ String| -> (usize, usize) { (kind.len() + 1, name.len().saturating_sub(1)) };
        let cut = presented.iter().filter(inside).map(|name| {
            let (start, end) = bare(name);
            name.get(start..end).unwrap_or_default().trim_matches('"')
        });
        cut.collect()
    };
    if wanted.parse::<IpAddr>().is_ok() {
        let addresses = of("IpAddress");
        return match addresses.is_empty() {
            true => format!("cannot validate certificate for {wanted} because it doesn't contain any IP SANs"),
            false => format!("certificate is valid for {}, not {wanted}", addresses.join(", ")),
        };
    }
    let names = of("DnsName");
    match names.is_empty() {
        true => format!("certificate is not valid for any names, but wanted to match {wanted}"),
        false => format!("certificate is valid for {}, not {wanted}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy that nothing is asked of.
    struct Nobody;

    #[async_trait]
    impl Dial for Nobody {
        async fn dial(&self, address: &str) -> Result<BoxedIo, String> {
            Err(format!("{address} was asked for"))
        }
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_names_unless_these_have_to_be_looked_at_here() {
        let asked = async |host: &str, public_only| {
            let way = Way::by(Arc::new(Nobody));
            let target = Target { host: host.into(), port: 80, tls: None, name: None, public_only, way };
            target.dial(Duration::from_secs(5)).await.map(drop)
        };
        assert_eq!(asked("node.invalid", false).await, Err("node.invalid:80 was asked for".into()));
        assert_eq!(asked("fd00::1", true).await, Err("[fd00::1]:80 was asked for".into()));
        assert_eq!(asked("node.invalid", true).await, Err("dial tcp: lookup node.invalid: no such host".into()));
    }

    #[tokio::test]
    async fn cve_2022_3294_what_is_this_machines_own_is_not_dialled() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        for host in ["127.0.0.1", "localhost", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1"] {
            let to = |way| Target { host: host.into(), port, tls: None, name: None, public_only: true, way };
            let refused = to(Way::by(Arc::new(Nobody))).dial(Duration::from_secs(5)).await.map(drop);
            assert_eq!(refused, Err("address not allowed".to_owned()), "{host} by a proxy");
            let target = to(Way::STRAIGHT);
            let refused = target.dial(Duration::from_secs(5)).await.map(drop);
            assert_eq!(refused, Err("address not allowed".to_owned()), "{host}");
        }
        let (host, way) = ("127.0.0.1".into(), Way::STRAIGHT);
        let target = Target { host, port, tls: None, name: None, public_only: false, way };
        assert!(target.dial(Duration::from_secs(5)).await.is_ok(), "a kubelet may be there");
        drop(listener);
        assert_eq!(
            target.dial(Duration::from_secs(5)).await.map(drop),
            Err(format!("dial tcp 127.0.0.1:{port}: connect: connection refused"))
        );
    }

    #[test]
    fn private_networks_are_where_pods_live() {
        for (address, is) in [("10.1.2.3", true), ("fd00::1", true), ("224.0.0.1", false), ("255.255.255.255", false)] {
            assert_eq!(is_global_unicast(address.parse().expect("an address")), is, "{address}");
        }
    }
}
