//! Event listeners: what a section says, and which of two of one name is run.

use super::{FakeHost, config, messages};
use crate::config::model::{Group, GroupKind, PayloadLength, PoolSettings};
use crate::types::{ByteSize, EventType};

fn groups(text: &str) -> Vec<(String, Group)> {
    let config = config(text);
    let groups = config.groups.into_iter();
    groups
        .map(|(name, group)| (name.to_string(), group))
        .collect()
}

fn pool(group: &Group) -> &PoolSettings {
    match &group.kind {
        GroupKind::Listeners(pool) => pool,
        GroupKind::Programs => panic!("{group:?}"),
    }
}

#[test]
fn a_listener_is_a_pool_with_its_own_defaults() {
    for (section, length, autostart) in [
        ("eventlistener.ears", PayloadLength::Bytes, false),
        ("eventlistener:ears", PayloadLength::Characters, true),
    ] {
        let groups = groups(&format!(
            "[{section}]\ncommand=/bin/cat\nevents=tick_60, PROCESS_STATE,TICK_60\nstderr_events_enabled=true\n"
        ));
        let [(name, group)] = groups.as_slice() else {
            panic!("{groups:?}");
        };
        assert_eq!(
            (name.as_str(), group.priority, group.explicit),
            ("ears", -1, false)
        );
        assert_eq!(
            *pool(group),
            PoolSettings {
                events: vec![EventType::ProcessState, EventType::Tick60],
                buffer_size: 10,
                length,
            }
        );
        let process = group.processes.values().next().unwrap();
        assert!(process.launch.listener);
        assert_eq!(process.policy.priority, 999);
        assert_eq!(process.policy.autostart, autostart);
        assert!(process.stderr.events_enabled);
    }
}

#[test]
fn a_listener_has_the_keys_of_programs_and_its_output_is_only_logged() {
    let text = "[eventlistener:ears]\ncommand=/bin/cat %(process_num)d\nprocess_name=e%(process_num)d\nnumprocs=3\npriority=5\n\
                events=EVENT\nbuffer_size=1\npayload_length=BYTES\nresult_handler=supervisor.dispatchers:default_handler\n\
                stdout_capture_maxbytes=1MB\nstdout_events_enabled=true\nstdout_syslog=true\nstderr_capture_maxbytes=2\n";
    let loaded = FakeHost::with(text).load();
    let found = messages(&loaded);
    let idle = found.iter().filter(|text| text.contains("no-effect"));
    assert_eq!((idle.count(), found.len()), (3, 3), "{found:#?}");
    let groups = groups(text);
    let group = &groups[0].1;
    assert_eq!(group.priority, 5);
    let pool = pool(group);
    assert_eq!((pool.buffer_size, pool.length), (1, PayloadLength::Bytes));
    let names: Vec<String> = group.processes.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["e0", "e1", "e2"]);
    for process in group.processes.values() {
        assert_eq!(process.policy.priority, 5);
        let output = &process.stdout;
        assert!(!output.events_enabled && !output.syslog);
        assert_eq!(output.capture_maxbytes, ByteSize(0));
        assert_eq!(process.stderr.capture_maxbytes, ByteSize(2));
    }
}

#[test]
fn of_two_with_one_name_the_one_of_lower_priority_is_run() {
    for (program, listener, listens) in [
        ("", "", true),
        ("priority=-1", "", false),
        ("priority=-2", "", false),
        ("", "priority=1000", false),
    ] {
        let text = format!(
            "[program:x]\ncommand=/bin/cat\n{program}\n[eventlistener:x]\ncommand=/bin/cat\nevents=TICK\n{listener}\n"
        );
        let groups = groups(&text);
        assert_eq!(groups.len(), 1);
        let kind = &groups[0].1.kind;
        assert_eq!(matches!(kind, GroupKind::Listeners(_)), listens, "{text}");
        let found = messages(&FakeHost::with(&text).load());
        let left_out = if listens {
            "the program"
        } else {
            "the event listener"
        };
        assert!(
            found.len() == 1 && found[0].contains(&format!("{left_out} is left out")),
            "{found:#?}"
        );
    }
}
