//! C15 to C17 and X19: what programs write, however much and whatever it is.

use super::closing::Scene;
use crate::harness::{proc, wait};
use rexpect::session::{Options, spawn_with_options};
use std::fs;

#[test]
fn a_line_without_an_end_costs_no_memory() {
    let scene = Scene::with(
        "[program.web]\ncommand=/bin/sh -c 'head -c 60000000 /dev/zero | tr \"\\\\0\" x; echo; echo end; exec sleep 1000'\n\
         startsecs=0\nstdout_logfile=$DIR/log/web.log\nstdout_logfile_maxbytes=2MB\nstdout_logfile_backups=1\nstrip_ansi=true\n",
    );
    let follower = scene
        .console("tail -f web")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    scene.ctl("start web").code(0);
    let log = scene.sandbox.path("log/web.log");
    let mut largest = 0;
    wait::for_condition("the end of the line", || {
        largest = largest.max(proc::resident_kib(scene.process()));
        fs::read(&log)
            .is_ok_and(|bytes| bytes.ends_with(b"x\nend\n") || bytes.ends_with(b"\nend\n"))
    });
    assert!(largest < 64 * 1024, "{largest} KiB");
    assert_eq!(scene.row("web").stdout_log.lost, 0);
    let mut follower = follower;
    follower.kill().unwrap();
    follower.wait().unwrap();
    scene.close();
}

#[test]
fn bytes_that_steer_terminals_are_kept_in_files_and_shown_harmlessly() {
    // A title, a cleared screen, a clipboard, single-byte controls, text that runs backwards, a carriage return.
    let hostile =
        b"\x1b]0;owned\x07\x1b[2J\x1b]52;c;AAAA\x07\xc2\x9b31m\xe2\x80\xae\r\x08\xff\x00end\n";
    let scene = Scene::with(
        "[program.web]\ncommand=/bin/sh -c 'cat $OUT/hostile; exec sleep 1000'\nstartsecs=0\n\
         [program.bad]\ncommand=$OUT/no-such-tool\nstartretries=0\n",
    );
    fs::write(scene.sandbox.path("out/hostile"), hostile).unwrap();
    scene.ctl("start web").code(0);
    let log = scene.child_log("web_0_out.log");
    wait::for_condition("the bytes as they are", || {
        fs::read(&log).is_ok_and(|bytes| bytes == hostile)
    });
    for words in ["tail web", "tail -n 5 web", "why web"] {
        let mut command = scene.console(words);
        command.env("TERM", "xterm").env("NO_COLOR", "1");
        let timeout = u64::try_from(wait::patience().as_millis()).unwrap();
        let mut session =
            spawn_with_options(command, Options::new().timeout_ms(Some(timeout))).unwrap();
        let shown = session.exp_eof().unwrap();
        let steering = |c: char| {
            (c.is_control() && !['\n', '\r', '\t'].contains(&c))
                || ('\u{202a}'..='\u{202e}').contains(&c)
        };
        assert!(!shown.contains(steering), "{words}: {shown:?}");
        // The carriage return of the program is shown as well, not carried out.
        assert!(
            !shown.replace("\r\n", "\n").contains('\r'),
            "{words}: {shown:?}"
        );
        if words.starts_with("tail") {
            assert!(shown.contains("end"), "{words}: {shown:?}");
        }
    }
    // Into a pipe they go as they are.
    let said = scene.console("tail web").output().unwrap();
    assert!(
        said.stdout.windows(4).any(|part| part == b"\x1b[2J"),
        "{said:?}"
    );
    scene.close();
}
