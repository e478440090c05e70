"""An app that imports nothing until a request asks for it."""


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/imported":
        import sys

        return [str("threading" in sys.modules).encode()]
    import threading

    here, main = threading.current_thread(), threading.main_thread()
    return [f"{here is main} {here.name} {main.ident == threading.get_ident()}".encode()]
