//! Standards by level and version, what namespaces say of them, and who is exempt.

use std::sync::Arc;

use api::{Value, value};

use super::*;
use crate::fake::{Ask, World, assert_forbidden, create_pod, pod, run};

/// Labels without their prefix.
type Labels<'a> = &'a [(&'a str, &'a str)];

fn plugin(said: Value) -> PodSecurity {
    counted(said, crate::tally::nobody())
}

fn counted(said: Value, tally: Arc<dyn Tally>) -> PodSecurity {
    PodSecurity { configuration: Configuration::read(&said).expect("the configuration is right"), tally }
}

fn plain() -> PodSecurity {
    plugin(Value::Null)
}

fn world(labels: Value) -> Arc<World> {
    World::new().with("namespaces", value!({"metadata": {"name": "ns", "labels": (labels)}}))
}

fn enforcing(standard: &str) -> Arc<World> {
    let (level, version) = standard.split_once(':').unwrap_or((standard, "latest"));
    world(value!({
        "pod-security.kubernetes.io/enforce": (level),
        "pod-security.kubernetes.io/enforce-version": (version)
    }))
}

/// A pod that the newest restricted standard lets in, with this besides.
fn confined(spec: Value) -> Value {
    let mut whole = pod(value!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "c",
            "image": "i",
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}
        }]
    }));
    for (key, member) in spec.members() {
        whole.set_path(&["spec", key], member.clone());
    }
    whole
}

/// What a standard says against a pod, in short.
fn reasons(standard: &str, pod: &Value) -> String {
    let (level, version) = standard.split_once(':').expect("level:version");
    let level = Level::parse(level).expect("it is a level");
    let version = level::Version::parse(version).expect("it is a version");
    checks::evaluate(Standard { level, version }, &Pod::of(pod)).reasons()
}

#[test]
fn a_bare_pod_is_refused_in_upstreams_words() {
    let why = "violates PodSecurity \"restricted:latest\": \
        allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
        unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), \
        runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), \
        seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";
    assert_forbidden(create_pod(value!({})).validate(&plain(), &enforcing("restricted")), why);
    assert_eq!(create_pod(value!({})).validate(&plain(), &enforcing("baseline")), Ok(()));
    let ask = Ask::create("pods", "Pod", confined(value!({})));
    assert_eq!(ask.validate(&plain(), &enforcing("restricted")), Ok(()));
}

#[test]
fn each_check_forbids_what_it_is_about() {
    let one = |security: Value| value!({"containers": [{"name": "c", "image": "i", "securityContext": (security)}]});
    let cases = [
        (one(value!({"appArmorProfile": {"type": "Unconfined"}})), "forbidden AppArmor profile"),
        (one(value!({"capabilities": {"add": ["NET_RAW"]}})), "non-default capabilities"),
        (value!({"hostPID": true, "hostIPC": true}), "host namespaces"),
        (value!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), "hostPath volumes"),
        (value!({"initContainers": [{"name": "i", "ports": [{"hostPort": 80}]}]}), "hostPort"),
        (
            value!({"containers": [{"name": "c", "livenessProbe": {"httpGet": {"host": "h", "port": 1}}}]}),
            "probe or lifecycle host",
        ),
        (one(value!({"privileged": true})), "privileged"),
        (one(value!({"procMount": "Unmasked"})), "procMount"),
        (one(value!({"seLinuxOptions": {"user": "u"}})), "seLinuxOptions"),
        (one(value!({"seccompProfile": {"type": "Unconfined"}})), "seccompProfile"),
        (value!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}), "forbidden sysctls"),
        (value!({"securityContext": {"windowsOptions": {"hostProcess": true}}}), "hostProcess"),
    ];
    for (spec, reason) in cases {
        assert_eq!(reasons("baseline:latest", &pod(spec)), reason);
    }
    let cases = [
        (value!({"volumes": [{"name": "v", "nfs": {"path": "/", "server": "s"}}]}), "restricted volume types"),
        (value!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), "restricted volume types"),
        (
            value!({"securityContext": {"runAsNonRoot": false, "seccompProfile": {"type": "Localhost"}}}),
            "runAsNonRoot != true",
        ),
        (
            value!({"securityContext": {"runAsNonRoot": true, "runAsUser": 0, "seccompProfile": {"type": "Localhost"}}}),
            "runAsUser=0",
        ),
    ];
    for (spec, reason) in cases {
        assert_eq!(reasons("restricted:latest", &confined(spec)), reason);
    }
}

/// The plugin of that report is not here, and a server that is told to have it does not start: what judges images and
/// what containers may visits every list, also when containers come later.
#[test]
fn cve_2023_2727_containers_that_come_later_are_judged_too() {
    let one = |list: &str| {
        let mut spec = Value::object();
        spec.set(list, value!([{"name": "x", "image": "new", "securityContext": {"privileged": true}}]));
        pod(spec)
    };
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        assert_eq!(reasons("baseline:latest", &one(list)), "privileged", "{list}");
    }
    let later = Ask::update("pods", "Pod", one("ephemeralContainers"), pod(value!({}))).at("ephemeralcontainers");
    let why = "violates PodSecurity \"baseline:latest\": privileged (container \"x\" must not set securityContext.privileged=true)";
    assert_forbidden(later.validate(&plain(), &enforcing("baseline")), why);
    let settings = crate::plugins::Settings::new(Arc::new(String::new));
    let asked = crate::plugins::chain(&["ImagePolicyWebhook".into()], &[], &settings);
    assert!(asked.is_err(), "who asks for that plugin hears that there is none");
}

#[test]
fn a_check_is_what_it_was_in_the_version_that_is_named() {
    let sysctl = |name: &str| pod(value!({"securityContext": {"sysctls": [{"name": (name), "value": "1"}]}}));
    assert_eq!(reasons("baseline:v1.31", &sysctl("net.ipv4.tcp_rmem")), "forbidden sysctls");
    assert_eq!(reasons("baseline:v1.32", &sysctl("net.ipv4.tcp_rmem")), "");
    assert_eq!(reasons("baseline:v1.36", &sysctl("net.ipv4.tcp_notsent_lowat")), "forbidden sysctls");
    assert_eq!(reasons("baseline:v1.99", &sysctl("net.ipv4.tcp_notsent_lowat")), "");
    let windows = pod(value!({"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}}));
    assert_eq!(reasons("restricted:v1.25", &windows), "");
    let older = "allowPrivilegeEscalation != false, unrestricted capabilities, seccompProfile";
    assert_eq!(reasons("restricted:v1.24", &windows), older);
    assert_eq!(reasons("restricted:v1.7", &windows), "");
    let rootless = confined(value!({"hostUsers": false, "securityContext": {"seccompProfile": {"type": "Localhost"}}}));
    assert_eq!(reasons("restricted:v1.34", &rootless), "runAsNonRoot != true");
    assert_eq!(reasons("restricted:v1.35", &rootless), "");
    let mut annotated = pod(value!({}));
    annotated.set_path(&["metadata", "annotations", "container.seccomp.security.alpha.kubernetes.io/c"], "unconfined");
    assert_eq!(reasons("baseline:v1.18", &annotated), "seccompProfile");
    assert_eq!(reasons("baseline:v1.19", &annotated), "");
}

#[test]
fn warnings_and_notes_say_what_is_not_refused() {
    let world = world(value!({
        "pod-security.kubernetes.io/warn": "baseline",
        "pod-security.kubernetes.io/audit": "restricted",
        "pod-security.kubernetes.io/audit-version": "v1.20"
    }));
    let template = pod(value!({"hostNetwork": true}));
    let object = value!({"metadata": {"name": "d", "namespace": "ns"}, "spec": {"template": (template)}});
    let ask = Ask::create("deployments.apps", "Deployment", object);
    let request = ask.request();
    assert_eq!(run(plain().validate(&request, &world.cluster())), Ok(()));
    let warning = "would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)";
    assert_eq!(request.said.warnings(), [warning]);
    let notes = request.said.annotations();
    assert!(notes["pod-security.kubernetes.io/audit-violations"].starts_with(
        "would violate PodSecurity \"restricted:v1.20\": host namespaces (hostNetwork=true), allowPrivilegeEscalation"
    ));
    assert_eq!(notes.len(), 1, "nothing is enforced on what is no pod");
}

#[test]
fn the_enforced_level_is_warned_of_too() {
    let (policy, _) = Policy::of(
        &value!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.2"}),
        plain().configuration.defaults,
    );
    assert_eq!(
        (policy.warn.to_string(), policy.audit.to_string()),
        ("baseline:v1.2".into(), "privileged:latest".into())
    );
}

#[test]
fn updates_count_when_images_change() {
    let old = pod(value!({"hostPID": true}));
    let mut new = old.clone();
    new.set_path(&["metadata", "labels", "a"], "b");
    let world = enforcing("baseline");
    assert_eq!(Ask::update("pods", "Pod", new.clone(), old.clone()).validate(&plain(), &world), Ok(()));
    new.set_path(&["spec", "containers"], value!([{"name": "c", "image": "other"}]));
    let ask = Ask::update("pods", "Pod", new, old);
    assert_forbidden(
        ask.validate(&plain(), &world),
        "violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)",
    );
    assert_eq!(ask.at("status").validate(&plain(), &world), Ok(()));
}

#[test]
fn exemptions_are_noted() {
    let said = value!({
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": {"enforce": "restricted"},
        "exemptions": {"usernames": ["alice"], "namespaces": ["free"], "runtimeClasses": ["vm"]}
    });
    let plugin = plugin(said);
    let world = world(value!({})).with("namespaces", value!({"metadata": {"name": "free"}}));
    let mut ask = create_pod(value!({}));
    let noted = |ask: &Ask| {
        let request = ask.request();
        let outcome = run(plugin.validate(&request, &world.cluster()));
        outcome
            .map(|()| request.said.annotations().get("pod-security.kubernetes.io/exempt").cloned().unwrap_or_default())
    };
    assert_eq!(noted(&ask), Ok("user".into()));
    ask.user = api::User::new("bob", &[]);
    assert!(noted(&ask).is_err());
    ask.object.set_path(&["spec", "runtimeClassName"], "vm");
    assert_eq!(noted(&ask), Ok("runtimeClass".into()));
    ask.namespace = "free".into();
    assert_eq!(noted(&ask), Ok("namespace".into()));
}

/// What was counted, in order.
#[derive(Default)]
struct Counts(parking_lot::Mutex<Vec<String>>);

impl Counts {
    fn note(&self, what: String, of: &Subject<'_>) {
        self.0.lock().push(format!("{what} {} {}{}", of.operation, of.resource, of.subresource));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Tally for Counts {
    fn called(&self, _: &crate::tally::Called<'_>) {}

    fn stood(&self, standing: &Standing<'_>) {
        let Standing { is_allowed, level, version, mode, subject } = standing;
        let decision = if *is_allowed { "allow" } else { "deny" };
        self.note(format!("{decision} {mode} {level} {version}"), subject);
    }

    fn exempted(&self, subject: &Subject<'_>) {
        self.note("exempt".into(), subject);
    }

    fn unjudged(&self, is_fatal: bool, subject: &Subject<'_>) {
        self.note(format!("error {is_fatal}"), subject);
    }
}

#[test]
fn what_is_held_to_a_standard_is_counted_and_what_is_not_too() {
    let counts = Arc::new(Counts::default());
    let exempt = value!({
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "exemptions": {"runtimeClasses": ["vm"], "usernames": ["root"]}
    });
    let plugin = counted(exempt, counts.clone());
    let labels = |pairs: &[(&str, &str)]| {
        let mut labels = Value::object();
        pairs.iter().for_each(|(key, value)| labels.set(&format!("pod-security.kubernetes.io/{key}"), *value));
        world(labels)
    };
    let (bare, host) = (create_pod(value!({})), create_pod(value!({"hostPID": true})));
    let template =
        value!({"metadata": {"name": "d", "namespace": "ns"}, "spec": {"template": (pod(value!({"hostPID": true})))}});
    let deployment = Ask::create("deployments.apps", "Deployment", template);
    let none: [&str; 0] = [];
    let old = [("enforce", "baseline"), ("enforce-version", "v1.20"), ("audit", "restricted"), ("warn", "privileged")];
    let future = [("enforce", "baseline"), ("enforce-version", "v1.99")];
    let wrong = [("enforce", "harsh")];
    let cases: [(Labels<'_>, &Ask, &[&str]); 8] = [
        (&[], &bare, &["allow enforce privileged latest create pod"]),
        (&[("enforce-version", "v1.20")], &bare, &["allow enforce privileged latest create pod"]),
        (&old, &bare, &["allow enforce baseline v1.20 create pod", "deny audit restricted latest create pod"]),
        (&old, &host, &["deny enforce baseline v1.20 create pod", "deny audit restricted latest create pod"]),
        (&future, &host, &["deny enforce baseline future create pod"]),
        (&future, &deployment, &["deny warn baseline future create controller"]),
        (&wrong, &bare, &["error false create pod", "deny enforce restricted latest create pod"]),
        (&[], &deployment, &none),
    ];
    for (said, ask, expected) in cases {
        let _ = ask.validate(&plugin, &labels(said));
        assert_eq!(counts.take(), expected, "{said:?}");
    }
    let nowhere = World::new();
    assert!(bare.validate(&plugin, &nowhere).is_err() && deployment.validate(&plugin, &nowhere).is_ok());
    assert_eq!(counts.take(), ["error true create pod", "error true create controller"]);
    assert_eq!(create_pod(value!({"runtimeClassName": "vm"})).validate(&plugin, &labels(&old)), Ok(()));
    let mut by_root = deployment;
    by_root.user = api::User::new("root", &[]);
    assert_eq!(by_root.validate(&plugin, &labels(&old)), Ok(()));
    assert_eq!(counts.take(), ["exempt create pod", "exempt create controller"]);
}

#[test]
fn labels_of_namespaces_have_to_be_right_once_they_change() {
    let named = |labels: Value| value!({"metadata": {"name": "ns", "labels": (labels)}});
    let wrong = named(
        value!({"pod-security.kubernetes.io/enforce": "harsh", "pod-security.kubernetes.io/warn-version": "1.2"}),
    );
    let refused = Ask::create("namespaces", "Namespace", wrong.clone()).validate(&plain(), &World::new());
    assert_eq!(
        refused.expect_err("two labels are wrong").message(),
        "Namespace \"ns\" is invalid: [metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"harsh\": must be one of privileged, baseline, restricted, metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"1.2\": must be \"latest\" or \"v1.x\"]"
    );
    let update = |new: &Value, old: &Value| {
        Ask::update("namespaces", "Namespace", new.clone(), old.clone()).validate(&plain(), &World::new())
    };
    assert_eq!(update(&wrong, &wrong), Ok(()));
    assert!(update(&wrong, &named(value!({}))).is_err());
}

#[test]
fn a_stricter_namespace_names_the_pods_that_are_in_its_way() {
    let mut world = World::new();
    for name in ["b", "a", "z"] {
        let mut pod = pod(value!({"hostPID": (name != "z"), "hostNetwork": (name == "z")}));
        pod.set_path(&["metadata", "name"], name);
        world = world.with("pods", pod);
    }
    let named =
        |level: &str| value!({"metadata": {"name": "ns", "labels": {"pod-security.kubernetes.io/enforce": (level)}}});
    let warnings = |new: &str, old: &str| {
        let ask = Ask::update("namespaces", "Namespace", named(new), named(old));
        let request = ask.request();
        run(plain().validate(&request, &world.cluster())).map(|()| request.said.warnings())
    };
    let lines = warnings("baseline", "privileged").expect("the labels are right");
    assert_eq!(
        lines[0],
        "existing pods in namespace \"ns\" violate the new PodSecurity enforce level \"baseline:latest\""
    );
    assert_eq!(lines[1..], ["a (and 2 other pods): host namespaces"]);
    assert_eq!(warnings("baseline", "restricted"), Ok(vec![]));
}

#[test]
fn a_wrong_configuration_is_refused() {
    let says = |said: Value| Configuration::read(&said).map(|_| ()).expect_err("it is wrong");
    let of = |more: Value| {
        let mut said =
            value!({"apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration"});
        more.members().for_each(|(k, v)| said.set(k, v.clone()));
        said
    };
    assert_eq!(
        says(of(value!({"defaults": {"warn": "x"}}))),
        "PodSecurity invalid: defaults.warn: Invalid value: \"x\": must be one of privileged, baseline, restricted"
    );
    assert_eq!(
        says(of(value!({"exemptions": {"usernames": ["a", "a", ""]}}))),
        "PodSecurity invalid: [exemptions.usernames[1]: Duplicate value: \"a\", exemptions.usernames[2]: Invalid value: \"\": username must not be empty]"
    );
}
