//! Schemas and objects with upstream's verdicts.
