//! Addresses that services, endpoints and slices share.
//!
//! Upstream: pkg/apis/core/validation/validation.go `ValidateEndpointIP`, utils/net.

use std::net::IpAddr;

use api::{
    Value,
    field::{Errors, Path},
    names::parse_ip,
};

/// An address that traffic can be sent to. Upstream: `ValidateEndpointIP`.
pub fn endpoint_ip(text: &str, at: &Path, errs: &mut Errors) {
    let Some(ip) = parse_ip(text) else {
        errs.invalid(at, text, "must be a valid IP address");
        return;
    };
    if ip.is_unspecified() {
        errs.invalid(at, text, format!("may not be unspecified ({text})"));
    }
    if ip.is_loopback() {
        errs.invalid(at, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (link_local, link_local_multicast) = match ip {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    if link_local {
        errs.invalid(at, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if link_local_multicast {
        errs.invalid(at, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

/// Upstream: `IsIPv6String`.
pub fn is_ipv6(text: &str) -> bool {
    parse_ip(text).is_some_and(|ip| ip.is_ipv6())
}

/// `IPv4` or `IPv6`, `""` for no address.
pub fn family(text: &str) -> &'static str {
    match parse_ip(text) {
        Some(IpAddr::V4(_)) => "IPv4",
        Some(IpAddr::V6(_)) => "IPv6",
        None => "",
    }
}

/// The points at which a load balancer takes traffic, sorted. Upstream: `loadBalancerStatusStringer`.
pub fn load_balancer(ingress: &[Value]) -> String {
    let point = |ingress: &Value| match (ingress.str("ip"), ingress.str("hostname")) {
        ("", host) => host.to_string(),
        (ip, _) => ip.to_string(),
    };
    let mut points: Vec<String> = ingress.iter().map(point).filter(|point| !point.is_empty()).collect();
    points.sort();
    points.dedup();
    points.join(",")
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::testing::texts;

    /// What is wrong with an object of a resource that names this address.
    fn judged(group: &str, plural: &str, object: &Value) -> Vec<String> {
        let mut rows = crate::all().filter(|row| row.group == group && row.plural == plural);
        let row = rows.next().expect("there is one");
        let found = (row.rules.validate)(object, &crate::testing::context());
        found.0.iter().map(|error| error.detail.clone()).collect()
    }

    /// Neither kind leads to the node itself or to its neighbours' metadata, and both say so in the same words.
    #[test]
    fn cve_2021_25737_no_kind_of_endpoints_leads_to_loopback_or_link_local_addresses() {
        for (ip, family) in [
            ("127.0.0.1", "IPv4"),
            ("127.255.0.9", "IPv4"),
            ("169.254.169.254", "IPv4"),
            ("224.0.0.1", "IPv4"),
            ("::1", "IPv6"),
            ("fe80::1", "IPv6"),
            ("ff02::1", "IPv6"),
        ] {
            let slice = value!({
                "metadata": {"name": "e", "namespace": "ns"}, "addressType": family, "endpoints": [{"addresses": [ip]}]
            });
            let endpoints =
                value!({"metadata": {"name": "e", "namespace": "ns"}, "subsets": [{"addresses": [{"ip": ip}]}]});
            let refused = judged("discovery.k8s.io", "endpointslices", &slice);
            assert_eq!(refused.len(), 1, "{ip}: {refused:?}");
            assert_eq!(judged("", "endpoints", &endpoints), refused, "{ip}");
            assert!(refused[0].contains(" range ("), "{refused:?}");
        }
        let good = value!({
            "metadata": {"name": "e", "namespace": "ns"}, "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"]}]
        });
        assert_eq!(judged("discovery.k8s.io", "endpointslices", &good), Vec::<String>::new());
    }

    #[test]
    fn special_addresses_are_no_endpoints() {
        let cases = [
            ("10.0.0.1", ""),
            ("2001:db8::1", ""),
            ("x", "must be a valid IP address"),
            ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
            ("127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
            ("fe80::1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
            ("224.0.0.9", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
            ("ff02::1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
        ];
        for (text, expected) in cases {
            let mut errs = Errors::new();
            endpoint_ip(text, &Path::new("ip"), &mut errs);
            let found: Vec<String> = errs.0.iter().map(|e| e.detail.clone()).collect();
            let expected: Vec<&str> = Some(expected).into_iter().filter(|e| !e.is_empty()).collect();
            assert_eq!(found, expected, "{text}: {:?}", texts(&errs));
        }
    }
}
