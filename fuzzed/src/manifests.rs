//! Pods that a node has from itself: files, and what a web server says.

use std::sync::{Arc, LazyLock};

use api::{Value, meta};
use node::statics::{HASH, Reader, SEEN, SOURCE, Whole, acts, place};

use crate::{Noon, builtin};

static READER: LazyLock<Reader> =
    LazyLock::new(|| Reader { node_name: "One".into(), clock: Arc::new(Noon), whole: whole() });

/// What is of the wrong sort is none.
fn whole() -> Whole {
    let id = builtin().id("io.k8s.api.core.v1.Pod").expect("there are pods");
    Arc::new(move |pod: &mut Value| {
        let text = codec::json::to_string(pod);
        *pod = codec::json::object(text.as_bytes(), id, builtin()).map_err(|error| error.to_string())?.value;
        Ok(())
    })
}

/// What is a pod is one of this node, is the same when it is read again, and has a mirror.
pub fn manifests(data: &[u8]) {
    let file = [("/etc/web.yaml".to_owned(), data.to_vec())].into();
    let pods = READER.files(&file);
    assert!(pods.len() < 2);
    judge(&pods, "file");
    assert_eq!(READER.files(&file), pods);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut known = String::new();
    match READER.answer("http://pods.example", text, &mut known) {
        Ok(pods) => judge(&pods.expect("it is new"), "http"),
        Err(why) => assert!(!why.is_empty()),
    }
    assert!(text.is_empty() || READER.answer("http://pods.example", text, &mut known) == Ok(None));
}

fn judge(pods: &[Arc<Value>], source: &str) {
    for pod in pods {
        let meta = meta::of(pod);
        assert!(meta.name().ends_with("-one") && !meta.namespace().is_empty() && !meta.uid().is_empty());
        assert_eq!((meta.annotation(HASH), meta.annotation(SOURCE)), (Some(meta.uid()), Some(source)));
        assert!(meta.annotation(SEEN).is_some());
        assert_eq!((pod.at("spec").str("nodeName"), pod.at("spec").str("serviceAccountName")), ("One", ""));
        let wanted = [(place(pod), pod.clone())].into();
        assert_eq!(acts(&wanted, &Default::default(), &[]).len(), 1, "it gets a mirror");
    }
}
