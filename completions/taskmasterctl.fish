complete -c taskmasterctl -s c -l configuration -d 'Configuration file that names the socket; without it the usual places are searched' -r -F
complete -c taskmasterctl -s s -l serverurl -d 'Socket of the daemon: a path, or `unix://PATH`' -r
complete -c taskmasterctl -s u -l username -d 'Accepted for compatibility; the daemon knows its peer by the socket' -r
complete -c taskmasterctl -s p -l password -d 'Accepted for compatibility; the daemon knows its peer by the socket' -r
complete -c taskmasterctl -s r -l history-file -d 'File that keeps the shell\'s history' -r -F
complete -c taskmasterctl -s i -l interactive -d 'Open the shell after the action'
complete -c taskmasterctl -s j -l json -d 'Print replies as JSON'
complete -c taskmasterctl -s v -l version -d 'Print the version and exit'
complete -c taskmasterctl -s h -l help -d 'Print help'

# Actions, and the names of processes as the running daemon knows them.
function __fish_taskmasterctl_live
    set -l words (commandline --tokens-expanded --cut-at-cursor --current-process 2> /dev/null)
    or set words (commandline --tokenize --cut-at-cursor --current-process)
    taskmasterctl __complete -- $words[2..] (commandline --current-token --cut-at-cursor) 2> /dev/null
end
complete -c taskmasterctl -f -a "(__fish_taskmasterctl_live)"
