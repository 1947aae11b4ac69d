//! The integration tests: the real executable, seen from outside, and the rules of the house.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking and explains itself on standard error"
)]
#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    clippy::needless_pass_by_value,
    clippy::wildcard_enum_match_arm,
    reason = "texts are built as they read best, and an answer is either the expected one or wrong"
)]

mod harness;

mod adoption;
mod attack;
mod check_config;
mod child;
mod clear_tail;
mod console;
mod container;
mod direct;
mod dispatch;
mod environment;
mod exit_policy;
mod faults;
mod fcgi;
mod groups;
mod harness_check;
mod hup;
mod init;
mod json;
mod life;
mod lines;
mod listeners;
mod logs;
mod notify;
mod order;
mod orphans;
mod output;
mod package;
mod pid_avail_version;
mod plan;
mod protocol;
mod reload;
mod restart;
mod roles;
mod run;
mod security;
mod shell;
mod signal;
mod start;
mod startup;
mod status;
mod stop;
mod subscriptions;
mod supervisor;
mod survival;
mod tidy;
mod timestamps;
mod upgrade;
mod upgrade_listeners;
mod values;
mod waiting;
mod why;
