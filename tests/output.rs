//! What is done with a program's output besides its log: captured sections and the system log.
//!
//! The system log is a socket of the test's own: the daemon runs in a mount namespace whose `/dev/log` leads to it.
//! Where no such namespace can be made the tests say so and pass.

use crate::harness::{Daemon, Sandbox, wait};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

const BEGIN: &str = "<!--XSUPERVISOR:BEGIN-->";
const END: &str = "<!--XSUPERVISOR:END-->";

/// Makes a `/dev` with the usual devices and a `log` that leads into the sandbox, then executes its words.
const NAMESPACE: &str = r#"
set -e
mount -t tmpfs none $DIR/dev
for name in null zero full random urandom tty; do
    : >$DIR/dev/$name
    mount --bind /dev/$name $DIR/dev/$name
done
ln -s /proc/self/fd $DIR/dev/fd
ln -s /proc/self/fd/1 $DIR/dev/stdout
ln -s /proc/self/fd/2 $DIR/dev/stderr
ln -s $DIR/syslog $DIR/dev/log
mount --bind $DIR/dev /dev
exec "$@"
"#;

/// A sandbox with a system log of its own, and the words that execute others where it is `/dev/log`.
pub fn with_syslog() -> Option<(Sandbox, UnixDatagram, Vec<String>)> {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("dev")).unwrap();
    let script = sandbox.write("namespace.sh", NAMESPACE);
    let words: Vec<String> = ["unshare", "-m", "--propagation", "private", "/bin/sh"]
        .map(str::to_owned)
        .into_iter()
        .chain([script.display().to_string()])
        .collect();
    let mut probe = sandbox.command(&words[0]);
    probe.args(&words[1..]).arg("true").stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        eprintln!("passed over: no mount namespace for a system log can be made here");
        return None;
    }
    let socket = UnixDatagram::bind(sandbox.path("syslog")).unwrap();
    socket.set_read_timeout(Some(wait::patience())).unwrap();
    Some((sandbox, socket, words))
}

/// The next message: what stands before the time, and what stands behind it.
pub fn receive(socket: &UnixDatagram) -> (String, String) {
    let mut buffer = vec![0; 64 << 10];
    let length = wait::uninterrupted(|| socket.recv(&mut buffer)).unwrap();
    let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
    let (head, rest) = text.split_once('>').unwrap();
    // `Mmm dd hh:mm:ss `
    assert_eq!(rest.as_bytes()[15], b' ', "{text}");
    (format!("{head}>"), rest[16..].to_owned())
}

fn daemon(sandbox: Sandbox, words: &[String], keys: &str, config: &str) -> Daemon {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Daemon::builder()
        .via(&words)
        .daemon_keys(keys)
        .config(config)
        .start_in(sandbox)
}

#[test]
fn captured_sections_stay_out_of_the_log() {
    let daemon = Daemon::builder()
        .daemon_keys("loglevel=debug")
        .config(&format!(
            "[program.web]\ncommand=$ZOO say web before{BEGIN}inside{END}after {BEGIN}two{END}\n\
             stdout_capture_maxbytes=1KB\nautostart=true\nstartsecs=0\n\
             [program.err]\ncommand=/bin/sh -c 'printf \"a{BEGIN}b{END}c\" >&2'\nstderr_capture_maxbytes=1KB\n\
             autostart=true\nstartsecs=0\n\
             [program.plain]\ncommand=$ZOO say plain {BEGIN}inside{END}\nautostart=true\nstartsecs=0\n\
             [program.open]\ncommand=$ZOO say-exit open early{BEGIN}never-closed\nautostart=true\nstartsecs=0\n\
             stdout_capture_maxbytes=1KB\n"
        ))
        .start();
    daemon.wait_content(daemon.child_log("web_0_out.log"), "beforeafter\n\n");
    daemon.wait_content(daemon.child_log("err_0_err.log"), "ac");
    daemon.wait_content(
        daemon.child_log("plain_0_out.log"),
        &format!("{BEGIN}inside{END}\n"),
    );
    // Supervisor loses what was not closed.
    daemon.wait_content(
        daemon.child_log("open_0_out.log"),
        &format!("early{BEGIN}never-closed\n"),
    );
    daemon.wait_log("'err' stderr emitted a comm event");
    wait::for_condition("both sections", || {
        daemon.count_log("'web' stdout emitted a comm event") == 2
    });
    assert_eq!(daemon.count_log("comm event"), 3);
    daemon.close();
}

#[test]
fn lines_go_to_the_system_log_and_to_a_file_at_once() {
    let Some((sandbox, socket, words)) = with_syslog() else {
        return;
    };
    let daemon = daemon(
        sandbox,
        &words,
        "strip_ansi=true",
        "[program.web]\ncommand=$ZOO say web one two\nstdout_syslog=true\n\
         [program.err]\ncommand=/bin/sh -c 'printf \"\\033[31mx\\033[0m\\ny\" >&2'\nstderr_syslog=true\n\
         stderr_logfile=NONE\nstartsecs=0\nautorestart=false\n\
         [program.old]\ncommand=$ZOO say old three\nstdout_logfile=syslog\n",
    );
    let line = |text: &str| ("<14>".to_owned(), format!("taskmasterd: {text}"));
    daemon.ctl("start web").code(0);
    for text in ["web one", "web two"] {
        assert_eq!(receive(&socket), line(text));
    }
    daemon.wait_content(daemon.child_log("web_0_out.log"), "one\ntwo\n");
    daemon.ctl("start err").code(0);
    for text in ["err x", "err y"] {
        assert_eq!(receive(&socket), line(text));
    }
    daemon.ctl("start old").code(0);
    assert_eq!(receive(&socket), line("old three"));
    assert!(!daemon.child_log("old_0_out.log").exists());
    daemon.ctl("tail old").mentions("old: ERROR (no log file)");
    assert!(
        daemon
            .sandbox
            .read("stderr")
            .contains("`stdout_logfile=syslog` is deprecated")
    );
    daemon.close();
}

#[test]
fn a_system_log_that_is_gone_costs_lines_and_nothing_else() {
    let Some((sandbox, socket, words)) = with_syslog() else {
        return;
    };
    let path = sandbox.path("syslog");
    drop(socket);
    std::fs::remove_file(&path).unwrap();
    let daemon = daemon(
        sandbox,
        &words,
        "",
        "[program.web]\ncommand=$ZOO echo-on web one two three\nstdout_syslog=true\nautostart=true\nstartsecs=0\n",
    );
    let go = |word: &str| {
        std::fs::write(daemon.sandbox.path(format!("out/{word}.go")), "").unwrap();
    };
    go("one");
    daemon.wait_log("can't write to the system log: No such file or directory");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(wait::patience())).unwrap();
    go("two");
    assert_eq!(receive(&socket).1, "taskmasterd: web two");
    daemon.wait_log("the system log is written again; 1 lines were lost");
    // It is restarted.
    drop(socket);
    std::fs::remove_file(&path).unwrap();
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(wait::patience())).unwrap();
    go("three");
    assert_eq!(receive(&socket).1, "taskmasterd: web three");
    daemon.wait_content(daemon.child_log("web_0_out.log"), "one\ntwo\nthree\n");
    daemon.close();
}

#[test]
fn the_daemons_own_log_can_go_to_the_system_log() {
    let Some((sandbox, socket, words)) = with_syslog() else {
        return;
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let daemon = Daemon::builder()
        .via(&words)
        .bare()
        .called_as("supervisord")
        .config(
            "[unix_http_server]\nfile=$DIR/run/tm.sock\n[supervisorctl]\nserverurl=unix://$DIR/run/tm.sock\n\
             [supervisord]\nlogfile=syslog\nchildlogdir=$DIR/log\n[program:web]\ncommand=sleep 1000\nstartsecs=0\n",
        )
        .start_in(sandbox);
    let mut heard = Vec::new();
    wait::for_condition("the start in the system log", || {
        let (priority, text) = receive(&socket);
        assert_eq!(priority, "<14>");
        let line = text.strip_prefix("supervisord: ").unwrap().to_owned();
        // Time and level as in the file.
        assert_eq!(line.as_bytes()[19], b',', "{line}");
        heard.push(line[24..].to_owned());
        heard
            .iter()
            .any(|line| line.starts_with("INFO success: web"))
    });
    assert!(heard[0].starts_with("INFO supervisord"), "{heard:?}");
    daemon.ctl("maintail").mentions("ERROR");
    daemon.ctl("stop web").code(0);
    drop(daemon);
}
