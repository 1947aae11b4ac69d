//! From the house's own types to those of the protocol.
//!
//! The engine knows nothing of the wire and the wire nothing of the engine; this is the bridge for single values.
//! Whole requests and replies are [`super::api`]'s.

use crate::engine::event::{
    GroupChange, GroupChangeKind, GroupOutcome, Outcome, SpawnFailure, SpawnStep, TargetResult,
};
use crate::engine::view::{State, Trouble};
use crate::events::{ListenerState, ListenerView};
use crate::{types, wire};

pub fn state(state: State) -> wire::ProcessState {
    match state {
        State::Stopped => wire::ProcessState::Stopped,
        State::Starting => wire::ProcessState::Starting,
        State::Running => wire::ProcessState::Running,
        State::Backoff => wire::ProcessState::Backoff,
        State::Stopping => wire::ProcessState::Stopping,
        State::Exited => wire::ProcessState::Exited,
        State::Fatal => wire::ProcessState::Fatal,
        State::Unknown => wire::ProcessState::Unknown,
    }
}

pub fn listener(listener: ListenerView) -> wire::ListenerStatus {
    let state = |state| match state {
        ListenerState::Acknowledged => wire::ListenerState::Acknowledged,
        ListenerState::Ready => wire::ListenerState::Ready,
        ListenerState::Busy => wire::ListenerState::Busy,
        ListenerState::Unknown => wire::ListenerState::Unknown,
    };
    wire::ListenerStatus {
        state: listener.state.map(state),
        waiting: listener.waiting as u64,
        buffer_size: listener.buffer_size as u64,
        discarded: listener.discarded,
        rejected: listener.rejected,
    }
}

pub fn exit_status(status: types::ExitStatus) -> wire::ExitStatus {
    match status {
        types::ExitStatus::Code(code) => wire::ExitStatus::Code(code),
        types::ExitStatus::Signaled {
            signal,
            core_dumped,
        } => wire::ExitStatus::Signal {
            number: signal.number(),
            name: signal.to_string(),
            core_dumped,
        },
        types::ExitStatus::Unknown => wire::ExitStatus::Unknown,
    }
}

pub fn failure(failure: &SpawnFailure) -> wire::Failure {
    let step = match failure.step {
        SpawnStep::Environment => wire::Step::Environment,
        SpawnStep::Lookup => wire::Step::Lookup,
        SpawnStep::Socket => wire::Step::Socket,
        SpawnStep::Pipe => wire::Step::Pipe,
        SpawnStep::Fork => wire::Step::Fork,
        SpawnStep::Session => wire::Step::Session,
        SpawnStep::Descriptors => wire::Step::Descriptors,
        SpawnStep::Limits => wire::Step::Limits,
        SpawnStep::Groups => wire::Step::Groups,
        SpawnStep::GroupId => wire::Step::GroupId,
        SpawnStep::UserId => wire::Step::UserId,
        SpawnStep::Directory => wire::Step::Directory,
        SpawnStep::Exec => wire::Step::Exec,
        SpawnStep::Orphan => wire::Step::Orphan,
    };
    wire::Failure {
        step,
        subject: failure.subject.clone(),
        errno: failure.errno,
    }
}

pub fn trouble(trouble: &Trouble) -> wire::Trouble {
    match trouble {
        Trouble::Spawn(cause) => wire::Trouble::Spawn(failure(cause)),
        Trouble::ExitedTooQuickly(status) => wire::Trouble::ExitedTooQuickly(exit_status(*status)),
        Trouble::UnexpectedExit(status) => wire::Trouble::UnexpectedExit(exit_status(*status)),
    }
}

pub fn results(results: Vec<TargetResult>) -> Vec<wire::NamedResult> {
    results
        .into_iter()
        .map(|result| wire::NamedResult {
            name: result.name,
            outcome: outcome(&result.outcome),
        })
        .collect()
}

fn outcome(outcome: &Outcome) -> wire::Outcome {
    match outcome {
        Outcome::Started => wire::Outcome::Started,
        Outcome::Stopped => wire::Outcome::Stopped,
        Outcome::Signalled => wire::Outcome::Signalled,
        Outcome::AlreadyStarted => wire::Outcome::AlreadyStarted,
        Outcome::NotRunning => wire::Outcome::NotRunning,
        Outcome::NoSuchProcess => wire::Outcome::NoSuchProcess,
        Outcome::NoSuchGroup => wire::Outcome::NoSuchGroup,
        Outcome::SpawnFailed(cause) => wire::Outcome::SpawnFailed(failure(cause)),
        Outcome::ExitedTooQuickly(status) => wire::Outcome::ExitedTooQuickly(exit_status(*status)),
        Outcome::AbnormalTermination => wire::Outcome::AbnormalTermination,
        Outcome::NotKilled => wire::Outcome::NotKilled,
        Outcome::SignalFailed => wire::Outcome::Failed { errno: libc::EPERM },
    }
}

pub fn change(change: &GroupChange) -> wire::Change {
    wire::Change {
        group: change.group.to_string(),
        kind: match change.kind {
            GroupChangeKind::Removed => wire::ChangeKind::Removed,
            GroupChangeKind::Changed => wire::ChangeKind::Changed,
            GroupChangeKind::Added => wire::ChangeKind::Added,
        },
        stopped: change.stopped,
    }
}

pub fn group_result((group, outcome): (String, GroupOutcome)) -> wire::GroupResult {
    wire::GroupResult {
        group,
        answer: match outcome {
            GroupOutcome::Added => wire::GroupAnswer::Added,
            GroupOutcome::Removed => wire::GroupAnswer::Removed,
            GroupOutcome::AlreadyAdded => wire::GroupAnswer::AlreadyAdded,
            GroupOutcome::StillRunning => wire::GroupAnswer::StillRunning,
            GroupOutcome::NoSuchGroup => wire::GroupAnswer::NoSuchGroup,
        },
    }
}
