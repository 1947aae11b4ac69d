//! What `/proc` says about processes: the witness that is independent of the daemon.

use std::fs;
use std::path::Path;

/// One line of the process table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// Its controlling terminal; 0 for none.
    pub tty: i32,
    /// `R`, `S`, `T`, `Z` …
    pub state: char,
    /// Name of the program.
    pub name: String,
}

/// Reads one process; `None` when there is none.
pub fn read(pid: i32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads the text of a `stat` file.
pub fn parse(stat: &str) -> Option<Process> {
    // The name stands in parentheses and may itself hold any character.
    let (head, tail) = stat.rsplit_once(')')?;
    let (pid, name) = head.split_once(" (")?;
    let mut fields = tail.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let mut number = || fields.next()?.parse().ok();
    Some(Process {
        pid: pid.trim().parse().ok()?,
        name: name.to_owned(),
        state,
        parent: number()?,
        group: number()?,
        session: number()?,
        tty: number()?,
    })
}

/// KiB of the code of a process's executable that are mapped.
pub fn mapped_code(pid: i32) -> u64 {
    let executable = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut is_code = false;
    let mut mapped = 0;
    for line in maps.lines() {
        if let Some(size) = line.strip_prefix("Rss:").filter(|_| is_code) {
            let number = size.trim().strip_suffix(" kB").unwrap();
            mapped += number.parse::<u64>().unwrap();
        } else if line.ends_with(executable.to_str().unwrap()) {
            is_code = line.contains(" r-xp ");
        } else if line.contains('-') {
            is_code = false;
        }
    }
    mapped
}

/// When a process started, in the kernel's own words.
pub fn start_time(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(19).unwrap().to_owned()
}

/// Every process of the machine.
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(read)
        .collect()
}

/// Whether the process exists and is not a zombie.
pub fn is_alive(pid: i32) -> bool {
    read(pid).is_some_and(|process| process.state != 'Z')
}

/// Living processes whose environment or command line holds `tag`, this process excepted.
pub fn tagged(tag: &str) -> Vec<Process> {
    let own = i32::try_from(std::process::id()).unwrap();
    let holds = |pid: i32, file: &str| {
        fs::read(format!("/proc/{pid}/{file}"))
            .is_ok_and(|bytes| bytes.windows(tag.len()).any(|part| part == tag.as_bytes()))
    };
    all()
        .into_iter()
        .filter(|process| process.pid != own && process.state != 'Z')
        .filter(|process| holds(process.pid, "environ") || holds(process.pid, "cmdline"))
        .collect()
}

/// Living members of a process group.
pub fn group_members(group: i32) -> Vec<i32> {
    all()
        .into_iter()
        .filter(|process| process.group == group && process.state != 'Z')
        .map(|process| process.pid)
        .collect()
}

/// Children of a process that have ended and were not collected.
pub fn zombies_of(parent: i32) -> Vec<Process> {
    all()
        .into_iter()
        .filter(|process| process.parent == parent && process.state == 'Z')
        .collect()
}

/// How many descriptors a process has open.
pub fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// A line of `/proc/PID/status`, without its name.
pub fn status_field(pid: i32, name: &str) -> Option<String> {
    field_of(
        &fs::read_to_string(format!("/proc/{pid}/status")).ok()?,
        name,
    )
}

/// A line of the text of a `status` file, without its name.
pub fn field_of(status: &str, name: &str) -> Option<String> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(|value| value.trim().to_owned())
}

/// Resident memory in KiB.
pub fn resident_kib(pid: i32) -> u64 {
    status_field(pid, "VmRSS")
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Voluntary context switches of all threads: how often the process went to sleep, and thus how often it woke.
pub fn wakeups(pid: i32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0;
    };
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok())
        .filter_map(|text| {
            field_of(&text, "voluntary_ctxt_switches")?
                .parse::<u64>()
                .ok()
        })
        .sum()
}

/// Whether every thread waits for something to happen, rather than for a processor or a disk.
pub fn is_asleep(pid: i32) -> bool {
    fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|tasks| {
        tasks
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok())
            .filter_map(|stat| parse(&stat))
            .all(|thread| thread.state == 'S')
    })
}

/// The command line, words separated by blanks.
pub fn command_line(pid: i32) -> String {
    let bytes = fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline"));
    String::from_utf8_lossy(&bytes.unwrap_or_default())
        .replace('\0', " ")
        .trim_end()
        .to_owned()
}
