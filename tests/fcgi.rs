//! `FastCGI` programs: real connections to sockets that the daemon made and its programs serve.
//!
//! The program is a few lines of Perl that accept from descriptor 0 and say who they are. Without Perl the tests say so
//! and pass.

use crate::harness::{Daemon, Sandbox, is_root, wait};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Answers each connection with the name of the process and its pid; not before the file `go` is there, where one is named.
const SERVER: &str = r#"
my ($go) = @ARGV;
while ($go && !-e $go) { select(undef, undef, undef, 0.02) }
while (accept(my $client, STDIN)) {
    syswrite($client, "$ENV{TASKMASTER_PROCESS_NAME} $$");
    close($client);
}
die "accept: $!";
"#;

/// A sandbox with the server; `None`, and a word on standard error, where Perl is missing.
fn sandbox() -> Option<Sandbox> {
    let mut perl = Command::new("perl");
    perl.arg("-v").stdout(Stdio::null()).stderr(Stdio::null());
    if !perl.status().is_ok_and(|status| status.success()) {
        eprintln!("passed over: no FastCGI program to try, because there is no perl");
        return None;
    }
    let sandbox = Sandbox::new();
    sandbox.write("server.pl", SERVER);
    Some(sandbox)
}

/// Has a port and does not listen there, so that nobody who takes any port is given it, and who asks for it is.
const HOLDER: &str = r#"
use Socket;
$| = 1;
socket(my $held, PF_INET, SOCK_STREAM, 0) or die;
setsockopt($held, SOL_SOCKET, SO_REUSEADDR, 1) or die;
bind($held, sockaddr_in(0, INADDR_LOOPBACK)) or die;
print((sockaddr_in(getsockname($held)))[0], "\n");
<STDIN>;
"#;

/// A port of 127.0.0.1 that nobody listens on, and that nobody else is given as long as this lives.
struct Port {
    number: u16,
    holder: Child,
}

impl Port {
    fn take() -> Self {
        let mut command = Command::new("perl");
        command.args(["-e", HOLDER]);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = pipes.spawn().unwrap();
        let mut line = String::new();
        let mut told = BufReader::new(holder.stdout.take().unwrap());
        told.read_line(&mut line).unwrap();
        let number = line.trim().parse().unwrap();
        Self { number, holder }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

/// What a server says: the name of the process and its pid.
fn heard(mut stream: impl Read) -> std::io::Result<(String, i32)> {
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (name, pid) = text
        .split_once(' ')
        .ok_or_else(|| std::io::Error::other(format!("said {text:?}")))?;
    Ok((name.to_owned(), pid.parse().unwrap()))
}

fn tcp(port: u16) -> std::io::Result<(String, i32)> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(wait::patience()))?;
    heard(stream)
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(wait::patience())).unwrap();
    stream
}

fn unix(path: &Path) -> (String, i32) {
    heard(connect(path)).unwrap()
}

/// What a process has as its standard input.
fn stdin_of(pid: i32) -> String {
    let link = fs::read_link(format!("/proc/{pid}/fd/0")).unwrap();
    link.display().to_string()
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[test]
fn copies_share_a_tcp_socket_that_lives_as_long_as_any_of_them() {
    let Some(sandbox) = sandbox() else { return };
    let held = Port::take();
    let port = held.number;
    let daemon = Daemon::builder()
        .config(&format!(
            "[fcgi-program.web]\ncommand=perl $DIR/server.pl\nsocket=tcp://127.0.0.1:{port}\n\
             numprocs=2\nstartsecs=0\n[program.plain]\ncommand=sleep 1000\n"
        ))
        .start_in(sandbox);
    daemon.note_descriptors();
    daemon.ctl("start web:*").code(0);
    for name in ["web:0", "web:1"] {
        daemon.wait_state(name, "RUNNING");
    }
    let [first, second] = ["web:0", "web:1"].map(|name| stdin_of(daemon.pid(name)));
    assert!(first.starts_with("socket:"), "{first}");
    assert_eq!(first, second);
    // Both answer, in whatever order the kernel wakes them.
    let pids = ["web:0", "web:1"].map(|name| daemon.pid(name));
    for pid in pids {
        wait::for_condition(format!("an answer of {pid}"), || {
            let (_, answered) = tcp(port).unwrap();
            assert!(pids.contains(&answered));
            answered == pid
        });
    }
    daemon.ctl("stop web:0").code(0);
    assert_eq!(tcp(port).unwrap(), ("1".to_owned(), pids[1]));
    let creating = format!("Creating socket tcp://127.0.0.1:{port}");
    let closing = format!("Closing socket tcp://127.0.0.1:{port}");
    assert_eq!(daemon.count_log(&creating), 1);
    assert_eq!(daemon.count_log(&closing), 0);
    daemon.ctl("stop web:1").code(0);
    wait::for_condition("nobody to listen", || tcp(port).is_err());
    assert_eq!(daemon.count_log(&closing), 1);
    daemon.ctl("start web:1").is(0, "web:1: started\n");
    assert_eq!(tcp(port).unwrap().1, daemon.pid("web:1"));
    assert_eq!(daemon.count_log(&creating), 2);
    daemon.ctl("stop all").code(0);
    daemon.close();
}

#[test]
fn a_unix_socket_has_its_owner_and_mode_and_goes_with_the_last_copy() {
    let Some(sandbox) = sandbox() else { return };
    // Whoever is not root can give it to himself only.
    let owner = if is_root() { "nobody" } else { "" };
    let line = if owner.is_empty() {
        ""
    } else {
        "socket_owner=nobody\n"
    };
    let path = sandbox.path("out/web.sock");
    let daemon = Daemon::builder()
        .supervisor()
        .config(&format!(
            "[fcgi-program:web]\ncommand=perl $DIR/server.pl\nsocket=unix://$OUT/%(program_name)s.sock\n\
             numprocs=3\nprocess_name=w%(process_num)d\nsocket_mode=0766\n{line}startsecs=0\n\
             [group:site]\nprograms=web\n"
        ))
        .start_in(sandbox);
    for name in ["site:w0", "site:w1", "site:w2"] {
        daemon.wait_state(name, "RUNNING");
    }
    let metadata = fs::symlink_metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o7777, 0o766);
    let uid = match nix::unistd::User::from_name("nobody").unwrap() {
        Some(nobody) if is_root() => nobody.uid,
        _ => nix::unistd::geteuid(),
    };
    assert_eq!(metadata.uid(), uid.as_raw());
    unix(&path);
    let entries = fs::read_dir(daemon.sandbox.path("out")).unwrap();
    let hidden = entries.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with('.')
    });
    assert_eq!(hidden.count(), 0, "nothing of the making is left");
    daemon.ctl("stop site:w0 site:w1").code(0);
    assert_eq!(unix(&path).0, "w2");
    daemon.ctl("stop site:w2").code(0);
    wait::for_condition("the socket to go", || !path.exists());
    daemon.ctl("start site:*").code(0);
    unix(&path);
    daemon.close();
}

#[test]
fn whoever_waits_while_a_copy_is_replaced_is_served_by_the_next() {
    let Some(sandbox) = sandbox() else { return };
    let path = sandbox.path("run/web.sock");
    let daemon = Daemon::builder()
        .config(
            "[fcgi-program.web]\ncommand=perl $DIR/server.pl $OUT/go\nsocket=unix://$DIR/run/web.sock\n\
             autostart=true\nautorestart=true\nstartsecs=0\n",
        )
        .start_in(sandbox);
    let first = daemon.wait_state("web", "RUNNING").pid.unwrap();
    let queued = connect(&path);
    daemon.ctl("restart web").code(0);
    let second = daemon.wait_state("web", "RUNNING").pid.unwrap();
    assert_ne!(first, second);
    let also_queued = connect(&path);
    // A death is followed by a new start, and the socket waits for it.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(second).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let third = wait::until("the third", || {
        let row = daemon.row("web");
        row.pid.filter(|&pid| pid != second)
    });
    fs::write(daemon.sandbox.path("out/go"), "").unwrap();
    for stream in [queued, also_queued] {
        let (_, pid) = heard(stream).unwrap();
        assert_eq!(u32::try_from(pid).unwrap(), third);
    }
    assert_eq!(daemon.count_log("Creating socket"), 1);
    assert_eq!(daemon.count_log("Closing socket"), 0);
    daemon.close();
}

#[test]
fn a_socket_that_cannot_be_made_is_one_clear_failure() {
    let Some(sandbox) = sandbox() else { return };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let file = sandbox.path("out/file");
    fs::write(&file, "precious").unwrap();
    let daemon = Daemon::builder()
        .config(&format!(
            "[fcgi-program.tcp]\ncommand=perl $DIR/server.pl\nsocket=tcp://127.0.0.1:{port}\n\
             startretries=1\nstartsecs=0\n\
             [fcgi-program.file]\ncommand=perl $DIR/server.pl\nsocket=unix://$OUT/file\nstartretries=0\n\
             [fcgi-program.served]\ncommand=perl $DIR/server.pl\nsocket=unix://$OUT/served\nstartretries=0\n\
             [fcgi-program.nowhere]\ncommand=perl $DIR/server.pl\nsocket=unix://$OUT/no/x\nstartretries=0\n"
        ))
        .start_in(sandbox);
    let served = UnixListener::bind(daemon.sandbox.path("out/served")).unwrap();
    daemon
        .ctl("start tcp file served nowhere")
        .code(7)
        .mentions("tcp: ERROR (spawn error)");
    for name in ["tcp", "file", "served", "nowhere"] {
        daemon.wait_state(name, "FATAL");
    }
    let address = format!("tcp://127.0.0.1:{port}");
    let line = format!("spawnerr: can't listen on {address}: another program listens there (tcp)");
    assert_eq!(daemon.count_log(&line), 2, "{}", daemon.log());
    for text in [
        "out/file: a file that is no socket is there (file)",
        "out/served: another program listens there (served)",
        "out/no/x: no such file or directory (nowhere)",
    ] {
        assert_eq!(daemon.count_log(text), 1, "{text}\n{}", daemon.log());
    }
    daemon
        .ctl("why tcp")
        .mentions("another program listens there");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    drop((taken, served));
    daemon
        .ctl("start tcp served")
        .is(0, "tcp: started\nserved: started\n");
    assert_eq!(tcp(port).unwrap().1, daemon.pid("tcp"));
    daemon.close();
}

#[test]
fn changed_socket_settings_are_noticed_and_applied() {
    let Some(sandbox) = sandbox() else { return };
    let config = |lines: &str| {
        format!(
            "[fcgi-program.web]\ncommand=perl $DIR/server.pl $OUT/go\nautostart=true\nstartsecs=0\n{lines}\
             [program.other]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n"
        )
    };
    let (old, new) = (sandbox.path("run/old.sock"), sandbox.path("run/new.sock"));
    let daemon = Daemon::builder()
        .config(&config("socket=unix://$DIR/run/old.sock\n"))
        .start_in(sandbox);
    let before = daemon.wait_state("web", "RUNNING").pid;
    let other = daemon.wait_state("other", "RUNNING").pid;
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&old), 0o700);
    // The same address with another mode and queue: who waits in the queue stays in it.
    let queued = connect(&old);
    daemon.edit_config(&config(
        "socket=unix://$DIR/run/old.sock\nsocket_mode=0600\nsocket_backlog=7\n",
    ));
    daemon.ctl("reread").is(0, "web: changed\n");
    daemon
        .ctl("update")
        .is(0, "web: stopped\nweb: updated process group\n");
    let after = daemon.wait_state("web", "RUNNING").pid;
    assert_ne!(before, after);
    assert_eq!(mode(&old), 0o600);
    fs::write(daemon.sandbox.path("out/go"), "").unwrap();
    assert_eq!(u32::try_from(heard(queued).unwrap().1).ok(), after);
    // Another address: the old one goes.
    daemon.edit_config(&config("socket=unix://$DIR/run/new.sock\n"));
    daemon
        .ctl("update")
        .is(0, "web: stopped\nweb: updated process group\n");
    daemon.wait_state("web", "RUNNING");
    unix(&new);
    wait::for_condition("the old socket to go", || !old.exists());
    assert_eq!(daemon.row("other").pid, other);
    // No longer one that has a socket.
    daemon.edit_config(&config("").replace("fcgi-program.web", "program.web"));
    daemon.ctl("reread").is(0, "web: changed\n");
    daemon.ctl("update").code(0);
    wait::for_condition("the new socket to go", || !new.exists());
    daemon.close();
}

#[test]
fn a_killed_daemon_leaves_a_socket_that_the_next_one_replaces() {
    let Some(sandbox) = sandbox() else { return };
    let path = sandbox.path("run/web.sock");
    let mut daemon = Daemon::builder()
        .config(
            "[fcgi-program.web]\ncommand=perl $DIR/server.pl\nsocket=unix://$DIR/run/web.sock\n\
             autostart=true\nstartsecs=0\nstopwaitsecs=1\n",
        )
        .start_in(sandbox);
    daemon.wait_state("web", "RUNNING");
    let first = unix(&path).1;
    daemon.murder();
    assert!(is_socket(&path));
    daemon.launch();
    daemon.wait_state("web", "RUNNING");
    let second = unix(&path).1;
    assert_ne!(first, second);
    assert_eq!(daemon.pid("web"), second);
    daemon.ctl("reload").code(0);
    wait::for_condition("the third", || {
        UnixStream::connect(&path).is_ok_and(|stream| {
            stream.set_read_timeout(Some(wait::patience())).unwrap();
            heard(stream).is_ok_and(|(_, pid)| pid != second)
        })
    });
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    assert!(
        !path.exists(),
        "the end of the daemon is the end of its sockets"
    );
    daemon.nothing_left();
}

#[test]
fn connections_are_the_programs_alone() {
    let Some(sandbox) = sandbox() else { return };
    let held = Port::take();
    let port = held.number;
    let daemon = Daemon::builder()
        .config(&format!(
            "[fcgi-program.web]\ncommand=perl $DIR/server.pl\nsocket=tcp://localhost:{port}\n\
             autostart=true\nstartsecs=0\n"
        ))
        .start_in(sandbox);
    daemon.wait_state("web", "RUNNING");
    let idle = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(tcp(port).unwrap().1, daemon.pid("web"));
    drop(idle);
    let before = daemon.rest();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"x").unwrap();
    }
    assert_eq!(daemon.rest(), before, "connections are the program's alone");
    daemon.close();
}
