//! `/etc/resolv.conf`, as far as it names who to ask.

use std::net::{IpAddr, SocketAddr};

/// More are not asked. Upstream: coredns plugin/forward maxUpstreams.
const SERVERS_MAX: usize = 15;

/// The servers, in order, without zones of addresses (`%eth0`) that have no meaning elsewhere.
pub fn servers(text: &str) -> Vec<SocketAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    });
    let mut servers: Vec<SocketAddr> =
        lines.filter_map(|ip| ip.parse::<IpAddr>().ok()).map(|ip| SocketAddr::new(ip, 53)).collect();
    servers.dedup();
    servers.truncate(SERVERS_MAX);
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_and_the_rest_is_not() {
        let text = "# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.1\nnameserver  192.0.2.1 \n\
                    options ndots:5\nnameserver 2001:db8::1\nnameserver nonsense\nnameserver\n";
        let read: Vec<String> = servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(read, ["192.0.2.1:53", "[2001:db8::1]:53"]);
    }
}
