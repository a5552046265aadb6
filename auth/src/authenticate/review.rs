//! Users and outcomes as objects: the status of a TokenReview, and the user that it and a SelfSubjectReview show.
//!
//! Upstream: pkg/registry/authentication/{tokenreview,selfsubjectreview}.

use api::{Map, User, Value};

use super::Outcome;

/// `authentication.k8s.io/v1` UserInfo.
pub fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    for (key, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            info.insert(key, text.as_str());
        }
    }
    if !user.groups.is_empty() {
        info.insert("groups", user.groups.clone());
    }
    if !user.extra.is_empty() {
        let mut extra = Map::new();
        user.extra.iter().for_each(|(key, values)| drop(extra.insert(key.as_str(), values.clone())));
        info.insert("extra", extra);
    }
    info.into()
}

/// The `status` of a TokenReview.
pub fn status(outcome: &Outcome) -> Value {
    let mut status = Map::new();
    match outcome {
        Ok(Some(identity)) => {
            status.insert("authenticated", true);
            status.insert("user", user_info(&identity.user));
            if !identity.audiences.is_empty() {
                status.insert("audiences", identity.audiences.clone());
            }
        }
        Ok(None) => drop(status.insert("user", Map::new())),
        Err(refusal) => {
            status.insert("user", Map::new());
            status.insert("error", refusal.to_string());
        }
    }
    status.into()
}

#[cfg(test)]
mod tests {
    use api::value;

    use super::*;
    use crate::authenticate::{Identity, Refusal};

    #[test]
    fn outcomes_read_as_upstreams() {
        let mut user = User::new("u", &["g"]);
        user.extra.insert("k".to_owned(), vec!["v".to_owned()]);
        let identity = Identity { user, audiences: vec!["api".to_owned()], ..Identity::default() };
        assert_eq!(
            status(&Ok(Some(identity))),
            value!({"authenticated": true, "user": {"username": "u", "groups": ["g"], "extra": {"k": ["v"]}},
                "audiences": ["api"]})
        );
        assert_eq!(status(&Ok(None)), value!({"user": {}}));
        let refusal = Refusal(vec!["invalid bearer token".to_owned(), "service account token has expired".to_owned()]);
        let error = "[invalid bearer token, service account token has expired]";
        assert_eq!(status(&Err(refusal)), value!({"user": {}, "error": error}));
    }
}
