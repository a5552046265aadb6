//! What a pod's `/etc/resolv.conf` says. Upstream: pkg/kubelet/network/dns/dns.go.

#[cfg(test)]
mod tests;

use api::Value;

use crate::{runtime::Dns, tell::Telling};

const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCHES_LEN_MAX: usize = 2048;
const SEARCH_LEN_MAX: usize = 253;

/// The cluster's DNS, and the node's own.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub cluster_servers: Vec<String>,
    pub cluster_domain: String,
    /// The text of the node's file; `None` when it is to have none.
    pub node_file: Option<String>,
    pub node_ips: Vec<String>,
}

/// The pod's settings, and what is to be told of them. Upstream: `GetPodDNS`.
pub fn of(pod: &Value, config: &Config) -> (Dns, Vec<Telling>) {
    let spec = pod.at("spec");
    let node = config.node_file.as_deref().map(parse).unwrap_or_default();
    let mut tellings = Vec::new();
    let mut dns = match spec.str("dnsPolicy") {
        "None" => Dns::default(),
        "Default" => of_node(node, config),
        "ClusterFirst" if spec.bool("hostNetwork") => of_node(node, config),
        _ if config.cluster_servers.is_empty() => {
            tellings.push(missing(pod));
            of_node(node, config)
        }
        _ => Dns {
            servers: config.cluster_servers.clone(),
            searches: searches(pod, node.searches, &config.cluster_domain),
            options: vec!["ndots:5".into()],
        },
    };
    let own = spec.at("dnsConfig");
    if !own.is_null() {
        add(&mut dns, own);
    }
    tellings.extend(bound(&mut dns));
    (dns, tellings)
}

fn missing(pod: &Value) -> Telling {
    let meta = pod.at("metadata");
    let named = format!("{}_{}({})", meta.str("name"), meta.str("namespace"), meta.str("uid"));
    Telling::warning(
        "MissingClusterDNS",
        format!(
            "pod: {}. kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" \
             policy. Falling back to \"Default\" policy.",
            api::field::quote(&named)
        ),
    )
}

fn of_node(node: Dns, config: &Config) -> Dns {
    if config.node_file.is_some() {
        return node;
    }
    let local = |ip: &String| if ip.contains(':') { "::1".to_owned() } else { "127.0.0.1".to_owned() };
    let mut servers: Vec<String> = config.node_ips.iter().map(local).collect();
    if servers.is_empty() {
        servers.push("127.0.0.1".into());
    }
    Dns { servers, searches: vec![".".into()], options: Vec::new() }
}

fn searches(pod: &Value, node: Vec<String>, domain: &str) -> Vec<String> {
    if domain.is_empty() {
        return node;
    }
    let namespace = pod.at("metadata").str("namespace");
    let own = [format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
    distinct(own.into_iter().chain(node))
}

fn distinct(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for word in words {
        if !seen.contains(&word) {
            seen.push(word);
        }
    }
    seen
}

/// What the pod says itself comes after what it has, and options of the same name replace.
fn add(dns: &mut Dns, own: &Value) {
    let words = |name: &str| own.list(name).iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    dns.servers = distinct(std::mem::take(&mut dns.servers).into_iter().chain(words("nameservers")));
    dns.searches = distinct(std::mem::take(&mut dns.searches).into_iter().chain(words("searches")));
    for option in own.list("options") {
        let word = match option.str("value") {
            "" => option.str("name").to_owned(),
            value => format!("{}:{value}", option.str("name")),
        };
        set_option(&mut dns.options, word);
    }
}

fn set_option(options: &mut Vec<String>, word: String) {
    let name = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
    match options.iter_mut().find(|option| name(option) == name(&word)) {
        Some(known) => *known = word,
        None => options.push(word),
    }
}

/// Keeps within what resolvers read.
fn bound(dns: &mut Dns) -> Vec<Telling> {
    let mut tellings = Vec::new();
    if dns.servers.len() > SERVERS_MAX {
        dns.servers.truncate(SERVERS_MAX);
        tellings.push(Telling::warning(
            "DNSConfigForming",
            format!(
                "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
                dns.servers.join(" ")
            ),
        ));
    }
    let asked = dns.searches.clone();
    dns.searches.truncate(SEARCHES_MAX);
    dns.searches.retain(|search| search.len() <= SEARCH_LEN_MAX);
    while dns.searches.join(" ").len() > SEARCHES_LEN_MAX {
        dns.searches.pop();
    }
    if dns.searches != asked {
        tellings.push(Telling::warning(
            "DNSConfigForming",
            format!(
                "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
                dns.searches.join(" ")
            ),
        ));
    }
    tellings
}

/// Reads a `resolv.conf`. Servers and options add up, of the search lines the last one counts.
/// Upstream: `parseResolvConf`.
pub fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => dns.servers.extend(words.next().map(str::to_owned)),
            Some("search") => {
                let domains = words.filter(|word| *word != ".");
                dns.searches = domains.map(|word| word.strip_suffix('.').unwrap_or(word).to_owned()).collect();
            }
            Some("options") => words.for_each(|word| set_option(&mut dns.options, word.to_owned())),
            _ => {}
        }
    }
    dns
}
