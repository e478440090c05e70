"""What tools/images.py has an image's own Python do: each tool of cwsgi, as a user without
rights, on a root that cannot be written to, without a network.

    python -c SOURCE APP

Prints a line for each, and ends with 1 where one fails.
"""

import contextlib
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.request


def call(*words, codes=(0,)):
    """Runs cwsgi; returns what it printed. Ends this process where its exit status is none of
    these, or where it shows a traceback."""
    done = subprocess.run(["cwsgi", *words], capture_output=True, text=True)
    if done.returncode not in codes or "Traceback" in done.stderr:
        sys.exit(f"cwsgi {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    # What is for a person may be on either; JSON is alone on its own.
    return done.stdout if "--json" in words else done.stdout + done.stderr


def need(holds, what, text):
    if not holds:
        sys.exit(f"{what}:\n{text}")
    print(f"  {what}")


def free_port():
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return chosen.getsockname()[1]


@contextlib.contextmanager
def serving(app):
    port = free_port()
    process = subprocess.Popen(["cwsgi", "-b", f"127.0.0.1:{port}", app])
    try:
        end = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    sys.exit("the server did not answer")
                time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def main():
    app = sys.argv[1]
    with contextlib.suppress(OSError), open("/app/written", "x"):
        sys.exit("the root can be written to")
    with socket.socket() as outside:
        outside.settimeout(5)
        if outside.connect_ex(("192.0.2.1", 80)) == 0:
            sys.exit("there is a network")
    need(os.getuid() != 0, "no rights, nothing to write to, no network", "")

    text = call("doctor", "--json", app, codes=(0, 4))  # 8 for an error
    report = json.loads(text)
    found = ", ".join(one["id"] for one in report["findings"])
    need(report["app"] == app, f"doctor finds {found or 'nothing'}", text)
    text = call("compile", "--invalidation", "timestamp", app, codes=(1,))
    need("read-only" in text, "compile says what it cannot write", text)
    text = call("record", app, codes=(1,))
    need("ead-only" in text, "record says so, too", text)
    text = call("record", "--output", "/dev/stdout", app)
    need("flask" in text, "record lists what the app reads", text)
    need("flask" in call("--boot-trace", "-", "--check-config", app), "a start is traced", text)
    text = call("tune", app, "--requests", "/", "--seconds", "0.3", "--max-threads", "2", "--json")
    need(json.loads(text)["advice"], "tune advises", text)
    with serving(app) as pid:
        text = call("top", "--once", "--json", "--interval", "0.5", str(pid))
        need(json.loads(text)["workers"], "top looks at a server", text)
        text = call("dump", str(pid))
        # Threads that Python does not know are seen by their C stacks, which need glibc.
        shown = "cwsgi-keeper" if platform.libc_ver()[0] == "glibc" else "in <module>"
        need(shown in text, "dump shows its threads", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
