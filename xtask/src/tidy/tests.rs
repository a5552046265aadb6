//! The laws on the workspace as it is, and each law on a small tree that breaks it.

use super::exceptions::Exceptions;
use super::walls::Package;
use super::{Finding, LAWS, Source, Tree};

fn tree(files: &[(&str, &str)]) -> Tree {
    Tree {
        sources: files
            .iter()
            .filter(|(path, _)| path.ends_with(".rs"))
            .map(|(path, text)| Source::new(path, (*text).to_owned()))
            .collect(),
        texts: files
            .iter()
            .filter(|(path, _)| !path.ends_with(".rs"))
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect(),
        packages: Vec::new(),
        kinds: ["Pod", "pods", "ConfigMap", "configmaps", "Event", "events"].map(str::to_owned).to_vec(),
    }
}

/// The laws that a tree breaks, each with what it is about.
fn broken(tree: &Tree) -> Vec<(&'static str, usize, String)> {
    let found = LAWS.iter().flat_map(|law| law(tree));
    found.map(|finding| (finding.law, finding.line, finding.item)).collect()
}

fn package(name: &str, dependencies: &[&str]) -> Package {
    Package { name: name.to_owned(), dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect() }
}

#[test]
fn the_workspace_keeps_the_laws() {
    let findings = super::check(crate::run::root()).expect("the workspace can be read");
    let shown: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(shown.is_empty(), "\n{}", shown.join("\n"));
}

#[test]
fn walls_stand() {
    let strict = "[lints]\nworkspace = true\n";
    let mut tree = tree(&[
        ("store/src/lib.rs", "//! s\nuse api::X; use bytes::B;"),
        ("store/Cargo.toml", strict),
        ("api/Cargo.toml", ""),
        ("newcomer/Cargo.toml", strict),
    ]);
    tree.packages = vec![package("store", &["api", "bytes", "tokio"]), package("api", &[]), package("newcomer", &[])];
    let expected = [("wall", 0, "api"), ("wall", 0, ""), ("unused-dependency", 0, "tokio"), ("lints", 0, "")];
    assert_eq!(broken(&tree), expected.map(|(law, line, item)| (law, line, item.to_owned())));
}

#[test]
fn the_road_names_no_kind() {
    let text = "//! Pods.\nenum Event { Added }\nfn f(pod_name: &str) {\n  g(\"/api/v1/pods/x\", \"podsecurity\", ConfigMap)\n}\n";
    let expected = [(3, "pod"), (4, "ConfigMap"), (4, "pods")].map(|(line, item)| ("kind", line, item.to_owned()));
    assert_eq!(broken(&tree(&[("server/src/lib.rs", text)])), expected);
    assert_eq!(broken(&tree(&[("registry/src/lib.rs", "//!\nmod special;"), ("registry/src/special.rs", text)])), []);
}

#[test]
fn sizes_are_bounded() {
    let text = format!("//! l\nfn long() {{\n{}}}\n", "    x();\n".repeat(99));
    assert_eq!(broken(&tree(&[("api/src/lib.rs", &text)])), [("function-length", 2, "long".to_owned())]);
    let text = format!("//! l\n{}", "const A: u8 = 0;\n".repeat(800));
    assert_eq!(broken(&tree(&[("api/src/lib.rs", &text)])), [("file-length", 0, String::new())]);
}

#[test]
fn files_have_heads_and_names_and_stand_in_a_table() {
    let found = broken(&tree(&[
        ("controllers/src/lib.rs", "//! c\npub mod garbage;\n"),
        ("controllers/src/garbage.rs", "fn a() {}\n"),
        ("controllers/src/lost.rs", "//! l\n"),
        ("controllers/src/garbage/util.rs", "//! u\n"),
    ]));
    let laws: Vec<_> = found.into_iter().map(|(law, ..)| law).collect();
    assert_eq!(laws, ["head", "file-name", "contents", "contents"]);
}

#[test]
fn what_exists_stands_in_its_list() {
    let laws = |files: &[(&str, &str)]| broken(&tree(files)).into_iter().map(|f| f.0).collect::<Vec<_>>();
    let listed =
        ("resources/src/lib.rs", "//! r\nmod apps;\nmod batch;\nconst GROUPS: [R; 2] = [apps::ROWS, batch::ROWS];\n");
    let batch = ("resources/src/batch.rs", "//! b\npub const ROWS: R = R;\n");
    assert!(laws(&[listed, batch]).is_empty());
    let unlisted = ("resources/src/lib.rs", "//! r\nmod apps;\nmod batch;\nconst GROUPS: [R; 1] = [apps::ROWS];\n");
    assert_eq!(laws(&[unlisted, batch]), ["list"]);
    let neighbour = ("resources/src/apps.rs", "//! a\nuse crate::batch::rule;\npub const ROWS: R = R;\n");
    assert_eq!(laws(&[listed, batch, neighbour]), ["group"]);
    let plugin = ("admission/src/plugins/quota.rs", "//! q\n");
    let order = ("admission/src/plugins.rs", "//! p\nmod quota;\n");
    assert_eq!(laws(&[("admission/src/lib.rs", "//! a\nmod plugins;\n"), order, plugin]), ["list"]);
}

#[test]
fn tests_do_not_sleep_nor_hide() {
    let attributes = ["ignore", "should_panic"].map(|name| format!("#[{name}]\nfn a() {{}}\n")).concat();
    let call = "sleep";
    let text = format!("//! t\n{attributes}fn b() {{ tokio::time::{call}(d); timer.{call}s_for(d); }}\n");
    let lines: Vec<_> =
        broken(&tree(&[("api/tests/a.rs", &text)])).into_iter().map(|(law, line, _)| (law, line)).collect();
    assert_eq!(lines, [("test", 2), ("test", 4), ("test", 6)]);
}

#[test]
fn documents_are_short_and_name_no_machine() {
    let map = "line\n".repeat(301);
    let place = format!("see {}me/somebody/notes, not https://example.org{}me/\n", "/ho", "/ho");
    let laws: Vec<_> =
        broken(&tree(&[("ARCHITECTURE.md", &map), ("docs/a.md", &place)])).into_iter().map(|f| f.0).collect();
    assert_eq!(laws, ["document", "machine-path"]);
}

#[test]
fn a_page_about_a_recurring_change_fits_one_screen() {
    let (long, wide) = ("line\n".repeat(61), format!("{}\n", "ä".repeat(121)));
    let fits = format!("{}\n", "ä".repeat(120)).repeat(60);
    let pages = [
        ("docs/add-long.md", &*long),
        ("docs/add-wide.md", &wide),
        ("docs/add-fits.md", &fits),
        ("docs/other.md", &wide),
    ];
    let found: Vec<_> = broken(&tree(&pages)).into_iter().map(|finding| (finding.0, finding.1)).collect();
    assert_eq!(found, [("screen", 0), ("screen", 1)]);
}

#[test]
fn exceptions_only_shrink() {
    let long = |measure| Finding::new("file-length", "api/src/a.rs", 0, String::new()).measure(measure);
    let left = |text: &str, entries_max, found| {
        let left = Exceptions::parse(text, entries_max).expect("well-formed").apply(found);
        left.into_iter().map(|finding| finding.law).collect::<Vec<_>>()
    };
    let entry = "file-length api/src/a.rs 900 # for now\n";
    assert!(left(entry, 1, vec![long(900)]).is_empty());
    assert_eq!(left(entry, 1, vec![long(901)]), ["file-length", "exceptions"], "outgrown");
    assert_eq!(left(entry, 1, vec![long(850)]), ["exceptions"], "the limit has to follow");
    assert_eq!(left(entry, 1, vec![]), ["exceptions"], "no longer needed");
    assert_eq!(left(entry, 0, vec![long(900)]), ["exceptions"], "one more than agreed");
}

#[test]
fn published_vulnerabilities_have_their_tests() {
    let row = |tests: &str| format!("| CVE-2020-1, CVE-2020-12 | a rule | {tests} |\n");
    let code = "//! l\n#[test]\nfn cve_2020_1_cve_2020_12_a() {}\n";
    let found = |tests: &str, code: &str| -> Vec<String> {
        broken(&tree(&[("docs/security.md", &row(tests)), ("api/src/lib.rs", code)]))
            .into_iter()
            .map(|(law, line, item)| format!("{law} {line} {item}"))
            .collect()
    };
    let whole = "`api/src/lib.rs` `cve_2020_1_cve_2020_12_a`";
    assert_eq!(found(whole, code), Vec::<String>::new());
    assert_eq!(found(whole, "//! l\n"), ["vulnerability 1 cve_2020_1_cve_2020_12_a"]);
    let unmarked = "//! l\nfn cve_2020_1_cve_2020_12_a() {}\n";
    assert_eq!(found(whole, unmarked), ["vulnerability 1 cve_2020_1_cve_2020_12_a"], "it is no test");
    let other = "//! l\n#[test]\nfn cve_2020_12_a() {}\n";
    let short = "`api/src/lib.rs` `cve_2020_12_a`";
    assert_eq!(found(short, other), ["vulnerability 1 CVE-2020-1"]);
    assert_eq!(
        found("", other),
        ["vulnerability 1 CVE-2020-1", "vulnerability 1 CVE-2020-12", "vulnerability 3 cve_2020_12_a"]
    );
}
