"""What the tests of operation share: worker processes by kind, clients under load."""

import json
import threading
import time

import psutil
from client import SLOW, Client, request, wait_for
from server import titled as titled
from server import worker_pids as worker_pids

# Seconds in which a worker that stops waits for a request on a connection that it had
# promised to keep (docs/processes.md).
DRAIN = 0.5


def wait_workers(server, count, without=()):
    """Waits for `count` workers, none of them of `without`, and returns their pids."""
    wait_for(
        lambda: len(worker_pids(server)) == count and not worker_pids(server) & set(without),
        lambda: f"{count} workers: {worker_pids(server)} without {without}\n{server.log()}",
        20,
    )
    return worker_pids(server)


def terminal_of(pid):
    """The device of a process's controlling terminal; 0: none. psutil knows those of before."""
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[4])


def wait_serving(server, count):
    """Waits until `count` workers of an app with /who have answered: they are ready."""
    served = set()

    def all_of_them():
        served.add(json.loads(server.get("/who").body)["pid"])
        return len(served) == count

    wait_for(all_of_them, lambda: f"{count} workers to serve: {served}\n{server.log()}", 20)
    return served


def supervisors(server):
    found = []
    for pid in server.members():
        try:
            if psutil.Process(pid).cmdline()[0].startswith("cwsgi: supervisor"):
                found.append(pid)
        except (psutil.Error, IndexError):
            pass
    return sorted(found)


def new_cwsgi(server):
    """The one that USR2 started. It has a child; what is being forked has none."""

    def found():
        others = set(supervisors(server)) - {server.pid}
        try:
            return [pid for pid in others if psutil.Process(pid).children()]
        except psutil.NoSuchProcess:  # A child of one that was just seen.
            return []

    (pid,) = wait_for(found, "the new cwsgi")
    return pid


class Load:
    """Clients that ask again and again on kept-alive connections, and count what they get.

    A request is lost if it was sent on a connection that the server had not announced to
    close, and got no whole answer. Refused connections are counted apart, and so are the
    requests of clients that a busy machine kept from sending for longer than a worker that
    stops waits for them: those ask again on a new connection (RFC 9112, section 9.3.1).
    """

    def __init__(self, server, clients=8, path="/who", keep_alive=True):
        self.server, self.path, self.keep_alive = server, path, keep_alive
        self.answered, self.lost, self.late, self.refused, self.statuses = 0, [], 0, 0, {}
        self.bodies = []
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30 * SLOW)

    def wait_answers(self, more):
        goal = self.answered + more
        wait_for(lambda: self.answered >= goal, lambda: f"{goal} answers: {self.answered}", 30)

    def _ask(self):
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                client = Client(self.server.binds[0].connect())
            except OSError:
                with self.lock:
                    self.refused += 1
                if self.server.proc.poll() is not None:
                    return
                continue
            with client:
                while not self.stopping.is_set():
                    # The server cannot have waited for longer: it began later.
                    sent, before = None, began
                    began = time.monotonic()
                    try:
                        client.send(request(self.path))
                        sent = time.monotonic()
                        response = client.response()
                    except (OSError, AssertionError) as error:
                        pause = (sent or time.monotonic()) - before
                        unanswered = client.eof or sent is None
                        with self.lock:
                            if pause > DRAIN and unanswered and not client.buf:
                                self.late += 1
                            else:
                                self.lost.append(f"{error!r} after {pause:.3f} s")
                        break
                    with self.lock:
                        self.answered += 1
                        self.statuses[response.status] = self.statuses.get(response.status, 0) + 1
                        self.bodies.append(response.body)
                    if response.closes or not self.keep_alive:
                        break
