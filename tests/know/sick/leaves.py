"""A thread that is no daemon, and ends when the app is asked to."""

import threading

import cwsgi

end = threading.Event()
threading.Thread(target=end.wait).start()
cwsgi.on_shutdown(end.set)


def app(environ, start_response):
    start_response("200 OK", [])
    return [b""]
