//! What a failure of etcd means: whether anything can have been written, and what the one who asked can do about it.
//!
//! Upstream: etcd api/v3rpc/rpctypes/error.go for the messages, which are the interface.

use etcd_client::Error as Failure;

use crate::Error;

/// The request read, or nothing of it can have been carried out.
pub fn of_read(failure: &Failure) -> Error {
    known(failure).unwrap_or_else(|| Error::Unavailable(failure.to_string()))
}

/// The request wrote, so that an answer which says nothing definite leaves open what happened.
pub fn of_write(failure: &Failure) -> Error {
    known(failure).unwrap_or_else(|| Error::Unknown(failure.to_string()))
}

/// The member could not be reached at all, so that another may be asked for the same, a write too.
pub fn was_never_sent(failure: &Failure) -> bool {
    matches!(failure, Failure::GRpcStatus(status) if status.message().contains("tcp connect error"))
}

/// The member does not answer, or cannot now: another may, and a read may be asked twice.
pub fn may_read_elsewhere(failure: &Failure) -> bool {
    match failure {
        Failure::GRpcStatus(status) => {
            // Unavailable, and what the connection itself came to.
            matches!(status.code() as i32, 14 | 2) && known(failure).is_none_or(|_| was_never_sent(failure))
        }
        Failure::TransportError(_) | Failure::IoError(_) => true,
        _ => false,
    }
}

/// The failures that say that nothing happened.
fn known(failure: &Failure) -> Option<Error> {
    let Failure::GRpcStatus(status) = failure else { return None };
    let message = status.message();
    let says = |what: &str| message.contains(what);
    if says("required revision has been compacted") {
        Some(Error::Compacted { oldest: 0 })
    } else if says("required revision is a future revision") {
        Some(Error::Future { current: 0 })
    } else if says("request is too large") || says("too many operations in txn request") {
        Some(Error::TooLarge)
    } else if says("requested lease not found") || says("duplicate key given") || says("key is not provided") {
        let message = message.strip_prefix("etcdserver: ").unwrap_or(message);
        Some(Error::Invalid(message.to_owned()))
    } else if says("database space exceeded")
        || says("too many requests")
        || says("permission denied")
        || says("tcp connect error")
    {
        Some(Error::Unavailable(message.to_owned()))
    } else {
        None
    }
}
