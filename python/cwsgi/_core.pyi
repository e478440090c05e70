"""The server itself, in C. Public names are those that the package exports."""

class ClientDisconnected(ConnectionError):
    """The client left while its request was read or its response sent."""

def _worker(fd: int, slot: int, /) -> int: ...
