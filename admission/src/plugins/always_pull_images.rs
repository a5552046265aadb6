//! Pulls every image anew, so that only who has its credentials runs it.
//!
//! Upstream: plugin/pkg/admission/alwayspullimages/admission.go.

use api::{
    Status, Value,
    field::{Errors, Path},
};
use async_trait::async_trait;

use crate::{Cluster, Operation, Plugin, Request, aggregate, plain, pod};

pub struct AlwaysPullImages;

const ALWAYS: &str = "Always";

#[async_trait]
impl Plugin for AlwaysPullImages {
    fn name(&self) -> &'static str {
        "AlwaysPullImages"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    async fn mutate(&self, request: &mut Request<'_>, _: &Cluster) -> Result<(), Status> {
        if !concerns(request) {
            return Ok(());
        }
        pod::each_container_mut(&mut request.object, &pod::ALL, |_, c| c.set("imagePullPolicy", ALWAYS));
        let volumes = request.object.path_mut(&["spec", "volumes"]).and_then(Value::as_array_mut);
        for image in volumes.into_iter().flatten().filter_map(|v| v.get_mut("image")).filter(|i| !i.is_null()) {
            image.set("pullPolicy", ALWAYS);
        }
        Ok(())
    }

    async fn validate(&self, request: &Request<'_>, _: &Cluster) -> Result<(), Status> {
        if !concerns(request) {
            return Ok(());
        }
        let mut errors = Errors::new();
        let spec = Path::new("spec");
        for (list, i, container) in pod::containers(&request.object, &pod::ALL) {
            let policy = container.str("imagePullPolicy");
            if policy != ALWAYS {
                errors.not_supported(&spec.child(list.field()).index(i).child("imagePullPolicy"), policy, &[ALWAYS]);
            }
        }
        for (i, volume) in request.object.at("spec").list("volumes").iter().enumerate() {
            let policy = volume.at("image").str("pullPolicy");
            if volume.has("image") && policy != ALWAYS {
                errors.not_supported(
                    &spec.child("volumes").index(i).children(&["image", "pullPolicy"]),
                    policy,
                    &[ALWAYS],
                );
            }
        }
        let texts: Vec<String> = errors.0.iter().map(|e| request.forbid(e).to_string()).collect();
        match texts.is_empty() {
            true => Ok(()),
            // Upstream answers an aggregate, which is no API error.
            false => Err(plain(aggregate(&texts))),
        }
    }
}

/// An update that brings no new image is left alone.
fn concerns(request: &Request<'_>) -> bool {
    if !request.is_for("", "pods") {
        return false;
    }
    let known = |image: &str| pod::containers(request.old, &pod::ALL).any(|(_, _, c)| c.str("image") == image);
    request.operation != Operation::Update
        || pod::containers(&request.object, &pod::ALL).any(|(_, _, c)| !known(c.str("image")))
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::fake::{Ask, World, create_pod, pod as a_pod};

    #[test]
    fn every_image_is_pulled() {
        let ask = create_pod(value!({
            "initContainers": [{"name": "i", "image": "i"}],
            "ephemeralContainers": [{"name": "e", "image": "e"}],
            "volumes": [{"name": "v", "image": {"reference": "r"}}, {"name": "w", "emptyDir": {}}],
        }));
        let error = ask.validate(&AlwaysPullImages, &World::new()).expect_err("nothing is pulled");
        assert_eq!(error.code(), 500);
        assert!(error.message().starts_with("[pods \"p\" is forbidden: spec.initContainers[0].imagePullPolicy: Unsupported value: \"\": supported values: \"Always\", "));
        let object = ask.mutate(&AlwaysPullImages, &World::new()).expect("it refuses nothing");
        for (_, _, container) in pod::containers(&object, &pod::ALL) {
            assert_eq!(container.str("imagePullPolicy"), ALWAYS);
        }
        assert_eq!(object.at("spec").list("volumes")[0].at("image").str("pullPolicy"), ALWAYS);
        assert!(!object.at("spec").list("volumes")[1].has("image"));
        assert_eq!(Ask::create("pods", "Pod", object).validate(&AlwaysPullImages, &World::new()), Ok(()));
    }

    #[test]
    fn an_update_without_new_images_is_left_alone() {
        let update = |spec: Value| Ask::update("pods", "Pod", a_pod(spec), a_pod(value!({})));
        let same = update(value!({}));
        assert_eq!(same.mutate(&AlwaysPullImages, &World::new()), Ok(same.object.clone()));
        assert_eq!(same.validate(&AlwaysPullImages, &World::new()), Ok(()));
        let new = update(value!({"containers": [{"name": "c", "image": "new"}]}));
        assert!(new.validate(&AlwaysPullImages, &World::new()).is_err());
    }
}
