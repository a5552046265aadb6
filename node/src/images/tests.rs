//! Policies, waits and credentials, with the words of what fails.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;
use crate::{objects::stored::Stored, runtime::Error, scripted::Scripted, tell::Told};
use api::value;

struct Stopped(Mutex<i64>);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::new(1_700_000_000 + *self.0.lock(), 0).expect("is a time")
    }
}

struct World {
    runtime: Arc<Scripted>,
    stored: Arc<Stored>,
    told: Arc<Told>,
    clock: Arc<Stopped>,
    images: Images,
    _directory: tempfile::TempDir,
}

fn world() -> World {
    let directory = tempfile::tempdir().expect("makes one");
    let (runtime, stored, told) = (Arc::new(Scripted::default()), Stored::new(), Arc::new(Told::default()));
    let clock = Arc::new(Stopped(Mutex::new(0)));
    let config = Config { parallel: 1, per_second: 0.0, burst: 0.0, records: directory.path().join("pulled") };
    let images = Images::new(runtime.clone(), stored.clone(), clock.clone(), told.clone(), config);
    World { runtime, stored, told, clock, images, _directory: directory }
}

impl World {
    async fn ensure(&self, image: &str, policy: &str, secrets: &[&str]) -> Result<String, String> {
        let secrets: Vec<Value> = secrets.iter().map(|name| value!({"name": *name})).collect();
        let pod = value!({"metadata": {"namespace": "ns", "uid": "u"}, "spec": {"imagePullSecrets": secrets}});
        let sandbox = SandboxSpec::default();
        let ask = Ask { pod: &pod, container: Some("c"), image, policy, handler: "", sandbox: &sandbox };
        self.images.ensure(&ask).await.map_err(|error| format!("{}: {}", error.reason, error.message))
    }

    fn secret(&self, name: &str, user: &str) {
        let config = format!(r#"{{"auths":{{"r.io":{{"username":"{user}","password":"x"}}}}}}"#);
        let data = value!({".dockerconfigjson": STANDARD.encode(config)});
        self.stored.put(SECRET, "ns", name, value!({"type": "kubernetes.io/dockerconfigjson", "data": data}));
    }
}

#[tokio::test]
async fn the_policy_says_whether_it_is_pulled() {
    let world = world();
    let never = world.ensure("r.io/a", "Never", &[]).await;
    let words = "Container image \"r.io/a\" is not present with pull policy of Never";
    assert_eq!(never, Err(format!("ErrImageNeverPull: {words}")));
    assert_eq!(world.told.take(), [format!("Warning ErrImageNeverPull {words}")]);
    assert_eq!(world.ensure("r.io/a", "IfNotPresent", &[]).await, Ok("id-of-r.io/a:latest".into()));
    let pulled =
        "Normal Pulled Successfully pulled image \"r.io/a\" in 0s (0s including waiting). Image size: 42 bytes.";
    assert_eq!(world.told.take(), ["Normal Pulling Pulling image \"r.io/a\"", pulled]);
    assert_eq!(world.ensure("r.io/a", "Never", &[]).await, Ok("id-of-r.io/a:latest".into()));
    let there = "Normal Pulled Container image \"r.io/a\" already present on machine and can be accessed by the pod";
    assert_eq!(world.told.take(), [there]);
    assert!(world.ensure("r.io/a", "Always", &[]).await.is_ok());
    assert_eq!(world.runtime.pulled_as.lock().len(), 2);
}

#[tokio::test]
async fn a_failure_waits_and_says_what_it_was() {
    let world = world();
    let refused = Error::NotFound("no such image".into());
    world.runtime.pulls.lock().push_back(Err(refused));
    let error = "rpc error: code = NotFound desc = no such image";
    assert_eq!(world.ensure("r.io/a:1", "IfNotPresent", &[]).await, Err(format!("ErrImagePull: {error}")));
    let failed = format!("Warning Failed Failed to pull image \"r.io/a:1\": {error}");
    assert_eq!(world.told.take(), ["Normal Pulling Pulling image \"r.io/a:1\"".to_owned(), failed]);
    *world.clock.0.lock() = 9;
    let words = format!("ImagePullBackOff: Back-off pulling image \"r.io/a:1\": ErrImagePull: {error}");
    assert_eq!(world.ensure("r.io/a:1", "IfNotPresent", &[]).await, Err(words));
    assert_eq!(world.told.take(), ["Normal BackOff Back-off pulling image \"r.io/a:1\""]);
    *world.clock.0.lock() = 10;
    assert!(world.ensure("r.io/a:1", "IfNotPresent", &[]).await.is_ok());
}

#[tokio::test]
async fn a_name_that_cannot_be_read_is_told() {
    let world = world();
    let words = "Failed to apply default image tag \"A b\": couldn't parse image name \"A b\": invalid reference format: \
                 repository name (library/A b) must be lowercase";
    assert_eq!(world.ensure("A b", "Always", &[]).await, Err(format!("InvalidImageName: {words}")));
    assert_eq!(world.told.take(), [format!("Warning InspectFailed {words}")]);
}

#[tokio::test]
async fn credentials_are_tried_one_after_the_other_and_others_have_to_show_theirs() {
    let world = world();
    world.secret("one", "anna");
    world.secret("two", "bert");
    let refused = Error::Refused { code: "Unknown", message: "no".into() };
    world.runtime.pulls.lock().push_back(Err(refused));
    let id = world.ensure("r.io/a:1", "IfNotPresent", &["one", "two"]).await.expect("is pulled");
    assert_eq!(*world.runtime.pulled_as.lock(), ["anna", "bert"]);
    assert_eq!(world.ensure("r.io/a:1", "Never", &["two"]).await, Ok(id));
    assert!(world.ensure("r.io/a:1", "Never", &["one"]).await.is_err_and(|why| why.starts_with("ErrImageNeverPull")));
    assert!(world.ensure("r.io/a:1", "IfNotPresent", &[]).await.is_ok(), "the registry lets it in");
    assert_eq!(world.runtime.pulled_as.lock().last().map(String::as_str), Some(""));
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_told_with_the_failure() {
    let world = world();
    world.runtime.pulls.lock().push_back(Err(Error::Timeout("slow".into())));
    assert!(world.ensure("r.io/a:1", "Always", &["none", ""]).await.is_err());
    let told = world.told.take();
    let words = "Warning FailedToRetrieveImagePullSecret Unable to retrieve some image pull secrets (none); attempting to \
                 pull the image may not succeed.";
    assert_eq!(told.last().map(String::as_str), Some(words));
}

#[test]
fn some_errors_have_their_own_reason() {
    let judge = |error: &str| judged("i", error);
    let unavailable = judge("RegistryUnavailable: it sleeps");
    assert_eq!(unavailable.reason, "RegistryUnavailable");
    assert_eq!(unavailable.message, "image pull failed for i because the registry is unavailable: it sleeps");
    assert_eq!(
        judge("SignatureValidationFailed").message,
        "image pull failed for i because the signature validation failed"
    );
    assert_eq!(judge("x").reason, "ErrImagePull");
    assert_eq!(millis(SignedDuration::from_micros(1_234_567)), "1.234s");
}
