"""A Flask app: pages, a form, a stream."""

import os
import time

from flask import Flask, Response, redirect, render_template_string, request, session

app = Flask(__name__)
# Cookies stay valid over restarts and in every worker only where the key is given.
app.secret_key = os.environ.get("SECRET_KEY", "for-development-only")

PAGE = """\
<!doctype html>
<title>cwsgi and Flask</title>
<h1>Hello, {{ name }}!</h1>
<p>You have been here {{ visits }} time{{ "" if visits == 1 else "s" }}.
<form method="post" action="/name">
<input name="name" value="{{ name }}"> <button>Call me that</button>
</form>
<p>Served by {{ software }}, see <a href="/count">a stream</a>.
"""


@app.get("/")
def index():
    session["visits"] = session.get("visits", 0) + 1
    return render_template_string(
        PAGE,
        name=session.get("name", "World"),
        visits=session["visits"],
        software=request.environ["SERVER_SOFTWARE"],
    )


@app.post("/name")
def name():
    session["name"] = request.form["name"]
    return redirect("/")


@app.get("/count")
def count():
    def lines():
        for number in range(1, 6):
            yield f"{number}\n"
            time.sleep(0.5)

    return Response(lines(), mimetype="text/plain")
