# Plays console commands one after another in one process, because an interpreter's start takes longer than its work.
#
# Each line of the standard input is the words of a command line. Each is run by supervisorctl's own `main` in a process
# of its own, and answered by a line with exit code and length, and the standard output.

import os
import sys

from supervisor import supervisorctl

for line in sys.stdin:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.dup2(write, 1)
        code = 0
        try:
            sys.argv = ["supervisorctl"]
            supervisorctl.main(line.split())
        except SystemExit as end:
            code = end.code or 0
        sys.stdout.flush()
        os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.stdout.buffer.write(b"%d %d\n" % (code, len(said)) + said)
    sys.stdout.buffer.flush()
