//! Nothing leads out of the directory.

use std::{
    fs,
    io::Read,
    os::unix::fs::{PermissionsExt, symlink},
};

use super::*;

/// `inside` is the directory; what is beside it must stay out of reach.
fn places() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("makes one");
    fs::create_dir_all(root.path().join("inside/a/b")).expect("makes");
    fs::create_dir(root.path().join("outside")).expect("makes");
    fs::write(root.path().join("outside/secret"), "secret").expect("writes");
    fs::write(root.path().join("inside/a/file"), "text").expect("writes");
    symlink("a/b", root.path().join("inside/near")).expect("links");
    symlink("../outside", root.path().join("inside/up")).expect("links");
    symlink(root.path().join("outside"), root.path().join("inside/away")).expect("links");
    root
}

#[test]
fn what_leads_out_is_refused() {
    let root = places();
    let inside = root.path().join("inside");
    assert!(locate(&inside, "a/b").is_ok());
    assert!(locate(&inside, "near").is_ok());
    assert!(locate(&inside, "a/../a/file").is_ok());
    for path in ["up", "up/secret", "away", "away/secret", "../outside", "/etc", "near/../../../outside"] {
        let refused = locate(&inside, path).expect_err(path);
        assert_eq!(refused.raw_os_error(), Some(Errno::XDEV.raw_os_error()), "{path}");
    }
}

#[test]
fn directories_are_made_inside_only() {
    let root = places();
    let inside = root.path().join("inside");
    assert!(make_directories(&inside, "near/c/d", 0o2770).expect("makes"));
    let mode = fs::metadata(inside.join("a/b/c/d")).expect("is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o2770);
    assert!(!make_directories(&inside, "near/c/d", 0o700).expect("is there"), "what is there stays as it is");
    for path in ["up/x", "away/x"] {
        assert!(make_directories(&inside, path, 0o777).is_err(), "{path}");
    }
    assert!(!root.path().join("outside/x").exists());
    assert!(make_directories(&inside, "a/file/x", 0o777).is_err());
}

#[test]
fn a_file_is_read_as_if_the_directory_were_the_root() {
    let root = places();
    let inside = root.path().join("inside");
    let read = |path: &str| {
        let mut text = String::new();
        open_file(&inside, path).and_then(|mut file| file.read_to_string(&mut text)).map(|_| text)
    };
    assert_eq!(read("a/file").ok().as_deref(), Some("text"));
    assert_eq!(read("/../a/file").ok().as_deref(), Some("text"));
    assert!(read("away/secret").is_err());
    assert!(read("up/secret").is_err());
    assert!(read("a").is_err(), "a directory is no file");
}
