//! The listening sockets of `FastCGI` programs: one for each program and address, handed to all copies as their standard
//! input.
//!
//! A socket is made when the first copy is about to start, and kept while any copy runs or is to run again, also between
//! the end of the only copy and its next start: who connects meanwhile waits in the queue. It is given up when all have
//! come to rest, and a Unix socket's name goes with it.
//!
//! A copy that is started with other settings for the same address, because a file was applied, changes the socket in
//! place. Another address is another socket; the old one goes when the last copy that was started with it does.

use super::event_loop::Daemon;
use crate::config::model::{ListenAddress, ListenSettings, ProcessSettings};
use crate::engine::event::{SpawnFailure, SpawnStep};
use crate::engine::view::{ProcessView, State};
use crate::sys::handover::{self, Luggage};
use crate::sys::listen::{Access, Listening};
use crate::types::{GroupName, ProgramName};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::Arc;

/// Every socket that is open.
#[derive(Debug, Default)]
pub struct Sockets {
    open: Vec<Open>,
    /// A process may have come to rest since the last look.
    stale: bool,
}

#[derive(Debug)]
struct Open {
    group: GroupName,
    program: ProgramName,
    settings: Arc<ListenSettings>,
    listening: Listening,
}

impl Open {
    fn is_of(&self, process: &ProcessSettings, listen: &ListenSettings) -> bool {
        self.group == process.key.group
            && self.program == process.program
            && self.settings.address.is_same_place(&listen.address)
    }
}

/// One of them, written down.
#[derive(Debug, Serialize, Deserialize)]
pub struct SocketState {
    group: GroupName,
    program: ProgramName,
    settings: Arc<ListenSettings>,
    socket: RawFd,
    node: Option<(RawFd, OsString, RawFd)>,
}

impl SocketState {
    fn listening(&self) -> Option<Listening> {
        let socket = handover::inherit(self.socket)?;
        let node = self.node.as_ref().and_then(|(directory, name, handle)| {
            let directory = handover::inherit(*directory)?;
            Some((directory, name.clone(), handover::inherit(*handle)?))
        });
        Some(Listening::inherit((socket, node)))
    }
}

impl Sockets {
    /// What is to be written down of them, for the next image.
    pub fn export(&self, luggage: &mut Luggage) -> Result<Vec<SocketState>, Errno> {
        let states = self.open.iter().map(|open| {
            let (socket, node) = open.listening.descriptors();
            let node = node.map(|(directory, name, handle)| {
                let directory = luggage.pack(directory)?;
                Ok::<_, Errno>((directory, name.to_owned(), luggage.pack(handle)?))
            });
            Ok(SocketState {
                group: open.group.clone(),
                program: open.program.clone(),
                settings: Arc::clone(&open.settings),
                node: node.transpose()?,
                socket: luggage.pack(socket)?,
            })
        });
        states.collect()
    }

    /// Those of another image.
    pub fn import(states: Vec<SocketState>) -> Self {
        let open = states.into_iter().filter_map(|state| {
            Some(Open {
                listening: state.listening()?,
                group: state.group,
                program: state.program,
                settings: state.settings,
            })
        });
        Self {
            open: open.collect(),
            stale: true,
        }
    }

    /// The socket of a process that is about to start, if it is to have one. Made now unless another copy has it already.
    pub fn acquire(
        &mut self,
        process: &ProcessSettings,
    ) -> Result<Option<BorrowedFd<'_>>, SpawnFailure> {
        let Some(listen) = &process.launch.listen else {
            return Ok(None);
        };
        // Whatever becomes of the start, somebody has to look whether the socket is still needed.
        self.stale = true;
        let known = |open: &Open| open.is_of(process, listen);
        let place = if let Some(place) = self.open.iter().position(known) {
            place
        } else {
            log::info!("Creating socket {}", listen.address);
            let listening = open(listen).map_err(|errno| failed(listen, errno))?;
            self.open.push(Open {
                group: process.key.group.clone(),
                program: process.program.clone(),
                settings: Arc::clone(listen),
                listening,
            });
            self.open.len() - 1
        };
        let Some(open) = self.open.get_mut(place) else {
            return Ok(None);
        };
        if open.settings != *listen {
            open.listening
                .adjust(access(&listen.address), listen.backlog)
                .map_err(|errno| failed(listen, errno))?;
            open.settings = Arc::clone(listen);
        }
        Ok(Some(open.listening.as_fd()))
    }

    /// A process may have come to rest.
    pub fn look_again(&mut self) {
        self.stale = true;
    }

    /// Whether a look is due.
    fn is_stale(&mut self) -> bool {
        std::mem::take(&mut self.stale) && !self.open.is_empty()
    }

    /// Gives up the sockets that none of these processes needs.
    fn give_up_unneeded(&mut self, processes: &[ProcessView]) {
        self.open.retain(|open| {
            let needs = |process: &ProcessView| {
                let listen = process.settings.launch.listen.as_deref();
                listen.is_some_and(|listen| open.is_of(&process.settings, listen))
                    && !is_at_rest(process)
            };
            let needed = processes.iter().any(needs);
            if !needed {
                log::info!("Closing socket {}", open.settings.address);
            }
            needed
        });
    }
}

impl Daemon {
    /// Gives up the sockets of programs that have come to rest.
    pub(super) fn tend_sockets(&mut self) {
        if self.sockets.is_stale() {
            let processes: Vec<ProcessView> = self.engine.processes().collect();
            self.sockets.give_up_unneeded(&processes);
        }
    }
}

/// Whether a process neither runs nor will by itself.
fn is_at_rest(process: &ProcessView) -> bool {
    match process.state {
        State::Stopped | State::Fatal => true,
        State::Exited => process.next_attempt.is_none(),
        State::Unknown => process.pid.is_none(),
        State::Starting | State::Running | State::Backoff | State::Stopping => false,
    }
}

fn open(listen: &ListenSettings) -> Result<Listening, Errno> {
    match &listen.address {
        ListenAddress::Unix { path, .. } => {
            Listening::unix(path, access(&listen.address), listen.backlog)
        }
        ListenAddress::Tcp { host, port } => Listening::tcp(resolve(host, *port)?, listen.backlog),
    }
}

fn access(address: &ListenAddress) -> Access {
    match address {
        ListenAddress::Unix { mode, owner, .. } => Access {
            mode: *mode,
            owner: owner.map_or((None, None), |owner| (Some(owner.uid), owner.gid)),
        },
        ListenAddress::Tcp { .. } => Access {
            mode: 0,
            owner: (None, None),
        },
    }
}

/// The address of a host, IPv4 before IPv6. A name that is no number is asked for at every start of the socket, so that a
/// file can be loaded before the network is up.
fn resolve(host: &str, port: u16) -> Result<SocketAddr, Errno> {
    if host.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok((address, port).into());
    }
    let unknown = Errno::from_raw(0);
    let found = (host, port).to_socket_addrs().map_err(|_| unknown)?;
    let found: Vec<SocketAddr> = found.collect();
    let four = found.iter().find(|address| address.is_ipv4());
    four.or(found.first()).copied().ok_or(unknown)
}

fn failed(listen: &ListenSettings, errno: Errno) -> SpawnFailure {
    SpawnFailure {
        step: SpawnStep::Socket,
        subject: listen.address.to_string(),
        errno: errno as i32,
    }
}
