//! Dead containers and sandboxes that tell nothing any more. Upstream: kuberuntime_gc.go.

use std::collections::{BTreeMap, BTreeSet};

use crate::{pods::observe::PodView, runtime::State};

/// So many dead containers of one name are kept for who wants to know why they died. Upstream: MaxPerPodContainerCount.
const DEAD_KEPT: usize = 1;

/// Ids of what may go.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Remains {
    pub containers: Vec<String>,
    pub sandboxes: Vec<String>,
}

/// What may go of a pod that lives. Lists are newest first.
pub fn of(view: &PodView) -> Remains {
    let mut dead: BTreeMap<&str, usize> = BTreeMap::new();
    let mut remains = Remains::default();
    for container in view.containers.iter().filter(|container| container.state == State::Exited) {
        let seen = dead.entry(&container.name).or_default();
        *seen += 1;
        if *seen > DEAD_KEPT {
            remains.containers.push(container.id.clone());
        }
    }
    let used: BTreeSet<&str> = view.containers.iter().map(|container| container.sandbox_id.as_str()).collect();
    let older = view.sandboxes.iter().skip(1);
    let over = older.filter(|sandbox| !sandbox.ready && !used.contains(sandbox.id.as_str()));
    remains.sandboxes.extend(over.map(|sandbox| sandbox.id.clone()));
    remains
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Container, ImageSpec, PodName, Sandbox, Words};
    use jiff::Timestamp;

    fn container(id: &str, name: &str, sandbox: &str, state: State) -> Container {
        Container {
            id: id.into(),
            sandbox_id: sandbox.into(),
            name: name.into(),
            attempt: 0,
            image: ImageSpec::default(),
            image_ref: String::new(),
            image_id: String::new(),
            state,
            created_at: Timestamp::UNIX_EPOCH,
            labels: Words::new(),
            annotations: Words::new(),
        }
    }

    fn sandbox(id: &str, ready: bool) -> Sandbox {
        Sandbox {
            id: id.into(),
            pod: PodName::default(),
            attempt: 0,
            ready,
            created_at: Timestamp::UNIX_EPOCH,
            labels: Words::new(),
            annotations: Words::new(),
            handler: String::new(),
        }
    }

    #[test]
    fn the_last_words_of_each_container_are_kept() {
        let view = PodView {
            containers: vec![
                container("4", "a", "s2", State::Running),
                container("3", "a", "s2", State::Exited),
                container("2", "a", "s1", State::Exited),
                container("1", "b", "s2", State::Exited),
                container("0", "a", "s2", State::Exited),
                container("c", "a", "s2", State::Created),
            ],
            sandboxes: vec![sandbox("s2", true), sandbox("s1", false), sandbox("s0", false)],
            ..PodView::default()
        };
        let expected = Remains { containers: vec!["2".into(), "0".into()], sandboxes: vec!["s0".into()] };
        assert_eq!(of(&view), expected, "s1 still has a container");
    }

    #[test]
    fn the_newest_sandbox_stays_though_it_is_dead() {
        let view = PodView { sandboxes: vec![sandbox("s1", false)], ..PodView::default() };
        assert_eq!(of(&view), Remains::default());
    }
}
