//! Which server stands behind a service that this server itself has to reach: webhooks and extension servers.
//!
//! An endpoint is taken and not the service's address: this server's machine need not know the way to addresses of services.
//! Upstream: apiserver/pkg/util/proxy ResolveEndpoint, ResolveCluster (for names of outside).

use admission::Look;
use api::{GroupResource, Value, field::quote};

/// Why there is none, in upstream's words.
pub type Missing = String;

/// Host and port of one ready endpoint behind a port of a service. `draw` gives a number below its argument, by chance.
pub fn endpoint(
    look: &dyn Look,
    namespace: &str,
    name: &str,
    port: i64,
    draw: &dyn Fn(u64) -> u64,
) -> Result<(String, u16), Missing> {
    let services = GroupResource::new("", "services");
    let service =
        look.shared(&services, namespace, name).ok_or_else(|| format!("service {} not found", quote(name)))?;
    let spec = service.at("spec");
    if spec.str("type") == "ExternalName" {
        return Ok((spec.str("externalName").into(), u16::try_from(port).map_err(|e| e.to_string())?));
    }
    let declared = spec.list("ports").iter().find(|p| p.int("port") == port);
    let declared = declared.ok_or_else(|| format!("no service port {port} found for service {}", quote(name)))?;
    let family = spec.list("ipFamilies").first().and_then(Value::as_str).unwrap_or_default();
    let found = pick(look, namespace, name, declared.str("name"), family, draw);
    found.ok_or_else(|| format!("no endpoints available for service {}", quote(name)))
}

/// Upstream: `RandomEndpoint`.
fn pick(
    look: &dyn Look,
    namespace: &str,
    name: &str,
    port_name: &str,
    family: &str,
    draw: &dyn Fn(u64) -> u64,
) -> Option<(String, u16)> {
    let mut slices = slices(look, namespace, name);
    rotate(&mut slices, draw);
    slices.sort_by_key(|slice| slice.str("addressType") != family);
    slices.iter().find_map(|slice| {
        let port = slice.list("ports").iter().filter(|p| p.str("name") == port_name).find_map(|p| p.opt_int("port"))?;
        let ready = |e: &&Value| e.at("conditions").opt_bool("ready") != Some(false);
        let ready: Vec<&Value> = slice.list("endpoints").iter().filter(ready).collect();
        let chosen = usize::try_from(draw(ready.len() as u64)).unwrap_or_default();
        let address = ready.get(chosen)?.list("addresses").first()?.as_str()?;
        Some((address.to_owned(), u16::try_from(port).ok()?))
    })
}

/// The endpoint slices of a service.
pub fn slices(look: &dyn Look, namespace: &str, name: &str) -> Vec<Value> {
    let resource = GroupResource::new("discovery.k8s.io", "endpointslices");
    let mut slices = look.list_saying(&resource, namespace, name);
    slices.retain(|slice| slice.at_path(&["metadata", "labels"]).str("kubernetes.io/service-name") == name);
    slices
}

fn rotate(slices: &mut [Value], draw: &dyn Fn(u64) -> u64) {
    if slices.len() > 1 {
        let start = usize::try_from(draw(slices.len() as u64)).unwrap_or_default();
        slices.rotate_left(start);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::{Status, value};
    use async_trait::async_trait;

    use super::*;

    struct World(Vec<(&'static str, Value)>);

    #[async_trait]
    impl Look for World {
        fn get(&self, resource: &GroupResource, _: &str, name: &str) -> Option<Value> {
            let named = |(r, o): &&(&str, Value)| *r == resource.resource && api::meta::of(o).name() == name;
            self.0.iter().find(named).map(|(_, o)| o.clone())
        }

        fn list(&self, resource: &GroupResource, _: &str) -> Vec<Value> {
            self.0.iter().filter(|(r, _)| *r == resource.resource).map(|(_, o)| o.clone()).collect()
        }

        async fn get_live(&self, r: &GroupResource, namespace: &str, n: &str) -> Result<Option<Value>, Status> {
            Ok(self.get(r, namespace, n))
        }
    }

    fn service(spec: Value) -> (&'static str, Value) {
        ("services", value!({"metadata": {"name": "s", "namespace": "ns"}, "spec": spec}))
    }

    fn slice(address: &str, ready: bool) -> (&'static str, Value) {
        let metadata = value!({"name": address, "labels": {"kubernetes.io/service-name": "s"}});
        let kind = if address.contains(':') { "IPv6" } else { "IPv4" };
        let object = value!({
            "metadata": metadata, "addressType": kind, "ports": [{"name": "a", "port": 8443}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": ready}}]
        });
        ("endpointslices", object)
    }

    #[test]
    fn a_ready_endpoint_of_the_services_family_stands_behind_its_port() {
        let spec = value!({"type": "ClusterIP", "ipFamilies": ["IPv6"], "ports": [{"name": "a", "port": 443}]});
        let mut world = World(vec![service(spec), slice("10.0.0.1", true), slice("fd00::1", true)]);
        let find = |world: &World, port| endpoint(world, "ns", "s", port, &|_| 0);
        assert_eq!(find(&world, 443), Ok(("fd00::1".into(), 8443)));
        assert_eq!(find(&world, 80), Err("no service port 80 found for service \"s\"".into()));
        world.0[2] = slice("fd00::1", false);
        assert_eq!(find(&world, 443), Ok(("10.0.0.1".into(), 8443)));
        world.0.truncate(1);
        assert_eq!(find(&world, 443), Err("no endpoints available for service \"s\"".into()));
        let outside = World(vec![service(value!({"type": "ExternalName", "externalName": "x.example"}))]);
        assert_eq!(find(&outside, 443), Ok(("x.example".into(), 443)));
        let nothing: Arc<dyn Look> = Arc::new(World(Vec::new()));
        assert_eq!(endpoint(&*nothing, "ns", "s", 443, &|_| 0), Err("service \"s\" not found".into()));
    }
}
