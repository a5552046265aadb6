//! What nodes may ask for: certificates for themselves as clients, and as servers.
//!
//! Upstream: pkg/apis/certificates/helpers.go.

use super::Request;

impl Request {
    /// What a node's client certificate may be asked for with. Upstream: ValidateKubeletClientCSR.
    pub fn check_kubelet_client(&self, usages: &[&str]) -> Result<(), String> {
        self.check_organization()?;
        let names = [
            (self.dns_names.is_empty(), "DNS subjectAltNames are not allowed"),
            (self.email_addresses.is_empty(), "Email subjectAltNames are not allowed"),
            (self.addresses.is_empty(), "IP subjectAltNames are not allowed"),
            (self.uris.is_empty(), "URI subjectAltNames are not allowed"),
        ];
        refuse(&names)?;
        self.check_common_name()?;
        check_usages(usages, ["client auth", "digital signature", "key encipherment"])
    }

    /// What a node's serving certificate may be asked for with. Upstream: ValidateKubeletServingCSR.
    pub fn check_kubelet_serving(&self, usages: &[&str]) -> Result<(), String> {
        self.check_organization()?;
        let names = [
            (!self.dns_names.is_empty() || !self.addresses.is_empty(), "DNS or IP subjectAltName is required"),
            (self.email_addresses.is_empty(), "Email subjectAltNames are not allowed"),
            (self.uris.is_empty(), "URI subjectAltNames are not allowed"),
        ];
        refuse(&names)?;
        check_usages(usages, ["digital signature", "key encipherment", "server auth"])?;
        self.check_common_name()
    }

    fn check_organization(&self) -> Result<(), String> {
        refuse(&[(self.organizations == ["system:nodes"], "subject organization is not system:nodes")])
    }

    fn check_common_name(&self) -> Result<(), String> {
        let fits = self.common_name.starts_with("system:node:");
        refuse(&[(fits, "subject common name does not begin with system:node:")])
    }
}

fn refuse(rules: &[(bool, &str)]) -> Result<(), String> {
    rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, why)| Err((*why).to_owned()))
}

/// Exactly these; keys that are not RSA's have no use for encipherment.
fn check_usages(usages: &[&str], wanted: [&str; 3]) -> Result<(), String> {
    let known = usages.iter().all(|u| wanted.contains(u));
    let needed = wanted.iter().filter(|w| **w != "key encipherment").all(|w| usages.contains(w));
    if known && needed { Ok(()) } else { Err(format!("usages did not match [{}]", wanted.join(" "))) }
}
