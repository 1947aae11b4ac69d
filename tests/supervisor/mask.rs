//! What differs between two runs of one program: pids, times, versions, directories.

/// Replaces what cannot be the same twice by words.
pub fn mask(text: &str, directory: &str) -> String {
    let text = text.replace(directory, "$DIR");
    let lines: Vec<String> = text.split('\n').map(line).collect();
    lines.join("\n")
}

fn line(line: &str) -> String {
    if !line.is_empty() && line != "0" && line.bytes().all(|b| b.is_ascii_digit()) {
        return "PID".to_owned();
    }
    if is_version(line) {
        return "VERSION".to_owned();
    }
    let words: Vec<&str> = line.split(' ').collect();
    let mut masked: Vec<String> = Vec::with_capacity(words.len());
    let mut index = 0;
    while let Some(&word) = words.get(index) {
        if is_moment(words.get(index..index + 4).unwrap_or_default()) {
            masked.push("MOMENT".to_owned());
            index += 4;
            continue;
        }
        masked.push(match masked.last().map(String::as_str) {
            Some("pid") => digits(word, "PID"),
            Some("uptime") => digits(word, "TIME"),
            _ => word.to_owned(),
        });
        index += 1;
    }
    masked.join(" ")
}

/// `word` with its leading digits and colons replaced.
fn digits(word: &str, by: &str) -> String {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':');
    if rest.len() == word.len() {
        word.to_owned()
    } else {
        format!("{by}{rest}")
    }
}

/// `4.3.0`.
fn is_version(line: &str) -> bool {
    let parts: Vec<&str> = line.split('.').collect();
    parts.len() == 3
        && parts
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// `Nov 24 08:59 AM`.
fn is_moment(words: &[&str]) -> bool {
    let [month, day, time, half] = words else {
        return false;
    };
    month.len() == 3
        && day.len() == 2
        && day.bytes().all(|b| b.is_ascii_digit())
        && time.len() == 5
        && time.as_bytes().get(2) == Some(&b':')
        && matches!(*half, "AM" | "PM")
}

#[test]
fn what_changes_is_masked_and_nothing_else() {
    for (text, masked) in [
        (
            "web   RUNNING   pid 4711, uptime 1:02:03",
            "web   RUNNING   pid PID, uptime TIME",
        ),
        ("web   STOPPED   Nov 24 08:59 AM", "web   STOPPED   MOMENT"),
        ("web   STOPPED   Not started", "web   STOPPED   Not started"),
        ("4711", "PID"),
        ("0", "0"),
        ("4.3.0", "VERSION"),
        ("unix:///x/y/run/s", "unix://$DIR/run/s"),
        ("pid of 12", "pid of 12"),
        ("a\n\n 7\n", "a\n\n 7\n"),
    ] {
        assert_eq!(mask(text, "/x/y"), masked);
    }
}
