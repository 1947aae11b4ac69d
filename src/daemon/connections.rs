//! The loop's side of the clients: accepting, reading, sending, and notices of subscriptions.

use super::clients::{CLIENTS_MAX, Client, ClientId, Incoming, REQUESTS_PER_TURN};
use super::event_loop::{Daemon, Wake};
use super::jobs::{SubscribedTo, Subscription};
use super::rights::belongs_to;
use crate::engine::Event;
use crate::sys::poller::Interest;
use crate::sys::{clock, limits, peer};
use crate::types::{Monotonic, ProcessKey};
use crate::wire::{self, EncodeError, Hello, Notice, Refusal, Response, SubscriptionEnd};
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// How long the listener rests when the daemon is out of descriptors.
const LISTENER_REST: Duration = Duration::from_millis(100);
/// How often it is said, at most, that nobody can be let in.
const COMPLAINT_INTERVAL: Duration = Duration::from_mins(1);

/// Descriptors that a crowd of clients leaves to programs and their logs.
const DESCRIPTORS_FOR_PROGRAMS: u64 = 48;
/// Clients that are served however few descriptors are left.
const CLIENTS_ALWAYS: usize = 4;

/// How many clients there may be besides the one that has just come. Where descriptors run short, a few are let in all
/// the same: an operator has to see why.
fn clients_allowed(newcomer: &UnixStream) -> usize {
    if limits::is_nearly_the_last(newcomer, DESCRIPTORS_FOR_PROGRAMS) {
        CLIENTS_ALWAYS
    } else {
        CLIENTS_MAX
    }
}

/// What the poller says of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SocketReady {
    /// Something has arrived.
    Readable,
    /// Only room to send.
    Writable,
    /// The peer has closed both directions.
    HungUp,
}

impl Daemon {
    pub(super) fn on_listener(&mut self, now: Monotonic) {
        self.rest.owe(now);
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = &self.listener else {
                return;
            };
            match listener.accept() {
                Ok((stream, _)) => self.welcome(stream, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                    ) => {}
                Err(error) => {
                    if self
                        .listener_complained_at
                        .is_none_or(|at| at.after(COMPLAINT_INTERVAL) <= now)
                    {
                        self.listener_complained_at = Some(now);
                        log::error!("can't accept connections for now: {error}");
                    }
                    return self.rest_listener(now);
                }
            }
        }
    }

    /// Out of descriptors: without a rest the listener would wake the loop for ever.
    fn rest_listener(&mut self, now: Monotonic) {
        self.listener_rests_until = Some(now.after(LISTENER_REST));
        if let Some(listener) = &self.listener
            && let Err(error) = self
                .poller
                .modify(listener, Wake::Listener.token(), Interest::NONE)
        {
            log::error!("can't rest the control socket: {error}");
        }
    }

    fn welcome(&mut self, stream: UnixStream, now: Monotonic) {
        let peer = match stream
            .set_nonblocking(true)
            .map_err(|error| error.to_string())
            .and_then(|()| peer::credentials(&stream).map_err(|errno| errno.desc().to_owned()))
        {
            Ok(peer) => peer,
            Err(error) => return log::error!("can't find out who connects: {error}"),
        };
        let hello = Hello {
            protocol: wire::PROTOCOL_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            identifier: Some(self.started_with.identifier.clone()),
        };
        let groups = peer::groups(&stream);
        let allowed = self.access.allows(&peer, &groups)
            || self
                .engine
                .config()
                .roles
                .iter()
                .any(|role| belongs_to(role, &peer, &groups));
        let room = clients_allowed(&stream);
        let mut client = Client::new(stream, peer, &hello, now);
        client.groups = groups;
        if !allowed {
            log::warn!(
                "refused a connection of uid {} (pid {})",
                client.peer.uid,
                client.peer.pid
            );
            client.refuse(Refusal::Forbidden, now);
        } else if self.clients.len() >= room {
            client.refuse(Refusal::Busy, now);
        }
        if client.flush(now).is_err() || client.is_finished() {
            return;
        }
        let id = self.counters.next_client();
        match self
            .poller
            .add(&client, Wake::Client(id).token(), Interest::READABLE)
        {
            Ok(()) => drop(self.clients.insert(id, client)),
            Err(error) => log::error!("can't watch a connection: {error}"),
        }
    }

    /// Goes on with a connection that another image had.
    pub(super) fn welcome_back(&mut self, id: ClientId, client: Client) {
        let wake = Wake::Client(id);
        match self.poller.add(&client, wake.token(), Interest::READABLE) {
            Ok(()) => drop(self.clients.insert(id, client)),
            Err(error) => log::error!("can't watch a connection: {error}"),
        }
    }

    pub(super) fn on_client(&mut self, id: ClientId, ready: SocketReady, now: Monotonic) {
        self.rest.owe(now);
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        if !client.wants_to_read() {
            // A hang-up is reported for as long as the socket is watched at all.
            if ready == SocketReady::HungUp {
                self.part(id, None);
            }
            return;
        }
        if ready == SocketReady::Writable {
            return;
        }
        for _ in 0..REQUESTS_PER_TURN {
            // Asked before every request: an answer may have filled the queue, or a log may be on its way.
            let Some(client) = self.clients.get_mut(&id).filter(|it| it.wants_to_read()) else {
                return;
            };
            match client.receive(now) {
                Incoming::Request(request) => self.handle(id, request, now),
                Incoming::Answered => {}
                Incoming::Nothing => return,
                Incoming::Gone(reason) => return self.part(id, reason.as_deref()),
            }
        }
    }

    /// Sends, cuts off, and sets what is watched, for every client that has something to do.
    pub(super) fn tend_clients(&mut self, now: Monotonic) {
        let waiting: Vec<ClientId> = self
            .clients
            .iter()
            .filter(|(_, client)| client.has_buffered_input())
            .map(|(&id, _)| id)
            .collect();
        for id in waiting {
            self.on_client(id, SocketReady::Readable, now);
        }
        let mut parting = Vec::new();
        for (&id, client) in &mut self.clients {
            let broken = client.queued() > 0 && client.flush(now).is_err();
            let interest = client.changed_interest(now);
            if broken || client.is_finished() {
                parting.push((id, None));
            } else if client.deadline().is_some_and(|deadline| deadline <= now) {
                parting.push((id, Some("it neither reads nor finishes its request")));
            } else if let Some(interest) = interest
                && let Err(error) = self
                    .poller
                    .modify(&*client, Wake::Client(id).token(), interest)
            {
                log::error!("bug: a connection could not be watched: {error}");
            }
        }
        for (id, reason) in parting {
            self.rest.owe(now);
            self.part(id, reason);
        }
        self.read_next_log();
    }

    /// Ends a connection. What its requests began goes on.
    fn part(&mut self, id: ClientId, reason: Option<&str>) {
        let Some(client) = self.clients.remove(&id) else {
            return;
        };
        if let Some(reason) = reason {
            log::warn!(
                "cut off a client of uid {} (pid {}): {reason}",
                client.peer.uid,
                client.peer.pid
            );
        }
        self.unwatch(&client);
        for (number, _) in self.jobs.drop_client(id) {
            self.capture.unfollow(number);
        }
        for ticket in client.waiting {
            self.waiters.remove(&ticket);
            self.feed(Event::Abandoned { ticket });
        }
    }

    pub(super) fn reply(
        &mut self,
        client: ClientId,
        request: u64,
        response: Response,
        now: Monotonic,
    ) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.reply(request, response, now);
        }
    }

    /// Sends a frame that is written already.
    pub(super) fn send(
        &mut self,
        client: ClientId,
        frame: Result<Vec<u8>, EncodeError>,
        now: Monotonic,
    ) {
        if let Some(client) = self.clients.get_mut(&client) {
            client.queue_frame(frame, now);
        }
    }

    /// Sends a notice to the subscriber of this number.
    pub(super) fn notify(&mut self, subscription: u64, notice: Notice, now: Monotonic) {
        if let Some(Subscription {
            client, request, ..
        }) = self.jobs.subscription(subscription)
            && let Some(client) = self.clients.get_mut(client)
        {
            client.notify(*request, notice, now);
        }
    }

    pub(super) fn on_output(&mut self, subscription: u64, data: Vec<u8>, now: Monotonic) {
        self.notify(subscription, Notice::Output { data }, now);
    }

    pub(super) fn on_output_gap(&mut self, subscription: u64, lost: u64, now: Monotonic) {
        self.notify(subscription, Notice::Gap { lost }, now);
    }

    /// A process is gone for good: so are the subscriptions to its output.
    pub(super) fn end_output_subscriptions(&mut self, key: &ProcessKey) {
        self.end_subscriptions(SubscriptionEnd::Removed, clock::now(), |subscription| {
            matches!(&subscription.topic, SubscribedTo::Output(process, _) if process == key)
        });
    }

    pub(super) fn end_subscriptions(
        &mut self,
        reason: SubscriptionEnd,
        now: Monotonic,
        ends: impl FnMut(&Subscription) -> bool,
    ) {
        for (number, subscription) in self.jobs.unsubscribe(ends) {
            self.capture.unfollow(number);
            if let Some(client) = self.clients.get_mut(&subscription.client) {
                client.end_subscription(subscription.request, reason, now);
            }
        }
    }

    /// Ends every subscription and delivers what the clients take at once.
    pub(super) fn say_goodbye(&mut self) {
        let now = clock::now();
        self.end_subscriptions(SubscriptionEnd::Shutdown, now, |_| true);
        for client in self.clients.values_mut() {
            if let Err(error) = client.flush(now) {
                log::debug!("a client left before its last answer: {error}");
            }
        }
        self.clients.clear();
    }
}
