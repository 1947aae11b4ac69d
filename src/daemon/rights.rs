//! What a client may ask for, when it is neither root's nor the daemon's user's: what its roles allow, on their
//! processes, and nothing else.
//!
//! A request is judged before anything is done for it, and narrowed: where it names several processes, those that no role
//! covers drop out of it; one that names nothing but those is refused as if they did not exist, or as forbidden where the
//! client may at least look at them. The roles are those of the active configuration, so that what an update takes away
//! is gone at once, for connections that stand as well.

use super::clients::ClientId;
use super::event_loop::Daemon;
use crate::config::model::{Class, Role, Scope};
use crate::engine::Resolution;
use crate::sys::clock;
use crate::sys::peer::Peer;
use crate::types::{ProcessKey, ProgramName};
use crate::wire::{NamedResult, Outcome, PidRow, Refusal, Request, Response, StatusReply, Topic};

/// Denials of one connection that are logged; all are answered.
const DENIALS_LOGGED: u32 = 16;

/// Whether a role is a peer's, a member of `groups` too.
pub fn belongs_to(role: &Role, peer: &Peer, groups: &[u32]) -> bool {
    role.users.contains(&peer.uid)
        || role.groups.contains(&peer.gid)
        || groups.iter().any(|group| role.groups.contains(group))
}

impl Daemon {
    /// The request as far as the client may make it; the answer where it may not.
    pub(super) fn authorise(
        &mut self,
        client: ClientId,
        request: Request,
    ) -> Result<Request, Response> {
        let Some(connection) = self.clients.get(&client) else {
            return Err(Response::Refused(Refusal::Forbidden));
        };
        if self.access.allows(&connection.peer, &connection.groups) {
            return Ok(request);
        }
        let class = class_of(&request);
        let narrowed = self.narrowed(client, class, request);
        if let Err(Response::Refused(refusal)) = &narrowed {
            self.log_denial(client, class, refusal);
        }
        narrowed
    }

    /// Whether a client may look at a process; with none, at what concerns all.
    pub(super) fn may_see(
        &self,
        client: ClientId,
        process: Option<(&ProcessKey, &ProgramName)>,
    ) -> bool {
        let Some(connection) = self.clients.get(&client) else {
            return false;
        };
        self.access.allows(&connection.peer, &connection.groups)
            || match process {
                Some((key, program)) => self.allows(client, Class::Read, key, program),
                None => self.allows_all(client, Class::Read),
            }
    }

    fn roles_of(&self, client: ClientId) -> impl Iterator<Item = &Role> {
        let connection = self.clients.get(&client);
        self.engine.config().roles.iter().filter(move |role| {
            connection.is_some_and(|client| belongs_to(role, &client.peer, &client.groups))
        })
    }

    fn allows(
        &self,
        client: ClientId,
        class: Class,
        key: &ProcessKey,
        program: &ProgramName,
    ) -> bool {
        self.roles_of(client)
            .any(|role| role.allow.contains(&class) && role.covers(key, program))
    }

    fn allows_all(&self, client: ClientId, class: Class) -> bool {
        self.roles_of(client)
            .any(|role| role.allow.contains(&class) && role.programs.contains(&Scope::All))
    }

    fn allows_key(&self, client: ClientId, class: Class, key: &ProcessKey) -> bool {
        self.engine
            .process(key)
            .is_some_and(|process| self.allows(client, class, key, &process.settings.program))
    }

    fn narrowed(
        &self,
        client: ClientId,
        class: Class,
        mut request: Request,
    ) -> Result<Request, Response> {
        let forbidden = || Err(Response::Refused(Refusal::Forbidden));
        if matches!(request, Request::Unsubscribe { .. }) {
            return Ok(request);
        }
        if !self
            .roles_of(client)
            .any(|role| role.allow.contains(&class))
        {
            return forbidden();
        }
        match &mut request {
            Request::Status { targets } => {
                if targets.is_empty() {
                    targets.push("all".to_owned());
                }
                let hidden = self.narrow(client, class, targets);
                if !hidden.is_empty() || targets.is_empty() {
                    return Err(Response::Status(self.status_of_some(targets, hidden)));
                }
            }
            Request::Pid { targets } if targets.is_empty() => {}
            Request::Pid { targets } => {
                let hidden = self.narrow(client, class, targets);
                if !hidden.is_empty() {
                    let unknown = hidden.into_iter().map(|name| PidRow { name, pid: None });
                    let rows = self.pids(targets).into_iter().chain(unknown);
                    return Err(Response::Pids(rows.collect()));
                }
            }
            Request::Restart { targets, .. } => {
                let hidden = self.narrow(client, class, targets);
                match self.refuse_hidden(client, hidden) {
                    Err(Response::Refused(Refusal::NoSuchProcess(name))) => {
                        // As what does not exist: it can neither be stopped nor started.
                        let outcome = Outcome::NoSuchProcess;
                        let rows = vec![NamedResult { name, outcome }];
                        return Err(Response::Restarted {
                            stops: rows.clone(),
                            starts: rows,
                        });
                    }
                    refused => refused?,
                }
                if targets.is_empty() {
                    return forbidden();
                }
            }
            Request::Start { targets, .. }
            | Request::Stop { targets, .. }
            | Request::Signal { targets, .. }
            | Request::Clear { targets } => {
                let hidden = self.narrow(client, class, targets);
                self.refuse_hidden(client, hidden)?;
                if targets.is_empty() {
                    return forbidden();
                }
            }
            Request::Why { target }
            | Request::Environment { target }
            | Request::Tail { target, .. }
            | Request::Input { target, .. }
            | Request::Subscribe {
                topic: Topic::Output { target, .. },
            } => {
                let hidden = self.narrow(client, class, &mut vec![target.clone()]);
                self.refuse_hidden(client, hidden)?;
            }
            Request::MainTail { .. }
            | Request::Remote { .. }
            | Request::Subscribe {
                topic: Topic::DaemonLog { .. },
            } => {
                if !self.allows_all(client, class) {
                    return forbidden();
                }
            }
            Request::Subscribe {
                topic: Topic::States,
            }
            | Request::Avail
            | Request::Version
            | Request::Reread
            | Request::Update { .. }
            | Request::Plan { .. }
            | Request::Add { .. }
            | Request::Remove { .. }
            | Request::Reload
            | Request::Upgrade
            | Request::Shutdown
            | Request::Unsubscribe { .. } => {}
        }
        Ok(request)
    }

    /// Replaces each target by the processes of it that the client may do this to, and returns the targets of which
    /// none is left. What means nothing stays, and is answered as for everybody.
    fn narrow(&self, client: ClientId, class: Class, targets: &mut Vec<String>) -> Vec<String> {
        let mut hidden = Vec::new();
        let mut narrowed = Vec::new();
        for target in targets.drain(..) {
            let Resolution::Processes(keys) = self.engine.resolve(&target) else {
                narrowed.push(target);
                continue;
            };
            let before = narrowed.len();
            narrowed.extend(
                keys.iter()
                    .filter(|key| self.allows_key(client, class, key))
                    .map(ToString::to_string),
            );
            if narrowed.len() == before && target != "all" {
                hidden.push(target);
            }
        }
        *targets = narrowed;
        hidden
    }

    /// Refuses a request for what it names in vain: as forbidden, if the client may at least look at it.
    fn refuse_hidden(&self, client: ClientId, hidden: Vec<String>) -> Result<(), Response> {
        let Some(target) = hidden.into_iter().next() else {
            return Ok(());
        };
        let may_look = match self.engine.resolve(&target) {
            Resolution::Processes(keys) => keys
                .iter()
                .any(|key| self.allows_key(client, Class::Read, key)),
            Resolution::NoSuchProcess | Resolution::NoSuchGroup => false,
        };
        Err(Response::Refused(if may_look {
            Refusal::Forbidden
        } else {
            Refusal::NoSuchProcess(target)
        }))
    }

    /// The state of these processes, with the names of others as unknown.
    fn status_of_some(&self, targets: &[String], hidden: Vec<String>) -> StatusReply {
        let mut reply = if targets.is_empty() {
            StatusReply {
                rows: Vec::new(),
                unknown: Vec::new(),
            }
        } else {
            self.status(targets, clock::now())
        };
        reply
            .unknown
            .extend(hidden.into_iter().map(|name| NamedResult {
                name,
                outcome: Outcome::NoSuchProcess,
            }));
        reply
    }

    fn log_denial(&mut self, client: ClientId, class: Class, refusal: &Refusal) {
        let Some(connection) = self.clients.get_mut(&client) else {
            return;
        };
        connection.denials += 1;
        let Peer { uid, pid, .. } = connection.peer;
        let what = class.word();
        match (connection.denials, refusal) {
            (..DENIALS_LOGGED, Refusal::NoSuchProcess(target)) => {
                log::warn!("denied uid {uid} (pid {pid}): no role of it covers {target} ({what})");
            }
            (..DENIALS_LOGGED, _) => {
                log::warn!("denied uid {uid} (pid {pid}): no role of it allows this ({what})");
            }
            (DENIALS_LOGGED, _) => {
                log::warn!("denied uid {uid} (pid {pid}) too often: saying no more about it");
            }
            (_, _) => {}
        }
    }
}

/// What a request needs.
fn class_of(request: &Request) -> Class {
    match request {
        Request::Status { .. }
        | Request::Pid { .. }
        | Request::Avail
        | Request::Version
        | Request::Unsubscribe { .. }
        | Request::Subscribe {
            topic: Topic::States,
        } => Class::Read,
        // A story ends with what the program said last.
        Request::Why { .. }
        | Request::Tail { .. }
        | Request::MainTail { .. }
        | Request::Subscribe {
            topic: Topic::Output { .. } | Topic::DaemonLog { .. },
        } => Class::Logs,
        Request::Start { .. }
        | Request::Stop { .. }
        | Request::Restart { .. }
        | Request::Signal { .. }
        | Request::Input { .. }
        | Request::Remote { .. } => Class::Operate,
        // What is a secret can only be guessed, and the kernel shows an environment to its owner alone.
        Request::Environment { .. }
        | Request::Reread
        | Request::Update { .. }
        | Request::Plan { .. }
        | Request::Add { .. }
        | Request::Remove { .. }
        | Request::Reload => Class::Config,
        Request::Clear { .. } | Request::Shutdown | Request::Upgrade => Class::Daemon,
    }
}
