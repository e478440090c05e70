"""Answers with what arrived, as JSON; requests to /behind/... must never arrive."""

from common import answer_json, mark


def app(environ, start_response):
    if environ["PATH_INFO"].startswith("/behind"):
        mark("behind", environ["PATH_INFO"])
    names = [key for key in environ if key.startswith("HTTP_")]
    return answer_json(
        start_response,
        {
            "method": environ["REQUEST_METHOD"],
            "uri": environ["RAW_URI"],
            "path": environ["PATH_INFO"],
            "query": environ["QUERY_STRING"],
            "version": environ["SERVER_PROTOCOL"],
            "host": environ.get("HTTP_HOST"),
            "length": environ.get("CONTENT_LENGTH", ""),
            "type": environ.get("CONTENT_TYPE", ""),
            "headers": {key[5:]: environ[key] for key in names},
            "body": environ["wsgi.input"].read().decode("latin-1"),
        },
    )
