//! Pools as a whole: who gets what, what comes back, and that nothing is lost without being told.

use super::{Effect, Event, Events, ListenerState, Note};
use crate::config::model::{PayloadLength, PoolSettings};
use crate::types::{EventType, GroupName, Monotonic, ProcessKey, ProcessName};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn pool(events: &[EventType], buffer_size: usize) -> PoolSettings {
    PoolSettings {
        events: events.to_vec(),
        buffer_size,
        length: PayloadLength::Bytes,
    }
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

fn key(name: &str) -> ProcessKey {
    let (pool, process) = name.split_once(':').unwrap_or((name, name));
    ProcessKey {
        group: group(pool),
        process: ProcessName::new(process).unwrap(),
    }
}

fn at(millis: u64) -> Monotonic {
    Monotonic::default().after(Duration::from_millis(millis))
}

/// Pools of these names, each of which listens to remote communication.
fn events(pools: &[(&str, usize)]) -> Events {
    let mut events = Events::new("test".to_owned());
    for (name, buffer_size) in pools {
        let settings = pool(&[EventType::RemoteCommunication], *buffer_size);
        assert_eq!(events.set_pool(at(0), &group(name), &settings), []);
    }
    events
}

/// Effects as words: what a header says of whom it goes to, and the notes.
fn words(effects: &[Effect]) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::Deliver { listener, data } => {
            let text = String::from_utf8(data.clone()).unwrap();
            let fields: BTreeMap<&str, &str> = text
                .lines()
                .next()
                .unwrap()
                .split(' ')
                .filter_map(|field| field.split_once(':'))
                .collect();
            format!(
                "{listener} <- {}/{} {}",
                fields["serial"], fields["poolserial"], fields["eventname"]
            )
        }
        Effect::Note(note) => match note {
            Note::Stepped { listener, from, to } => format!("{listener} {from} {to}"),
            Note::Lost { listener } => format!("{listener} lost"),
            Note::BadLine { listener, line } => format!("{listener} bad {line}"),
            Note::Processed { listener } => format!("{listener} processed"),
            Note::Rejected { listener } => format!("{listener} rejected"),
            Note::Sent { listener, serial } => format!("{listener} sent {serial}"),
            Note::Deaf { listener, serial } => format!("{listener} deaf {serial}"),
            Note::Requeued {
                pool,
                serial,
                waiting,
                buffer_size,
            } => format!("{pool} requeued {serial} ({waiting}/{buffer_size})"),
            Note::Discarded { pool, serial } => format!("{pool} discarded {serial}"),
        },
    };
    effects.iter().map(word).collect()
}

/// A listener with a process that counts as started and has said that it takes an event.
fn ready(events: &mut Events, name: &str) -> Vec<String> {
    let key = key(name);
    let mut effects = events.spawned(at(0), &key);
    effects.extend(events.running(at(0), &key, true));
    effects.extend(events.heard(at(0), &key, b"READY\n"));
    words(&effects)
}

fn remote(events: &mut Events) -> Vec<String> {
    words(&events.publish(at(0), Event::remote("t", "d")))
}

#[test]
fn an_event_waits_for_a_listener_that_is_ready_and_counts_as_started() {
    let mut events = events(&[("l", 10)]);
    let key = key("l");
    assert_eq!(remote(&mut events), [""; 0]);
    assert_eq!(words(&events.spawned(at(0), &key)), [""; 0]);
    let said = words(&events.heard(at(0), &key, b"READY\n"));
    assert_eq!(said, ["l ACKNOWLEDGED READY"]);
    let sent = ["l <- 0/0 REMOTE_COMMUNICATION", "l sent 0"];
    assert_eq!(words(&events.running(at(0), &key, true)), sent);
    let view = events.view(&key).unwrap();
    assert_eq!((view.state, view.waiting), (Some(ListenerState::Busy), 0));
    assert_eq!(remote(&mut events), [""; 0]);
    assert_eq!(
        words(&events.heard(at(0), &key, b"RESULT 2\nOKREADY\n")),
        [
            "l processed",
            "l BUSY ACKNOWLEDGED",
            "l ACKNOWLEDGED READY",
            "l <- 1/1 REMOTE_COMMUNICATION",
            "l sent 1"
        ]
    );
}

#[test]
fn a_pool_gets_what_it_subscribed_to_as_often_as_it_did() {
    use EventType::{ProcessGroup, ProcessGroupAdded, Tick60};
    let mut events = Events::new("test".to_owned());
    let family = pool(&[ProcessGroup, ProcessGroupAdded], 10);
    events.set_pool(at(0), &group("a"), &family);
    events.set_pool(at(0), &group("b"), &pool(&[ProcessGroupAdded], 10));
    let waiting = |events: &Events| ["a", "b"].map(|name| events.view(&key(name)).unwrap().waiting);
    for (event, expected) in [
        (Event::running(), [0, 0]),
        (Event::group("g", true), [2, 1]),
        (Event::group("g", false), [3, 1]),
        (Event::tick(Tick60, 60), [3, 1]),
    ] {
        events.publish(at(0), event);
        assert_eq!(waiting(&events), expected);
    }
    // What nobody listens to has no number.
    ready(&mut events, "b");
    events.publish(at(0), Event::group("g", true));
    let next = words(&events.heard(at(0), &key("b"), b"RESULT 2\nOKREADY\n"));
    assert!(
        next.contains(&"b <- 2/1 PROCESS_GROUP_ADDED".to_owned()),
        "{next:?}"
    );
    // Both deliveries have one number.
    let first = ready(&mut events, "a");
    let second = words(&events.heard(at(0), &key("a"), b"RESULT 2\nOKREADY\n"));
    let sent = "a <- 0/0 PROCESS_GROUP_ADDED".to_owned();
    assert!(
        first.contains(&sent) && second.contains(&sent),
        "{first:?} {second:?}"
    );
    assert!(events.anybody_listens_to(ProcessGroupAdded));
    assert!(!events.anybody_listens_to(Tick60));
}

#[test]
fn the_first_free_listener_gets_the_event() {
    let mut events = events(&[("l", 10)]);
    for name in ["l:0", "l:1", "l:2"] {
        ready(&mut events, name);
    }
    for name in ["l:0", "l:1", "l:2"] {
        let sent = remote(&mut events);
        assert!(sent[0].starts_with(&format!("{name} <-")), "{sent:?}");
    }
    assert_eq!(remote(&mut events), [""; 0]);
    let again = words(&events.heard(at(0), &key("l:1"), b"RESULT 2\nOKREADY\n"));
    assert_eq!(again.last().unwrap(), "l:1 sent 3");
}

#[test]
fn an_event_that_comes_back_is_the_next_one() {
    for (what, comes_back) in [
        ("died", vec!["l requeued 0 (1/10)"]),
        (
            "rejected",
            vec![
                "l:a rejected",
                "l requeued 0 (1/10)",
                "l:a BUSY ACKNOWLEDGED",
            ],
        ),
        (
            "broke the protocol",
            vec![
                "l:a bad what?",
                "l requeued 0 (1/10)",
                "l:a BUSY UNKNOWN",
                "l:a lost",
            ],
        ),
        (
            "closed its input",
            vec!["l:a deaf 0", "l requeued 0 (1/10)"],
        ),
    ] {
        let mut events = events(&[("l", 10)]);
        ready(&mut events, "l:a");
        remote(&mut events);
        remote(&mut events);
        let key = key("l:a");
        let effects = match what {
            "died" => events.ended(at(0), &key),
            "rejected" => events.heard(at(0), &key, b"RESULT 4\nFAIL"),
            "broke the protocol" => events.heard(at(0), &key, b"what?\n"),
            _ => events.undelivered(at(0), &key),
        };
        assert_eq!(words(&effects), comes_back, "{what}");
        let other = ready(&mut events, "l:b");
        assert_eq!(other.last().unwrap(), "l:b sent 0", "{what}");
        let next = words(&events.heard(at(0), &self::key("l:b"), b"RESULT 2\nOKREADY\n"));
        assert_eq!(next.last().unwrap(), "l:b sent 1", "{what}");
    }
}

#[test]
fn a_listener_that_broke_the_protocol_gets_nothing_until_it_has_another_process() {
    let mut events = events(&[("l", 10)]);
    ready(&mut events, "l");
    let lost = words(&events.heard(at(0), &key("l"), b"hello"));
    assert_eq!(lost, ["l READY UNKNOWN", "l lost"]);
    assert_eq!(remote(&mut events), [""; 0]);
    assert_eq!(events.heard(at(0), &key("l"), b"READY\n"), []);
    assert_eq!(events.ended(at(0), &key("l")), []);
    assert_eq!(ready(&mut events, "l").last().unwrap(), "l sent 0");
}

#[test]
fn the_oldest_is_discarded_counted_and_told_when_too_many_wait() {
    let mut events = events(&[("l", 2)]);
    ready(&mut events, "l");
    for _ in 0..3 {
        remote(&mut events);
    }
    assert_eq!(remote(&mut events), ["l discarded 1"]);
    // One that comes back to a full buffer pushes the oldest out as well.
    assert_eq!(
        words(&events.ended(at(0), &key("l"))),
        ["l requeued 0 (2/2)", "l discarded 2"]
    );
    let view = events.view(&key("l")).unwrap();
    assert_eq!((view.state, view.waiting, view.discarded), (None, 2, 2));
    // A smaller buffer does the same at once.
    let smaller = pool(&[EventType::RemoteCommunication], 1);
    let effects = events.set_pool(at(0), &group("l"), &smaller);
    assert_eq!(words(&effects), ["l discarded 0"]);
    assert_eq!(ready(&mut events, "l").last().unwrap(), "l sent 3");
}

#[test]
fn a_rejected_event_rests_longer_each_time_and_never_more_than_ten_seconds() {
    let mut events = events(&[("l", 10)]);
    ready(&mut events, "l");
    remote(&mut events);
    remote(&mut events);
    let mut now = 0;
    let mut rests = Vec::new();
    for _ in 0..12 {
        let effects = events.heard(at(now), &key("l"), b"RESULT 4\nFAILREADY\n");
        if let Some(deadline) = events.next_deadline() {
            let rest = u64::try_from(deadline.since(at(now)).as_millis()).unwrap();
            assert!(!words(&effects).contains(&"l sent 0".to_owned()));
            assert_eq!(events.tick(at(now + rest - 1)), []);
            now += rest;
            rests.push(rest);
            assert_eq!(words(&events.tick(at(now))).last().unwrap(), "l sent 0");
        } else {
            assert_eq!(words(&effects).last().unwrap(), "l sent 0");
            rests.push(0);
        }
        assert_eq!(events.next_deadline(), None);
    }
    assert_eq!(
        rests,
        [
            0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000, 10_000
        ]
    );
    assert_eq!(events.view(&key("l")).unwrap().rejected, 12);
    // The one behind it has waited as long, and does not rest.
    let next = words(&events.heard(at(now), &key("l"), b"RESULT 2\nOKREADY\n"));
    assert_eq!(next.last().unwrap(), "l sent 1");
}

#[test]
fn everything_is_heard_when_nothing_waits_for_anybody_who_listens() {
    let mut events = events(&[("l", 10)]);
    assert!(events.everything_is_heard());
    remote(&mut events);
    assert!(events.everything_is_heard(), "nobody will come for it");
    ready(&mut events, "l");
    assert!(!events.everything_is_heard(), "it has the event");
    events.heard(at(0), &key("l"), b"RESULT 2\nOK");
    assert!(events.everything_is_heard());
    remote(&mut events);
    assert!(!events.everything_is_heard(), "it may come for it");
    events.heard(at(0), &key("l"), b"READY\nRESULT 2\nOKREADY\n");
    assert!(events.everything_is_heard());
    events.heard(at(0), &key("l"), b"nonsense");
    remote(&mut events);
    assert!(events.everything_is_heard(), "it listens no more");
}

#[test]
fn a_pool_that_is_removed_listens_no_more() {
    let mut events = events(&[("l", 10)]);
    remote(&mut events);
    events.remove_pool(&group("l"));
    assert_eq!(events.view(&key("l")), None);
    assert_eq!(events.heard(at(0), &key("l"), b"READY\n"), []);
    assert!(!events.anybody_listens_to(EventType::RemoteCommunication));
    let settings = pool(&[EventType::RemoteCommunication], 10);
    events.set_pool(at(0), &group("l"), &settings);
    assert_eq!(ready(&mut events, "l"), ["l ACKNOWLEDGED READY"]);
}

/// The same pools in the next image of the daemon: written down as bytes, and read again.
fn upgraded(events: &Events) -> Events {
    let mut bytes = Vec::new();
    ciborium::into_writer(&events.export(), &mut bytes).unwrap();
    let snapshot = ciborium::from_reader(bytes.as_slice()).unwrap();
    Events::import("test".to_owned(), snapshot)
}

#[test]
fn every_byte_that_a_listener_says_may_be_the_last_one_before_an_upgrade() {
    let mut events = events(&[("l", 10)]);
    ready(&mut events, "l");
    for _ in 0..3 {
        remote(&mut events);
    }
    // Once to the first event, which is rejected, then to all of them.
    let said = b"RESULT 4\nFAILREADY\nRESULT 2\nOKREADY\nRESULT 2\nOKREADY\nRESULT 2\nOKREADY\n";
    let mut told = Vec::new();
    for byte in said {
        events = upgraded(&events);
        told.extend(words(&events.heard(at(0), &key("l"), &[*byte])));
    }
    let interesting: Vec<&str> = told
        .iter()
        .map(String::as_str)
        .filter(|word| !word.contains("ACKNOWLEDGED"))
        .collect();
    assert_eq!(
        interesting,
        [
            "l rejected",
            "l requeued 0 (2/10)",
            "l <- 0/0 REMOTE_COMMUNICATION",
            "l sent 0",
            "l processed",
            "l <- 1/1 REMOTE_COMMUNICATION",
            "l sent 1",
            "l processed",
            "l <- 2/2 REMOTE_COMMUNICATION",
            "l sent 2",
            "l processed",
        ]
    );
    assert_eq!(events.view(&key("l")).unwrap().rejected, 1);
    // The numbers go on, under the name that the daemon has now.
    let mut events = Events::import("other".to_owned(), events.export());
    let effects = events.publish(at(0), Event::remote("t", "d"));
    let Effect::Deliver { data, .. } = &effects[0] else {
        panic!("{effects:?}");
    };
    let header = String::from_utf8_lossy(data);
    assert!(
        header.starts_with("ver:3.0 server:other serial:3 pool:l poolserial:3 "),
        "{header}"
    );
}

#[test]
fn what_is_known_of_a_listener_passes_to_the_next_image() {
    let mut events = events(&[("deaf", 10), ("lost", 10), ("slow", 1)]);
    for name in ["deaf", "lost", "slow"] {
        ready(&mut events, name);
    }
    remote(&mut events);
    events.undelivered(at(0), &key("deaf"));
    events.heard(at(0), &key("lost"), b"what?\n");
    for _ in 0..2 {
        remote(&mut events);
    }
    // One that was rejected twice rests on.
    events.heard(at(0), &key("slow"), b"RESULT 4\nFAILREADY\n");
    events.heard(at(0), &key("slow"), b"RESULT 4\nFAILREADY\n");
    let deadline = events.next_deadline();
    assert!(deadline.is_some());
    let view = |events: &Events| ["deaf", "lost", "slow"].map(|name| events.view(&key(name)));
    let mut after = upgraded(&events);
    assert_eq!(view(&after), view(&events));
    assert_eq!(after.next_deadline(), deadline);
    assert_eq!(after.everything_is_heard(), events.everything_is_heard());
    let later = at(60_000);
    assert_eq!(words(&after.tick(later)), words(&events.tick(later)));
    assert_eq!(words(&after.ended(later, &key("deaf"))), [""; 0]);
    assert_eq!(
        ready(&mut after, "deaf").last().unwrap(),
        "deaf sent 0",
        "what it could not be given still waits for its successor"
    );
}

/// What can happen to a pool with three listeners.
#[derive(Debug, Clone)]
enum Op {
    Publish,
    Spawn(u8),
    Running(u8, bool),
    Say(u8, Vec<u8>),
    Unwritten(u8),
    End(u8),
    Wait(u64),
    Upgrade,
}

fn op() -> impl Strategy<Value = Op> {
    let who = || 0_u8..3;
    let said = prop_oneof![
        8 => Just(b"READY\n".to_vec()),
        8 => Just(b"RESULT 2\nOK".to_vec()),
        4 => Just(b"RESULT 4\nFAIL".to_vec()),
        2 => Just(b"RESULT 2\nOKREADY\n".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..10),
    ];
    prop_oneof![
        6 => Just(Op::Publish),
        2 => who().prop_map(Op::Spawn),
        4 => (who(), prop::bool::weighted(0.8)).prop_map(|(who, up)| Op::Running(who, up)),
        12 => (who(), said).prop_map(|(who, said)| Op::Say(who, said)),
        1 => who().prop_map(Op::Unwritten),
        1 => who().prop_map(Op::End),
        2 => (0_u64..500).prop_map(Op::Wait),
        2 => Just(Op::Upgrade),
    ]
}

/// Follows each event from outside, by the effects alone.
#[derive(Debug, Default)]
struct Ledger {
    published: u64,
    waiting: BTreeSet<u64>,
    with: BTreeMap<ProcessKey, u64>,
    done: BTreeSet<u64>,
    lost: BTreeSet<u64>,
}

impl Ledger {
    fn take(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Note(Note::Sent { listener, serial }) => {
                    assert!(self.waiting.remove(serial), "{serial} did not wait");
                    assert_eq!(self.with.insert(listener.clone(), *serial), None);
                }
                Effect::Note(Note::Processed { listener }) => {
                    let serial = self.with.remove(listener).unwrap();
                    assert!(self.done.insert(serial));
                }
                Effect::Note(Note::Requeued { serial, .. }) => {
                    self.with.retain(|_, has| has != serial);
                    assert!(self.waiting.insert(*serial));
                }
                Effect::Note(Note::Discarded { serial, .. }) => {
                    assert!(self.waiting.remove(serial), "{serial} did not wait");
                    assert!(self.lost.insert(*serial));
                }
                Effect::Deliver { .. }
                | Effect::Note(
                    Note::Stepped { .. }
                    | Note::Lost { .. }
                    | Note::BadLine { .. }
                    | Note::Rejected { .. }
                    | Note::Deaf { .. },
                ) => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_event_is_lost_or_doubled_whatever_listeners_do(
        ops in prop::collection::vec(op(), 1..80),
        buffer_size in 1_usize..5,
    ) {
        let mut events = events(&[("l", buffer_size)]);
        let names = ["l:0", "l:1", "l:2"].map(key);
        let mut ledger = Ledger::default();
        let mut now = 0;
        for op in ops {
            let of = |who: u8| &names[usize::from(who)];
            let effects = match &op {
                Op::Publish => {
                    ledger.waiting.insert(ledger.published);
                    ledger.published += 1;
                    events.publish(at(now), Event::remote("t", "d"))
                }
                Op::Spawn(who) => events.spawned(at(now), of(*who)),
                Op::Running(who, up) => events.running(at(now), of(*who), *up),
                Op::Say(who, said) => events.heard(at(now), of(*who), said),
                Op::Unwritten(who) => events.undelivered(at(now), of(*who)),
                Op::End(who) => events.ended(at(now), of(*who)),
                Op::Wait(millis) => {
                    now += millis;
                    events.tick(at(now))
                }
                Op::Upgrade => {
                    events = upgraded(&events);
                    Vec::new()
                }
            };
            ledger.take(&effects);
            let view = events.view(&names[0]).unwrap();
            prop_assert_eq!(view.waiting, ledger.waiting.len());
            prop_assert!(view.waiting <= buffer_size);
            prop_assert_eq!(view.discarded, ledger.lost.len() as u64);
            let busy = names.iter().filter(|name| {
                events.view(name).unwrap().state == Some(ListenerState::Busy)
            });
            prop_assert_eq!(busy.count(), ledger.with.len());
            let all = ledger.waiting.len() + ledger.with.len() + ledger.done.len() + ledger.lost.len();
            prop_assert_eq!(all as u64, ledger.published);
            // Nothing that can be given away is kept, and nothing wakes the loop for the past.
            prop_assert!(events.next_deadline().is_none_or(|deadline| deadline > at(now)));
            prop_assert_eq!(events.tick(at(now)), []);
        }
    }
}
