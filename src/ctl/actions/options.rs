//! The options of actions. Their sentences are what `help` prints.

use super::flags::Flag;

pub(super) const NO_WAIT: Flag = Flag {
    long: "--no-wait",
    short: None,
    value: None,
    about: "do not wait for the outcome",
};

pub(super) const TIMEOUT: Flag = Flag {
    long: "--timeout",
    short: None,
    value: Some("TIME"),
    about: "wait no longer than this; then the exit status is 124",
};

pub(super) const LONG: Flag = Flag {
    long: "--long",
    short: Some("-l"),
    value: None,
    about: "with restarts, last exit, processor, memory and logs",
};

pub(super) const WATCH: Flag = Flag {
    long: "--watch",
    short: Some("-w"),
    value: None,
    about: "keep it up to date until Ctrl-C",
};

pub(super) const FAIL_IF: Flag = Flag {
    long: "--fail-if",
    short: None,
    value: Some("STATE,..."),
    about: "exit with 1 if a process is in one of these states, else with 0",
};

pub(super) const FOR: Flag = Flag {
    long: "--for",
    short: None,
    value: Some("STATE,..."),
    about: "the states to wait for; running unless given",
};

pub(super) const DRY_RUN: Flag = Flag {
    long: "--dry-run",
    short: None,
    value: None,
    about: "tell what would happen to each process, and why; change nothing",
};

pub(super) const DIFF: Flag = Flag {
    long: "--diff",
    short: None,
    value: None,
    about: "tell what an update would do to each process, and why",
};

pub(super) const ALL: Flag = Flag {
    long: "--all",
    short: None,
    value: None,
    about: "wait for all processes",
};
