//! The order, the default set and what the flags may say.

use std::collections::BTreeSet;

use super::*;

fn settings() -> Settings {
    Settings::new(Arc::new(|| "abcde".into()))
}

fn names(enable: &[&str], disable: &[&str]) -> Result<Vec<&'static str>, String> {
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    Ok(chain(&owned(enable), &owned(disable), &settings())?.names().collect())
}

#[test]
fn every_plugin_stands_once_under_its_own_name() {
    let unique: BTreeSet<&str> = ALL.iter().map(|entry| entry.name).collect();
    assert_eq!((ALL.len(), unique.len()), (39, 39));
    assert_eq!(ALL.iter().filter(|entry| entry.default_on).count(), 25);
    let mut settings = settings();
    let limits = api::value!({"limits": [{"type": "Server", "qps": 1, "burst": 1}]});
    settings.configurations.insert("EventRateLimit".into(), limits);
    for entry in ALL {
        if let Some(make) = entry.make {
            assert_eq!(make(&settings).map(|plugin| plugin.name()).ok(), Some(entry.name));
        }
    }
}

#[test]
fn flags_add_and_take_away_without_changing_the_order() {
    let default = names(&[], &[]).expect("the defaults are right");
    assert_eq!(default.first(), Some(&"NamespaceLifecycle"));
    assert_eq!(default.last(), Some(&"ResourceQuota"));
    assert!(!default.contains(&"AlwaysPullImages"));
    let changed = names(&["AlwaysDeny", "AlwaysPullImages", "Priority"], &["ServiceAccount"]).expect("they are known");
    let position = |name: &str| changed.iter().position(|n| *n == name);
    assert!(position("TaintNodesByCondition") < position("AlwaysPullImages"));
    assert!(position("AlwaysPullImages") < position("Priority"));
    assert_eq!(changed.last(), Some(&"AlwaysDeny"));
    assert_eq!(position("ServiceAccount"), None);
}

#[test]
fn wrong_flags_are_named_in_upstreams_words() {
    let cases: [(&[&str], &[&str], &str); 5] = [
        (&["None"], &[], "enable-admission-plugins plugin \"None\" is unknown"),
        (&[], &["None"], "disable-admission-plugins plugin \"None\" is unknown"),
        (
            &["Priority"],
            &["Priority"],
            "[Priority] in enable-admission-plugins and disable-admission-plugins overlapped",
        ),
        (&["NodeRestriction"], &[], "enable-admission-plugins plugin \"NodeRestriction\" is not implemented"),
        (
            &["EventRateLimit"],
            &[],
            "couldn't init admission plugin \"EventRateLimit\": limits: Invalid value: null: must not be empty",
        ),
    ];
    for (enable, disable, why) in cases {
        assert_eq!(names(enable, disable), Err(why.into()));
    }
    assert!(names(&[], &["NodeRestriction", "PodSecurity"]).is_ok());
}
