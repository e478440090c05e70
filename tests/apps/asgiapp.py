"""A raw ASGI app: each path does one thing that a test asks for."""

import asyncio
import contextlib
import contextvars
import json
import os
import signal
import sys
import threading
import time

from common import mark, wait_gate

STARTED = time.monotonic()
names = contextvars.ContextVar("names", default=())
tasks = set()


def jsonable(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return value


async def start(send, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def answer(send, body=b"", status=200, headers=()):
    if isinstance(body, str):
        body = body.encode()
    await start(send, status, headers)
    await send({"type": "http.response.body", "body": body})


async def body_of(receive):
    pieces = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces)


async def scope_(scope, receive, send):
    types = {key: type(value).__name__ for key, value in scope.items()}
    types["header"] = type(scope["headers"][0]).__name__
    types["header name"] = type(scope["headers"][0][0]).__name__
    await answer(send, json.dumps({"scope": jsonable(scope), "types": types}))


async def hello(scope, receive, send):
    await answer(send, b"Hello, ASGI!\n", headers=[(b"content-type", b"text/plain")])


async def echo(scope, receive, send):
    await answer(send, await body_of(receive))


async def messages(scope, receive, send):
    """The messages of the request, and of what comes behind them for a second."""
    got = []
    while True:
        message = await receive()
        got.append({**message, "body": len(message.get("body", b""))})
        if not message.get("more_body"):
            break
    await answer(send, json.dumps(got))
    mark("after", json.dumps(await receive()))


async def drip(scope, receive, send):
    """A stream of numbers, each after its gate."""
    await start(send)
    for i in range(3):
        await send({"type": "http.response.body", "body": b"%d\n" % i, "more_body": True})
        await asyncio.to_thread(wait_gate, f"drip{i}")
    await send({"type": "http.response.body"})


async def endless(scope, receive, send):
    """Until the client leaves; tells how it learned of it."""
    await start(send)
    sent = 0
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            sent += 1
            mark("sent", sent)
            await asyncio.sleep(0)
    except OSError as error:
        mark("left", type(error).__name__)
        raise


async def leaving(scope, receive, send):
    """Waits for the client to leave."""
    await body_of(receive)
    mark("waits")
    mark("left", (await receive())["type"])


async def forever(scope, receive, send):
    mark("runs")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        mark("cancelled")
        raise


async def gate(scope, receive, send):
    mark("runs")
    while not os.path.exists(os.path.join(os.environ["CWSGI_TEST_DIR"], "gate-go")):
        await asyncio.sleep(0.01)
    await answer(send, b"went on\n")


async def block(scope, receive, send):
    mark("blocks")
    wait_gate("go")
    await answer(send, b"unblocked\n")


async def concurrently(scope, receive, send):
    """Two receivers, and many senders at once."""
    await start(send)
    waiting = [asyncio.create_task(receive()) for _ in range(2)]
    piece = b"y" * 100_000
    await asyncio.gather(
        *(send({"type": "http.response.body", "body": piece, "more_body": True}) for _ in range(20))
    )
    await send({"type": "http.response.body"})
    done = await asyncio.gather(*waiting)
    mark("received", json.dumps([message["type"] for message in done]))


async def cancelled_receivers(scope, receive, send):
    """Receivers that are cancelled before or while they wait take nothing with them."""
    task = asyncio.create_task(receive())
    task.cancel()
    await asyncio.wait([task])
    receive()  # never awaited
    try:
        await asyncio.wait_for(receive(), 0)
    except asyncio.TimeoutError:
        pass
    await answer(send, await body_of(receive))


async def overtaken(scope, receive, send):
    """One sender is given up in the middle of its piece, another one waits behind it."""
    await start(send)
    body = {"type": "http.response.body", "more_body": True}
    first = asyncio.create_task(send({**body, "body": b"x" * 20_000_000}))
    second = asyncio.create_task(send({**body, "body": b"second"}))
    await asyncio.sleep(0)
    first.cancel()
    mark("given-up")
    try:
        await second
        mark("overtaken", "sent")
    except OSError as error:
        mark("overtaken", type(error).__name__)


async def impatient(scope, receive, send):
    """Gives up a send() that waits: a part of it has left, so nothing may follow."""
    await start(send)
    try:
        body = {"type": "http.response.body", "body": b"x" * 20_000_000, "more_body": True}
        await asyncio.wait_for(send(body), 0.05)
        mark("impatient", "sent")
    except asyncio.TimeoutError:
        mark("impatient", "gave up")
    try:
        await send({"type": "http.response.body"})
        mark("impatient", "sent")
    except OSError as error:
        mark("impatient", type(error).__name__)


class Forgetful(asyncio.Future):
    """As one that has no memory for the wake-up of who waits for it."""

    def set_result(self, result):
        raise MemoryError


def forget_next():
    """The loop's next Future, cwsgi's, is such a one."""
    loop = asyncio.get_running_loop()

    def create_future():
        del loop.create_future
        return Forgetful(loop=loop)

    loop.create_future = create_future


async def forgotten(scope, receive, send):
    """The second sender waits for the first one, and is not woken when that is given up."""
    await start(send)
    body = {"type": "http.response.body", "more_body": True}
    first = asyncio.create_task(send({**body, "body": b"x" * 20_000_000}))
    await asyncio.sleep(0)
    forget_next()
    second = asyncio.create_task(send({**body, "body": b"second"}))
    await asyncio.sleep(0)
    first.cancel()
    while (await receive())["type"] != "http.disconnect":
        pass
    mark("forgotten", second.done())
    second.cancel()


async def two_receivers(scope, receive, send):
    """Each piece of a body goes to one of them."""

    async def take():
        got = 0
        while True:
            message = await receive()
            got += len(message.get("body", b""))
            if not message.get("more_body"):
                return got

    first = [asyncio.create_task(take()) for _ in range(2)]
    done, _ = await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    await answer(send, b"taken")
    mark("taken", sum(await asyncio.gather(*first)))


async def cancelled(scope, receive, send):
    """Cancelled from another task, it answers none the less."""
    task = asyncio.current_task()
    await body_of(receive)
    asyncio.get_running_loop().call_later(0.01, task.cancel)
    try:
        await receive()
    except asyncio.CancelledError:
        await answer(send, b"cancelled")
        raise


async def left_receivers(scope, receive, send):
    """Receivers and a sender that outlive the app."""

    async def later():
        await first
        mark("later", json.dumps([await first, await receive(), await receive()]))
        try:
            await send({"type": "http.response.body"})
        except RuntimeError:
            mark("later", "refused")

    await body_of(receive)
    first = asyncio.create_task(receive())
    tasks.add(asyncio.create_task(later()))
    await asyncio.sleep(0)
    await answer(send, b"answered\n")


async def grouped(scope, receive, send):
    """A client's leaving that comes in a group, as of a framework's tasks."""
    await start(send)
    mark("grouped")
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)
    except OSError as error:
        if sys.version_info < (3, 11):
            raise KeyError("deliberate") from error
        raise KeyError("deliberate") from ExceptionGroup("tasks", [error])  # noqa: F821


async def contexts(scope, receive, send):
    seen = names.get()
    names.set((*seen, scope["path"]))
    await asyncio.sleep(0)
    task = asyncio.current_task()
    await answer(send, json.dumps([*seen, *names.get(), task.get_name(), len(asyncio.all_tasks())]))


async def loop(scope, receive, send):
    running = asyncio.get_running_loop()
    text = {
        "module": type(running).__module__,
        "main": threading.current_thread() is threading.main_thread(),
        "debug": running.get_debug(),
        "pid": os.getpid(),
    }
    await answer(send, json.dumps(text))


async def transports(scope, receive, send):
    """The loop does all that an app may ask of it, while it serves."""
    running = asyncio.get_running_loop()
    got = []

    async def on_client(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(on_client, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    writer.write(b"hello\n")
    got.append((await reader.readline()).decode())
    writer.close()
    listener.close()
    got.append(await running.run_in_executor(None, lambda: "executor"))
    future = running.create_future()
    threading.Thread(
        target=lambda: running.call_soon_threadsafe(future.set_result, "threadsafe")
    ).start()
    got.append(await future)
    began = time.monotonic()
    await asyncio.sleep(0.05)
    got.append(time.monotonic() - began >= 0.05)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "print('child')", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    got.append(out.decode())
    event = asyncio.Event()
    running.add_signal_handler(signal.SIGUSR2, event.set)
    os.kill(os.getpid(), signal.SIGUSR2)
    await asyncio.wait_for(event.wait(), 10)
    running.remove_signal_handler(signal.SIGUSR2)
    got.append("signal")
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.01)
    except asyncio.TimeoutError:
        got.append("timeout")
    await answer(send, json.dumps(got))


async def background(scope, receive, send):
    await answer(send, b"answered\n")
    while not os.path.exists(os.path.join(os.environ["CWSGI_TEST_DIR"], "gate-go")):
        await asyncio.sleep(0.01)
    mark("background")


async def orphan(scope, receive, send):
    async def wait():
        try:
            await asyncio.sleep(3600)
        finally:
            mark("orphan")

    task = asyncio.create_task(wait())
    tasks.add(task)
    await answer(send, b"started\n")


async def raising(scope, receive, send):
    raise ValueError("deliberate")


async def raising_late(scope, receive, send):
    await start(send, headers=[(b"content-length", b"100")])
    await send({"type": "http.response.body", "body": b"some", "more_body": True})
    raise ValueError("deliberate")


async def raising_after(scope, receive, send):
    await answer(send, b"fine\n")
    raise ValueError("deliberate")


async def nothing(scope, receive, send):
    pass


async def unfinished(scope, receive, send):
    await start(send)
    await send({"type": "http.response.body", "body": b"some", "more_body": True})


async def short(scope, receive, send):
    await start(send, headers=[(b"content-length", b"10")])
    await send({"type": "http.response.body", "body": b"four"})


async def long(scope, receive, send):
    await answer(send, b"ten bytes!", headers=[(b"content-length", b"4")])


async def cancelling_itself(scope, receive, send):
    asyncio.current_task().cancel()
    await asyncio.sleep(10)


async def exiting(scope, receive, send):
    raise SystemExit(3)


BAD = {
    "status": {"type": "http.response.start", "status": 1000},
    "interim": {"type": "http.response.start", "status": 100},
    "status-text": {"type": "http.response.start", "status": "200"},
    "no-status": {"type": "http.response.start"},
    "header-text": {"type": "http.response.start", "status": 200, "headers": [("a", "b")]},
    "header-one": {"type": "http.response.start", "status": 200, "headers": [(b"a",)]},
    "header-lf": {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\nc")]},
    "header-name": {"type": "http.response.start", "status": 200, "headers": [(b"a b", b"c")]},
    "body-first": {"type": "http.response.body", "body": b"x"},
    "type": {"type": "http.response.unknown"},
    "no-type": {},
    "list": [],
}


async def bad(scope, receive, send):
    """A message that is none is refused where it is sent, and another one may follow."""
    try:
        await send(BAD[scope["query_string"].decode()])
    except Exception as error:
        await answer(send, f"{type(error).__name__}: {error}")
    else:
        await answer(send, b"was taken")


async def twice(scope, receive, send):
    await answer(send, b"once")
    try:
        await answer(send, b"twice")
    except RuntimeError as error:
        mark("refused", error)


async def pathsend(scope, receive, send):
    path = scope["query_string"].decode()
    await start(send, headers=[(b"content-type", b"application/octet-stream")])
    await send({"type": "http.response.pathsend", "path": path})


async def hint(scope, receive, send):
    links = [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]
    await send({"type": "http.response.early_hint", "links": links})
    await answer(send, b"hinted\n")


async def loop_fails(scope, receive, send):
    """asyncio itself runs out of memory, as often as the query says."""
    loop = asyncio.get_running_loop()
    process, left = loop._process_events, [int(scope["query_string"])]

    def failing(events):
        if left[0] == 0:
            return process(events)
        left[0] -= 1
        loop.call_soon(int)  # it comes here again
        raise MemoryError("of the test")

    loop._process_events = failing
    loop.call_soon(int)
    await answer(send, str(os.getpid()))


async def trailers(scope, receive, send):
    """Ends as the query says: fields in two messages, none, a bad one, too early."""
    how = scope["query_string"].decode()
    known = "http.response.trailers" in scope["extensions"]
    headers = [(b"x-known", str(known).encode()), (b"trailer", b"x-sum")]
    if how == "length":
        headers.append((b"content-length", b"4"))
    message = {"type": "http.response.start", "status": 200, "headers": headers}
    await send({**message, "trailers": True})
    end = {"type": "http.response.trailers"}
    if how == "early":
        await refused(send, end)
    if how == "pathsend":
        await refused(send, {"type": "http.response.pathsend", "path": __file__})
    await send({"type": "http.response.body", "body": b"" if how == "empty" else b"body"})
    await refused(send, {"type": "http.response.body", "body": b"more"})
    if how == "bad":
        await refused(send, {**end, "headers": [(b"x-bad", b"a\r\nb: c")]})
    if how == "missing":
        return
    fields = [(b"x-sum", b"1"), (b"content-length", b"9"), (b"set-cookie", b"a=b")]
    await send({**end, "headers": fields, "more_trailers": True})
    await send({**end, "headers": [(b"X-Other", b"two")]})
    await refused(send, end)


PIECE = {"type": "http.response.body", "body": b"x" * 200 * 1024, "more_body": True}


async def giving_up(scope, receive, send):
    """Gives a piece up that its client does not take, and would go on with another one."""
    await send({"type": "http.response.start", "status": 200})
    with contextlib.suppress(asyncio.TimeoutError):
        while True:
            await asyncio.wait_for(send(PIECE), 0.2)
    mark("giving_up", "gave up")
    with contextlib.suppress(OSError):
        await send({"type": "http.response.body", "body": b"end"})


async def hurried(scope, receive, send):
    """Does not wait for its body to leave before it sends trailers."""
    await send({"type": "http.response.start", "status": 200, "trailers": True})
    sent = [send(PIECE) for _ in range(100)]
    sent.append(send({"type": "http.response.body", "body": b"end"}))
    end = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
    await refused(send, end)
    for one in sent:
        await one
    await send(end)


async def refused(send, message):
    try:
        await send(message)
    except (RuntimeError, ValueError) as error:
        mark("refused", error)
    else:
        mark("refused", "was not")


async def large(scope, receive, send):
    await answer(send, b"z" * int(scope["query_string"]))


async def buffers(scope, receive, send):
    await start(send)
    await send({"type": "http.response.body", "body": bytearray(b"byte"), "more_body": True})
    await send({"type": "http.response.body", "body": memoryview(b"view"), "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    await send({"type": "http.response.body"})


async def state(scope, receive, send):
    seen = dict(scope["state"])
    scope["state"]["mine"] = scope["path"]
    await answer(send, json.dumps(seen))


class Awaitable:
    """What an app returns need not be a coroutine."""

    def __init__(self, send):
        self.send = send

    def __await__(self):
        return answer(self.send, b"awaited\n").__await__()


ROUTES = {
    "/": hello,
    "/scope": scope_,
    **{
        "/" + function.__name__.replace("_", "-"): function
        for function in (
            echo,
            messages,
            drip,
            endless,
            leaving,
            forever,
            gate,
            block,
            concurrently,
            cancelled_receivers,
            left_receivers,
            impatient,
            overtaken,
            forgotten,
            two_receivers,
            cancelled,
            grouped,
            contexts,
            loop,
            transports,
            background,
            orphan,
            raising,
            raising_late,
            raising_after,
            nothing,
            unfinished,
            short,
            long,
            cancelling_itself,
            exiting,
            bad,
            twice,
            pathsend,
            hint,
            trailers,
            loop_fails,
            giving_up,
            hurried,
            large,
            buffers,
            state,
        )
    },
    "/awaitable": lambda scope, receive, send: Awaitable(send),
    "/number": lambda scope, receive, send: 7,
}


async def lifespan(scope, receive, send):
    scope["state"]["started"] = 1
    while True:
        message = await receive()
        mark("lifespan", message["type"])
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(scope, receive, send)
    path = scope["path"].removeprefix(scope["root_path"])
    handler = ROUTES.get(path) or ROUTES["/scope"]
    return await handler(scope, receive, send)
