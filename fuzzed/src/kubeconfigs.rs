//! kubeconfigs: a user's, into which ours is merged, and a cluster's card.

use certs::kubeconfig::{Credential, Entry, merge};
use node::certificates::discovery;
use yaml_serde::Value;

const ENTRY: Entry<'static> = Entry {
    name: "skiff",
    server: "https://127.0.0.1:6443",
    authority_pem: "CA",
    credential: Credential::Token("abcdef.0123456789abcdef"),
};
/// What merging writes to.
const OURS: [&str; 6] = ["apiVersion", "kind", "clusters", "users", "contexts", "current-context"];

/// What was merged is a kubeconfig that says what it said before, and in which merging again changes nothing.
pub fn kubeconfigs(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match discovery::Cluster::read(text) {
        Ok(cluster) => assert!(!cluster.authority_pem.is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Err(why) = discovery::Token::parse(text) {
        assert!(!why.is_empty());
    }
    let merged = match merge(text, &ENTRY) {
        Ok(merged) => merged,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let read = |text: &str| yaml_serde::from_str::<Value>(text).expect("a kubeconfig can be read");
    let (before, after) = (read(text), read(&merged));
    for (name, member) in before.as_mapping().into_iter().flatten() {
        // A number that is none is not even what it is itself.
        let is_comparable = *member == member.clone();
        if is_comparable && !name.as_str().is_some_and(|name| OURS.contains(&name)) {
            assert_eq!(after.get(name), Some(member), "{merged}");
        }
    }
    assert_eq!(merge(&merged, &ENTRY).ok().as_deref(), Some(&*merged), "merging again changes something");
}
