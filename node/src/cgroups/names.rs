//! Names of groups, as the files' directories and as systemd's slices.

/// Who makes groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    #[default]
    Cgroupfs,
    Systemd,
}

/// The parts of a group's name from the top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name(Vec<String>);

impl Name {
    pub fn parse(path: &str) -> Name {
        Name(path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    pub fn below(&self, part: &str) -> Name {
        Name([self.0.as_slice(), &[part.to_owned()]].concat())
    }

    /// The path from the top of a hierarchy: `/kubepods/burstable/pod1`, or slices in slices.
    pub fn path(&self, driver: Driver) -> String {
        match driver {
            Driver::Cgroupfs => format!("/{}", self.0.join("/")),
            Driver::Systemd => {
                let mut path = String::new();
                let mut slice = String::new();
                for part in &self.0 {
                    let part = part.replace('-', "_");
                    slice = if slice.is_empty() { part } else { format!("{slice}-{part}") };
                    path.push_str(&format!("/{slice}.slice"));
                }
                if path.is_empty() { "/".into() } else { path }
            }
        }
    }
}

impl Driver {
    /// The last part of the name of a group whose directory is `name`.
    pub fn last(self, name: &str) -> String {
        match (self, name.strip_suffix(".slice")) {
            (Driver::Systemd, Some(slice)) => slice.rsplit('-').next().unwrap_or_default().replace('_', "-"),
            _ => name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_hold_the_names_of_those_above_them() {
        let name = Name::parse("/").below("kubepods").below("burstable").below("pod12-ab");
        assert_eq!(name.path(Driver::Cgroupfs), "/kubepods/burstable/pod12-ab");
        let slice = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod12_ab.slice";
        assert_eq!(name.path(Driver::Systemd), slice);
        assert_eq!(Driver::Systemd.last("kubepods-burstable-pod12_ab.slice"), "pod12-ab");
        assert_eq!(Driver::Cgroupfs.last("pod12-ab"), "pod12-ab");
        assert_eq!(Name::default().path(Driver::Systemd), "/");
    }
}
