//! Scripts as a shell runs them, and the two processes' halves of the question where objects are.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use anyhow::Result;
use clap::Parser as _;
use store::Store as _;

use super::{etcd, place, run, write};
use crate::flags::{self, Kept};

/// A program that prints how it was called.
fn program(place: &Path) -> Result<()> {
    fs::write(place, "#!/bin/sh\necho \"$(basename \"$0\"):$*\"\n")?;
    Ok(fs::set_permissions(place, fs::Permissions::from_mode(0o755))?)
}

/// How a script ended, and what it said.
fn said(script: &Path, arguments: &[&str], path: &str) -> Result<(Option<i32>, String)> {
    let done = Command::new(script).args(arguments).env("PATH", path).output()?;
    let text = [done.stdout, done.stderr].concat();
    Ok((done.status.code(), String::from_utf8(text)?.trim_end().to_owned()))
}

#[test]
fn scripts_start_the_program_and_say_when_it_is_gone() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let skiff = directory.path().join("it's here");
    program(&skiff)?;
    let assets = directory.path().join("assets");
    write(&assets, &skiff)?;
    let usual = "/usr/bin:/bin";
    let server = assets.join("kube-apiserver");
    let told = (Some(0), "it's here:apiserver --envtest --a=b c d".to_owned());
    assert_eq!(said(&server, &["--a=b", "c d"], usual)?, told);
    assert_eq!(said(&assets.join("etcd"), &[], usual)?, (Some(0), "it's here:envtest-etcd".to_owned()));
    // Written anew, and moved.
    write(&assets, &skiff)?;
    let moved = directory.path().join("moved");
    fs::rename(&assets, &moved)?;
    assert_eq!(said(&moved.join("etcd"), &["x"], usual)?, (Some(0), "it's here:envtest-etcd x".to_owned()));
    fs::remove_file(&skiff)?;
    let (code, words) = said(&moved.join("etcd"), &[], usual)?;
    let wanted =
        format!("etcd: {} is gone: put it back, or write this directory anew with `skiff envtest`", skiff.display());
    assert_eq!((code, words), (Some(127), wanted));
    Ok(())
}

#[test]
fn kubectl_is_that_of_the_path() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let [one, two, real] = ["one", "two", "real one"].map(|name| directory.path().join(name));
    write(&one, Path::new("/nowhere/skiff"))?;
    write(&two, Path::new("/nowhere/skiff"))?;
    fs::create_dir(&real)?;
    let path = |all: &[&Path]| all.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":");
    let script = one.join("kubectl");
    let (code, words) = said(&script, &["get", "pods"], &path(&[&one, &two, &real]))?;
    assert_eq!(code, Some(127));
    assert_eq!(words, "kubectl: Skiff brings none, and there is none on the PATH: install one");
    // A program, not a text: no lines, and bytes that no text has.
    fs::copy("/bin/echo", real.join("kubectl"))?;
    let found = said(&script, &["get", "all pods"], &path(&[&one, &two, &real]))?;
    assert_eq!(found, (Some(0), "get all pods".to_owned()));
    Ok(())
}

#[test]
fn what_others_wrote_is_left_alone() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let etcd = directory.path().join("etcd");
    fs::write(&etcd, "another's")?;
    let refused = run(&flags::Envtest { directory: directory.path().into() }).expect_err("it is another's").to_string();
    let wanted = format!("{} is there, and `skiff envtest` did not write it; choose another directory", etcd.display());
    assert_eq!(refused, wanted);
    assert_eq!(fs::read_dir(directory.path())?.count(), 1);
    assert_eq!(fs::read_to_string(&etcd)?, "another's");
    Ok(())
}

fn etcd(arguments: &[&str]) -> Result<etcd::Etcd> {
    match flags::Skiff::try_parse_from(["skiff", "envtest-etcd"].iter().chain(arguments))?.command {
        flags::Command::EnvtestEtcd(flags) => Ok(flags),
        _ => anyhow::bail!("another command was read"),
    }
}

fn server(arguments: &[&str]) -> Result<Box<flags::Apiserver>> {
    match flags::Skiff::try_parse_from(["skiff", "apiserver", "--envtest"].iter().chain(arguments))?.command {
        flags::Command::Apiserver(flags) => Ok(flags),
        _ => anyhow::bail!("another command was read"),
    }
}

/// Asks as a server does that was started with this etcd.
async fn settled(address: &str) -> Result<Box<flags::Apiserver>> {
    let mut flags = server(&["--cert-dir=/certs", &format!("--etcd-servers=http://{address}")])?;
    place::settle(&mut flags).await?;
    Ok(flags)
}

#[tokio::test]
async fn a_server_keeps_objects_where_the_etcd_says() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("data");
    for no_fsync in [true, false] {
        let flags = etcd(&[&format!("--data-dir={}", data.display()), &format!("--unsafe-no-fsync={no_fsync}")])?;
        let standing = etcd::Standing::take(&flags)?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let serving = tokio::spawn(standing.serve(listener));
        let flags = settled(&address).await?;
        assert_eq!(flags.data_dir, Path::new("/certs/skiff"));
        assert_eq!(flags.etcd_servers, Vec::<String>::new());
        assert_eq!(flags.kept, Some(Kept::In { directory: data.join("skiff/db"), durable: !no_fsync }));
        serving.abort();
        assert!(serving.await.is_err_and(|ended| ended.is_cancelled()));
    }
    Ok(())
}

#[tokio::test]
async fn an_etcd_that_says_nothing_is_one() -> Result<()> {
    struct Etcd;
    impl pages::Pages for Etcd {
        fn page(&self, _: &str) -> Option<pages::Page> {
            None
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(pages::serve(listener, std::sync::Arc::new(Etcd)));
    let flags = settled(&address).await?;
    assert_eq!((flags.etcd_servers, flags.kept), (vec![format!("http://{address}")], None));
    Ok(())
}

#[test]
fn data_are_one_processes_and_never_those_of_etcd() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let flags = etcd(&[&format!("--data-dir={}", directory.path().display())])?;
    let shown = directory.path().display();
    let refused = |flags| etcd::Standing::take(flags).err().map(|error| error.to_string());
    let taken = etcd::Standing::take(&flags)?;
    assert_eq!(refused(&flags), Some(format!("--data-dir: {shown} is in use by another process")));
    drop(taken);
    assert_eq!(refused(&flags), None);
    fs::create_dir(directory.path().join("member"))?;
    let words = format!("--data-dir: {shown} has data of etcd, which only etcd can read; choose another directory");
    assert_eq!(refused(&flags), Some(words));
    Ok(())
}

/// As grpc-go asks: who waits for etcd is told whom it has found.
#[tokio::test]
async fn clients_of_etcd_are_told_what_this_is() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let flags = etcd(&[&format!("--data-dir={}", directory.path().display())])?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(etcd::Standing::take(&flags)?.serve(listener));
    let store =
        store::backends::etcd::Etcd::connect(store::backends::etcd::Config::new(vec![format!("http://{address}")]));
    let error = store.await?.revision().await.expect_err("it is no etcd").to_string();
    assert!(error.contains("only the kube-apiserver beside it can keep objects"), "{error}");
    Ok(())
}
