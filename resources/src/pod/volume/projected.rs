//! Volumes that put several sources into one directory.
//!
//! Upstream: `validateProjectedVolumeSource`, `validateProjectionSources`.

use std::collections::BTreeSet;

use api::{
    Value,
    field::{Errors, Path},
    names,
};

use super::{FILE_MODE, Source, downward_file, key_to_path, local_path, mode, user};
use crate::{
    checks::{SelectorOptions, label_selector, messages, one_of},
    pod::{internal, require, signer},
};

const CONFLICT: &str = "conflicting duplicate paths";
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
const CERTIFICATE_SECONDS_MIN: i64 = 3600;

/// The paths that have been taken, and where the volume stands, where conflicts are reported.
struct Paths<'a> {
    taken: BTreeSet<&'a str>,
    at: &'a Path,
}

pub fn projected(s: &Source<'_>, at: &Path, errs: &mut Errors) {
    mode(s.source, "defaultMode", 0o777, FILE_MODE, at, errs);
    user(s.source, "defaultUser", at, errs);
    let mut paths = Paths { taken: BTreeSet::new(), at };
    for (i, source) in s.source.list("sources").iter().enumerate() {
        let own = at.child("sources").index(i);
        let mut count = 0;
        for member in
            ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"]
        {
            if source.has(member) {
                count += 1;
                projection(
                    member,
                    source.at(member),
                    s.options.nonlocal_token_paths,
                    &own.child(member),
                    &mut paths,
                    errs,
                );
            }
        }
        if count > 1 {
            errs.forbidden(&own, "may not specify more than 1 volume type per source");
        }
    }
}

fn projection<'a>(
    member: &str,
    source: &'a Value,
    any_token_path: bool,
    at: &Path,
    paths: &mut Paths<'a>,
    errs: &mut Errors,
) {
    match member {
        "secret" | "configMap" => files(source, at, paths, errs),
        "downwardAPI" => {
            for file in source.list("items") {
                downward_file(file, at, errs);
                paths.take(file.str("path"), file.str("path"), errs);
            }
        }
        "serviceAccountToken" => token(source, any_token_path, at, paths.at, errs),
        "clusterTrustBundle" => trust_bundle(source, at, paths, errs),
        _ => certificate(source, at, paths, errs),
    }
}

impl<'a> Paths<'a> {
    /// Takes a path unless it is empty; `shown` is what a conflict shows.
    fn take(&mut self, path: &'a str, shown: &str, errs: &mut Errors) {
        if !path.is_empty() {
            self.take_even_empty(path, shown, errs);
        }
    }

    fn take_even_empty(&mut self, path: &'a str, shown: &str, errs: &mut Errors) {
        if !self.taken.insert(path) {
            errs.invalid(self.at, shown, CONFLICT);
        }
    }
}

fn files<'a>(source: &'a Value, at: &Path, paths: &mut Paths<'a>, errs: &mut Errors) {
    require(errs, &at.child("name"), source.str("name"));
    for (i, item) in source.list("items").iter().enumerate() {
        key_to_path(item, &at.child("items").index(i), errs);
        paths.take(item.str("path"), source.str("name"), errs);
    }
}

/// Upstream reports the path at the volume.
fn token(source: &Value, any_path: bool, at: &Path, volume_at: &Path, errs: &mut Errors) {
    let seconds_at = at.child("expirationSeconds");
    match source.opt_int("expirationSeconds") {
        None => errs.required(&seconds_at, ""),
        Some(seconds) if seconds < TOKEN_SECONDS_MIN => {
            errs.invalid(&seconds_at, seconds, "may not specify a duration less than 10 minutes");
        }
        Some(seconds) if seconds > TOKEN_SECONDS_MAX => {
            errs.invalid(&seconds_at, seconds, "may not specify a duration larger than 2^32 seconds");
        }
        Some(_) => {}
    }
    let path = source.str("path");
    if require(errs, &volume_at.child("path"), path) && !any_path {
        local_path(path, &volume_at.child("path"), errs);
    }
    user(source, "user", at, errs);
}

fn trust_bundle<'a>(source: &'a Value, at: &Path, paths: &mut Paths<'a>, errs: &mut Errors) {
    let (bundle, signer) = (source.opt_str("name"), source.opt_str("signerName"));
    match (bundle, signer) {
        (Some(_), Some(_)) => {
            let shown = internal::json("ClusterTrustBundleProjection", source);
            errs.invalid_raw(at, shown, "only one of name and signerName may be used");
        }
        (Some(name), None) => {
            if name.is_empty() {
                errs.required(&at.child("name"), "must be a valid object name");
            }
            let texts =
                signer::trust_bundle_name(name).into_iter().map(|t| format!("not a valid clustertrustbundlename: {t}"));
            messages(errs, &at.child("name"), name, texts.collect());
            if source.has("labelSelector") {
                let detail = "labelSelector must be unset if name is specified";
                errs.invalid(&at.child("labelSelector"), source.at("labelSelector"), detail);
            }
        }
        (None, Some(name)) => {
            if name.is_empty() {
                errs.required(&at.child("signerName"), "must be a valid signer name");
            }
            signer::name(name, &at.child("signerName"), errs);
            label_selector(source.at("labelSelector"), SelectorOptions::default(), &at.child("labelSelector"), errs);
        }
        (None, None) => errs.required(at, "either name or signerName must be specified"),
    }
    let path = source.str("path");
    require(errs, &at.child("path"), path);
    user(source, "user", at, errs);
    local_path(path, &at.child("path"), errs);
    paths.take_even_empty(path, path, errs);
}

fn certificate<'a>(source: &'a Value, at: &Path, paths: &mut Paths<'a>, errs: &mut Errors) {
    let signer_name = source.str("signerName");
    signer::name(signer_name, &at.child("signerName"), errs);
    if source.has("userAnnotations") {
        user_annotations(source.at("userAnnotations"), &at.child("userAnnotations"), errs);
    }
    user(source, "user", at, errs);
    let kinds = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
    one_of(errs, &at.child("keyType"), source.str("keyType"), &kinds);
    if let Some(seconds) = source.opt_int("maxExpirationSeconds") {
        certificate_seconds(seconds, signer_name, &at.child("maxExpirationSeconds"), errs);
    }
    let mut count = 0;
    for member in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        let path = source.str(member);
        if !path.is_empty() {
            count += 1;
            local_path(path, &at.child(member), errs);
            paths.take(path, path, errs);
        }
    }
    if count == 0 {
        errs.required(at, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
    }
}

fn certificate_seconds(seconds: i64, signer_name: &str, at: &Path, errs: &mut Errors) {
    if seconds < CERTIFICATE_SECONDS_MIN {
        errs.invalid(at, seconds, "if provided, maxExpirationSeconds must be >= 3600");
    }
    let days = if signer::is_kubernetes(signer_name) { 1 } else { 91 };
    let max = days * 24 * 3600;
    if seconds > max {
        errs.invalid(at, seconds, format!("if provided, maxExpirationSeconds must be <= {max}"));
    }
}

/// Upstream: `ValidateUserAnnotations`.
fn user_annotations(annotations: &Value, at: &Path, errs: &mut Errors) {
    for (key, _) in annotations.members() {
        errs.extend(names::domain_prefixed_key(at, &key.to_lowercase()));
    }
    crate::pod::annotations::size(annotations, at, errs);
}
