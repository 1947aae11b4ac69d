//! Results come in the order in which they were asked for.

use crate::harness::{Client, Daemon};
use taskmaster::wire::{Outcome, Request, Response};

const THREE: &str = "[program.a]\ncommand=sleep 1000\nstartsecs=1\n\
                     [program.b]\ncommand=sleep 1000\nstartsecs=0\n\
                     [program.c]\ncommand=$ZOO exit c 1\nstartsecs=600\nstartretries=0\n";

#[test]
fn start_and_stop() {
    let daemon = Daemon::with(THREE);
    // `b` is up at once, `c` fails at once, `a` takes a second.
    daemon.ctl("start a c b nosuch").is(
        1,
        "a: started\nc: ERROR (spawn error)\nb: started\nnosuch: ERROR (no such process)\n",
    );
    daemon.ctl("stop nosuch b a").is(
        1,
        "nosuch: ERROR (no such process)\nb: stopped\na: stopped\n",
    );
    daemon.close();
}

#[test]
fn all_and_groups_are_sorted() {
    let daemon = Daemon::with(&format!("{THREE}[group.g]\nprograms=c,b,a\n"));
    daemon
        .ctl("start g:*")
        .is(7, "g:a: started\ng:b: started\ng:c: ERROR (spawn error)\n");
    daemon.ctl("stop all").is(0, "g:a: stopped\ng:b: stopped\n");
    daemon.close();
}

#[test]
fn a_target_that_is_named_twice_is_answered_twice() {
    let daemon = Daemon::with(THREE);
    for (words, done, idle) in [
        ("start b b", "b: started\n", "b: ERROR (already started)\n"),
        ("stop b b", "b: stopped\n", "b: ERROR (not running)\n"),
    ] {
        // The second may join the first or come after it; both answers are true.
        let said = daemon.ctl(words);
        said.code(0);
        assert!(
            [format!("{done}{done}"), format!("{done}{idle}")].contains(&said.stdout),
            "{said:?}"
        );
    }
    daemon.close();
}

#[test]
fn replies_of_one_connection_name_their_requests() {
    let daemon = Daemon::with(&format!(
        "{THREE}[program.d]\ncommand=sleep 1000\nstartsecs=600\n"
    ));
    let mut client = daemon.client();
    let slow = client
        .send(Request::Start {
            targets: vec!["a".to_owned()],
            wait: true,
        })
        .unwrap();
    let quick = client.send(Request::Version).unwrap();
    let mut answers = std::collections::BTreeMap::new();
    while answers.len() < 2 {
        if let taskmaster::wire::ServerFrame::Reply { id, response } = client.receive().unwrap() {
            answers.insert(id, response);
        }
    }
    assert_eq!(
        answers[&quick],
        Response::Version(env!("CARGO_PKG_VERSION").to_owned())
    );
    let Response::Results(results) = &answers[&slow] else {
        panic!("{answers:?}");
    };
    assert_eq!(results.len(), 1);
    assert_eq!(
        (results[0].name.as_str(), &results[0].outcome),
        ("a", &Outcome::Started)
    );
    drop(client);
    // Without waiting the answer comes as soon as the process is asked for.
    let mut client = Client::connect(&daemon.sandbox.socket_path()).unwrap();
    let response = client
        .ask(Request::Start {
            targets: vec!["d".to_owned()],
            wait: false,
        })
        .unwrap();
    assert!(matches!(response, Response::Results(_)), "{response:?}");
    assert_eq!(daemon.state("d"), "STARTING");
    daemon.close();
}
