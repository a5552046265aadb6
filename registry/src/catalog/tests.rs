//! Which versions are served, and what upstream's kube-apiserver 1.37.1 says to settings that make no sense.

use super::RuntimeConfig;
use crate::openapi::tests::catalog;

/// Whether a resource (`apps/v1/deployments`, `/v1/pods`) is served under these settings.
fn serves(settings: &str, resource: &str) -> bool {
    let parts: Vec<&str> = resource.split('/').collect();
    let [group, version, plural] = parts[..] else { panic!("{resource} has three parts") };
    let catalog = catalog(settings);
    let known = catalog.iter().any(|d| d.row.group == group && d.row.plural == plural);
    assert!(known, "there is no {resource} at all");
    catalog.find(group, version, plural).is_some()
}

#[test]
fn the_most_special_word_counts() {
    let (deployments, jobs) = ("apps/v1/deployments", "batch/v1/jobs");
    let (beta, alpha) =
        ("certificates.k8s.io/v1beta1/clustertrustbundles", "internal.apiserver.k8s.io/v1alpha1/storageversions");
    let other_beta = "certificates.k8s.io/v1beta1/podcertificaterequests";
    let cases: [(&str, &[&str], &[&str]); 13] = [
        ("", &[deployments, jobs, "/v1/pods"], &[beta, alpha]),
        ("api/all=true", &[deployments, beta, alpha], &[]),
        ("api/beta=true", &[deployments, beta], &[alpha]),
        ("api/alpha=true", &[alpha], &[beta]),
        ("api/all=true,api/beta=false", &[deployments, alpha], &[beta]),
        // The order of the words is nothing.
        ("api/beta=false,api/all=true", &[deployments, alpha], &[beta]),
        ("api/all=false,api/ga=true", &[deployments, "/v1/pods"], &[beta, alpha]),
        ("api/all=false,apps/v1=true", &[deployments], &[jobs, "/v1/pods"]),
        ("apps/v1=false", &[jobs], &[deployments]),
        ("api/beta=true,certificates.k8s.io/v1beta1=false", &[deployments], &[beta, other_beta]),
        ("certificates.k8s.io/v1beta1/clustertrustbundles=true", &[beta], &[other_beta]),
        (
            "certificates.k8s.io/v1beta1=true,certificates.k8s.io/v1beta1/clustertrustbundles=false",
            &[other_beta],
            &[beta],
        ),
        ("apps/v1=false,apps/v1/deployments", &[deployments], &["apps/v1/daemonsets"]),
    ];
    for (settings, wanted, unwanted) in cases {
        wanted
            .iter()
            .for_each(|resource| assert!(serves(settings, resource), "{settings:?}: {resource} is not served"));
        unwanted.iter().for_each(|resource| assert!(!serves(settings, resource), "{settings:?}: {resource} is served"));
    }
}

#[test]
fn the_core_group_has_three_names_and_the_last_word_counts() {
    for settings in ["v1=false", "api/v1=false", "/v1=false", "v1/pods=false", "/v1=true,v1=false"] {
        assert!(!serves(settings, "/v1/pods"), "{settings}");
        assert!(!serves(settings, "/v1/secrets"), "{settings}");
    }
    assert!(serves("/v1/pods=false", "/v1/secrets") && !serves("/v1/pods=false", "/v1/pods"));
    assert!(serves("apps/v1=false,apps/v1=true", "apps/v1/deployments"));
    assert!(serves("api/legacy=false", "/v1/pods"));
}

/// Each as the reference server ended with.
#[test]
fn refusals_are_in_upstreams_words() {
    let cases = [
        ("api/all=false", "invalid runtime-config with only api/all=false"),
        ("foo/v1=true", "unknown api groups foo/v1"),
        ("foo/v1/bars=true", "unknown api groups foo/v1"),
        ("apps/v9=true,foo/v2=true,bar/v1", "unknown api groups bar/v1,foo/v2"),
        ("meta.k8s.io/v1=true", "unknown api groups meta.k8s.io/v1"),
        ("a/b/c/d=true", "runtime-config invalid key a/b/c/d"),
        ("=true", "runtime-config invalid key "),
        ("apps/v7=true", "group version apps/v7 that has not been registered"),
        ("apps/=true", "group version apps/ that has not been registered"),
        ("apps/v9/Foo=maybe", "group version apps/v9 that has not been registered"),
        ("autoscaling/v2beta1=true", "group version autoscaling/v2beta1 that has not been registered"),
        ("api/all", "invalid value api/all="),
        ("api/all=maybe", "invalid value api/all=maybe"),
        ("api/all=true,api/all=maybe", "invalid value api/all=maybe"),
        ("apps/v1=maybe", "invalid value of apps/v1: maybe, err: strconv.ParseBool: parsing \"maybe\": invalid syntax"),
        (
            "apps/v1=false=x",
            "invalid value of apps/v1: false=x, err: strconv.ParseBool: parsing \"false=x\": invalid syntax",
        ),
        (
            "apps/v1/Deployments=true",
            "invalid key apps/v1/Deployments: group/version/resource and resource is always lowercase plural, not \"Deployments\"",
        ),
    ];
    for (settings, words) in cases {
        let refused = RuntimeConfig::parse(settings).err();
        assert_eq!(refused.as_deref(), Some(words), "{settings}");
    }
}

/// What the reference server started with, though it serves none of it.
#[test]
fn what_upstream_takes_is_taken() {
    for settings in [
        ",,",
        " apps/v1 = true",
        "apps/v1=",
        "apps/v1beta1=true",
        "extensions/v1beta1=true",
        "admission.k8s.io/v1=true",
        "imagepolicy.k8s.io/v1alpha1=true",
        "apiextensions.k8s.io/v1beta1=true",
        "apiregistration.k8s.io/v1beta1=true",
        "apps/v1/nosuch=true",
    ] {
        assert!(RuntimeConfig::parse(settings).is_ok(), "{settings:?} is refused");
    }
}
