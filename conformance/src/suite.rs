//! The official conformance suite, unchanged, against Skiff or against upstream on this machine.
//!
//! `e2e.test` and `ginkgo` are upstream's, built from the module `k8s.io/kubernetes`; nothing of theirs is changed, and the
//! suite's clients speak protobuf as they do by default. What of the cluster ([`cluster`]) is not the
//! judged one's own is named in the report. Which tests there are, and which have to pass, stands in `conformance/expected.tsv` ([`list`]).

pub mod changes;
pub mod cluster;
pub mod cncf;
pub mod junit;
pub mod list;
pub mod node;
pub mod report;
pub mod runner;
