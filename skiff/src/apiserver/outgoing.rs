//! What the API server asks of other people's servers: whom it believes, and as whom it shows itself.
//!
//! Upstream: apiserver/pkg/util/webhook/authentication.go, cmd/kube-apiserver/app/aggregator.go.

use std::sync::Arc;

use admission::{Look, webhook};
use api::time::Clock;
use registry::{Ids as _, convert, special::api_services};
use server::{
    Server,
    metrics::{Kind, Metrics, Page, Row},
    outgoing::{Outgoing, Settings},
};
use streaming::egress::Egress;

use super::credentials::Credentials;
use crate::clock::Random;

/// Where machines keep the authorities that they believe. Go: `crypto/x509/root_linux.go`.
const MACHINES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub fn client(credentials: &Credentials, look: Arc<dyn Look>, egress: &Egress) -> Arc<Outgoing> {
    let machine = machine();
    let draw = Arc::new(|bound: u64| number() % bound.max(1));
    let egress = egress.clone();
    let front_proxy = Some(credentials.front_proxy_client.clone());
    Arc::new(Outgoing::new(Settings { look, draw, machine, front_proxy, egress }))
}

/// A number by chance, of 48 bits.
pub fn number() -> u64 {
    let digits: String = Random.uid().chars().filter(char::is_ascii_hexdigit).take(12).collect();
    u64::from_str_radix(&digits, 16).unwrap_or_default()
}

/// The authorities that this machine believes, as PEM.
pub fn machine() -> String {
    MACHINES.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
}

/// What admission needs to call webhooks.
pub fn webhooks(outgoing: &Arc<Outgoing>, metrics: &Metrics) -> webhook::Outside {
    webhook::Outside { call: outgoing.clone(), tally: metrics.admission.clone(), uid: Arc::new(|| Random.uid()) }
}

/// What conversions need to call webhooks.
pub fn conversions(outgoing: &Arc<Outgoing>, metrics: &Metrics, clock: &Arc<dyn Clock>) -> convert::Outside {
    let uid = Arc::new(|| Random.uid());
    convert::Outside { call: outgoing.clone(), uid, clock: clock.clone(), tally: metrics.conversion.clone() }
}

const UNAVAILABLE: Row = Row {
    name: "aggregator_unavailable_apiservice",
    kind: Kind::Gauge,
    stability: "ALPHA",
    labels: &["name"],
    help: "Gauge of APIServices which are marked as unavailable broken down by APIService name.",
};

const FAILURES: Row = Row {
    name: "aggregator_unavailable_apiservice_total",
    kind: Kind::Counter,
    stability: "ALPHA",
    labels: &["name", "reason"],
    help: "Counter of APIServices which are marked as unavailable broken down by APIService name and reason.",
};

/// All families that are counted here.
#[cfg(test)]
pub const ROWS: &[&Row] = &[&UNAVAILABLE, &FAILURES];

/// Writes which API services do not answer: of each what it says of itself when the page is asked for.
/// Upstream: kube-aggregator/pkg/controllers/status/metrics.
pub fn unavailable(server: &Arc<Server>) -> impl Fn(&mut Page) + Send + Sync + use<> {
    // The server holds the page.
    let server = Arc::downgrade(server);
    move |page| {
        let Some(server) = server.upgrade() else { return };
        page.add(&UNAVAILABLE, |family| {
            for (name, is_available) in api_services::availability(&*server.registry.cluster.look) {
                family.number(&[&name], f64::from(u8::from(!is_available)));
            }
        });
        server.aggregate.failures.write(page, &FAILURES);
    }
}
