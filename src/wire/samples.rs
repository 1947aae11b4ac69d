//! For tests: one message of every kind, with the given contents.
//!
//! [`variant_of_request`] and its sisters match without a wildcard, so a new variant does not compile until it is named
//! there; its name then belongs into [`VARIANTS`], and a test demands the sample.

use super::{
    AvailRow, Change, ChangeKind, Channel, Diagnostic, EnvironmentReply, ExitStatus, Failure,
    GroupAnswer, GroupResult, Hello, Key, Life, ListenerState, ListenerStatus, LogChunk, LogState,
    NamedResult, Notice, Outcome, PidRow, Plan, PlannedGroup, PlannedKey, PlannedProcess,
    PlannedStep, ProcessState, Refusal, Request, RequestFrame, Response, ServerFrame, StatusReply,
    StatusRow, Step, Story, SubscriptionEnd, Topic, Trouble, Variable, VariableOrigin, Wanted,
};

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// A greeting.
    Hello(Hello),
    /// From a client.
    Request(RequestFrame),
    /// From the daemon.
    Server(ServerFrame),
}

/// Names of all samples that must exist, at least.
pub const VARIANTS: &[&str] = &[
    "hello-client",
    "hello-daemon",
    "request-status",
    "request-start",
    "request-stop",
    "request-restart",
    "request-signal",
    "request-pid",
    "request-clear",
    "request-tail",
    "request-maintail",
    "request-why",
    "request-environment",
    "request-avail",
    "request-reread",
    "request-update",
    "request-add",
    "request-remove",
    "request-reload",
    "request-shutdown",
    "request-version",
    "request-input",
    "request-subscribe-states",
    "request-subscribe-output",
    "request-subscribe-daemonlog",
    "request-remote",
    "request-unsubscribe",
    "reply-status",
    "reply-status-listeners",
    "reply-results",
    "reply-restarted",
    "reply-pids",
    "reply-daemonpid",
    "reply-log",
    "reply-story",
    "reply-environment",
    "reply-avail",
    "reply-changes",
    "reply-groups",
    "reply-accepted",
    "reply-version",
    "reply-subscribed",
    "refused-shuttingdown",
    "refused-badconfig",
    "refused-nosuchgroup",
    "refused-badsignal",
    "refused-nosuchprocess",
    "refused-nolog",
    "refused-logunreadable",
    "refused-toolarge",
    "refused-busy",
    "refused-forbidden",
    "refused-notunderstood",
    "refused-protocol",
    "notice-state",
    "notice-groupadded",
    "notice-groupremoved",
    "notice-output",
    "notice-gap",
    "end-unsubscribed",
    "end-removed",
    "end-shutdown",
    "request-plan",
    "reply-plan",
];

fn variant_of_request(request: &Request) -> &'static str {
    match request {
        Request::Status { .. } => "request-status",
        Request::Start { .. } => "request-start",
        Request::Stop { .. } => "request-stop",
        Request::Restart { .. } => "request-restart",
        Request::Signal { .. } => "request-signal",
        Request::Pid { .. } => "request-pid",
        Request::Clear { .. } => "request-clear",
        Request::Tail { .. } => "request-tail",
        Request::MainTail { .. } => "request-maintail",
        Request::Why { .. } => "request-why",
        Request::Environment { .. } => "request-environment",
        Request::Avail => "request-avail",
        Request::Reread => "request-reread",
        Request::Update { .. } => "request-update",
        Request::Add { .. } => "request-add",
        Request::Remove { .. } => "request-remove",
        Request::Reload => "request-reload",
        Request::Upgrade => "request-upgrade",
        Request::Shutdown => "request-shutdown",
        Request::Version => "request-version",
        Request::Input { .. } => "request-input",
        Request::Subscribe { topic } => match topic {
            Topic::States => "request-subscribe-states",
            Topic::Output { .. } => "request-subscribe-output",
            Topic::DaemonLog { .. } => "request-subscribe-daemonlog",
        },
        Request::Remote { .. } => "request-remote",
        Request::Unsubscribe { .. } => "request-unsubscribe",
        Request::Plan { .. } => "request-plan",
    }
}

fn variant_of_response(response: &Response) -> &'static str {
    match response {
        Response::Status(reply) if reply.rows.iter().any(|row| row.listener.is_some()) => {
            "reply-status-listeners"
        }
        Response::Status(_) => "reply-status",
        Response::Results(_) => "reply-results",
        Response::Restarted { .. } => "reply-restarted",
        Response::Pids(_) => "reply-pids",
        Response::DaemonPid(_) => "reply-daemonpid",
        Response::Log(_) => "reply-log",
        Response::Story(_) => "reply-story",
        Response::Environment(_) => "reply-environment",
        Response::Avail(_) => "reply-avail",
        Response::Changes(_) => "reply-changes",
        Response::Groups(_) => "reply-groups",
        Response::Accepted => "reply-accepted",
        Response::Version(_) => "reply-version",
        Response::Upgraded { .. } => "reply-upgraded",
        Response::Subscribed => "reply-subscribed",
        Response::Plan(_) => "reply-plan",
        Response::Refused(refusal) => match refusal {
            Refusal::ShuttingDown => "refused-shuttingdown",
            Refusal::BadConfig(_) => "refused-badconfig",
            Refusal::NoSuchGroup(_) => "refused-nosuchgroup",
            Refusal::BadSignal(_) => "refused-badsignal",
            Refusal::NoSuchProcess(_) => "refused-nosuchprocess",
            Refusal::Ambiguous(_) => "refused-ambiguous",
            Refusal::NoLog(_) => "refused-nolog",
            Refusal::LogUnreadable { .. } => "refused-logunreadable",
            Refusal::TooLarge => "refused-toolarge",
            Refusal::Busy => "refused-busy",
            Refusal::Forbidden => "refused-forbidden",
            Refusal::NotUpgraded(_) => "refused-notupgraded",
            Refusal::NotUnderstood(_) => "refused-notunderstood",
            Refusal::Protocol { .. } => "refused-protocol",
        },
    }
}

fn variant_of_frame(frame: &ServerFrame) -> &'static str {
    match frame {
        ServerFrame::Reply { response, .. } => variant_of_response(response),
        ServerFrame::Notice { notice, .. } => match notice {
            Notice::State { .. } => "notice-state",
            Notice::GroupAdded { .. } => "notice-groupadded",
            Notice::GroupRemoved { .. } => "notice-groupremoved",
            Notice::Output { .. } => "notice-output",
            Notice::Gap { .. } => "notice-gap",
        },
        ServerFrame::End { reason, .. } => match reason {
            SubscriptionEnd::Unsubscribed => "end-unsubscribed",
            SubscriptionEnd::Removed => "end-removed",
            SubscriptionEnd::Shutdown => "end-shutdown",
        },
    }
}

/// A message of every kind, under its name, filled with what is given.
pub fn all(text: &str, number: u64, bytes: &[u8]) -> Vec<(String, Sample)> {
    let fill = Fill {
        text,
        number,
        bytes,
    };
    let mut samples = fill.hellos();
    for request in fill.requests() {
        let name = variant_of_request(&request).to_owned();
        samples.push((
            name,
            Sample::Request(RequestFrame {
                id: number,
                request,
            }),
        ));
    }
    let replies = fill
        .responses()
        .into_iter()
        .map(|response| ServerFrame::Reply {
            id: number,
            response,
        });
    let notices = fill
        .notices()
        .into_iter()
        .map(|notice| ServerFrame::Notice { id: number, notice });
    let ends = [
        SubscriptionEnd::Unsubscribed,
        SubscriptionEnd::Removed,
        SubscriptionEnd::Shutdown,
    ]
    .into_iter()
    .map(|reason| ServerFrame::End { id: number, reason });
    for frame in replies.chain(notices).chain(ends) {
        samples.push((variant_of_frame(&frame).to_owned(), Sample::Server(frame)));
    }
    samples
}

struct Fill<'a> {
    text: &'a str,
    number: u64,
    bytes: &'a [u8],
}

impl Fill<'_> {
    fn text(&self) -> String {
        self.text.to_owned()
    }

    fn names(&self) -> Vec<String> {
        vec![self.text(), "all".to_owned()]
    }

    fn small(&self) -> u32 {
        u32::try_from(self.number & 0xffff_ffff).unwrap()
    }

    fn signed(&self) -> i32 {
        i32::from_ne_bytes(self.small().to_ne_bytes())
    }

    fn time(&self) -> i64 {
        i64::from_ne_bytes(self.number.to_ne_bytes())
    }

    fn environment(&self) -> EnvironmentReply {
        let origins = [
            VariableOrigin::Inherited,
            VariableOrigin::Daemon,
            VariableOrigin::Account,
            VariableOrigin::EnvFile,
            VariableOrigin::Key,
        ];
        let variable = |origin| Variable {
            name: self.text(),
            value: self.text(),
            masked: matches!(origin, VariableOrigin::EnvFile),
            origin,
            file: matches!(origin, VariableOrigin::EnvFile | VariableOrigin::Key)
                .then(|| self.text()),
            line: self.small(),
        };
        EnvironmentReply {
            name: self.text(),
            variables: origins.into_iter().map(variable).collect(),
            failure: Some(self.failure(Step::Environment)),
            ignored: self.names(),
        }
    }

    fn hellos(&self) -> Vec<(String, Sample)> {
        let hello = |identifier| Hello {
            protocol: self.small(),
            version: self.text(),
            pid: self.small(),
            identifier,
        };
        vec![
            ("hello-client".to_owned(), Sample::Hello(hello(None))),
            (
                "hello-daemon".to_owned(),
                Sample::Hello(hello(Some(self.text()))),
            ),
        ]
    }

    fn requests(&self) -> Vec<Request> {
        let mut requests = vec![
            Request::Status { targets: vec![] },
            Request::Start {
                targets: self.names(),
                wait: true,
            },
            Request::Stop {
                targets: self.names(),
                wait: false,
            },
            Request::Restart {
                targets: self.names(),
                wait: true,
            },
            Request::Signal {
                targets: self.names(),
                signal: self.text(),
            },
            Request::Pid {
                targets: self.names(),
            },
            Request::Clear {
                targets: self.names(),
            },
            Request::Tail {
                target: self.text(),
                channel: Channel::Stderr,
                bytes: self.number,
            },
            Request::MainTail { bytes: self.number },
            Request::Why {
                target: self.text(),
            },
            Request::Environment {
                target: self.text(),
            },
            Request::Avail,
            Request::Reread,
            Request::Update {
                groups: self.names(),
            },
            Request::Add {
                groups: self.names(),
            },
            Request::Remove {
                groups: self.names(),
            },
            Request::Reload,
            Request::Upgrade,
            Request::Shutdown,
            Request::Version,
            Request::Input {
                target: self.text(),
                data: self.bytes.to_vec(),
            },
            Request::Remote {
                subject: self.text(),
                data: self.text(),
            },
            Request::Unsubscribe {
                subscription: self.number,
            },
            Request::Plan {
                groups: self.names(),
            },
        ];
        for topic in [
            Topic::States,
            Topic::Output {
                target: self.text(),
                channel: Channel::Stdout,
                backlog: self.number,
            },
            Topic::DaemonLog {
                backlog: self.number,
            },
        ] {
            requests.push(Request::Subscribe { topic });
        }
        requests
    }

    fn failure(&self, step: Step) -> Failure {
        Failure {
            step,
            subject: self.text(),
            errno: self.signed(),
        }
    }

    fn killed(&self) -> ExitStatus {
        ExitStatus::Signal {
            number: self.signed(),
            name: self.text(),
            core_dumped: true,
        }
    }

    /// One row for each state, with every kind of trouble and step among them.
    fn status(&self) -> StatusReply {
        let steps = [
            Step::Lookup,
            Step::Pipe,
            Step::Fork,
            Step::Session,
            Step::Descriptors,
            Step::Limits,
            Step::Groups,
            Step::GroupId,
            Step::UserId,
            Step::Directory,
            Step::Exec,
        ];
        let states = [
            ProcessState::Stopped,
            ProcessState::Starting,
            ProcessState::Running,
            ProcessState::Backoff,
            ProcessState::Stopping,
            ProcessState::Exited,
            ProcessState::Fatal,
            ProcessState::Unknown,
        ];
        let troubles = steps
            .map(|step| Some(Trouble::Spawn(self.failure(step))))
            .into_iter()
            .chain([
                Some(Trouble::ExitedTooQuickly(self.killed())),
                Some(Trouble::UnexpectedExit(ExitStatus::Code(3))),
                None,
            ]);
        let rows = troubles
            .zip(states.into_iter().cycle())
            .enumerate()
            .map(|(index, (trouble, state))| {
                let full = index % 2 == 0;
                StatusRow {
                    name: self.text(),
                    group: self.text(),
                    process: self.text(),
                    program: self.text(),
                    state,
                    pid: full.then(|| self.small()),
                    uptime_ms: full.then_some(self.number),
                    started_at: full.then(|| self.time()),
                    stopped_at: full.then(|| self.time()),
                    trouble,
                    last_exit: full.then(|| self.killed()),
                    failures: self.small(),
                    next_attempt_ms: full.then_some(self.number),
                    restarts: self.number,
                    adopted: false,
                    stdout_log: LogState {
                        path: full.then(|| self.text()),
                        lost: self.number,
                        errno: full.then(|| self.signed()),
                    },
                    stderr_log: LogState::default(),
                    listener: None,
                }
            })
            .collect();
        let unknown = vec![NamedResult {
            name: self.text(),
            outcome: Outcome::NoSuchProcess,
        }];
        StatusReply { rows, unknown }
    }

    /// One row for each state of a listener, and one without a process.
    fn listeners(&self) -> StatusReply {
        let states = [
            Some(ListenerState::Acknowledged),
            Some(ListenerState::Ready),
            Some(ListenerState::Busy),
            Some(ListenerState::Unknown),
            None,
        ];
        let mut reply = self.status();
        let rows = reply.rows.into_iter().zip(states);
        reply.rows = rows
            .map(|(row, state)| StatusRow {
                listener: Some(ListenerStatus {
                    state,
                    waiting: self.number,
                    buffer_size: self.number,
                    discarded: self.number,
                    rejected: self.number,
                }),
                ..row
            })
            .collect();
        reply
    }

    fn results(&self) -> Vec<NamedResult> {
        [
            Outcome::Started,
            Outcome::Stopped,
            Outcome::Signalled,
            Outcome::Cleared,
            Outcome::InputSent,
            Outcome::AlreadyStarted,
            Outcome::NotRunning,
            Outcome::NoSuchProcess,
            Outcome::NoSuchGroup,
            Outcome::SpawnFailed(self.failure(Step::Exec)),
            Outcome::ExitedTooQuickly(self.killed()),
            Outcome::AbnormalTermination,
            Outcome::NotKilled,
            Outcome::Failed {
                errno: self.signed(),
            },
        ]
        .into_iter()
        .map(|outcome| NamedResult {
            name: self.text(),
            outcome,
        })
        .collect()
    }

    fn responses(&self) -> Vec<Response> {
        let mut responses = vec![
            Response::Status(self.status()),
            Response::Status(self.listeners()),
            Response::Results(self.results()),
            Response::Restarted {
                stops: self.results(),
                starts: self.results(),
            },
            Response::Pids(vec![
                PidRow {
                    name: self.text(),
                    pid: Some(self.small()),
                },
                PidRow {
                    name: self.text(),
                    pid: None,
                },
            ]),
            Response::DaemonPid(self.small()),
            Response::Log(LogChunk {
                data: self.bytes.to_vec(),
                size: self.number,
            }),
            Response::Story(Box::new(self.story())),
            Response::Environment(Box::new(self.environment())),
            Response::Avail(vec![AvailRow {
                name: self.text(),
                group: self.text(),
                in_use: true,
                autostart: false,
                group_priority: self.signed(),
                process_priority: self.signed(),
            }]),
            Response::Changes(
                [ChangeKind::Removed, ChangeKind::Changed, ChangeKind::Added]
                    .map(|kind| Change {
                        group: self.text(),
                        kind,
                        stopped: true,
                    })
                    .to_vec(),
            ),
            Response::Groups(
                [
                    GroupAnswer::Added,
                    GroupAnswer::Removed,
                    GroupAnswer::AlreadyAdded,
                    GroupAnswer::StillRunning,
                    GroupAnswer::NoSuchGroup,
                ]
                .map(|answer| GroupResult {
                    group: self.text(),
                    answer,
                })
                .to_vec(),
            ),
            Response::Accepted,
            Response::Upgraded {
                from: self.text(),
                to: self.text(),
            },
            Response::Version(self.text()),
            Response::Subscribed,
            Response::Plan(self.plan()),
        ];
        responses.extend(self.refusals().into_iter().map(Response::Refused));
        responses
    }

    fn plan(&self) -> Plan {
        let key = |file: Option<String>| PlannedKey {
            key: self.text(),
            old: None,
            new: Some(self.text()),
            line: file.as_ref().map_or(0, |_| self.small()),
            file,
            live: true,
        };
        let steps = [
            PlannedStep::Unchanged,
            PlannedStep::Apply,
            PlannedStep::Restart,
            PlannedStep::Start,
            PlannedStep::Stop,
            PlannedStep::Add,
            PlannedStep::Remove,
        ];
        Plan {
            groups: vec![PlannedGroup {
                change: Change {
                    group: self.text(),
                    kind: ChangeKind::Changed,
                    stopped: false,
                },
                keys: vec![key(Some(self.text()))],
            }],
            processes: steps
                .map(|step| PlannedProcess {
                    name: self.text(),
                    group: self.text(),
                    process: self.text(),
                    program: self.text(),
                    state: (step != PlannedStep::Start).then_some(ProcessState::Running),
                    step,
                    section: self.text(),
                    keys: vec![key(Some(self.text())), key(None)],
                })
                .to_vec(),
        }
    }

    fn story(&self) -> Story {
        let key = |file: Option<String>| Key {
            key: self.text(),
            value: self.text(),
            line: file.as_ref().map_or(0, |_| self.small()),
            file,
        };
        Story {
            row: self.status().rows.swap_remove(0),
            since_ms: Some(self.number),
            wanted: Wanted {
                up: true,
                by_operator: false,
            },
            lives: vec![Life {
                ended_at: self.time(),
                ran_ms: self.number,
                status: self.killed(),
                asked: false,
                expected: true,
            }],
            ended: self.number,
            startretries: self.small(),
            section: self.text(),
            keys: vec![key(Some(self.text())), key(None)],
        }
    }

    fn refusals(&self) -> Vec<Refusal> {
        vec![
            Refusal::ShuttingDown,
            Refusal::BadConfig(vec![Diagnostic {
                error: true,
                file: self.text(),
                line: self.small(),
                column: self.small(),
                message: self.text(),
                help: Some(self.text()),
            }]),
            Refusal::NoSuchGroup(self.text()),
            Refusal::BadSignal(self.text()),
            Refusal::NoSuchProcess(self.text()),
            Refusal::Ambiguous(vec![self.text()]),
            Refusal::NoLog(self.text()),
            Refusal::LogUnreadable {
                name: self.text(),
                errno: self.signed(),
            },
            Refusal::TooLarge,
            Refusal::Busy,
            Refusal::Forbidden,
            Refusal::NotUpgraded(self.text()),
            Refusal::NotUnderstood(self.text()),
            Refusal::Protocol {
                supported: self.small(),
            },
        ]
    }

    fn notices(&self) -> Vec<Notice> {
        vec![
            Notice::State {
                name: self.text(),
                from: ProcessState::Starting,
                to: ProcessState::Running,
                pid: Some(self.small()),
            },
            Notice::GroupAdded { group: self.text() },
            Notice::GroupRemoved { group: self.text() },
            Notice::Output {
                data: self.bytes.to_vec(),
            },
            Notice::Gap { lost: self.number },
        ]
    }
}
