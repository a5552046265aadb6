//! Paths, links and pages that go through a proxy.

use super::{proxy::Links, *};

fn road(path: &str, query: Option<&str>) -> Road {
    Road {
        tls: true,
        host: "10.0.0.1".into(),
        port: 10250,
        path: path.into(),
        query: query.map(str::to_owned),
        trust: Trust::Node,
        manner: Manner::Proxy,
    }
}

#[test]
fn a_path_goes_on_behind_the_proxy_as_it_was() {
    for (rest, whole, path) in [
        ("", "/api/v1/nodes/n/proxy", ""),
        ("", "/api/v1/nodes/n/proxy/", "/"),
        ("a/b", "/api/v1/nodes/n/proxy/a/b", "/a/b"),
        ("a/b", "/api/v1/nodes/n/proxy/a/b/", "/a/b/"),
    ] {
        assert_eq!(subpath(rest, whole), path);
    }
    assert_eq!(uri(&road("/a b/ä?", None), Some("x=1")), "/a%20b/%C3%A4%3F?x=1");
    assert_eq!(uri(&road("", Some("a=1")), Some("x=1")), "/?a=1");
    assert_eq!(uri(&road("/x", None), Some("")), "/x");
}

#[test]
fn links_are_led_through_the_proxy() {
    let links = Links {
        hosts: vec!["10.0.0.1:80".into(), "api:6443".into()],
        prefix: "/api/v1/namespaces/d/services/s/proxy".into(),
    };
    for (link, led) in [
        ("/login?next=/a", "/api/v1/namespaces/d/services/s/proxy/login?next=/a"),
        ("http://10.0.0.1:80/x/", "/api/v1/namespaces/d/services/s/proxy/x/"),
        ("https://api:6443/x", "/api/v1/namespaces/d/services/s/proxy/x"),
        ("//api:6443/x", "/api/v1/namespaces/d/services/s/proxy/x"),
        ("/api/v1/namespaces/d/services/s/proxy/x", "/api/v1/namespaces/d/services/s/proxy/x"),
        ("relative/x", "relative/x"),
        ("#top", "#top"),
        ("https://elsewhere.example/x", "https://elsewhere.example/x"),
        ("mailto:a@example.org", "mailto:a@example.org"),
    ] {
        assert_eq!(links.lead(link), led, "{link}");
    }
}

#[test]
fn a_page_keeps_all_but_its_links() {
    let page =
        br#"<!DOCTYPE html><!-- <a href="/no"> --><BODY background=/b.png><a class='x' HREF="/a?b=1&amp;c=2">1 < 2</a>
<script>if (a < b) "<a href='/no'>"</script><img src="/i.png"/><p title=/no>&nbsp;</p><a href="/cut"#;
    let led = html::rewrite(page, |link| format!("/proxy{link}"));
    assert_eq!(
        String::from_utf8_lossy(&led),
        r#"<!DOCTYPE html><!-- <a href="/no"> --><body background="/proxy/b.png"><a class="x" href="/proxy/a?b=1&amp;c=2">1 < 2</a>
<script>if (a < b) "<a href='/no'>"</script><img src="/proxy/i.png"/><p title="/no">&nbsp;</p><a href="/cut"#
    );
}

#[test]
fn any_page_ends() {
    for page in
        ["<", "<a", "<a ", "<a href", "<a href=", "<a href='", "<!--", "</", "<script>", "<a / / =x==y>", "<a\u{0}>"]
    {
        html::rewrite(page.as_bytes(), str::to_owned);
    }
}
