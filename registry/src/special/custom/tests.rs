//! Definitions and their instances through the verbs, in process.
