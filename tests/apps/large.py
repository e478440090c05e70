"""An app that holds 50 MB after its import, in many objects and one buffer."""

from common import mark, text

words = [str(number) for number in range(200_000)]
data = bytes(range(256)) * (36 * 4096)
mark("started")


def app(environ, start_response):
    assert words[-1] == "199999"
    return text(start_response, str(round(len(data) / 1e6 + 12)))
