"""A Flask app as it should be."""

import logging

from flask import Flask

logging.basicConfig(level=logging.INFO)
app = Flask(__name__)


@app.get("/")
def index():
    app.logger.info("asked")
    return "ok"
