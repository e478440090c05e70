"""An app that attacks its server from inside a worker, with the rights that workers have."""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import termios
import threading
import time
from pathlib import Path

from common import STATE, App, answer_json, mark, query, text

# Where csrc/base/board.h has them: the first slot, and in each the worker's wish.
SLOTS, WISH = 80, 12
RELOAD = 2

app = App()
LIBC = ctypes.CDLL(None, use_errno=True)


def mappings():
    """Address, length and permissions of what the supervisor shares."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "memfd:cwsgi" in line:
            span, permissions = line.split()[:2]
            begin, end = (int(word, 16) for word in span.split("-"))
            yield begin, end - begin, permissions


def board():
    """The board as a writable buffer."""
    for begin, length, permissions in mappings():
        if permissions == "rw-s":
            return (ctypes.c_char * length).from_address(begin)
    raise LookupError("no board")


def slot_size(memory):
    """Bytes: what is mapped ends with its page, and a slot's size is a multiple of eight."""
    return (len(memory) - SLOTS) // 512 & ~7


def notify_pipe():
    """The descriptor by which workers wake the supervisor: the first pipe whose other end is
    not here. The others are libuv's own, in which rubbish would only end this worker.
    """
    found = {}
    for number in sorted(map(int, os.listdir("/proc/self/fd"))):
        try:
            kind = os.readlink(f"/proc/self/fd/{number}")
            writes = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
        except OSError:
            continue
        if number > 2 and kind.startswith("pipe:"):
            found.setdefault(kind, []).append((number, writes))
    for ends in found.values():
        if len(ends) == 1 and ends[0][1]:
            return ends[0][0]
    raise LookupError("no pipe")


def poke(number):
    try:
        os.write(number, b"!")
    except BlockingIOError:
        pass


@app.route("/maps")
def maps(environ, start_response):
    return answer_json(start_response, [permissions for _, _, permissions in mappings()])


@app.route("/make-writable")
def make_writable(environ, start_response):
    """Tries everything to write to what is shared, and fills it with a folder's name."""
    filler = query(environ)["with"].encode()
    for begin, length, _ in mappings():
        if LIBC.mprotect(ctypes.c_void_p(begin), ctypes.c_size_t(length), 3) == 0:
            memory = (ctypes.c_char * length).from_address(begin)
            at = memory.raw.find(os.fsencode(os.environ["HOSTILE_CWD"]))
            if at >= 0:
                memory[at : at + len(filler) + 1] = filler + b"\0"
    return text(start_response, "done")


@app.route("/wish")
def wish(environ, start_response):
    memory, number = board(), os.dup(notify_pipe())  # a copy stays open over the fork
    if os.fork() != 0:  # a process of its own outlives the worker that is replaced
        return text(start_response, "wishing")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(30)
    size = slot_size(memory)
    try:
        while not (STATE / "enough").exists():
            for slot in range(4):
                at = SLOTS + slot * size
                memory[at + WISH : at + WISH + 4] = struct.pack("i", RELOAD)
            poke(number)
            time.sleep(0.005)
    finally:
        os._exit(0)


@app.route("/put")
def put(environ, start_response):
    """Writes a 32- or 64-bit number at an offset of the board."""
    asked = query(environ)
    data = int(asked["value"]).to_bytes(int(asked["size"]), "little", signed=True)
    memory = board()
    at = int(asked["at"])
    memory[at : at + len(data)] = data
    return text(start_response, "put")


@app.route("/shrink")
def shrink(environ, start_response):
    """Tries to cut the board off under everybody's feet, by any descriptor."""
    failures = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if "memfd:cwsgi" in os.readlink(f"/proc/self/fd/{name}"):
                os.ftruncate(int(name), 0)
        except OSError as error:
            failures.append(error.strerror)
    return answer_json(start_response, failures)


@app.route("/scribble")
def scribble(environ, start_response):
    """Random bytes all over the board, again and again, while the pipe is flooded."""
    memory, stop = board(), threading.Event()

    def flood():
        number = notify_pipe()
        while not stop.is_set():
            poke(number)

    flooding = threading.Thread(target=flood)
    flooding.start()
    end = time.monotonic() + float(query(environ)["s"])
    patterns = [os.urandom(4096), b"\xff" * 4096, b"\x7f" * 4096, b"\1\0\0\0" * 1024]
    rounds = 0
    while time.monotonic() < end:
        for at in range(0, len(memory) - 4096, 4096):
            ctypes.memmove(ctypes.byref(memory, at), patterns[(rounds + at // 4096) % 4], 4096)
        # As long as this is on, the slots' words are the small numbers that mean something.
        size = slot_size(memory)
        for slot in range(8):
            at = SLOTS + slot * size
            memory[at : at + 24] = struct.pack("6i", rounds % 4, rounds, 1, rounds % 3, 1, 0)
        rounds += 1
        patterns[0] = os.urandom(4096)
    stop.set()
    flooding.join()
    mark("scribbled", str(rounds))
    return text(start_response, "scribbled")


@app.route("/flood")
def flood(environ, start_response):
    number, end = notify_pipe(), time.monotonic() + float(query(environ)["s"])
    while time.monotonic() < end:
        poke(number)
    return text(start_response, "flooded")


@app.route("/type")
def type_at_the_terminal(environ, start_response):
    """Puts a line into root's terminal, as if it had been typed."""
    said = []
    for byte in b"typed by nobody\n":
        try:
            fcntl.ioctl(2, termios.TIOCSTI, bytes([byte]))
        except OSError as error:
            said.append(error.strerror)
    return answer_json(start_response, said)


@app.route("/who")
def who(environ, start_response):
    return answer_json(start_response, {"pid": os.getpid(), "uid": os.getuid()})


def named():
    """Whom to name: $HOSTILE_PID, an id, "self", or a file with an id."""
    text = os.environ["HOSTILE_PID"]
    if text.startswith("/"):
        text = Path(text).read_text()
    return os.getpid() if text == "self" else int(text)


def lie():
    """As a zygote: names somebody for every slot, over the socket that it talks through.

    Called while the app is imported, before the zygote says that it is ready.
    """
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as sock:
                kind = sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
                if kind != socket.SOCK_SEQPACKET:
                    continue
                sock.send(struct.pack("ii", -1, os.getpid()))  # "ready"
                asked, _ = struct.unpack("ii", sock.recv(8))
                sock.send(struct.pack("ii", asked, named()))
                mark("lied", f"{asked} {named()}")
        except OSError:
            continue


if (
    os.environ.get("HOSTILE_PID")
    and not (Path(os.environ["CWSGI_TEST_DIR"]) / "mark-lied").exists()
):
    lie()
