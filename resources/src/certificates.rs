//! certificates.k8s.io: asking for certificates, and whom to trust.
//!
//! Who may approve and sign is judged by admission, with the authorizer at hand. Upstream: pkg/apis/certificates,
//! pkg/registry/certificates.

mod pod_certificate;
mod request;
mod trust_bundle;

use api::Value;
use base64::Engine as _;

use crate::row::{Row, Selectable, TypeDefault};

pub(crate) use request::to_v1;
pub use request::{Issued, issued};

const GROUP: &str = "certificates.k8s.io";
const BY_SIGNER: Selectable = Selectable { label: "spec.signerName", value: |o| o.at("spec").str("signerName").into() };

pub const ROWS: &[Row] = &[request::ROW, trust_bundle::ROW, pod_certificate::ROW];
pub const DEFAULTS: &[TypeDefault] = &[];

/// The bytes of a `[]byte` member, none when it is missing.
fn bytes(of: &Value, member: &str) -> Vec<u8> {
    // The schema has decoded it already, so that it is base64.
    base64::engine::general_purpose::STANDARD.decode(of.str(member)).unwrap_or_default()
}
