//! The outside view: what a client of the API can see, and upstream's programs to compare it with.

pub mod upstream;
