# An event listener of Supervisor's own library that notes what it is told, to the letter: LISTENER FILE.
#
# Each event is a line of JSON: the header as it came, and the payload.

import json
import sys

from supervisor import childutils


class Kept:
    """The standard input, with the last line kept."""

    def readline(self):
        self.line = sys.stdin.readline()
        return self.line

    def read(self, count):
        return sys.stdin.read(count)


kept = Kept()
while True:
    headers, payload = childutils.listener.wait(kept, sys.stdout)
    with open(sys.argv[1], "a", encoding="utf-8") as notes:
        notes.write(json.dumps([kept.line, payload]) + "\n")
    childutils.listener.ok(sys.stdout)
