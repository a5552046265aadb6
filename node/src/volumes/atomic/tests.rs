//! Files change together or not at all.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::new(1_456_329_845 + second, 12_345_678).expect("is a time")
}

fn payload(files: &[(&str, &str)]) -> Payload {
    let file = |data: &str| File { data: data.as_bytes().to_vec(), mode: 0o644, user: None };
    files.iter().map(|(path, data)| ((*path).to_owned(), file(data))).collect()
}

fn put(target: &Path, files: &[(&str, &str)], second: i64) -> bool {
    write(target, &payload(files), at(second), || Ok(())).expect("writes")
}

fn names(target: &Path) -> Vec<String> {
    let entries = fs::read_dir(target).expect("is there").map(|entry| entry.expect("reads").file_name());
    let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn read(target: &Path, path: &str) -> String {
    fs::read_to_string(target.join(path)).expect("is there")
}

#[test]
fn files_are_links_through_one_link() {
    let target = tempfile::tempdir().expect("makes one");
    let target = target.path();
    assert!(put(target, &[("a", "1"), ("d/e", "2")], 0));
    assert_eq!(names(target), ["..2016_02_24_16_04_05.12345678", "..data", "a", "d"]);
    assert_eq!(fs::read_link(target.join("a")).ok(), Some("..data/a".into()));
    assert_eq!(fs::read_link(target.join("d")).ok(), Some("..data/d".into()));
    assert_eq!((read(target, "a"), read(target, "d/e")), ("1".into(), "2".into()));
}

#[test]
fn a_change_replaces_the_directory_and_the_same_again_does_not() {
    let target = tempfile::tempdir().expect("makes one");
    let target = target.path();
    put(target, &[("a", "1"), ("b", "1"), ("d/e", "1"), ("d/f", "1")], 0);
    let first = fs::read_link(target.join(DATA)).expect("is one");
    assert!(!put(target, &[("a", "1"), ("b", "1"), ("d/e", "1"), ("d/f", "1")], 1));
    assert_eq!(fs::read_link(target.join(DATA)).ok(), Some(first.clone()));
    assert!(put(target, &[("a", "2"), ("d/e", "1"), ("g", "3")], 2));
    assert_eq!((read(target, "a"), read(target, "g")), ("2".into(), "3".into()));
    assert!(!target.join("b").exists() && !target.join("d/f").exists() && !target.join(first).exists());
    assert_eq!(names(target), ["..2016_02_24_16_04_07.12345678", "..data", "a", "d", "g"]);
}

#[test]
fn the_mode_is_as_said() {
    let target = tempfile::tempdir().expect("makes one");
    let mut files = payload(&[("a", "1")]);
    files.entry("a".to_owned()).and_modify(|file| file.mode = 0o402);
    write(target.path(), &files, at(0), || Ok(())).expect("writes");
    let mode = fs::metadata(target.path().join("a")).expect("is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o402);
}

#[test]
fn when_it_cannot_be_settled_nothing_is_seen() {
    let target = tempfile::tempdir().expect("makes one");
    let target = target.path();
    put(target, &[("a", "1")], 0);
    let refused = write(target, &payload(&[("a", "2")]), at(1), || Err(io::Error::other("no")));
    assert!(refused.is_err());
    assert_eq!(read(target, "a"), "1");
    assert_eq!(names(target), ["..2016_02_24_16_04_05.12345678", "..data", "a"]);
}

#[test]
fn what_a_write_that_was_cut_off_left_does_no_harm() {
    let target = tempfile::tempdir().expect("makes one");
    let target = target.path();
    symlink("nowhere", target.join(DATA_NEXT)).expect("links");
    assert!(put(target, &[("a", "1")], 0));
    fs::remove_file(target.join("a")).expect("removes");
    assert!(!put(target, &[("a", "1")], 1), "the data is there");
    assert_eq!(read(target, "a"), "1", "and the link is made again");
}

#[test]
fn paths_stay_inside() {
    for (path, why) in [
        ("", "invalid path: must not be empty: \"\""),
        ("/a", "invalid path: must be relative path: /a"),
        ("a/../b", "invalid path: must not contain '..': a/../b"),
        ("..a", "invalid path: must not start with '..': ..a"),
    ] {
        assert_eq!(why_invalid(path).as_deref(), Some(why));
    }
    assert!(why_invalid(&"a".repeat(256)).is_some_and(|why| why.contains("filenames must be")));
    assert!(why_invalid(&"a/".repeat(2049)).is_some_and(|why| why.contains("less than or equal to 4096")));
    assert_eq!(why_invalid("a/..b"), None);
    assert_eq!(clean("./a//b/"), "a/b");
}
