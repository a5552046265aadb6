//! Flags of a node that joins, and the kubeconfig that it ends with.

use api::value;
use certs::{Authority, Profile};
use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    join: Join,
}

const TOKEN: &str = "abcdef.0123456789abcdef";

fn join(arguments: &[&str]) -> Result<Join, String> {
    let line = Line::try_parse_from([&["x"], arguments].concat());
    line.map(|line| line.join).map_err(|error| error.to_string())
}

#[test]
fn who_joins_by_a_token_has_certificates_that_are_exchanged_unless_the_file_says_otherwise() {
    let by_token = ["--server", "https://a:1", "--token", TOKEN];
    let over = |arguments: &[&str], mut file: Value| {
        join(arguments).expect("they are right").over(&mut file);
        (file.bool("rotateCertificates"), file.bool("serverTLSBootstrap"))
    };
    assert_eq!(over(&[], value!({})), (false, false));
    assert_eq!(over(&["--bootstrap-kubeconfig", "b"], value!({})), (false, false), "as upstream");
    assert_eq!(over(&by_token, value!({})), (true, true));
    assert_eq!(over(&by_token, value!({"serverTLSBootstrap": false})), (true, false));
    let not = [&by_token[..], &["--rotate-certificates=false"]].concat();
    assert_eq!(over(&not, value!({"rotateCertificates": true})), (false, true), "flags come before the file");
}

#[test]
fn flags_that_need_each_other_come_together() {
    assert!(join(&["--token", TOKEN]).is_err() && join(&["--server", "https://a:1"]).is_err());
    assert!(join(&["--server", "https://a:1", "--token", TOKEN, "--bootstrap-kubeconfig", "b"]).is_err());
    let root = Path::new("/r");
    assert_eq!(join(&[]).expect("they are right").path(root), Path::new(OWN));
    let joins = join(&["--bootstrap-kubeconfig", "b"]).expect("they are right");
    assert_eq!(joins.path(root), Path::new("/r/kubeconfig"));
    assert_eq!(joins.certificates(root), Path::new("/r/pki"));
}

#[tokio::test]
async fn a_token_or_a_pin_that_is_none_is_refused_before_anybody_is_asked() {
    let why = async |token: &str, pins: &[&str]| {
        let mut arguments = vec!["--server", "https://127.0.0.1:1", "--token", token];
        pins.iter().for_each(|pin| arguments.extend(["--ca-cert-hash", pin]));
        let join = join(&arguments).expect("they can be read");
        format!("{:#}", join.first().await.err().expect("it is refused"))
    };
    assert!(why("x", &[]).await.starts_with("--token: the bootstrap token \"x\" was not of the form"));
    assert!(why(TOKEN, &[]).await.starts_with("--ca-cert-hash is missing: "));
    assert!(
        why(TOKEN, &["sha256:1"]).await.starts_with("--ca-cert-hash: invalid hash \"sha256:1\", expected a 32 byte")
    );
}

#[test]
fn the_kubeconfig_leads_to_the_newest_pair() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("kubeconfig");
    assert!(!is_still_good(&path), "there is none");
    let now = Wall.now();
    let authority = Authority::generate("ca", now.as_second()).expect("it can be made");
    let store = Store::open(&root.path().join("pki"), "kubelet-client", None).expect("it can be opened");
    let with = Kubeconfig::with_token("https://192.0.2.1:6443", authority.bundle_pem(), TOKEN.into());
    write(&path, &with, &store).expect("it can be written");
    assert!(!is_still_good(&path), "it leads nowhere");
    let issued = |valid_seconds| {
        let profile = Profile { valid_seconds, ..Profile::client(certificates::subject("n")) };
        authority.issue(&profile, now.as_second()).expect("it is issued")
    };
    let first = issued(3600);
    store.update(&first.certificate_pem, &first.key, now).expect("it is written");
    assert!(is_still_good(&path));
    let read = Kubeconfig::read(&path).expect("it can be read");
    assert_eq!(read.server, "https://192.0.2.1:6443");
    let (pair, at_once) = current(&store, &read).expect("there is one");
    assert_eq!((pair.certificate_pem, at_once), (first.certificate_pem, false));
    let over = issued(-60);
    store.update(&over.certificate_pem, &over.key, now).expect("it is written");
    assert!(!is_still_good(&path), "it has ended");
}
