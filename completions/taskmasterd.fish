complete -c taskmasterd -s c -l configuration -d 'Configuration file; without it the usual places are searched' -r -F
complete -c taskmasterd -s u -l user -d 'Become this user (name or number) after start' -r -f -a "(__fish_complete_users)"
complete -c taskmasterd -s m -l umask -d 'File mode creation mask' -r
complete -c taskmasterd -s d -l directory -d 'Directory to change to' -r -f -a "(__fish_complete_directories)"
complete -c taskmasterd -s l -l logfile -d 'The daemon\'s own log file' -r -F
complete -c taskmasterd -s y -l logfile_maxbytes -d 'Size at which the daemon\'s log is rotated' -r
complete -c taskmasterd -s z -l logfile_backups -d 'Rotated logs of the daemon to keep' -r
complete -c taskmasterd -s e -l loglevel -d 'What to log: critical, error, warn, info, debug, trace or blather' -r
complete -c taskmasterd -s j -l pidfile -d 'File to write the daemon\'s pid to' -r -F
complete -c taskmasterd -s i -l identifier -d 'Name of this daemon in its answers' -r
complete -c taskmasterd -s q -l childlogdir -d 'Directory for the AUTO logs of programs' -r -f -a "(__fish_complete_directories)"
complete -c taskmasterd -s a -l minfds -d 'File descriptors that must be available' -r
complete -c taskmasterd -l minprocs -d 'Processes that must be available' -r
complete -c taskmasterd -s n -l nodaemon -d 'Stay in the foreground'
complete -c taskmasterd -s s -l silent -d 'In the foreground, do not copy the log to the standard output'
complete -c taskmasterd -s k -l nocleanup -d 'Keep the AUTO logs of programs that are no longer configured'
complete -c taskmasterd -s t -l strip_ansi -d 'Remove ANSI escape sequences from the programs\' output'
complete -c taskmasterd -l no-socket -d 'Listen on no socket, and write nothing to be found by'
complete -c taskmasterd -l container -d 'Defaults for a container: foreground, no files, own log to stderr at warn, end with the essential programs'
complete -c taskmasterd -l handoff-check -d 'Say whether the state on the standard input can be gone on with; asked by a daemon before an upgrade'
complete -c taskmasterd -s v -l version -d 'Print the version and exit'
complete -c taskmasterd -s h -l help -d 'Print help'
