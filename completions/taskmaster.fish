# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_taskmaster_global_optspecs
    string join \n v/version h/help
end

function __fish_taskmaster_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_taskmaster_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_taskmaster_using_subcommand
    set -l cmd (__fish_taskmaster_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c taskmaster -n "__fish_taskmaster_needs_command" -s v -l version -d 'Print the version and exit'
complete -c taskmaster -n "__fish_taskmaster_needs_command" -s h -l help -d 'Print help'
complete -c taskmaster -n "__fish_taskmaster_needs_command" -f -a "daemon" -d 'Starts, watches, restarts, stops and logs the programs of a configuration file'
complete -c taskmaster -n "__fish_taskmaster_needs_command" -f -a "ctl" -d 'Controls a running daemon: one action, or an interactive shell without one'
complete -c taskmaster -n "__fish_taskmaster_needs_command" -f -a "run" -d 'Runs commands, or the lines of a Procfile, without a configuration file'
complete -c taskmaster -n "__fish_taskmaster_needs_command" -f -a "check-config" -d 'Checks a configuration file and explains its mistakes; changes nothing'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s c -l configuration -d 'Configuration file; without it the usual places are searched' -r -F
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s u -l user -d 'Become this user (name or number) after start' -r -f -a "(__fish_complete_users)"
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s m -l umask -d 'File mode creation mask' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s d -l directory -d 'Directory to change to' -r -f -a "(__fish_complete_directories)"
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s l -l logfile -d 'The daemon\'s own log file' -r -F
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s y -l logfile_maxbytes -d 'Size at which the daemon\'s log is rotated' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s z -l logfile_backups -d 'Rotated logs of the daemon to keep' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s e -l loglevel -d 'What to log: critical, error, warn, info, debug, trace or blather' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s j -l pidfile -d 'File to write the daemon\'s pid to' -r -F
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s i -l identifier -d 'Name of this daemon in its answers' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s q -l childlogdir -d 'Directory for the AUTO logs of programs' -r -f -a "(__fish_complete_directories)"
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s a -l minfds -d 'File descriptors that must be available' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -l minprocs -d 'Processes that must be available' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s n -l nodaemon -d 'Stay in the foreground'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s s -l silent -d 'In the foreground, do not copy the log to the standard output'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s k -l nocleanup -d 'Keep the AUTO logs of programs that are no longer configured'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s t -l strip_ansi -d 'Remove ANSI escape sequences from the programs\' output'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -l no-socket -d 'Listen on no socket, and write nothing to be found by'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -l container -d 'Defaults for a container: foreground, no files, own log to stderr at warn, end with the essential programs'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -l handoff-check -d 'Say whether the state on the standard input can be gone on with; asked by a daemon before an upgrade'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s v -l version -d 'Print the version and exit'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand daemon" -s h -l help -d 'Print help'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand ctl" -s c -l configuration -d 'Configuration file that names the socket; without it the usual places are searched' -r -F
complete -c taskmaster -n "__fish_taskmaster_using_subcommand ctl" -s s -l serverurl -d 'Socket of the daemon: a path, or `unix://PATH`' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand ctl" -s u -l username -d 'Accepted for compatibility; the daemon knows its peer by the socket' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand ctl" -s p -l password -d 'Accepted for compatibility; the daemon knows its peer by the socket' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand ctl" -s r -l history-file -d 'File that keeps the shell\'s history' -r -F
complete -c taskmaster -n "__fish_taskmaster_using_subcommand ctl" -s i -l interactive -d 'Open the shell after the action'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand ctl" -s j -l json -d 'Print replies as JSON'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand ctl" -s v -l version -d 'Print the version and exit'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand ctl" -s h -l help -d 'Print help'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand run" -s f -l procfile -d 'Run the lines of this Procfile' -r -F
complete -c taskmaster -n "__fish_taskmaster_using_subcommand run" -s n -l name -d 'Name of a command, in their order; without one the name of its program' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand run" -s e -l env -d 'File of variables for all; with a Procfile it replaces the .env beside it' -r -F
complete -c taskmaster -n "__fish_taskmaster_using_subcommand run" -l exit-when -d 'When to end by itself' -r -f -a "essential-failed\t'When the first command has failed; if none fails, it stays'
essential-exited\t'When the first command has ended, in whatever way'
all-exited\t'When all commands have ended'"
complete -c taskmaster -n "__fish_taskmaster_using_subcommand run" -l format -d 'How lines look' -r -f -a "raw\t'As it was written'
prefix\t'After the name of its command'
json\t'As a JSON object'"
complete -c taskmaster -n "__fish_taskmaster_using_subcommand run" -l timestamps -d 'The time before each line; without it none, but in JSON' -r -f -a "none\t'None'
rfc3339\t'As 2026-11-24T08:49:01.123Z'
unix\t'Seconds since 1970'"
complete -c taskmaster -n "__fish_taskmaster_using_subcommand run" -s p -l port -d 'PORT of the first line of a Procfile; the next ones get 100 more each' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand run" -l socket -d 'Listen for the console on this socket; without it on none' -r -F
complete -c taskmaster -n "__fish_taskmaster_using_subcommand run" -s t -l timeout -d 'Seconds that each may take to stop before it is killed' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand run" -s l -l loglevel -d 'What is told of the running itself: critical, error, warn, info, debug, trace or blather' -r
complete -c taskmaster -n "__fish_taskmaster_using_subcommand run" -s v -l version -d 'Print the version and exit'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand run" -s h -l help -d 'Print help'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand check-config" -l format -d 'How to print what was found' -r -f -a "text\t'With the line at fault and a caret beneath it'
short\t'One line each: `FILE:LINE:COLUMN: SEVERITY: MESSAGE`'
json\t'As one JSON document'"
complete -c taskmaster -n "__fish_taskmaster_using_subcommand check-config" -l strict -d 'Exit with 1 when there are warnings'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand check-config" -s v -l version -d 'Print the version and exit'
complete -c taskmaster -n "__fish_taskmaster_using_subcommand check-config" -s h -l help -d 'Print help'

# Actions, and the names of processes as the running daemon knows them.
function __fish_taskmaster_live
    set -l words (commandline --tokens-expanded --cut-at-cursor --current-process 2> /dev/null)
    or set words (commandline --tokenize --cut-at-cursor --current-process)
    taskmaster ctl __complete -- $words[3..] (commandline --current-token --cut-at-cursor) 2> /dev/null
end
complete -c taskmaster -n "__fish_taskmaster_using_subcommand ctl" -f -a "(__fish_taskmaster_live)"
