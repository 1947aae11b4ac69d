# Sends an event REMOTE_COMMUNICATION through the real Supervisor's interface: SOCKET TYPE DATA.

import sys
import xmlrpc.client

from supervisor.xmlrpc import SupervisorTransport

transport = SupervisorTransport(None, None, "unix://" + sys.argv[1])
server = xmlrpc.client.ServerProxy("http://127.0.0.1", transport)
assert server.supervisor.sendRemoteCommEvent(sys.argv[2], sys.argv[3])
