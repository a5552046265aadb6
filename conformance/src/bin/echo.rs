//! A small program for tests of networks: says who it is and who asks, over TCP and UDP; and asks.
//!
//! `echo serve NAME PORT` answers each connection and each packet with `NAME PEER` until it is killed. `echo ask tcp|udp
//! ADDRESS TIMES [FROM-PORT]` prints each answer, or `refused` or `silence`, one a line. `echo
//! get ADDRESS PATH` prints the first line of what an HTTP server says.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// Whoever is silent for so long will not answer.
const PATIENCE: Duration = Duration::from_millis(700);

#[expect(clippy::disallowed_methods, reason = "a program of the tests, with arguments of its own")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", name, port] => serve(name, port.parse()?),
        ["ask", over, address, times] => ask(over, address.parse()?, times.parse()?, 0),
        ["ask", over, address, times, from] => ask(over, address.parse()?, times.parse()?, from.parse()?),
        ["get", address, path] => get(address.parse()?, path),
        _ => bail!("echo serve NAME PORT | echo ask tcp|udp ADDRESS TIMES [FROM-PORT] | echo get ADDRESS PATH"),
    }
}

fn serve(name: &str, port: u16) -> Result<()> {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let (tcp, udp) = (TcpListener::bind(any)?, UdpSocket::bind(any)?);
    let said = name.to_string();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(format!("{said} {}", peer.ip().to_canonical()).as_bytes(), peer);
        }
    });
    for stream in tcp.incoming() {
        let mut stream = stream?;
        let peer = stream.peer_addr()?.ip().to_canonical();
        let _ = stream.write_all(format!("{name} {peer}").as_bytes());
    }
    Ok(())
}

fn ask(over: &str, address: SocketAddr, times: u32, from: u16) -> Result<()> {
    let mut out = std::io::stdout();
    let any: SocketAddr =
        if address.is_ipv4() { ([0, 0, 0, 0], from).into() } else { (Ipv6Addr::UNSPECIFIED, from).into() };
    for _ in 0..times {
        let answer = match over {
            "tcp" => over_tcp(address),
            _ => over_udp(any, address),
        };
        let line = match answer {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => "refused".into(),
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => "silence".into(),
            Err(error) => return Err(error).context("neither an answer nor none"),
        };
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn get(address: SocketAddr, path: &str) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    writeln!(std::io::stdout(), "{}", answer.lines().next().unwrap_or_default())?;
    Ok(())
}

fn over_tcp(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn over_udp(any: SocketAddr, address: SocketAddr) -> std::io::Result<String> {
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(address)?;
    socket.send(b"?")?;
    let mut buffer = [0; 64];
    let len = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..len]).into_owned())
}
