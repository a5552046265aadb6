//! What `skiff up` listens on is what `docs/ports.md` says, and the API is spoken over TLS alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use conformance::{
    http::Client,
    skiff::{self, Skiff},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const TABLE: &str = include_str!("../../docs/ports.md");
/// States of sockets in the kernel's lists: one that listens, and one of UDP that is connected to nobody.
const LISTENS: &str = "0A";
const UNCONNECTED: &str = "07";

/// What parts listen on by the table, with what stands for names and numbers of it. Ports without a number are those of
/// services, of which there are none here.
fn said(parts: &[&str], names: &[(&str, &str)]) -> BTreeSet<String> {
    let rows = TABLE.lines().filter(|line| line.starts_with("| ")).map(|line| line.split('|').map(str::trim));
    let mut found = BTreeSet::new();
    for cells in rows {
        let cells: Vec<&str> = cells.collect();
        if !parts.contains(&cells[1]) {
            continue;
        }
        let socket =
            names.iter().fold(cells[2].trim_matches('`').to_owned(), |text, (name, put)| text.replace(name, put));
        if socket.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            found.insert(socket);
        }
    }
    found
}

/// What a process listens on: `tcp 127.0.0.1:6443`, `udp …`, `unix PATH`.
fn listening(pid: u32) -> Result<BTreeSet<String>> {
    let process = Path::new("/proc").join(pid.to_string());
    let mut own = BTreeSet::new();
    for entry in fs::read_dir(process.join("fd"))? {
        // One that is closed meanwhile is none.
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        let text = target.to_string_lossy().into_owned();
        own.extend(text.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')).map(str::to_owned));
    }
    let mut found = BTreeSet::new();
    for (list, over, state) in
        [("tcp", "tcp", LISTENS), ("tcp6", "tcp", LISTENS), ("udp", "udp", UNCONNECTED), ("udp6", "udp", UNCONNECTED)]
    {
        for line in fs::read_to_string(process.join("net").join(list))?.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields[3] == state && own.contains(fields[9]) {
                found.insert(format!("{over} {}", address(fields[1])?));
            }
        }
    }
    let unix = fs::read_to_string(process.join("net/unix"))?;
    for line in unix.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = u32::from_str_radix(fields[3], 16)? & 0x10000 != 0;
        if listens && own.contains(fields[6]) {
            found.insert(format!("unix {}", fields.get(7).unwrap_or(&"")));
        }
    }
    Ok(found)
}

/// `0100007F:192B` is 127.0.0.1:6443: words of four bytes as this machine has them.
fn address(text: &str) -> Result<String> {
    let (ip, port) = text.split_once(':').context("an address")?;
    let port = u16::from_str_radix(port, 16)?;
    let mut bytes = Vec::new();
    for word in ip.as_bytes().chunks(8) {
        bytes.extend(u32::from_str_radix(std::str::from_utf8(word)?, 16)?.to_ne_bytes());
    }
    Ok(match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => format!("{}:{port}", Ipv4Addr::from(four)),
        Err(_) => format!("[{}]:{port}", Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice())?)),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_listens_where_the_table_says() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let skiff = Skiff::start(&skiff::build()?, &directory.path().join("data"), &[])?;
    let client = Client::from_kubeconfig(&skiff.kubeconfig).await?;
    skiff.wait_until_ready(&client).await?;
    // Controllers and scheduler have begun when what they make is there.
    client.until("/api/v1/namespaces/default/serviceaccounts", "default", |found| found.is_some()).await?;
    let port = skiff.port.to_string();
    let wanted = said(&["apiserver", "controllers", "scheduler"], &[("6443", &port)]);
    ensure!(wanted.len() == 1, "the table has one socket of theirs: {wanted:?}");
    let found = listening(skiff.pid())?;
    ensure!(found == wanted, "it listens on {found:?}, and the table says {wanted:?}");
    for words in
        ["GET /api HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /healthz HTTP/1.0\r\n\r\n"]
    {
        let mut plain = TcpStream::connect(("127.0.0.1", skiff.port)).await?;
        plain.write_all(words.as_bytes()).await?;
        let mut answer = Vec::new();
        // However the connection ends, what was said on it counts.
        let _ = plain.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        ensure!(!answer.contains("200") && !answer.contains("ok") && !answer.contains("kind"), "{words:?}: {answer:?}");
    }
    Ok(())
}

/// The table names each part that there is, and no socket twice.
#[test]
fn the_table_is_whole() {
    let mut parts = BTreeMap::new();
    for line in TABLE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| part ")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 8, "{line}");
        let sockets: &mut Vec<&str> = parts.entry(cells[1]).or_default();
        assert!(!sockets.contains(&cells[2]), "{line}");
        sockets.push(cells[2]);
    }
    let names: Vec<&str> = parts.keys().copied().collect();
    assert_eq!(names, ["apiserver", "controllers", "dns", "node", "proxy", "scheduler"]);
    assert_eq!(address("0100007F:192B").ok().as_deref(), Some("127.0.0.1:6443"));
    assert_eq!(address("00000000000000000000000001000000:0050").ok().as_deref(), Some("[::1]:80"));
}

mod machine {
    use conformance::machine::{Machines, until};

    use super::*;

    const MACHINE: &str = "192.0.2.1";

    /// The process that was started in a namespace with this directory for its data.
    fn process_of(data: &str) -> Result<u32> {
        for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
            let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<&str> = words.split(|byte| *byte == 0).filter_map(|w| std::str::from_utf8(w).ok()).collect();
            if words.first().is_some_and(|program| program.ends_with("/skiff")) && words.contains(&data) {
                return Ok(pid);
            }
        }
        anyhow::bail!("there is no such process")
    }

    /// All parts but the node, which would take this machine's containers in hand.
    #[test]
    fn all_parts_without_a_node_listen_where_the_table_says() -> Result<()> {
        if let Some(why) = Machines::are_missing() {
            anyhow::bail!("there are no namespaces: {why}");
        }
        let mut machines = Machines::new("ports", &["node", "beside"])?;
        machines.connect(("node", "192.0.2.1/24"), ("beside", "192.0.2.2/24"))?;
        machines.run("node", &["ip", "route", "add", "default", "via", "192.0.2.2"])?;
        let directory = tempfile::tempdir()?;
        let skiff = skiff::build()?.to_string_lossy().into_owned();
        let data = directory.path().join("data").to_string_lossy().into_owned();
        let parts = ["apiserver", "controllers", "scheduler", "proxy", "dns"];
        let named = parts.join(",");
        let up = [skiff.as_str(), "up", "--parts", &named, "--data-dir", &data];
        machines.start("node", &up, &directory.path().join("skiff.log"))?;
        let wanted = said(&parts, &[("MACHINE", MACHINE)]);
        ensure!(wanted.len() == 6, "{wanted:?}");
        let found = until("its sockets", || listening(process_of(&data)?), |found| found.len() >= wanted.len());
        let log = fs::read_to_string(directory.path().join("skiff.log")).unwrap_or_default();
        let found = found.context(log)?;
        ensure!(found == wanted, "it listens on {found:?}, and the table says {wanted:?}");
        Ok(())
    }
}
