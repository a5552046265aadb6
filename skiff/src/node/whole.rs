//! Pods out of a node's own files: with the defaults that the API server would give them, and held to its rules.

use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use api::{User, Value, time::Clock as _};
use resources::row::Context;
use schema::default::Defaults;

use crate::clock::Wall;

const POD: &str = "io.k8s.api.core.v1.Pod";

/// Makes a pod whole, or says what is wrong with it.
pub fn whole(pod: &mut Value) -> std::result::Result<(), String> {
    let schemas = schema::builtin();
    let id = schemas.id(POD).ok_or_else(|| format!("no type is called {POD}"))?;
    // What is of the wrong sort is found by who reads types.
    let text = codec::json::to_string(pod);
    *pod = codec::json::object(text.as_bytes(), id, schemas).map_err(|error| error.to_string())?.value;
    defaults().map_err(|error| error.to_string())?.apply(pod, id, schemas);
    let context = Context {
        now: Wall.now(),
        user: &User::new("system:node", &[]),
        namespace: api::meta::of(pod).namespace(),
        version: "v1",
        dry_run: false,
        find: &|_, _, _| None,
        fresh_uid: &String::new,
        gate: &|_| false,
    };
    let wrong = (resources::core::pods::POD.rules.validate)(pod, &context);
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

fn defaults() -> Result<&'static Defaults> {
    static DEFAULTS: OnceLock<Option<Defaults>> = OnceLock::new();
    let compiled = DEFAULTS
        .get_or_init(|| Defaults::new(schema::builtin(), resources::defaults().map(|d| (d.schema, d.run))).ok());
    compiled.as_ref().context("the defaults do not fit the types")
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    #[test]
    fn a_file_says_as_little_as_a_client() {
        let mut pod = value!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-one", "namespace": "default"},
            "spec": {"containers": [{"name": "c", "image": "web:1"}]}
        });
        assert_eq!(whole(&mut pod), Ok(()));
        let container = &pod.at("spec").list("containers")[0];
        assert_eq!(container.str("imagePullPolicy"), "IfNotPresent");
        assert_eq!(container.str("terminationMessagePath"), "/dev/termination-log");
        assert_eq!(pod.at("spec").int("terminationGracePeriodSeconds"), 30);
        let mut wrong = pod.clone();
        wrong.set_path(&["metadata", "namespace"], false);
        assert!(whole(&mut wrong).is_err(), "a namespace is no boolean");
        pod.set_path(&["spec", "restartPolicy"], "Sometimes");
        let error = whole(&mut pod).expect_err("there is no such policy");
        assert!(error.starts_with("spec.restartPolicy: Unsupported value: \"Sometimes\""), "{error}");
    }
}
