//! The integration tests: the real executable, seen from outside, and the rules of the house.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking and explains itself on standard error"
)]

mod tidy;
