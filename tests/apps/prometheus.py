"""An app that counts with prometheus_client's multiprocess mode."""

from common import App, text
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, multiprocess

hits = Counter("hits", "Requests.")
live = Gauge("live", "Workers.", multiprocess_mode="livesum")
app = App()


@app.route("/count")
def count(environ, start_response):
    hits.inc()
    live.set(1)
    return text(start_response, "counted")


@app.route("/metrics")
def metrics(environ, start_response):
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return text(start_response, generate_latest(registry))
