"""Feeds every case of the tables to one server: whole, byte by byte, and at random cuts."""

import importlib
import random
import zlib
from pathlib import Path

import pytest
from client import SLOW, Client
from client import request as message_to

TABLES = sorted(path.stem for path in Path(__file__).parent.glob("table_*.py"))
CASES = [
    pytest.param(case, id=f"{table.removeprefix('table_')}-{case.name}")
    for table in TABLES
    for case in importlib.import_module(table).CASES
]
# Beyond this a case is cut only at its start and end, so that a run stays quick.
SMALL = 3000
EDGE = 600


def cuts_of(raw, how, name):
    """Where to cut the bytes, in ascending order."""
    places = range(1, len(raw))
    if how == "whole":
        return []
    if how == "bytes":
        return [at for at in places if len(raw) < SMALL or at < EDGE or at > len(raw) - EDGE]
    rng = random.Random(name)
    return sorted(rng.sample(places, min(len(raw) - 1, rng.randrange(1, 9))))


def feed(client, raw, how, name):
    """Sends the pieces. A server that refuses may end the connection before the last."""
    start = 0
    try:
        for end in [*cuts_of(raw, how, name), len(raw)]:
            client.send(raw[start:end])
            start = end
    except OSError:
        pass


@pytest.fixture(scope="module")
def server(serve_all):
    return serve_all("recorder:app")


@pytest.mark.parametrize("how", ["whole", "bytes", "cuts"])
@pytest.mark.parametrize("case", CASES)
def test_case(server, case, how, request):
    smuggled = server.marks("behind").count("/behind/smuggled")
    # Follows each message after which nothing may be run; its path is this test's own.
    behind = f"/behind/{zlib.crc32(request.node.name.encode()):x}"
    tail = message_to(behind) if case.closes and case.behind else b""
    with Client(server.binds[0].connect(), timeout=5) as client:
        feed(client, case.raw + tail, how, case.name)
        answers = []
        for allowed in case.answers:
            response = client.response()
            answers.append(response)
            assert response.status in allowed, response
            assert response.status == 200 or response.closes
        for key, value in case.seen.items():
            assert answers[0].json()[key] == value
        if not case.closes:
            assert client.ask("/probe").json()["uri"] == "/probe"
        elif case.behind or answers[-1].status != 200:
            assert client.at_end(), "the connection was not closed, or more was sent"
    marks = server.marks("behind")
    assert behind not in marks, "what stood behind the message was run"
    assert marks.count("/behind/smuggled") == smuggled, "what was hidden in the message was run"


def test_there_are_enough_cases():
    names = [case.id for case in CASES]
    assert len(names) == len(set(names)), "two cases of one name"
    assert len(names) >= 250


def test_answer_can_be_read_though_the_client_goes_on_sending(server):
    """The connection is not reset under a refusal that is still on its way."""
    raw = message_to("/", "POST", [("Content-Length", "x")]) + b"x" * 500_000
    for _ in range(20):
        with Client(server.binds[0].connect(), timeout=20 * SLOW) as client:
            feed(client, raw, "cuts", "")
            assert client.response().status == 400
            assert client.at_end()
