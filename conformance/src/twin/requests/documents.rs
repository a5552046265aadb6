//! What servers say of themselves: discovery in all its forms, OpenAPI, versions, health, keys, and what is not there.

use super::super::{
    case::{Body, Case, Class, JSON, PROTOBUF, YAML},
    target::Target,
};

/// What these requests are counted by.
pub const RESOURCE: &str = "documents";

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_BETA: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
/// As kubectl asks.
const EITHER: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
const AGGREGATED_PROTOBUF: &str =
    "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_UNKNOWN: &str = "application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList";
const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";
const PLAIN: [&str; 7] = ["", JSON, YAML, PROTOBUF, "application/xml", "*/*", TABLE];
const LISTS: [&str; 6] = [AGGREGATED, AGGREGATED_BETA, EITHER, AGGREGATED_PROTOBUF, AGGREGATED_UNKNOWN, "text/html"];
const SPEC_2: [&str; 5] = ["", JSON, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "text/plain", "*/*"];
const SPEC_3: [&str; 4] = ["", JSON, "application/com.github.proto-openapi.spec.v3@v1.0+protobuf", "application/xml"];
/// With their forms: documents that carry an ETag.
const TAGGED: [(&str, &str); 7] = [
    ("/openapi/v2", ""),
    ("/openapi/v2", SPEC_2[2]),
    ("/openapi/v3", ""),
    ("/openapi/v3/api/v1", ""),
    ("/openapi/v3/apis/apps/v1", SPEC_3[2]),
    ("/api", AGGREGATED),
    ("/apis", AGGREGATED),
];
const HASHED: [&str; 3] = ["/openapi/v3/api/v1", "/openapi/v3/apis/apps/v1", "/openapi/v3/version"];
const PACKED: [&str; 7] = ["/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1", "/apis", "/api", "/api/v1", "/version"];
const TEXTS: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/"];
/// Of health: one check, all of them, some left out, and none of the name.
const CHECKS: [&str; 6] = ["/ping", "?verbose", "?verbose&exclude=etcd", "?exclude=nothing", "/nothing", "/etcd"];
const ELSEWHERE: [&str; 11] = [
    "/.well-known/openid-configuration",
    "/openid/v1/jwks",
    "/nothing",
    "/api/v9",
    "/api/nothing",
    "/api/v1/nothing",
    "/api/v1/namespaces/default/nothing",
    "/apis/nothing.example.com",
    "/apis/apps/v9",
    "/apis/apps/v1/nothing",
    "/openapi/v3/nothing",
];
const METHODS: [&str; 5] = ["HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// The requests, where these resources are served.
pub fn all(served: &[Vec<Target>]) -> Vec<Case> {
    let mut versions: Vec<(&str, &str)> =
        served.iter().flatten().map(|target| (target.gvk.group.as_str(), target.gvk.version.as_str())).collect();
    versions.sort_unstable();
    versions.dedup();
    let mut groups: Vec<&str> = versions.iter().map(|(group, _)| *group).filter(|group| !group.is_empty()).collect();
    groups.dedup();
    let mut out = Vec::new();
    let mut ask = |path: &str, accepts: &[&str]| out.extend(accepts.iter().map(|accept| case("GET", path, accept)));
    for path in ["/api", "/apis"] {
        ask(path, &PLAIN);
        ask(path, &LISTS);
    }
    groups.iter().for_each(|group| ask(&format!("/apis/{group}"), &PLAIN));
    for (group, version) in &versions {
        let place = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
        ask(&format!("/{place}"), &PLAIN);
        ask(&format!("/{place}"), &[AGGREGATED]);
        ask(&format!("/openapi/v3/{place}"), &SPEC_3);
    }
    ask("/openapi/v2", &SPEC_2);
    ask("/openapi/v3", &SPEC_3);
    ["api", "apis", "version", "apis/apps", ".well-known/openid-configuration", "openid/v1/jwks", "logs"]
        .iter()
        .for_each(|place| ask(&format!("/openapi/v3/{place}"), &SPEC_3));
    TEXTS.iter().for_each(|path| ask(path, &PLAIN));
    TEXTS[..3].iter().for_each(|path| CHECKS.iter().for_each(|check| ask(&format!("{path}{check}"), &[""])));
    ELSEWHERE.iter().for_each(|path| ask(path, &["", YAML]));
    for path in [
        "/api",
        "/apis",
        "/apis/apps",
        "/apis/apps/v1",
        "/api/v1",
        "/openapi/v2",
        "/openapi/v3",
        "/version",
        "/healthz",
        "/",
    ] {
        out.extend(METHODS.iter().map(|method| case(method, path, "")));
    }
    out.extend(again());
    out
}

/// What a client asks that has a document already, and one that takes it packed.
fn again() -> Vec<Case> {
    let mut out = Vec::new();
    for (path, accept) in TAGGED {
        for tag in ["$etag", "\"bogus\"", "W/$etag", "*", "$hash"] {
            let headers = vec![("if-none-match", tag.to_owned())];
            out.push(Case { headers, ..case("GET", path, accept) });
        }
    }
    for path in HASHED {
        for hash in ["$hash", "bogus", ""] {
            out.push(case("GET", &format!("{path}?hash={hash}"), ""));
        }
    }
    for path in PACKED {
        for (coding, accept) in [("gzip", ""), ("gzip, deflate", ""), ("deflate", ""), ("gzip", AGGREGATED)] {
            let headers = vec![("accept-encoding", coding.to_owned())];
            out.push(Case { headers, ..case("GET", path, accept) });
        }
    }
    out
}

fn case(method: &'static str, path: &str, accept: &str) -> Case {
    Case {
        resource: RESOURCE.into(),
        version: "".into(),
        class: Class::Discovery,
        title: String::new(),
        method,
        path: path.into(),
        accept: accept.into(),
        content_type: String::new(),
        headers: Vec::new(),
        body: Body::None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::case::Live, Case};

    #[test]
    fn a_document_is_asked_for_before_it_is_asked_for_again() {
        let all = super::all(&[]);
        let of = |path: &str, tag: &str| {
            let is_meant = |case: &&Case| {
                let has_tag = case.headers.iter().any(|(name, value)| *name == "if-none-match" && value == tag);
                case.path == path && (tag.is_empty() || has_tag)
            };
            all.iter().find(is_meant).cloned()
        };
        let tagged = of("/openapi/v2", "$etag").expect("it is asked");
        let first = tagged.of_etag().expect("its tag has to be known");
        assert!(first.headers.is_empty() && first.of_etag().is_none());
        let hashed = of("/openapi/v3/api/v1?hash=$hash", "").expect("it is asked");
        assert_eq!(hashed.of_etag().expect("its hash has to be known").path, "/openapi/v3/api/v1");
        let live = Live { etag: "\"AB\"".into(), ..Live::default() };
        assert_eq!(live.fill(&hashed.path), "/openapi/v3/api/v1?hash=AB");
        assert_eq!(of("/openapi/v2", "\"bogus\"").expect("it is asked").of_etag().map(|case| case.path), None);
    }
}
