//! The daemon.

pub mod capture;
