//! What missing members of pods and their parts become, wherever they stand.
//!
//! Upstream: pkg/apis/core/v1/defaults.go `SetDefaults_*`. Defaults that are declared on a type (a port's protocol, a disk's
//! caching mode) are facts of the schema and not repeated.

use api::Value;

use super::{image, resources::round_up};
use crate::row::TypeDefault;

pub const DEFAULTS: &[TypeDefault] = &[
    TypeDefault { schema: "io.k8s.api.core.v1.Pod", run: pod },
    TypeDefault { schema: "io.k8s.api.core.v1.PodSpec", run: pod_spec },
    TypeDefault { schema: "io.k8s.api.core.v1.Volume", run: volume },
    TypeDefault { schema: "io.k8s.api.core.v1.HostPathVolumeSource", run: host_path },
    TypeDefault { schema: "io.k8s.api.core.v1.SecretVolumeSource", run: file_mode },
    TypeDefault { schema: "io.k8s.api.core.v1.DownwardAPIVolumeSource", run: file_mode },
    TypeDefault { schema: "io.k8s.api.core.v1.ConfigMapVolumeSource", run: file_mode },
    TypeDefault { schema: "io.k8s.api.core.v1.ProjectedVolumeSource", run: file_mode },
    TypeDefault { schema: "io.k8s.api.core.v1.ServiceAccountTokenProjection", run: token_projection },
    TypeDefault { schema: "io.k8s.api.core.v1.ObjectFieldSelector", run: field_selector },
    TypeDefault { schema: "io.k8s.api.core.v1.PersistentVolumeClaimSpec", run: claim_spec },
    TypeDefault { schema: "io.k8s.api.core.v1.VolumeResourceRequirements", run: requirements },
    TypeDefault { schema: "io.k8s.api.core.v1.Container", run: container },
    TypeDefault { schema: "io.k8s.api.core.v1.EphemeralContainer", run: container },
    TypeDefault { schema: "io.k8s.api.core.v1.ResourceRequirements", run: requirements },
    TypeDefault { schema: "io.k8s.api.core.v1.Probe", run: probe },
    TypeDefault { schema: "io.k8s.api.core.v1.HTTPGetAction", run: http_get },
    TypeDefault { schema: "io.k8s.api.core.v1.PodStatus", run: pod_status },
    TypeDefault { schema: "io.k8s.api.core.v1.ContainerStatus", run: allocated },
];

const FILE_MODE: i64 = 0o644;

/// What holds for pods and not for templates.
fn pod(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec") else { return };
    if spec.opt_int("terminationGracePeriodSeconds").is_some_and(|s| s < 0) {
        spec.set("terminationGracePeriodSeconds", 1);
    }
    spec.default("enableServiceLinks", true);
    let host_network = spec.bool("hostNetwork");
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            limits_as_requests(container);
            if host_network {
                host_ports(container);
            }
        }
    }
}

fn limits_as_requests(container: &mut Value) {
    let limits = container.at_path(&["resources", "limits"]).clone();
    if limits.is_null() {
        return;
    }
    let requests = container.entry_path(&["resources", "requests"]).make_object();
    for (name, limit) in limits.members() {
        if !requests.contains_key(name) {
            requests.insert(name, limit);
        }
    }
    requests.sort();
}

fn host_ports(container: &mut Value) {
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if port.int("hostPort") == 0 {
            port.set("hostPort", port.int("containerPort"));
        }
    }
}

fn pod_spec(spec: &mut Value) {
    let account = match spec.str("serviceAccountName") {
        "" => spec.str("serviceAccount").to_string(),
        name => name.to_string(),
    };
    if account.is_empty() {
        spec.remove("serviceAccount");
    } else {
        spec.set("serviceAccountName", account.as_str());
        spec.set("serviceAccount", account);
    }
    default_text(spec, "dnsPolicy", "ClusterFirst");
    default_text(spec, "restartPolicy", "Always");
    spec.default("securityContext", Value::object());
    spec.default("terminationGracePeriodSeconds", 30);
    default_text(spec, "schedulerName", "default-scheduler");
    if let Some(overhead) = spec.get_mut("overhead") {
        round_up(overhead);
    }
}

fn volume(volume: &mut Value) {
    if !volume.members().any(|(name, source)| name != "name" && !source.is_null()) {
        volume.set("emptyDir", Value::object());
    }
    if let Some(source) = volume.get_mut("image").filter(|i| !i.is_null()) {
        let policy = pull_policy(source.str("reference"));
        default_text(source, "pullPolicy", policy);
    }
}

fn pull_policy(name: &str) -> &'static str {
    if image::is_latest(name) { "Always" } else { "IfNotPresent" }
}

fn host_path(source: &mut Value) {
    source.default("type", "");
}

fn file_mode(source: &mut Value) {
    source.default("defaultMode", FILE_MODE);
}

fn token_projection(source: &mut Value) {
    source.default("expirationSeconds", 3600);
}

fn field_selector(selector: &mut Value) {
    default_text(selector, "apiVersion", "v1");
}

fn claim_spec(spec: &mut Value) {
    spec.default("volumeMode", "Filesystem");
}

fn container(container: &mut Value) {
    let policy = pull_policy(container.str("image"));
    default_text(container, "imagePullPolicy", policy);
    default_text(container, "terminationMessagePath", "/dev/termination-log");
    default_text(container, "terminationMessagePolicy", "File");
}

fn requirements(requirements: &mut Value) {
    for member in ["limits", "requests"] {
        if let Some(list) = requirements.get_mut(member) {
            round_up(list);
        }
    }
}

fn probe(probe: &mut Value) {
    for (member, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        if probe.int(member) == 0 {
            probe.set(member, value);
        }
    }
}

fn http_get(action: &mut Value) {
    default_text(action, "path", "/");
    default_text(action, "scheme", "HTTP");
}

/// Keeps the address and the list of addresses in step; the single one wins where they differ.
fn pod_status(status: &mut Value) {
    allocated(status);
    let (ip, first) = (status.str("podIP").to_string(), status.list("podIPs").first().map(|i| i.str("ip").to_string()));
    match (ip.is_empty(), first) {
        (false, first) if first.as_ref() != Some(&ip) => status.set("podIPs", api::value!([{"ip": ip}])),
        (true, Some(first)) => status.set("podIP", first),
        _ => {}
    }
}

fn allocated(status: &mut Value) {
    if let Some(list) = status.get_mut("allocatedResources") {
        round_up(list);
    }
}

/// As `default` for a Go string, which is missing when it is empty.
fn default_text(object: &mut Value, member: &str, text: &str) {
    if object.str(member).is_empty() {
        object.set(member, text);
    }
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;

    fn after(run: fn(&mut Value), mut value: Value) -> Value {
        run(&mut value);
        value
    }

    #[test]
    fn a_spec_is_filled_in() {
        let spec = after(pod_spec, value!({"serviceAccount": "robot", "containers": []}));
        let expected = value!({
            "serviceAccount": "robot", "containers": [], "serviceAccountName": "robot", "dnsPolicy": "ClusterFirst",
            "restartPolicy": "Always", "securityContext": {}, "terminationGracePeriodSeconds": 30,
            "schedulerName": "default-scheduler"
        });
        assert_eq!(spec, expected);
    }

    #[test]
    fn a_pod_takes_requests_from_limits_and_ports_from_the_host() {
        let containers = value!([{"resources": {"limits": {"cpu": "1"}, "requests": {"memory": "1Gi"}}, "ports": [{"containerPort": 80}]}]);
        let pod = after(pod, value!({"spec": {"hostNetwork": true, "containers": containers}}));
        let container = &pod.at("spec").list("containers")[0];
        assert_eq!(container.at_path(&["resources", "requests"]), &value!({"cpu": "1", "memory": "1Gi"}));
        assert_eq!(container.list("ports")[0].int("hostPort"), 80);
    }

    #[test]
    fn parts_are_filled_in() {
        assert_eq!(after(volume, value!({"name": "a"})), value!({"name": "a", "emptyDir": {}}));
        assert_eq!(after(pod_status, value!({"podIP": "10.0.0.1"})).list("podIPs")[0].str("ip"), "10.0.0.1");
        assert_eq!(after(pod_status, value!({"podIPs": [{"ip": "10.0.0.1"}]})).str("podIP"), "10.0.0.1");
        assert_eq!(after(container, value!({"image": "a:1"})).str("imagePullPolicy"), "IfNotPresent");
        let requirements = after(requirements, value!({"limits": {"cpu": "100u", "memory": "1.5Gi"}}));
        assert_eq!(requirements.at("limits"), &value!({"cpu": "1m", "memory": "1.5Gi"}));
    }
}
