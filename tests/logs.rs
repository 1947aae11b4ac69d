//! What becomes of the programs' output.

use crate::harness::{Daemon, Sandbox, proc, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;

fn size(path: &std::path::Path) -> Option<u64> {
    fs::metadata(path).ok().map(|file| file.len())
}

/// The zoo's numbered lines, 100 bytes each.
fn lines(from: usize, to: usize) -> String {
    (from..=to)
        .map(|number| format!("{number:099}\n"))
        .collect()
}

#[test]
fn rotation_keeps_size_and_order() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO lines web 45 100\nautostart=true\nstartsecs=0\n\
         stdout_logfile=$DIR/log/web.log\nstdout_logfile_maxbytes=1000\nstdout_logfile_backups=2\n\
         [program.none]\ncommand=$ZOO lines none 25 100\nautostart=true\nstartsecs=0\n\
         stdout_logfile=$DIR/log/none.log\nstdout_logfile_maxbytes=1000\nstdout_logfile_backups=0\n\
         [program.endless]\ncommand=$ZOO lines endless 25 100\nautostart=true\nstartsecs=0\n\
         stdout_logfile=$DIR/log/endless.log\nstdout_logfile_maxbytes=0\n",
    );
    let log = |name: &str| daemon.sandbox.path("log").join(name);
    for name in ["web", "none", "endless"] {
        daemon.sandbox.wait_mark(name, "said");
    }
    // The newest backup is `.1`; 45 lines fill four files and a half, of which three are kept.
    daemon.wait_content(log("web.log"), &lines(41, 45));
    daemon.wait_content(log("web.log.1"), &lines(31, 40));
    daemon.wait_content(log("web.log.2"), &lines(21, 30));
    assert!(!log("web.log.3").exists());
    daemon.wait_content(log("none.log"), &lines(21, 25));
    assert!(!log("none.log.1").exists());
    daemon.wait_content(log("endless.log"), &lines(1, 25));
    assert!(!log("endless.log.1").exists());
    daemon.close();
}

#[test]
fn a_burst_is_rotated_without_loss() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=/bin/sh -c 'head -c 3000000 $OUT/source; exec sleep 1000'\nstartsecs=0\n\
         stdout_logfile=$DIR/log/web.log\nstdout_logfile_maxbytes=500000\nstdout_logfile_backups=9\n",
    );
    // Bytes of every value, without a pattern of a power of two.
    let source: Vec<u8> = (0..3_000_000_u32)
        .map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[1])
        .collect();
    fs::write(daemon.sandbox.path("out/source"), &source).unwrap();
    daemon.ctl("start web").code(0);
    let parts = || {
        let mut parts = Vec::new();
        for number in (1..=9).rev() {
            let path = daemon.sandbox.path(format!("log/web.log.{number}"));
            parts.extend(fs::read(path).ok());
        }
        parts.extend(fs::read(daemon.sandbox.path("log/web.log")).ok());
        parts
    };
    wait::for_condition("all bytes", || {
        parts().iter().map(Vec::len).sum::<usize>() == source.len()
    });
    let parts = parts();
    // Six of the limit's size, or a little larger.
    assert!((6..=7).contains(&parts.len()), "{} files", parts.len());
    for part in &parts {
        assert!(part.len() <= 500_000 + 65_536, "{} bytes", part.len());
    }
    assert!(parts.concat() == source, "order or content differs");
    daemon.close();
}

#[test]
fn names_of_log_files() {
    let daemon = Daemon::with(
        "[program.auto]\ncommand=$ZOO both auto\nautostart=true\nstartsecs=0\n\
         [program.pair]\ncommand=$ZOO both pair\nautostart=true\nstartsecs=0\nnumprocs=2\n\
         [program.multi]\ncommand=$ZOO both multi\nautostart=true\nstartsecs=0\nnumprocs=2\n\
         stdout_logfile=$DIR/log/multi.out\nstderr_logfile=$DIR/log/multi.err\n\
         [program.num]\ncommand=$ZOO both num\nautostart=true\nstartsecs=0\nnumprocs=2\n\
         stdout_logfile=$DIR/log/num-%(process_num)02d.out\nstderr_logfile=NONE\n\
         [program.single]\ncommand=$ZOO both single\nautostart=true\nstartsecs=0\n\
         stdout_logfile=$DIR/log/single.out\nstderr_logfile=none\n\
         [program:colon]\ncommand=$ZOO both colon\nstartsecs=0\n",
    );
    let (out, err) = ("out1\nout2\n", "err1\nerr2\n");
    for (name, text) in [
        ("log/child/auto_0_out.log", out),
        ("log/child/auto_0_err.log", err),
        ("log/child/pair_0_out.log", out),
        ("log/child/pair_1_err.log", err),
        ("log/child/colon_0_out.log", out),
        ("log/child/colon_0_err.log", err),
        ("log/multi.out0", out),
        ("log/multi.out1", out),
        ("log/multi.err0", err),
        ("log/num-00.out", out),
        ("log/num-01.out", out),
        ("log/single.out", out),
    ] {
        daemon.wait_content(daemon.sandbox.path(name), text);
    }
    let mut found: Vec<_> = ["log", "log/child"]
        .iter()
        .flat_map(|directory| fs::read_dir(daemon.sandbox.path(directory)).unwrap())
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name.contains("single") || name.contains("num") || name.contains("multi"))
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "multi.err0",
            "multi.err1",
            "multi.out0",
            "multi.out1",
            "num-00.out",
            "num-01.out",
            "single.out"
        ]
    );
    daemon.close();
}

#[test]
fn the_directory_of_auto_logs_is_made_where_its_parent_exists() {
    use std::os::unix::fs::PermissionsExt;
    let daemon =
        Daemon::with("[program.web]\ncommand=$ZOO both web\nautostart=true\nstartsecs=0\n");
    daemon.wait_content(daemon.child_log("web_0_out.log"), "out1\nout2\n");
    let mode = fs::metadata(daemon.sandbox.path("log/child"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o750, "{mode:o}");
    let mode = fs::metadata(daemon.child_log("web_0_out.log"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o022, 0, "{mode:o}");
    daemon.close();
}

#[test]
fn redirected_standard_error_keeps_the_order() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=/bin/sh -c 'n=0; while [ $n -lt 100 ]; do echo o$n; echo e$n >&2; n=$((n+1)); done; exec sleep 1000'\n\
         autostart=true\nstartsecs=0\nredirect_stderr=true\n",
    );
    let expected: String = (0..100)
        .map(|number| format!("o{number}\ne{number}\n"))
        .collect();
    daemon.wait_content(daemon.child_log("web_0_out.log"), &expected);
    assert!(!daemon.child_log("web_0_err.log").exists());
    daemon.close();
}

#[test]
fn usr2_reopens_what_was_moved_away() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO echo-on web one two\nautostart=true\nstartsecs=0\nstdout_logfile=$DIR/log/web.log\n",
    );
    let path = |name: &str| daemon.sandbox.path("log").join(name);
    daemon.sandbox.write("out/one.go", "");
    daemon.wait_content(path("web.log"), "one\n");
    fs::rename(path("web.log"), path("web.old")).unwrap();
    fs::rename(path("taskmaster.log"), path("taskmaster.old")).unwrap();
    daemon.signal(Signal::SIGUSR2);
    wait::for_condition("new files", || {
        path("web.log").exists() && path("taskmaster.log").exists()
    });
    daemon.sandbox.write("out/two.go", "");
    daemon.wait_content(path("web.log"), "two\n");
    daemon.wait_content(path("web.old"), "one\n");
    // The daemon's own log goes on in its new file.
    daemon.ctl("restart web").code(0);
    daemon.wait_log("spawned: 'web'");
    daemon.close();
}

#[test]
fn a_deleted_or_moved_file_is_noticed() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO lines web 100000 20\nautostart=true\nstartsecs=0\nstdout_logfile=$DIR/log/web.log\n",
    );
    let log = daemon.sandbox.path("log/web.log");
    let begun = || wait::for_condition("output", || size(&log).is_some_and(|bytes| bytes > 0));
    begun();
    let moved = daemon.sandbox.path("log/moved.log");
    fs::rename(&log, &moved).unwrap();
    begun();
    // Nothing is lost on the way: the next file begins where the moved one ends.
    let first = fs::read_to_string(&moved).unwrap();
    let second = fs::read_to_string(&log).unwrap();
    let number = |line: Option<&str>| line.unwrap().parse::<u32>().unwrap();
    assert_eq!(
        number(first.lines().last()) + 1,
        number(second.lines().next())
    );
    fs::remove_file(&log).unwrap();
    begun();
    daemon.ctl("stop web").code(0);
    daemon.close();
}

#[test]
fn a_grandchild_that_holds_the_pipe_delays_nothing_and_is_heard() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO late web\nautostart=true\nstartsecs=0\nautorestart=false\n",
    );
    // The state follows the leader, not the pipe.
    daemon.wait_state("web", "EXITED");
    daemon.wait_log("exited: web (exit status 0; expected)");
    let log = daemon.child_log("web_0_out.log");
    daemon.wait_content(&log, "early\n");
    daemon.sandbox.write("out/late.go", "");
    daemon.sandbox.wait_mark("web", "said-late");
    daemon.wait_content(&log, "early\nlate\n");
    daemon.close();
}

#[test]
fn last_words_without_a_newline_are_kept_and_lives_follow_each_other() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=/bin/sh -c 'printf last-words'\nstartsecs=0\nautorestart=false\n",
    );
    let log = daemon.child_log("web_0_out.log");
    for round in 1..=3 {
        daemon.ctl("start web").code(0);
        daemon.wait_state("web", "EXITED");
        daemon.wait_content(&log, &"last-words".repeat(round));
    }
    daemon.close();
}

#[test]
fn none_discards_and_disturbs_nobody() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO lines web 5 100\nautostart=true\nstartsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n",
    );
    daemon.sandbox.wait_mark("web", "said");
    assert_eq!(daemon.state("web"), "RUNNING");
    let row = daemon.row("web");
    assert_eq!((row.stdout_log.path, row.stderr_log.path), (None, None));
    assert_eq!(size(&daemon.child_log("web_0_out.log")), None);
    daemon.close();
}

#[test]
fn a_program_that_closes_its_output_lives_on_and_costs_nothing() {
    let daemon =
        Daemon::with("[program.web]\ncommand=$ZOO quiet web\nautostart=true\nstartsecs=0\n");
    daemon.sandbox.wait_mark("web", "ready");
    daemon.rows();
    let before = proc::wakeups(daemon.process());
    wait::holds("RUNNING", Duration::from_millis(500), || {
        proc::is_alive(daemon.process())
    });
    // A loop over the end of file would make thousands.
    let wakeups = proc::wakeups(daemon.process()) - before;
    assert!(wakeups < 20, "{wakeups} wake-ups in half a second");
    assert_eq!(daemon.state("web"), "RUNNING");
    daemon.close();
}

#[test]
fn a_flood_stays_within_its_limits_and_stalls_nobody() {
    let daemon = Daemon::with(
        "[program.flood]\ncommand=$ZOO flood flood\nautostart=true\nstartsecs=0\n\
         stdout_logfile=$DIR/log/flood.log\nstdout_logfile_maxbytes=1MB\nstdout_logfile_backups=1\n\
         [program.web]\ncommand=sleep 1000\nstartsecs=0\n",
    );
    wait::for_condition("a rotation", || {
        daemon.sandbox.path("log/flood.log.1").exists()
    });
    for _ in 0..5 {
        wait::quickly("a status", Duration::from_secs(1), 2, || daemon.rows());
        daemon.ctl("start web").code(0);
        daemon.ctl("stop web").code(0);
        let limit = (1 << 20) + 65_536;
        for name in ["log/flood.log", "log/flood.log.1"] {
            let bytes = size(&daemon.sandbox.path(name)).unwrap_or(0);
            assert!(bytes <= limit, "{name} has {bytes} bytes");
        }
        assert!(!daemon.sandbox.path("log/flood.log.2").exists());
    }
    daemon.ctl("stop flood").code(0);
    daemon.close();
}

#[test]
fn a_disk_that_is_full_stops_no_program_and_is_counted() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=$ZOO lines web 5 100\nautostart=true\nstartsecs=0\n\
         stdout_logfile=/dev/full\nstdout_logfile_maxbytes=0\n",
    );
    daemon.sandbox.wait_mark("web", "said");
    assert_eq!(daemon.state("web"), "RUNNING");
    wait::for_condition("lost bytes to be counted", || {
        daemon.row("web").stdout_log.lost > 0
    });
    assert_eq!(
        daemon.row("web").stdout_log.errno,
        Some(nix::errno::Errno::ENOSPC as i32)
    );
    daemon.close();
}

#[test]
fn the_daemons_own_log_is_rotated() {
    let daemon = Daemon::builder()
        .daemon_keys("logfile_maxbytes=2000\nlogfile_backups=2\n")
        .config("[program.web]\ncommand=sleep 1000\nstartsecs=0\n")
        .start();
    wait::for_condition("two backups", || {
        daemon.ctl("restart web").code(0);
        daemon.sandbox.path("log/taskmaster.log.2").exists()
    });
    for name in ["taskmaster.log", "taskmaster.log.1", "taskmaster.log.2"] {
        // The last rotation may be under way.
        let path = daemon.sandbox.path("log").join(name);
        let bytes = wait::until(name, || size(&path));
        // A line may straddle the limit, not more.
        assert!(bytes <= 2200, "{name} has {bytes} bytes");
    }
    daemon.close();
}

#[test]
fn lines_of_the_daemons_log_have_time_and_level() {
    let daemon =
        Daemon::with("[program.web]\ncommand=/nonexistent/x\nautostart=true\nstartretries=0\n");
    daemon.wait_log("gave up: web");
    for line in daemon.log().lines() {
        // 2026-01-31 23:59:59,123 INFO text
        let (stamp, rest) = line
            .split_at_checked(23)
            .unwrap_or_else(|| panic!("{line}"));
        let shape: String = stamp
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "0000-00-00 00:00:00,000", "{line}");
        let level = rest.split_whitespace().next().unwrap_or_default();
        assert!(
            ["CRIT", "ERRO", "WARN", "INFO", "DEBG", "TRAC", "BLAT"].contains(&level),
            "{line}"
        );
    }
    daemon.close();
}

#[test]
fn strip_ansi_removes_escape_sequences() {
    let daemon = Daemon::builder()
        .arg("-t")
        .config("[program.web]\ncommand=/bin/sh -c 'printf \"\\\\033[31mred\\\\033[0m plain\\\\n\"; exec sleep 1000'\nautostart=true\nstartsecs=0\n")
        .start();
    daemon.wait_content(daemon.child_log("web_0_out.log"), "red plain\n");
    daemon.close();
}

#[test]
fn auto_logs_live_on_across_restarts_of_the_daemon_with_nocleanup_and_of_programs() {
    let mut daemon = Daemon::builder()
        .arg("-k")
        .config("[program.web]\ncommand=$ZOO say web word\nautostart=true\nstartsecs=0\n")
        .start();
    let log = daemon.child_log("web_0_out.log");
    daemon.wait_content(&log, "word\n");
    daemon.ctl("restart web").code(0);
    daemon.wait_content(&log, "word\nword\n");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(), 0);
    daemon.launch();
    daemon.wait_content(&log, "word\nword\nword\n");
    daemon.close();
}

#[test]
fn input_of_a_program_is_not_the_daemons() {
    let daemon =
        Daemon::with("[program.web]\ncommand=$ZOO read web\nautostart=true\nstartsecs=0\n");
    daemon.sandbox.wait_mark("web", "ready");
    assert!(kill(Pid::from_raw(daemon.pid("web")), None).is_ok());
    let target = fs::read_link(format!("/proc/{}/fd/0", daemon.pid("web"))).unwrap();
    let own = fs::read_link(format!("/proc/{}/fd/0", daemon.process())).unwrap();
    assert!(
        target != own || own == std::path::Path::new("/dev/null"),
        "{}",
        target.display()
    );
    daemon.close();
}

#[test]
fn logs_of_programs_that_are_gone_are_removed_at_the_start_unless_told_not_to() {
    for (flag, kept) in [(None, false), (Some("-k"), true)] {
        let sandbox = Sandbox::new();
        fs::create_dir_all(sandbox.path("log/child")).unwrap();
        for name in [
            "gone_0_out.log",
            "gone_0_err.log.2",
            "web_0_out.log.1",
            "notes.txt",
        ] {
            sandbox.write(&format!("log/child/{name}"), "kept?\n");
        }
        let mut builder = Daemon::builder()
            .config("[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n");
        if let Some(flag) = flag {
            builder = builder.arg(flag);
        }
        let daemon = builder.start_in(sandbox);
        daemon.wait_state("web", "RUNNING");
        let exists = |name: &str| daemon.sandbox.path("log/child").join(name).exists();
        assert_eq!(exists("gone_0_out.log"), kept);
        assert_eq!(exists("gone_0_err.log.2"), kept);
        assert!(exists("web_0_out.log.1") && exists("notes.txt"));
        assert_eq!(
            daemon.count_log("its program is no longer configured"),
            if kept { 0 } else { 2 }
        );
        daemon.close();
    }
}

#[test]
fn nothing_is_removed_from_a_directory_that_everybody_may_write_to() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("log/child")).unwrap();
    sandbox.set_mode("log/child", 0o1777);
    let leftover = sandbox.write("log/child/gone_0_out.log", "kept\n");
    let daemon = Daemon::builder().start_in(sandbox);
    assert!(leftover.exists());
    daemon.close();
}

#[test]
fn a_stranger_who_locks_the_directory_of_the_logs_does_not_hold_up_the_start() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("log/child")).unwrap();
    let leftover = sandbox.write("log/child/gone_0_out.log", "kept\n");
    let held = fs::File::open(sandbox.path("log/child")).unwrap();
    held.lock().unwrap();
    let daemon = Daemon::builder().start_in(sandbox);
    assert!(leftover.exists());
    drop(held);
    daemon.close();
}
