"""Autobahn's cases: all about the protocol, and of those about compression one of each kind.

The rest takes minutes: make autobahn.
"""

import pytest

pytest.importorskip("kosoku")
from websocket_cases import SILENT, failures, run_cases

pytestmark = pytest.mark.timeout(300)
LONG = ["9.*", "12.*", "13.*"]


def assert_passed(results, count):
    assert not failures(results)
    assert len(results) == count


def test_protocol(serve, loop):
    server = serve("asgisocket:app", "--loop", loop, *SILENT)
    assert_passed(run_cases(server, without=LONG), 247)


@pytest.mark.parametrize("how", ["on", "context"])
def test_compression(serve, how):
    """Sizes below and above what is compressed; frames as they are and in pieces of 256 bytes."""
    server = serve("asgisocket:app", "--ws-per-message-deflate", how, *SILENT)
    kinds = [f"12.{data}.{size}" for data in range(1, 6) for size in (1, 3, 11)]
    kinds += [f"13.{offer}.{size}" for offer in range(1, 8) for size in (1, 3, 11)]
    assert_passed(run_cases(server, kinds), 36)


def test_sizes(serve):
    server = serve("asgisocket:app", *SILENT)
    assert_passed(run_cases(server, ["9.*"]), 54)
