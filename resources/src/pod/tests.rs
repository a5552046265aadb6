//! Pods that are right and pods that are not.
