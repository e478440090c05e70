"""Says on one line why HOST:PORT cannot be bound, and fails then: tools/bindable.py HOST PORT"""

import socket
import sys

host, port = sys.argv[1:]
try:
    socket.create_server((host.strip("[]"), int(port))).close()
except (OSError, ValueError, OverflowError) as error:
    reason = getattr(error, "strerror", None) or error
    sys.exit(f"{host}:{port}: {reason}; PORT= takes another, as in: make run PORT=9000")
