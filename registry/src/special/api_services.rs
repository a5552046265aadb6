//! Which groups and versions another server answers for, and what can be said of that server without asking it.
//!
//! Upstream: kube-aggregator/pkg/controllers/status/remote, pkg/apis/apiregistration/v1/helper.

use admission::Look;
use api::{GroupResource, Status, Value, field::quote, meta, time, value};
use schema::order::compare_versions;

use super::backends;
use crate::Registry;

/// An API service that another server answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// `v1.example.com`
    pub name: String,
    pub group: String,
    pub version: String,
    /// The service behind which the other server is.
    pub namespace: String,
    pub service: String,
    pub port: i64,
    /// Authorities of its certificate, as PEM.
    pub authorities: Vec<u8>,
    /// Its certificate is not looked at.
    pub insecure: bool,
    pub available: bool,
    pub resource_version: String,
}

/// How an API service is: whether it answers, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub status: &'static str,
    pub reason: &'static str,
    pub message: String,
}

pub fn resource() -> GroupResource {
    GroupResource::new("apiregistration.k8s.io", "apiservices")
}

/// The groups in the order of their preference, each with its versions in theirs, local and remote ones. Upstream:
/// `SortedByGroupAndVersion`.
pub fn sorted(look: &dyn Look) -> Vec<(String, Vec<String>)> {
    let mut services = look.list(&resource(), "");
    services.sort_by(|a, b| {
        let key = |s: &Value| (-s.at("spec").int("groupPriorityMinimum"), meta::of(s).name().to_owned());
        key(a).cmp(&key(b))
    });
    let mut groups: Vec<(String, Vec<Value>)> = Vec::new();
    for service in services {
        let group = service.at("spec").str("group").to_owned();
        match groups.iter_mut().find(|(name, _)| *name == group) {
            Some((_, versions)) => versions.push(service),
            None => groups.push((group, vec![service])),
        }
    }
    let versions = |mut services: Vec<Value>| -> Vec<String> {
        services.sort_by(|a, b| {
            let (a, b) = (a.at("spec"), b.at("spec"));
            let by_rank = || compare_versions(b.str("version"), a.str("version"));
            b.int("versionPriority").cmp(&a.int("versionPriority")).then_with(by_rank)
        });
        services.iter().map(|s| s.at("spec").str("version").to_owned()).collect()
    };
    groups.into_iter().map(|(name, services)| (name, versions(services))).collect()
}

/// The API services that other servers answer for.
pub fn remotes(look: &dyn Look) -> Vec<Remote> {
    look.list(&resource(), "").iter().filter_map(remote).collect()
}

/// Those of this server that do not say that they are available: others answered for them before. Upstream:
/// kube-aggregator/pkg/controllers/status/local.
pub fn unsaid(look: &dyn Look) -> Vec<String> {
    let services = look.list(&resource(), "");
    let own = services.iter().filter(|s| is_local(s) && !is_available(s));
    own.map(|s| meta::of(s).name().to_owned()).collect()
}

/// Every API service, and whether it is said to be available. One of this server is, before that is said.
pub fn availability(look: &dyn Look) -> Vec<(String, bool)> {
    let is_there = |service: &Value| is_available(service) || is_local(service) && !is_said(service);
    look.list(&resource(), "").iter().map(|s| (meta::of(s).name().to_owned(), is_there(s))).collect()
}

fn is_local(service: &Value) -> bool {
    service.at("spec").at("service").is_null()
}

/// What is said of a service of this server.
pub fn local() -> Condition {
    Condition { status: "True", reason: "Local", message: "Local APIServices are always available".into() }
}

fn remote(service: &Value) -> Option<Remote> {
    use base64::Engine as _;
    let spec = service.at("spec");
    let backend = spec.at("service");
    if backend.is_null() {
        return None;
    }
    let bundle = base64::engine::general_purpose::STANDARD.decode(spec.str("caBundle"));
    Some(Remote {
        name: meta::of(service).name().into(),
        group: spec.str("group").into(),
        version: spec.str("version").into(),
        namespace: backend.str("namespace").into(),
        service: backend.str("name").into(),
        port: backend.opt_int("port").unwrap_or(443),
        authorities: bundle.unwrap_or_default(),
        insecure: spec.bool("insecureSkipTLSVerify"),
        available: is_available(service),
        resource_version: meta::of(service).resource_version().into(),
    })
}

fn is_available(service: &Value) -> bool {
    said(service).is_some_and(|condition| condition.str("status") == "True")
}

fn is_said(service: &Value) -> bool {
    said(service).is_some()
}

fn said(service: &Value) -> Option<&Value> {
    service.at("status").list("conditions").iter().find(|condition| condition.str("type") == "Available")
}

// === impl Remote ===

impl Remote {
    /// Where it has to tell of itself.
    pub fn root(&self) -> String {
        match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        }
    }

    /// What is wrong before anybody is asked; none where the server itself has to say.
    pub fn fault(&self, look: &dyn Look) -> Option<Condition> {
        let not = |reason, message| Some(Condition { status: "False", reason, message });
        let (name, namespace) = (&self.service, quote(&self.namespace));
        let Some(service) = look.get(&GroupResource::new("", "services"), &self.namespace, name) else {
            return not("ServiceNotFound", format!("service/{name} in {namespace} is not present"));
        };
        let spec = service.at("spec");
        if spec.str("type") != "ClusterIP" {
            return None;
        }
        let Some(port) = spec.list("ports").iter().find(|p| p.int("port") == self.port) else {
            let message = format!("service/{name} in {namespace} is not listening on port {}", self.port);
            return not("ServicePortError", message);
        };
        let slices = backends::slices(look, &self.namespace, name);
        if slices.is_empty() {
            let message = format!("cannot find endpointslices for service/{name} in {namespace}");
            return not("EndpointsNotFound", message);
        }
        let port = port.str("name");
        match slices.iter().any(|slice| serves(slice, port)) {
            true => None,
            false => {
                let port = quote(port);
                let message =
                    format!("endpointslices for service/{name} in {namespace} have no addresses with port name {port}");
                not("MissingEndpoints", message)
            }
        }
    }

    /// What the answer depends on: it is looked at anew when this changes.
    pub fn stands_on(&self, look: &dyn Look) -> Vec<String> {
        let service = look.get(&GroupResource::new("", "services"), &self.namespace, &self.service);
        let slices = backends::slices(look, &self.namespace, &self.service);
        let version = |object: &Value| meta::of(object).resource_version().to_owned();
        service.iter().chain(&slices).map(version).collect()
    }
}

/// Whether a slice has a ready endpoint, and the port. Upstream: `hasAvailableEndpoint`.
fn serves(slice: &Value, port: &str) -> bool {
    let ready = |e: &Value| e.at("conditions").opt_bool("ready") != Some(false);
    let named = |p: &Value| p.has("name") && p.str("name") == port && p.has("port");
    slice.list("endpoints").iter().any(ready) && slice.list("ports").iter().any(named)
}

/// Puts a condition in, with a new time when its status is another. Upstream: `SetAPIServiceCondition`.
fn set(service: &mut Value, wanted: &Condition, now: &str) {
    let conditions = service.entry_path(&["status", "conditions"]).make_array();
    let found = conditions.iter_mut().find(|c| c.str("type") == "Available");
    let since = match &found {
        Some(old) if old.str("status") == wanted.status => old.str("lastTransitionTime").to_owned(),
        _ => now.to_owned(),
    };
    let condition = value!({
        "type": "Available", "status": (wanted.status), "lastTransitionTime": since, "reason": (wanted.reason),
        "message": (wanted.message.as_str())
    });
    match found {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

impl Registry {
    /// Says of an API service how it is. What says so already is left alone.
    pub async fn say_how_it_is(&self, name: &str, condition: &Condition) -> Result<(), Status> {
        let Some(found) = self.cluster.look.get(&resource(), "", name) else { return Ok(()) };
        let mut changed = found.clone();
        set(&mut changed, condition, &time::seconds(self.clock.now()));
        if changed == found {
            return Ok(());
        }
        self.own_update(&resource(), "status", &changed).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;

    /// Objects by their resource.
    struct World(Vec<(&'static str, Value)>);

    #[async_trait]
    impl Look for World {
        fn get(&self, resource: &GroupResource, namespace: &str, name: &str) -> Option<Value> {
            self.list(resource, namespace).into_iter().find(|o| meta::of(o).name() == name)
        }

        fn list(&self, resource: &GroupResource, _: &str) -> Vec<Value> {
            self.0.iter().filter(|(r, _)| *r == resource.resource).map(|(_, o)| o.clone()).collect()
        }

        async fn get_live(&self, r: &GroupResource, namespace: &str, n: &str) -> Result<Option<Value>, Status> {
            Ok(self.get(r, namespace, n))
        }
    }

    fn service(name: &str, group: &str, priority: i64, backend: Value) -> (&'static str, Value) {
        let version = name.split('.').next().unwrap_or_default();
        let spec = value!({
            "group": group, "version": version, "groupPriorityMinimum": priority, "versionPriority": 10, "service": backend
        });
        ("apiservices", value!({"metadata": {"name": name}, "spec": spec}))
    }

    #[test]
    fn what_is_wrong_is_said_in_upstreams_words() {
        let backend = value!({"namespace": "ns", "name": "s", "port": 443});
        let mut world = World(vec![service("v1.a", "a", 10, backend)]);
        let fault = |world: &World| remotes(world)[0].fault(world).map(|c| (c.reason, c.message));
        let says = |reason, message: &str| Some((reason, message.to_owned()));
        assert_eq!(fault(&world), says("ServiceNotFound", "service/s in \"ns\" is not present"));
        let of = |ports: Value| {
            ("services", value!({"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "ports": ports}}))
        };
        world.0.push(of(value!([{"name": "a", "port": 80}])));
        assert_eq!(fault(&world), says("ServicePortError", "service/s in \"ns\" is not listening on port 443"));
        world.0[1] = of(value!([{"name": "a", "port": 443}]));
        assert_eq!(fault(&world), says("EndpointsNotFound", "cannot find endpointslices for service/s in \"ns\""));
        let labels = value!({"kubernetes.io/service-name": "s"});
        let slice = |ready: bool| {
            let endpoint = value!({"addresses": ["10.0.0.1"], "conditions": {"ready": ready}});
            let slice = value!({"metadata": {"labels": (labels.clone())}, "ports": [{"name": "a", "port": 8443}], "endpoints": [endpoint]});
            ("endpointslices", slice)
        };
        world.0.push(slice(false));
        let none = "endpointslices for service/s in \"ns\" have no addresses with port name \"a\"";
        assert_eq!(fault(&world), says("MissingEndpoints", none));
        world.0[2] = slice(true);
        assert_eq!(fault(&world), None, "now the server itself has to say");
    }

    #[test]
    fn groups_stand_by_their_priority_and_then_by_name() {
        let all = [("v1.b", "b", 10), ("v1.a", "a", 10), ("v1.c", "c", 20), ("v2.b", "b", 10)];
        let world = World(all.map(|(name, group, priority)| service(name, group, priority, Value::Null)).to_vec());
        let names: Vec<String> =
            sorted(&world).into_iter().map(|(name, versions)| format!("{name} {}", versions.join(","))).collect();
        assert_eq!(names, ["c v1", "a v1", "b v2,v1"]);
        assert_eq!((remotes(&world).len(), unsaid(&world).len()), (0, 4));
    }

    #[test]
    fn every_service_is_available_or_is_not() {
        let backend = || value!({"namespace": "ns", "name": "s", "port": 443});
        let said = |name: &str, backend: Value, status: &'static str| {
            let (resource, mut service) = service(name, "a", 10, backend);
            set(&mut service, &Condition { status, ..local() }, "now");
            (resource, service)
        };
        let world = World(vec![
            service("v1.new", "a", 10, Value::Null),
            service("v1.far", "a", 10, backend()),
            said("v1.here", Value::Null, "True"),
            said("v1.there", backend(), "True"),
            said("v1.gone", backend(), "False"),
        ]);
        let expected = [("v1.new", true), ("v1.far", false), ("v1.here", true), ("v1.there", true), ("v1.gone", false)];
        assert_eq!(availability(&world), expected.map(|(name, is_available)| (name.to_owned(), is_available)));
    }

    #[test]
    fn a_condition_keeps_its_time_as_long_as_its_status() {
        let mut service = service("v1.a", "a", 10, Value::Null).1;
        set(&mut service, &local(), "then");
        set(&mut service, &Condition { message: "else".into(), ..local() }, "now");
        let condition = service.at("status").list("conditions")[0].clone();
        assert_eq!((condition.str("lastTransitionTime"), condition.str("message")), ("then", "else"));
        set(&mut service, &Condition { status: "False", ..local() }, "now");
        assert_eq!(service.at("status").list("conditions")[0].str("lastTransitionTime"), "now");
    }
}
