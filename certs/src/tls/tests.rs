//! Handshakes in memory: what a listener accepts, and what it shows.

use std::sync::Arc;

use rustls::{ClientConnection, ServerConnection};

use super::*;
use crate::authority::{Authority, Issued, Profile, Subject};
use crate::names::Names;

/// Runs both ends until neither has anything to say.
fn shake(
    client: rustls::ClientConfig,
    server: rustls::ServerConfig,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = "localhost".try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).expect("memory takes everything");
        server.read_tls(&mut wire.as_slice()).expect("memory gives everything");
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).expect("memory takes everything");
        client.read_tls(&mut wire.as_slice()).expect("memory gives everything");
        client.process_new_packets()?;
    }
    Ok((client, server))
}

/// rustls reads the clock of the machine for the server's certificate, so these are made for today.
fn now() -> i64 {
    UnixTime::now().as_secs() as i64
}

fn serving(authority: &Authority) -> Issued {
    let names = Names::api_server::<&str>(&[], "cluster.local", &[]);
    authority.issue(&Profile::server("kube-apiserver", names), now()).expect("issued")
}

fn settings(authority: &Authority) -> ServerSettings {
    let issued = serving(authority);
    ServerSettings {
        certificate: Arc::new(KeyPair::new(&issued.certificate_pem, &issued.key).expect("a pair")),
        client_authorities_pem: String::new(),
        oldest_version: OldestVersion::Tls12,
        http2: true,
    }
}

#[test]
fn a_server_without_a_certificate_lets_nobody_in_until_it_has_one() {
    let ours = Authority::generate("ours", now()).expect("made");
    let certificate = Arc::new(KeyPair::none());
    let attempt = || {
        let settings = ServerSettings { certificate: certificate.clone(), ..settings(&ours) };
        let client = client_config(ours.bundle_pem(), None, true).expect("settings");
        shake(client, server_config(settings).expect("settings")).map(drop)
    };
    assert!(attempt().is_err(), "it has nothing to show");
    assert!(certificate.chain().is_empty());
    let issued = serving(&ours);
    certificate.replace(&issued.certificate_pem, &issued.key).expect("a pair");
    assert!(attempt().is_ok(), "it shows what it was given");
}

#[test]
fn a_client_of_an_unknown_authority_gets_through_the_handshake() {
    let (ours, theirs) =
        (Authority::generate("ours", now()).expect("made"), Authority::generate("theirs", now()).expect("made"));
    let stranger = theirs.issue(&Profile::client(Subject::user("mallory", &[])), now()).expect("issued");
    let pair = Arc::new(KeyPair::new(&stranger.certificate_pem, &stranger.key).expect("a pair"));
    let client = client_config(ours.bundle_pem(), Some(pair.clone()), true).expect("settings");
    let attempt = || {
        let server = server_config(settings(&ours)).expect("settings");
        let (_, server) = shake(client.clone(), server).expect("a connection");
        (server.peer_certificates().expect("the client showed one").to_vec(), server)
    };
    let (shown, server) = attempt();
    assert_eq!(shown, pem::certificates(&stranger.certificate_pem).expect("a certificate"));
    let next = theirs.issue(&Profile::client(Subject::user("mallory", &[])), now()).expect("issued");
    pair.replace(&next.certificate_pem, &next.key).expect("a pair");
    assert_eq!(attempt().0, pem::certificates(&next.certificate_pem).expect("a certificate"), "the next connection's");
    assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
}

#[test]
fn no_client_certificate_is_needed() {
    let ours = Authority::generate("ours", now()).expect("made");
    let client = client_config(ours.bundle_pem(), None, false).expect("settings");
    let (client, server) = shake(client, server_config(settings(&ours)).expect("settings")).expect("a connection");
    assert!(server.peer_certificates().is_none());
    assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
}

/// Shows this pair to every server, whether or not the key belongs to the certificate.
#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl rustls::client::ResolvesClientCert for Fixed {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn a_client_without_the_key_of_its_certificate_is_refused() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let ours = Authority::generate("ours", now()).expect("made");
        let admin = ours.issue(&Profile::client(Subject::user("admin", &["system:masters"])), now()).expect("issued");
        let own = PrivateKey::generate().expect("made");
        let chain = pem::certificates(&admin.certificate_pem).expect("a certificate");
        let signer = provider().key_provider.load_private_key(own.to_rustls()).expect("a key");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ours.certificate().clone()).expect("an authority");
        let client = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(Fixed(Arc::new(CertifiedKey::new(chain, signer)))));
        let refused = shake(client, server_config(settings(&ours)).expect("settings"));
        assert!(matches!(refused, Err(Error::Tls(rustls::Error::InvalidCertificate(_)))), "{version:?}");
    }
}

#[test]
fn a_replaced_certificate_serves_the_next_connection() {
    let ours = Authority::generate("ours", now()).expect("made");
    let first = serving(&ours);
    let certificate = Arc::new(KeyPair::new(&first.certificate_pem, &first.key).expect("a pair"));
    let settings = ServerSettings { certificate: certificate.clone(), ..settings(&ours) };
    let server = server_config(settings).expect("settings");
    let next = serving(&ours);
    certificate.replace(&next.certificate_pem, &next.key).expect("replaced");
    let client = client_config(ours.bundle_pem(), None, true).expect("settings");
    let (client, _) = shake(client, server).expect("a connection");
    let shown = client.peer_certificates().expect("the server showed one");
    assert_eq!(shown, pem::certificates(&next.certificate_pem).expect("a certificate"));
    assert!(certificate.replace(&next.certificate_pem, &PrivateKey::generate().expect("made")).is_err());
    assert_eq!(certificate.chain(), shown);
}

#[test]
fn tls_1_2_is_spoken_unless_refused() {
    let ours = Authority::generate("ours", now()).expect("made");
    for (oldest, accepted) in [(OldestVersion::Tls12, true), (OldestVersion::Tls13, false)] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ours.certificate().clone()).expect("an authority");
        let client = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS12])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = server_config(ServerSettings { oldest_version: oldest, ..settings(&ours) }).expect("settings");
        assert_eq!(shake(client, server).is_ok(), accepted);
    }
}

#[test]
fn clients_of_version_1_get_through_in_both_versions() {
    let ours = Authority::generate("ours", now()).expect("made");
    let signer = PrivateKey::from_pem(&ours.key_pem()).expect("a key");
    for (version, honest) in [
        (&rustls::version::TLS12, true),
        (&rustls::version::TLS13, true),
        (&rustls::version::TLS12, false),
        (&rustls::version::TLS13, false),
    ] {
        let key = PrivateKey::generate().expect("made");
        let shown = if honest {
            key.public_der().to_vec()
        } else {
            PrivateKey::generate().expect("made").public_der().to_vec()
        };
        let issuer = parse(ours.certificate()).expect("parsed");
        let leaf = crate::encode::version_1(&issuer, "old", &shown, &signer);
        let signing = provider().key_provider.load_private_key(key.to_rustls()).expect("a key");
        let pair = Arc::new(CertifiedKey::new(vec![leaf.into()], signing));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ours.certificate().clone()).expect("an authority");
        let client = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(Fixed(pair)));
        let shaken = shake(client, server_config(settings(&ours)).expect("settings"));
        assert_eq!(shaken.is_ok(), honest, "{version:?}");
    }
}

#[test]
fn keys_are_exchanged_by_chosen_groups_alone() {
    const P256: u16 = 23;
    const X25519: u16 = 29;
    assert!(is_group(P256) && is_group(X25519) && is_group(4588) && !is_group(25) && !is_group(1));
    let ours = Authority::generate("ours", now()).expect("made");
    for (groups, wanted) in [(vec![], true), (vec![P256], false), (vec![P256, X25519], true), (vec![X25519], true)] {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.kx_groups.retain(|group| number_of(*group) == X25519);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ours.certificate().clone()).expect("an authority");
        let client = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let choice = Choice { groups: groups.clone(), ..Choice::default() };
        let server = server_config_with(settings(&ours), &choice).expect("settings");
        assert_eq!(shake(client, server).is_ok(), wanted, "{groups:?}");
    }
}
