"""A Flask app with what Flask apps do: sessions, JSON, forms, uploads, streams, errors."""

import hashlib

from flask import Flask, Response, abort, jsonify, redirect, request, send_file, session
from flask import stream_with_context as with_context

app = Flask(__name__)
app.secret_key = "for tests only"


@app.get("/")
def index():
    return "Hello, Flask!"


@app.get("/visits")
def visits():
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(visits=session["visits"])


@app.get("/cookies")
def cookies():
    response = jsonify(dict(request.cookies))
    response.set_cookie("one", "1")
    response.set_cookie("two", "caf\xe9; x", httponly=True, samesite="Lax")
    response.delete_cookie("old")
    return response


@app.post("/json")
def echo_json():
    return jsonify(got=request.get_json(), kind=request.content_type)


@app.post("/form")
def form():
    return jsonify(request.form.to_dict(flat=False))


@app.post("/upload")
def upload():
    file = request.files["file"]
    digest = hashlib.sha256()
    length = 0
    while piece := file.stream.read(1 << 20):
        digest.update(piece)
        length += len(piece)
    return jsonify(name=file.filename, length=length, sha256=digest.hexdigest())


@app.post("/raw")
def raw():
    digest = hashlib.sha256()
    length = 0
    while piece := request.stream.read(1 << 16):
        digest.update(piece)
        length += len(piece)
    return jsonify(length=length, sha256=digest.hexdigest())


@app.get("/stream")
def stream():
    @with_context
    def lines():
        for number in range(1000):
            yield f"line {number} of {request.path}\n"

    return Response(lines(), mimetype="text/plain")


@app.get("/file")
def file():
    return send_file(__file__, conditional=True)


@app.get("/error")
def error():
    raise RuntimeError("an error in a view")


@app.get("/abort/<int:code>")
def aborts(code):
    abort(code)


@app.get("/moved")
def moved():
    return redirect("/visits")


@app.get("/text/<path:words>")
def words(words):
    return jsonify(words=words, query=request.args.to_dict(flat=False), url=request.url)


@app.errorhandler(404)
def not_found(error):
    return jsonify(error="not here"), 404
