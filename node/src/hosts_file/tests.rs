//! Host names, and the file that names them.

use super::*;
use api::value;

fn pod(spec: Value) -> Value {
    value!({"metadata": {"name": "p", "namespace": "ns"}, "spec": spec})
}

fn host(spec: Value) -> Result<PodHost, String> {
    PodHost::of(&pod(spec), "cluster.local").map_err(|error| error.0)
}

#[test]
fn the_name_is_the_pods_unless_it_says_another() {
    let named = |name: &str, domain: &str| Ok(PodHost { name: name.into(), domain: domain.into() });
    assert_eq!(host(value!({})), named("p", ""));
    assert_eq!(host(value!({"hostname": "h", "subdomain": "s"})), named("h", "s.ns.svc.cluster.local"));
    assert_eq!(host(value!({"hostnameOverride": "a.b", "subdomain": "s"})), named("a.b", ""));
    let refused = host(value!({"hostname": "H_"})).expect_err("is no label");
    assert!(refused.starts_with("pod Hostname \"H_\" is not a valid DNS label: "), "{refused}");
}

#[test]
fn what_is_too_long_for_the_kernel_is_cut_or_refused() {
    let long = format!("{}-xyz", "a".repeat(62));
    let pod = value!({"metadata": {"name": long}, "spec": {}});
    assert_eq!(PodHost::of(&pod, "c").map(|host| host.name), Ok("a".repeat(62)));
    let pod = self::pod(value!({"setHostnameAsFQDN": true}));
    let short = PodHost { name: "h".into(), domain: "d".into() };
    assert_eq!(short.for_kernel(&pod), Ok("h.d".into()));
    assert_eq!(short.for_kernel(&self::pod(value!({}))), Ok("h".into()));
    let long = PodHost { name: "h".into(), domain: "d".repeat(64) };
    let refused = long.for_kernel(&pod).expect_err("is too long").0;
    assert!(refused.ends_with("is too long (64 characters is the max, 66 characters requested)"), "{refused}");
}

#[test]
fn the_file_names_the_pod_and_its_aliases() {
    let directory = tempfile::tempdir().expect("makes one");
    let pod = pod(value!({"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b.c"]}]}));
    let host = PodHost { name: "h".into(), domain: "s.ns.svc.c".into() };
    let ips = ["10.0.0.1".to_owned(), "fd00::1".to_owned()];
    let mount = |pod: &Value, container: Value, ips: &[String]| {
        super::mount(directory.path(), pod, &container, &host, ips, Path::new("/etc/hosts")).expect("writes")
    };
    let made = mount(&pod, value!({}), &ips).expect("has one");
    assert_eq!((made.container_path.as_str(), made.readonly), ("/etc/hosts", false));
    let text = fs::read_to_string(&made.host_path).expect("is there");
    let end = "fe00::2\tip6-allrouters\n10.0.0.1\th.s.ns.svc.c\th\nfd00::1\th.s.ns.svc.c\th\n\n\
               # Entries added by HostAliases.\n1.2.3.4\ta\tb.c\n";
    assert!(
        text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n") && text.ends_with(end),
        "{text}"
    );
    assert_eq!(mount(&pod, value!({}), &[]), None, "not before there is an address");
    let own = value!({"volumeMounts": [{"mountPath": "/etc/hosts"}]});
    assert_eq!(mount(&pod, own, &ips), None);
}

#[test]
fn on_the_hosts_network_it_is_the_hosts() {
    let directory = tempfile::tempdir().expect("makes one");
    let node = directory.path().join("hosts");
    fs::write(&node, "9.9.9.9 nine\n").expect("writes");
    let pod = pod(value!({"hostNetwork": true}));
    let made = mount(directory.path(), &pod, Value::NULL, &PodHost::default(), &[], &node).expect("writes");
    let text = fs::read_to_string(made.expect("has one").host_path).expect("is there");
    assert_eq!(text, "# Kubernetes-managed hosts file (host network).\n9.9.9.9 nine\n");
}
