//! What an issued certificate has to be: made for the asked key, now, and for no longer than was asked.

use api::{
    Value,
    field::{Errors, Path},
};
use certs::inspect::{self, Certificate};

use super::refuse;
use crate::certificates::bytes;

const CHAIN_SIZE_MAX: usize = 100 * 1024;
const MINUTE: i64 = 60;

/// The second half of upstream's `ValidatePodCertificateRequestStatusUpdate`; each step is the end when it fails.
pub fn validate(new: &Value, spec: &Value, now: i64, errs: &mut Errors) {
    let status = new.at("status");
    let chain = status.str("certificateChain");
    let at = Path::new("status").child("certificateChain");
    if chain.len() > CHAIN_SIZE_MAX {
        return errs.too_long(&at, CHAIN_SIZE_MAX as i64);
    }
    let mut blocks = inspect::blocks(chain.as_bytes()).into_iter();
    let Some(leaf) = blocks.next() else {
        return errs.invalid(&at, chain, "issued certificate chain must contain at least one certificate");
    };
    if leaf.label != "CERTIFICATE" {
        return errs.invalid(&at, chain, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks");
    }
    let Some(leaf) = inspect::certificate(&leaf.der) else {
        return errs.invalid(&at, chain, "leaf certificate does not parse as valid X.509");
    };
    names(&leaf, &at, errs);
    let wanted = match inspect::request(&bytes(spec, "stubPKCS10Request")) {
        Some(request) => Some(request.key),
        None => inspect::key(&bytes(spec, "pkixPublicKey")),
    };
    match wanted {
        None => {
            let text = "must be a valid PKIX-serialized public key";
            return refuse(errs, &Path::new("spec").child("pkixPublicKey"), text);
        }
        Some(key) if key.der != leaf.public_key => {
            return errs.invalid(&at, chain, "leaf certificate was not issued to the requested public key");
        }
        Some(_) => {}
    }
    if !times(status, &leaf, spec.int("maxExpirationSeconds"), now, errs) {
        return;
    }
    for block in blocks {
        if block.label != "CERTIFICATE" {
            return errs.invalid(&at, chain, "issued certificate chain must consist entirely of CERTFICATE PEM blocks");
        }
        if inspect::certificate(&block.der).is_none() {
            return errs.invalid(&at, chain, "intermediate certificate does not parse as valid X.509");
        }
    }
}

fn names(leaf: &Certificate, at: &Path, errs: &mut Errors) {
    for name in leaf.dns_names.iter().map(String::as_str) {
        if name.is_empty() {
            errs.invalid(at, name, "leaf certificate should not contain empty DNSName");
        }
        if name.contains("..") {
            errs.invalid(at, name, "leaf certificate's DNSName should not contain '..'");
        }
        if name.starts_with('.') || name.ends_with('.') {
            errs.invalid(at, name, "leaf certificate's DNSName should not start or end with '.'");
        }
    }
    for address in leaf.email_addresses.iter().filter(|a| !looks_like_mail(a)) {
        errs.invalid(at, address, "leaf certificate should not contain invalid EmailAddress");
    }
}

/// Something, one `@`, something, without spaces. Go's parser takes more forms that no certificate has.
fn looks_like_mail(address: &str) -> bool {
    let parts: Vec<&str> = address.rsplitn(2, '@').collect();
    parts.len() == 2 && parts.iter().all(|p| !p.is_empty() && !p.contains(char::is_whitespace) && !p.contains(".."))
}

/// Whether the times of the status are the certificate's, near now and within what was asked.
fn times(status: &Value, leaf: &Certificate, longest: i64, now: i64, errs: &mut Errors) -> bool {
    let at = Path::new("status");
    let before = errs.len();
    let required = [
        ("notBefore", "must be present and consistent with the issued certificate"),
        ("notAfter", "must be present and consistent with the issued certificate"),
        ("beginRefreshAt", "must be present and in the range [notbefore+10min, notafter-10min]"),
    ];
    for (member, text) in required.iter().filter(|(member, _)| status.str(member).is_empty()) {
        errs.required(&at.child(member), *text);
    }
    // Names that were wrong above end it here as well, as upstream counts all errors so far.
    if errs.len() > before || before > 0 {
        return false;
    }
    let seconds = |member: &str| api::time::parse(status.str(member)).map_or(0, |t| t.as_second());
    let (start, end, refresh) = (seconds("notBefore"), seconds("notAfter"), seconds("beginRefreshAt"));
    let lifetime = leaf.not_after - leaf.not_before;
    let chain = Path::new("status").child("certificateChain");
    let time = |errs: &mut Errors, member: &str, text: &str| errs.invalid(&at.child(member), status.str(member), text);
    if start != leaf.not_before {
        time(errs, "notBefore", "must be set to the NotBefore time encoded in the leaf certificate");
    } else if (start - now).abs() >= 5 * MINUTE {
        time(errs, "notBefore", "must be set to within 5 minutes of kube-apiserver's current time");
    } else if end != leaf.not_after {
        time(errs, "notAfter", "must be set to the NotAfter time encoded in the leaf certificate");
    } else if lifetime < 60 * MINUTE {
        errs.invalid(&chain, lifetime * 1_000_000_000, "leaf certificate lifetime must be >= 1 hour");
    } else if lifetime > longest {
        let text = format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({longest})");
        errs.invalid(&chain, lifetime * 1_000_000_000, text);
    } else if refresh < start + 10 * MINUTE {
        time(errs, "beginRefreshAt", "must be at least 10 minutes after status.notBefore");
    } else if refresh > end - 10 * MINUTE {
        time(errs, "beginRefreshAt", "must be at least 10 minutes before status.notAfter");
    }
    errs.is_empty()
}
