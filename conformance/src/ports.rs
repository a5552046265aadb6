//! Ports for programs that are started beside this one, which nobody else gets meanwhile.
//!
//! A port that was free a moment ago is somebody else's a moment later when many tests run: each connection that goes out
//! takes one. So a socket stays bound to it, for as long as this process lives. It does not listen, and where both sides
//! allow addresses to be used again, as servers do, Linux lets another process listen there, while it gives the port neither to
//! who asks for any nor to a connection that goes out (`inet_csk_find_open_port`, `__inet_hash_connect`).

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    sync::Mutex,
};

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt};

/// What holds them; it is let go of with the process.
static HELD: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());

/// A port of an address of this machine for a program of this process's.
pub fn hold(address: IpAddr) -> Result<u16> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddr::new(address, 0))?;
    let bound = SocketAddr::try_from(getsockname(&socket)?).context("a TCP socket has an address and a port")?;
    HELD.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(socket);
    Ok(bound.port())
}

/// The same of the loopback address.
pub fn on_loopback() -> Result<u16> {
    hold(Ipv4Addr::LOCALHOST.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_held_port_is_for_who_names_it_and_for_nobody_who_takes_any() -> Result<()> {
        let port = on_loopback()?;
        // Whoever asks for any port gets another.
        let mut others = Vec::new();
        for _ in 0..500 {
            let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            assert_ne!(other.local_addr()?.port(), port);
            others.push(other);
        }
        let named = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        assert_eq!(named.local_addr()?.port(), port);
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err(), "two listen at once");
        drop(named);
        assert_eq!(TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.local_addr()?.port(), port, "a second start");
        Ok(())
    }
}
