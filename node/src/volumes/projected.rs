//! Several sources in one volume. Upstream: pkg/volume/projected/projected.go `collectData`.

use api::Value;

use super::{
    Around, Volumes, downward_api,
    payload::{self, File, Payload, Shape},
    trust,
};
use crate::{
    objects::{CONFIG_MAP, SECRET},
    security,
};

/// The volume's files. A later source wins where two have the same path.
pub async fn files(volumes: &Volumes, pod: &Value, volume: &Value, around: &Around<'_>) -> Result<Payload, String> {
    let source = volume.at("projected");
    payload::default_mode(source)?;
    let (mut files, mut errors) = (Payload::new(), Vec::new());
    for (index, part) in source.list("sources").iter().enumerate() {
        let place = Place { pod, volume, index };
        match of_part(volumes, &place, part, around).await {
            Ok(more) => files.extend(more),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(files) } else { Err(payload::aggregate(errors)) }
}

/// Where a source stands.
struct Place<'a> {
    pod: &'a Value,
    volume: &'a Value,
    index: usize,
}

async fn of_part(volumes: &Volumes, place: &Place<'_>, part: &Value, around: &Around<'_>) -> Result<Payload, String> {
    let (pod, projected) = (place.pod, place.volume.at("projected"));
    let Some((kind, source)) = part.members().find(|(_, source)| !source.is_null()) else { return Ok(Payload::new()) };
    match kind {
        "secret" => {
            let object = volumes.read(SECRET, pod, source.str("name"), source.bool("optional")).await?;
            Shape::of(source, projected)?.files(&payload::secret(&object), super::NO_SECRET_KEY)
        }
        "configMap" => {
            let object = volumes.read(CONFIG_MAP, pod, source.str("name"), source.bool("optional")).await?;
            Shape::of(source, projected)?.files(&payload::config_map(&object), super::NO_CONFIG_KEY)
        }
        "downwardAPI" => downward_api::files(pod, source.list("items"), projected, around.allocatable),
        "serviceAccountToken" => {
            let token = volumes.tokens.token(pod, source, volumes.clock.now()).await?;
            Ok(Payload::from([(source.str("path").to_owned(), place.private(source, token.into_bytes())?)]))
        }
        "clusterTrustBundle" => {
            let anchors = trust::anchors(&*volumes.objects, source).await?;
            Ok(Payload::from([(source.str("path").to_owned(), place.private(source, anchors)?)]))
        }
        "podCertificate" => {
            let name = place.volume.str("name");
            let bundle = volumes.certificates.bundle(pod, name, place.index, source, volumes.clock.now()).await?;
            let whole = [bundle.key.as_bytes(), bundle.chain.as_bytes()].concat();
            let parts = [
                ("credentialBundlePath", whole),
                ("keyPath", bundle.key.into_bytes()),
                ("certificateChainPath", bundle.chain.into_bytes()),
            ];
            let said = parts.into_iter().filter(|(path, _)| !source.str(path).is_empty());
            said.map(|(path, data)| Ok((source.str(path).to_owned(), place.private(source, data)?))).collect()
        }
        _ => Ok(Payload::new()),
    }
}

impl Place<'_> {
    /// A file that only its owner may read, where the pod says who that is; its group gets it afterwards.
    fn private(&self, source: &Value, data: Vec<u8>) -> Result<File, String> {
        let projected = self.volume.at("projected");
        let user = payload::user(source, "user")
            .or_else(|| payload::user(projected, "defaultUser"))
            .or_else(|| only_user(self.pod));
        let is_owned = user.is_some() || security::fs_group(self.pod).is_some();
        let mode = if is_owned { 0o600 } else { payload::default_mode(projected)? };
        Ok(File { data, mode, user })
    }
}

/// The user as whom all containers of the pod run, when it is one. Upstream: `FsUserFrom`.
fn only_user(pod: &Value) -> Option<u32> {
    let spec = pod.at("spec");
    let lists = ["initContainers", "containers", "ephemeralContainers"].map(|list| spec.list(list));
    let mut users = lists.into_iter().flatten().map(|container| security::run_as_user(pod, container));
    let first = users.next()??;
    let is_same = users.all(|user| user == Some(first));
    is_same.then(|| u32::try_from(first).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::value;

    #[test]
    fn a_file_is_the_users_only_when_all_containers_run_as_it() {
        let container = |user: Option<i64>| value!({"securityContext": {"runAsUser": user}});
        let pod = |users: &[Option<i64>]| value!({"spec": {"containers": users.iter().copied().map(container).collect::<Vec<_>>()}});
        assert_eq!(only_user(&pod(&[Some(5), Some(5)])), Some(5));
        assert_eq!(only_user(&pod(&[Some(5), Some(6)])), None);
        assert_eq!(only_user(&pod(&[Some(5), None])), None);
        assert_eq!(only_user(&pod(&[])), None);
        let mut whole = pod(&[None, Some(6)]);
        whole.set_path(&["spec", "securityContext"], value!({"runAsUser": 6}));
        assert_eq!(only_user(&whole), Some(6));
    }

    #[test]
    fn a_token_is_private_where_somebody_owns_it() {
        let volume = value!({"projected": {"defaultMode": 420}});
        let plain = value!({"spec": {"containers": [{}]}});
        let grouped = value!({"spec": {"containers": [{}], "securityContext": {"fsGroup": 9}}});
        let of = |pod: &Value, source: &Value| Place { pod, volume: &volume, index: 0 }.private(source, vec![]);
        assert_eq!(of(&plain, Value::NULL), Ok(File { data: vec![], mode: 0o644, user: None }));
        assert_eq!(of(&grouped, Value::NULL), Ok(File { data: vec![], mode: 0o600, user: None }));
        assert_eq!(of(&plain, &value!({"user": 8})), Ok(File { data: vec![], mode: 0o600, user: Some(8) }));
    }
}
