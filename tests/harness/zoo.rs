//! The zoo: a shell script that behaves as its first word says, and the marks it leaves.
//!
//! A *mark* is a line `UPTIME PID WORD` appended to `$OUT/NAME`: seconds since boot (a clock that nobody sets back),
//! the shell's pid, and what happened. Scripts leave the mark `start` when they begin and `ready` when their traps are
//! set, so that a test never signals too early.

/// Text of the script. It runs on any POSIX shell whose `sleep` knows fractions.
pub const SCRIPT: &str = r#"
out=${0%/*}/out
what=$1
name=$2
shift; shift
mark() { read -r now rest </proc/uptime; echo "$now $$ $1" >>"$out/$name"; }
# A trap runs only when the shell is not waiting for a program in the foreground.
forever() { while :; do sleep 1000 & wait $!; done; }
# Until the test makes the file `NAME.go`, or is over.
await_go() { until [ -e "$out/$name.go" ] || [ ! -d "$out" ]; do sleep 0.02; done; }
mark start
case $what in
mark) exec sleep 1000 ;;
exit) exit "$1" ;;
exit-after) sleep "$1"; exit "$2" ;;
exit-on-go) await_go; exit "$1" ;;
die) kill -"$1" $$; sleep 1000 ;;
ignore) for s in "$@"; do trap '' "$s"; done; mark ready; exec sleep 1000 ;;
slow-term) delay=$1; trap 'sleep $delay; mark term; exit 0' TERM; mark ready; forever ;;
hold-term) trap 'await_go; mark term; exit 0' TERM; mark ready; forever ;;
catch) for s in "$@"; do trap "mark got-$s; exit 0" "$s"; done; mark ready; forever ;;
note) for s in "$@"; do trap "mark got-$s" "$s"; done; mark ready; while :; do sleep 0.05; done ;;
family)
    # A leader that takes its time to stop, and a child of its group that notes being asked to. The leader waits for that
    # note, unless the child is not to be asked.
    (trap 'mark child-term; exit 0' TERM; mark child-ready; while :; do sleep 0.05; done) &
    child=$1; trap 'case $child in
        alone) sleep 0.4 ;;
        *) until grep -q child-term "$out/$name"; do sleep 0.02; done ;;
        esac; exit 0' TERM
    mark ready; forever ;;
parent) sleep 1000 & mark "child-$!"; exec sleep 1001 ;;
leave-child) sleep 1000 & mark "child-$!"; exit 0 ;;
stubborn-child) (trap '' TERM HUP INT; mark ready; exec sleep 1000) & forever ;;
stop-self) mark ready; kill -STOP $$; mark continued; exec sleep 1000 ;;
say) for word in "$@"; do echo "$word"; done; mark said; exec sleep 1000 ;;
say-exit) for word in "$@"; do echo "$word"; done; exit 0 ;;
lines)
    # $1 lines of $2 bytes each, one write and a pause each.
    n=0
    while [ $n -lt "$1" ]; do
        n=$((n + 1)); printf "%0$(($2 - 1))d\n" $n; sleep 0.02
    done
    mark said; exec sleep 1000 ;;
both) echo out1; echo err1 >&2; echo out2; echo err2 >&2; mark said; exec sleep 1000 ;;
echo-on)
    # Says a word each time the file of that name is taken away.
    for word in "$@"; do
        until [ -e "$out/$word.go" ] || [ ! -d "$out" ]; do sleep 0.02; done
        echo "$word"; mark "said-$word"
    done
    exec sleep 1000 ;;
late)
    # The leader ends; a child of it keeps its output and speaks later.
    (until [ -e "$out/late.go" ] || [ ! -d "$out" ]; do sleep 0.02; done; echo late; mark said-late) &
    echo early; exit 0 ;;
quiet) exec >&- 2>&-; mark ready; while :; do sleep 1000 & wait $!; done ;;
flood) mark ready; exec tr '\0' x </dev/zero ;;
read) mark ready; while read -r line; do mark "read-$line"; done; mark eof; exec sleep 1000 ;;
strays) n=0; while [ $n -lt "$1" ]; do (sleep 0.1 &); n=$((n + 1)); done; mark said; exec sleep 1000 ;;
*) echo "no such animal: $what" >&2; exit 99 ;;
esac
"#;

/// One line that a zoo script left.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Seconds since boot, in steps of a hundredth.
    pub at: f64,
    /// The shell that left it.
    pub pid: i32,
    /// What happened.
    pub word: String,
}

/// Reads the marks of a file's text.
pub fn marks(text: &str) -> Vec<Mark> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            Some(Mark {
                at: fields.next()?.parse().ok()?,
                pid: fields.next()?.parse().ok()?,
                word: fields.next()?.to_owned(),
            })
        })
        .collect()
}
