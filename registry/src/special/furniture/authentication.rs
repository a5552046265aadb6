//! What other servers need to tell who asks them: `extension-apiserver-authentication`.
//!
//! Several servers share it, so what is there is added to and never replaced. Upstream:
//! pkg/controlplane/controller/{clusterauthenticationtrust,legacytokentracking}.

use api::{GroupResource, Status, Value, value};

use super::{create, ensure, replace};
use crate::Registry;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
const END: &str = "-----END CERTIFICATE-----";

/// Authorities as PEM; names as they are written.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub client_ca: String,
    /// Without it nothing is said about the front proxy.
    pub request_header_ca: String,
    pub allowed_names: Vec<String>,
    pub username_headers: Vec<String>,
    pub uid_headers: Vec<String>,
    pub group_headers: Vec<String>,
    pub extra_header_prefixes: Vec<String>,
}

/// Makes the config map, or adds what it lacks.
pub async fn keep(registry: &Registry, settings: &Settings) -> Result<(), Status> {
    let maps = GroupResource::new("", "configmaps");
    let found = registry.cluster.look.get(&maps, NAMESPACE, NAME);
    let mut map = found.clone().unwrap_or_else(
        || value!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": NAME, "namespace": NAMESPACE}}),
    );
    let data = map.entry("data");
    add_certificates(data, "client-ca-file", &settings.client_ca);
    if !settings.request_header_ca.is_empty() {
        add_certificates(data, "requestheader-client-ca-file", &settings.request_header_ca);
        add_names(data, "requestheader-allowed-names", &settings.allowed_names)?;
        add_names(data, "requestheader-username-headers", &settings.username_headers)?;
        if !settings.uid_headers.is_empty() {
            add_names(data, "requestheader-uid-headers", &settings.uid_headers)?;
        }
        add_names(data, "requestheader-group-headers", &settings.group_headers)?;
        add_names(data, "requestheader-extra-headers-prefix", &settings.extra_header_prefixes)?;
    }
    match found {
        Some(found) if found == map => Ok(()),
        Some(_) => replace(registry, &maps, &map, "").await,
        None => create(registry, &maps, &map, "").await,
    }
}

/// Notes since when the use of old tokens is watched.
pub async fn track_tokens(registry: &Registry) -> Result<(), Status> {
    let since = api::time::seconds(registry.clock.now());
    let day = since.split('T').next().unwrap_or("").to_string();
    let map = value!({
        "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {"name": "kube-apiserver-legacy-service-account-token-tracking", "namespace": NAMESPACE},
        "data": {"since": day}
    });
    ensure(registry, "", "configmaps", &map).await
}

fn add_certificates(data: &mut Value, key: &str, pem: &str) {
    let mut all: Vec<String> = blocks(data.str(key));
    for block in blocks(pem) {
        if !all.contains(&block) {
            all.push(block);
        }
    }
    data.set(key, all.concat());
}

fn blocks(pem: &str) -> Vec<String> {
    let blocks = pem.split_inclusive(END).map(str::trim).filter(|block| block.ends_with(END));
    blocks.map(|block| format!("{block}\n")).collect()
}

fn add_names(data: &mut Value, key: &str, names: &[String]) -> Result<(), Status> {
    let mut all = match data.str(key) {
        "" => Value::array(Vec::new()),
        text => codec::json::any(text.as_bytes()).map_err(Status::internal)?.value,
    };
    let list = all.make_array();
    for name in names {
        if !list.iter().any(|known| known.as_str() == Some(name)) {
            list.push(name.into());
        }
    }
    data.set(key, codec::json::to_string(&all));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_added_to() {
        let one = format!("-----BEGIN CERTIFICATE-----\nb25l\n{END}\n");
        let two = format!("-----BEGIN CERTIFICATE-----\ndHdv\n{END}\n");
        let mut data = value!({"ca": (one.as_str()), "names": "[\"a\"]"});
        add_certificates(&mut data, "ca", &format!("{two}{one}"));
        assert_eq!(data.str("ca"), format!("{one}{two}"));
        add_names(&mut data, "names", &["a".into(), "b".into()]).expect("JSON");
        assert_eq!(data.str("names"), "[\"a\",\"b\"]");
    }
}
