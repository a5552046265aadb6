//! Who is told that the proxy is well, and when.

use api::value;

use super::*;

struct Hands(Mutex<Timestamp>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

fn health() -> (Arc<Hands>, Arc<Health>) {
    let clock = Arc::new(Hands(Mutex::new("2026-01-01T00:00:00Z".parse().expect("a time"))));
    (clock.clone(), Arc::new(Health::new(clock, Arc::default())))
}

fn status(health: &Health, path: &str) -> u16 {
    health.page(path).expect("there is such a page").status
}

#[test]
fn a_node_that_is_not_there_or_going_gets_no_new_connections() {
    let (_, health) = health();
    health.synced(Family::V4);
    assert_eq!((status(&health, "/healthz"), status(&health, "/livez")), (503, 200));
    health.node(Some(&value!({"metadata": {"name": "a"}})));
    assert_eq!(status(&health, "/healthz"), 200);
    health.node(Some(&value!({"spec": {"taints": [{"key": GOING}]}})));
    assert_eq!((status(&health, "/healthz"), status(&health, "/livez")), (503, 200));
    assert!(health.page("/other").is_none());
}

/// Balancers ask without a name: what they are told is whether this is well, and nothing of its inside.
#[test]
fn cve_2019_11248_a_health_port_tells_health_alone() {
    let (_, health) = health();
    for path in ["/debug/pprof/", "/debug/flags/v", "/metrics", "/configz", "/proxyMode", "/healthz/../metrics", "/"] {
        assert!(health.page(path).is_none(), "{path}");
    }
}

#[test]
fn a_change_that_waits_too_long_makes_it_unwell_until_it_is_synced() {
    let (clock, health) = health();
    health.node(Some(&value!({})));
    health.synced(Family::V4);
    health.queued(Family::V4);
    *clock.0.lock() += SignedDuration::from_secs(59);
    health.queued(Family::V4);
    assert_eq!(status(&health, "/livez"), 200);
    *clock.0.lock() += SignedDuration::from_secs(1);
    assert_eq!(status(&health, "/livez"), 503);
    let body = health.page("/healthz").expect("it is there").body;
    let expected = "{\"lastUpdated\":\"2026-01-01T00:00:00Z\",\"currentTime\":\"2026-01-01T00:01:00Z\",\
        \"nodeEligible\":true,\"healthy\":false,\
        \"status\":{\"IPv4\":{\"lastUpdated\":\"2026-01-01T00:00:00Z\",\"healthy\":false}}}";
    assert_eq!(body, expected);
    health.synced(Family::V4);
    assert_eq!(status(&health, "/healthz"), 200);
}

#[test]
fn a_service_is_here_when_it_has_an_endpoint_here() {
    let (_, proxy) = health();
    let here = ServiceHealth { namespace: "ns".into(), service: "web".into(), proxy, local: AtomicUsize::new(0) };
    assert_eq!(here.page("/").expect("any path").status, 503);
    here.local.store(2, Ordering::Relaxed);
    let page = here.page("/whatever").expect("any path");
    assert_eq!(page.status, 200);
    assert_eq!(page.headers.last(), Some(&("X-Load-Balancing-Endpoint-Weight", "2".to_string())));
    let expected = "{\n\t\"service\": {\n\t\t\"namespace\": \"ns\",\n\t\t\"name\": \"web\"\n\t},\n\
        \t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}";
    assert_eq!(page.body, expected);
}
