//! Cases for names; the texts are upstream's.

use super::*;

fn ok(rule: fn(&str) -> Vec<String>, good: &[&str]) {
    for name in good {
        assert_eq!(rule(name), Vec::<String>::new(), "{name:?}");
    }
}

fn bad(rule: fn(&str) -> Vec<String>, wrong: &[&str]) {
    for name in wrong {
        assert!(!rule(name).is_empty(), "{name:?} was taken");
    }
}

#[test]
fn labels_and_subdomains() {
    let long = "a".repeat(64);
    ok(dns1123_label, &["a", "ab", "a-b", "0", "a--b", "1-2"]);
    bad(dns1123_label, &["", "-a", "a-", "A", "a_b", "a b", "a.b", &long, "ä"]);
    ok(dns1123_subdomain, &["a.b", "a-b.c-d", "0.1", &long]);
    bad(dns1123_subdomain, &["", ".a", "a.", "a..b", "a.-b", "A.b"]);
    assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
    assert_eq!(dns1123_label(&long), ["must be no more than 63 characters"]);
    assert_eq!(format::dns1123_label(&long), ["must be no more than 63 bytes"]);
    ok(dns1035_label, &["a", "a-1"]);
    bad(dns1035_label, &["1a", "a-", "", "a.b"]);
    ok(wildcard_dns1123_subdomain, &["*.a", "*.a.b"]);
    bad(wildcard_dns1123_subdomain, &["*", "a", "*.*.a", "*."]);
    ok(dns1123_subdomain_with_underscore, &["_a", "a_b.c"]);
    bad(dns1123_subdomain_with_underscore, &["a_", "__a", "_"]);
    assert_eq!(
        dns1123_subdomain("A"),
        [
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        ]
    );
}

#[test]
fn label_keys_and_values() {
    ok(qualified_name, &["a", "A_b.c-d", "example.com/a", "1"]);
    bad(qualified_name, &["", "/a", "a/", "a/b/c", "-a", "Ex.com/a", "a b"]);
    assert_eq!(qualified_name("")[0], "name part must be non-empty");
    assert_eq!(
        qualified_name("nospecialchars^=@"),
        [
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ]
    );
    assert_eq!(qualified_name(&"a".repeat(64)), ["name part must be no more than 63 bytes"]);
    ok(label_value, &["", "a", "A.b_c-d"]);
    bad(label_value, &["-", "a-", "a b", "a/b"]);
    ok(config_map_key, &["a", ".a", "_", "-"]);
    bad(config_map_key, &["", ".", "..", "..a", "a/b"]);
    assert_eq!(is_valid_path_segment_name("."), ["may not be '.'"]);
    assert_eq!(is_valid_path_segment_name("a/%"), ["may not contain '/'", "may not contain '%'"]);
}

#[test]
fn identifiers_ports_and_percents() {
    ok(c_identifier, &["_a1", "A"]);
    bad(c_identifier, &["1a", "", "a-b"]);
    ok(relaxed_env_var_name, &["1 a", "-"]);
    bad(relaxed_env_var_name, &["", "a=b", "ä", "a\n"]);
    bad(env_var_name, &["1a", "", "..a"]);
    ok(port_name, &["http", "a-1"]);
    bad(port_name, &["", "1", "a--b", "-a", "a-", "abcdefghijklmnop", "A"]);
    assert_eq!(port_num(0), ["must be between 1 and 65535, inclusive"]);
    ok(percent, &["0%", "100%"]);
    bad(percent, &["%", "1", "-1%"]);
    ok(http_header_name, &["X-A"]);
    ok(format::decimal_integer, &["0", "12", "-3"]);
    bad(format::decimal_integer, &["", "-", "-0", "01", "+1"]);
}

#[test]
fn addresses() {
    let at = Path::new("ip");
    let messages = |value: &str| valid_ip(&at, value).0.iter().map(|e| e.detail.clone()).collect::<Vec<_>>();
    for good in ["1.2.3.4", "::1", "2001:db8::1"] {
        assert_eq!(messages(good), Vec::<String>::new());
    }
    for wrong in ["", "1.2.3", "1.2.3.256", "1::2::3", ":1", "fe80::1%eth0", "12345::", "1:2:3:4:5:6:7:8:9", "1.2.3.4:"]
    {
        assert_eq!(messages(wrong), ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"], "{wrong}");
    }
    assert_eq!(messages("010.2.3.4"), ["must not have leading 0s"]);
    assert_eq!(messages("::ffff:1.2.3.4"), ["must not be an IPv4-mapped IPv6 address"]);
    assert_eq!(messages("0:0::1"), ["must be in canonical form (\"::1\")"]);
    assert_eq!(ip_warnings(&at, "01.2.3.4"), ["ip: non-standard IP address \"01.2.3.4\" is invalid: use \"1.2.3.4\""]);
    assert_eq!(parse_ip("::ffff:1.2.3.4"), parse_ip("1.2.3.4"));
}

#[test]
fn cidrs() {
    let at = Path::new("cidr");
    let messages = |value: &str| valid_cidr(&at, value).0.iter().map(|e| e.detail.clone()).collect::<Vec<_>>();
    assert_eq!(messages("10.0.0.0/8"), Vec::<String>::new());
    assert_eq!(messages("::/0"), Vec::<String>::new());
    assert_eq!(messages("10.0.0.1/8"), ["must not have bits set beyond the prefix length"]);
    assert_eq!(messages("10.0.0.0/08"), ["must not have leading 0s in IP or prefix length"]);
    assert_eq!(messages("10.0.0.0/33"), ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]);
    assert_eq!(messages("2001:DB8::/32"), ["must be in canonical form (\"2001:db8::/32\")"]);
    let net = parse_cidr("10.1.0.0/16").expect("it is a CIDR");
    assert!(net.contains(parse_ip("10.1.2.3").expect("it is an address")));
    assert!(!net.contains(parse_ip("10.2.2.3").expect("it is an address")));
    assert!(!net.contains(parse_ip("::1").expect("it is an address")));
    assert_eq!(
        cidr_warnings(&at, "10.0.0.1/8"),
        ["cidr: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)"]
    );
}

#[test]
fn a_sysctls_first_separator_says_which_is_meant() {
    assert_eq!(dotted_sysctl("net/ipv4/conf/eth0.100/x"), "net.ipv4.conf.eth0/100.x");
    for same in ["net.ipv4.conf.eth0/100.x", "kernel.shm_rmid_forced", "x", ""] {
        assert_eq!(dotted_sysctl(same), same);
    }
}
