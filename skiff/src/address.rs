//! The address of this machine that others reach it at.

use std::net::{IpAddr, UdpSocket};

/// The one that this machine has on its way to the world, of the family of `like`; none without such a way. No packet is
/// sent for it: a route is looked up.
pub fn outside(like: IpAddr) -> Option<IpAddr> {
    let (own, other) = match like {
        IpAddr::V4(_) => ("0.0.0.0:0", "192.0.2.1:9"),
        IpAddr::V6(_) => ("[::]:0", "[2001:db8::1]:9"),
    };
    let socket = UdpSocket::bind(own).ok()?;
    socket.connect(other).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(is_reachable)
}

/// Whether it is one machine's: neither loopback nor "all".
pub fn is_reachable(address: &IpAddr) -> bool {
    !address.is_loopback() && !address.is_unspecified()
}
