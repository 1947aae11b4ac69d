//! `pid`, `avail`, `version`.

use crate::harness::Daemon;

#[test]
fn pid_without_a_name_is_the_daemons() {
    let daemon = Daemon::with("");
    daemon.ctl("pid").is(0, &format!("{}\n", daemon.process()));
    daemon.close();
}

#[test]
fn pids_of_programs() {
    let daemon = Daemon::with(
        "[program.a]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n\
         [program.b]\ncommand=sleep 1000\n\
         [program.c]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\nnumprocs=2\n",
    );
    daemon.wait_state("a", "RUNNING");
    daemon.wait_state("c:1", "RUNNING");
    let [a, c0, c1] = ["a", "c:0", "c:1"].map(|name| daemon.pid(name));
    daemon.ctl("pid a").is(0, &format!("{a}\n"));
    daemon
        .ctl("pid all")
        .is(0, &format!("{a}\n0\n{c0}\n{c1}\n"));
    daemon.ctl("pid c").is(0, &format!("{c0}\n{c1}\n"));
    daemon.ctl("pid c:*").is(0, &format!("{c0}\n{c1}\n"));
    daemon.ctl("pid c:1 a").is(0, &format!("{c1}\n{a}\n"));
    daemon.ctl("pid b").is(7, "0\n");
    daemon.ctl("pid nosuch").is(1, "No such process nosuch\n");
    // The last failure decides.
    daemon
        .ctl("pid nosuch b")
        .is(7, "No such process nosuch\n0\n");
    daemon.ctl("pid b nosuch a").code(1);
    daemon.close();
}

#[test]
fn avail_lists_what_is_configured() {
    let daemon = Daemon::with(
        "[program.web]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\npriority=5\n\
         [program.cron]\ncommand=sleep 1000\n\
         [program.db]\ncommand=sleep 1000\npriority=20\nautostart=true\nstartsecs=0\n\
         [group.site]\nprograms=db\npriority=7\n",
    );
    daemon.ctl("avail").is(
        0,
        "cron                             in use    manual    999:999\n\
         site:db                          in use    auto      7:20\n\
         web                              in use    auto      5:5\n",
    );
    daemon.edit_config(
        "[program.cron]\ncommand=sleep 1000\n[program.new]\ncommand=sleep 1000\nautostart=true\nstartsecs=0\n",
    );
    daemon.ctl("reread").code(0);
    daemon.ctl("avail").is(
        0,
        "cron                             in use    manual    999:999\n\
         new                              avail     auto      999:999\n",
    );
    daemon
        .ctl("avail x")
        .begins(1, "Error: avail accepts no arguments\n");
    daemon.close();
}

#[test]
fn version_is_the_daemons_alone() {
    let daemon = Daemon::with("");
    daemon
        .ctl("version")
        .is(0, &format!("{}\n", env!("CARGO_PKG_VERSION")));
    daemon
        .ctl("version x")
        .begins(1, "Error: version accepts no arguments\n");
    daemon.close();
}
