//! The fault catalogue: what a supervisor must survive, provoked on the real executable, one file per family.
//!
//! `README.md` beside this file lists every entry of the catalogue with what ours does and where that is tested;
//! `catalogue` holds the list to the tests that exist. Every test here ends with the checks of `closing`. `tools` holds
//! what faults are made with; a tool that a machine lacks makes a test pass itself over with a printed reason.

mod catalogue;
mod clients;
mod clock;
mod closing;
mod configuration;
mod crash;
mod disk;
mod files;
mod injected;
mod limits;
mod logs;
mod processes;
mod signals;
mod surroundings;
mod tools;
