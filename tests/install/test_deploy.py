"""examples/deploy: each command line is started, and each file is checked by what reads it."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import fronts
import kubernetes_validate as validate
import pytest
import yaml
from client import SLOW, request, wait_for
from server import APPS, Port, program

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "examples" / "deploy"
HELLO = str(ROOT / "examples" / "hello")
BIN = Path(sys.executable).parent


def documents(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def container(name):
    (document,) = documents(name)
    (one,) = document["spec"]["template"]["spec"]["containers"]
    return one


def of_container(name):
    one = container(name)
    return [*one["command"], *one["args"]]


def of_gcloud():
    words = shlex.split((DEPLOY / "cloud-run/deploy.sh").read_text(), comments=True)
    (args,) = [word for word in words if word.startswith("--args=")]
    return [words[words.index("--command") + 1], *args.removeprefix("--args=").split(",")]


def after(name, start):
    """What follows `start` on its line; shell variables are left to the shell."""
    (line,) = re.findall(rf"^{re.escape(start)}(.*)$", (DEPLOY / name).read_text(), re.M)
    return line.strip()


COMMANDS = {
    "cloud-run": of_container("cloud-run/service.yaml"),
    "gcloud": of_gcloud(),
    "knative": of_container("knative/service.yaml"),
    "kubernetes": of_container("kubernetes/deployment.yaml"),
    "heroku": after("heroku/Procfile", "web:"),
    "app-engine": after("app-engine/app.yaml", "entrypoint:"),
    "azure": (DEPLOY / "azure/startup.txt").read_text().strip(),
    "systemd": after("systemd/hello.service", "ExecStart="),
    "compose": documents("compose/compose.yaml")[0]["services"]["app"]["command"],
    "supervisord": after("supervisord/hello.conf", "command="),
    "honcho": after("honcho/Procfile", "web:"),
}


def line_of(name):
    command = COMMANDS[name]
    return command if isinstance(command, str) else shlex.join(command)


def run(serve, command, binds, env=()):
    """Starts a command as it is; it serves at `binds`."""
    more = {"workers": None, "threads": None, "chdir": None, "bind_options": False}
    return serve(None, command=command, binds=binds, env=dict(env), **more)


def start(serve, line, port):
    """Runs a file's command line, on this port, with cwsgi where the file expects it."""
    metrics = Port()
    line = re.sub(r"^\S*cwsgi ", shlex.join(program()) + " ", line)
    line = line.replace("127.0.0.1:8080", str(port)).replace(":9100", f":{metrics.number}")
    assert "8080" not in line and "9100" not in line
    return run(
        serve,
        ["sh", "-c", f"cd {HELLO} && exec {line}"],
        env={"PORT": port.number},
        binds=[port, metrics] if "--metrics" in line else [port],
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_command_line(serve, name):
    server = start(serve, line_of(name), Port())
    assert server.get("/").status == 200
    if "--health" in line_of(name):
        assert server.get("/health").status == 200
    else:
        assert name in ("app-engine", "azure", "supervisord", "honcho")


def test_what_google_cloud_is_told_twice_is_the_same():
    """service.yaml and the one command."""
    words = (DEPLOY / "cloud-run/deploy.sh").read_text()
    (document,) = documents("cloud-run/service.yaml")
    template = document["spec"]["template"]
    one, annotations = container("cloud-run/service.yaml"), template["metadata"]["annotations"]
    assert COMMANDS["gcloud"] == COMMANDS["cloud-run"]
    for option, value in {
        "concurrency": template["spec"]["containerConcurrency"],
        "timeout": template["spec"]["timeoutSeconds"],
        "cpu": one["resources"]["limits"]["cpu"],
        "memory": one["resources"]["limits"]["memory"],
        "min-instances": annotations["autoscaling.knative.dev/minScale"],
        "max-instances": annotations["autoscaling.knative.dev/maxScale"],
    }.items():
        assert re.search(rf" --{option} {value}\b", words), option
    for kind in ("startup", "liveness"):
        probe = one[f"{kind}Probe"]
        said = re.search(rf"--{kind}-probe (\S+)", words)[1].split(",")
        path = probe.pop("httpGet")["path"]
        assert said == [f"httpGet.path={path}", *(f"{key}={value}" for key, value in probe.items())]
    # Without these requests wait while Cloud Run sees room.
    assert template["spec"]["containerConcurrency"] == 8 and "--threads=8" in one["args"]


def pod_of(template):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod"},
        "spec": template["spec"],
    }


KUBERNETES = ["deployment", "service", "hpa"]


@pytest.mark.parametrize("name", KUBERNETES)
def test_kubernetes_schema(name):
    for document in documents(f"kubernetes/{name}.yaml"):
        validate.validate(document, "1.30", strict=True)
        with pytest.raises(validate.ValidationError):
            validate.validate({**document, "spek": {}}, "1.30", strict=True)


@pytest.mark.parametrize("name", ["cloud-run", "knative"])
def test_pod_of_a_service(name):
    (document,) = documents(f"{name}/service.yaml")
    pod = pod_of(document["spec"]["template"])
    assert document["apiVersion"] == "serving.knative.dev/v1" and document["kind"] == "Service"
    assert {pod["spec"].pop("containerConcurrency"), pod["spec"].pop("timeoutSeconds")} == {8, 300}
    for one in pod["spec"]["containers"]:
        # Both are optional there.
        one.setdefault("name", "app")
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            one.get(probe, {"httpGet": {}})["httpGet"].setdefault("port", 8080)
    validate.validate(pod, "1.30", strict=True)


def test_kubernetes_files_fit_each_other():
    (deployment,), (service,), (hpa,) = (
        documents(f"kubernetes/{name}.yaml") for name in KUBERNETES
    )
    template = deployment["spec"]["template"]
    one = container("kubernetes/deployment.yaml")
    ports = {port["name"]: port["containerPort"] for port in one["ports"]}
    assert service["spec"]["selector"] == template["metadata"]["labels"]
    assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
    assert {"name": "PORT", "value": str(ports["http"])} in one["env"]
    assert f"--metrics=:{ports['metrics']}" in one["args"]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])
    assert hpa["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    (rule,) = documents("kubernetes/adapter.yaml")[0]["rules"]
    assert rule["name"]["as"] == hpa["spec"]["metrics"][0]["pods"]["metric"]["name"]
    # TERM, the drain delay, the grace: all before Kubernetes kills.
    times = {word.split("=")[0]: word.split("=")[1] for word in one["args"] if "=" in word}
    needed = int(times["--drain-delay"]) + int(times["--graceful-timeout"])
    assert needed < template["spec"]["terminationGracePeriodSeconds"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert one[probe]["httpGet"] == {"path": times["--health"], "port": "http"}


def expressions():
    for group in documents("prometheus/rules.yml")[0]["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    (rule,) = documents("kubernetes/adapter.yaml")[0]["rules"]
    yield from (rule["seriesQuery"], rule["metricsQuery"])
    dashboard = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (one["query"]["query"] for one in dashboard["templating"]["list"][1:])


def test_metric_names(serve):
    """Every one that is asked for is exported, and none is missing on the dashboard."""
    server = serve("main:app", "--metrics", "/metrics", chdir=HELLO)
    text = server.get("/metrics").body.decode()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    asked = {name for text in expressions() for name in re.findall(r"\bcwsgi_\w+", text)}
    base = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    assert base == set(kinds)
    assert {name for name in asked if name.endswith("_bucket")} <= {
        f"{name}_bucket" for name, kind in kinds.items() if kind == "histogram"
    }


def test_app_engine_schema():
    """As Google's own reader of app.yaml has it."""
    appinfo = pytest.importorskip("google.appengine.api.appinfo")
    text = (DEPLOY / "app-engine/app.yaml").read_text()
    read = appinfo.LoadSingleAppInfo(text)
    assert read.entrypoint.endswith(COMMANDS["app-engine"]), read.entrypoint
    assert int(read.automatic_scaling.max_concurrent_requests) == 8
    with pytest.raises(Exception, match="Unexpected attribute 'instance_clas'"):
        appinfo.LoadSingleAppInfo(text.replace("instance_class", "instance_clas"))


def test_compose_schema(tmp_path):
    """The Compose specification's."""
    pytest.importorskip("check_jsonschema")
    text = (DEPLOY / "compose/compose.yaml").read_text()
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(text.replace("read_only:", "read_onli:"))
    for file, code in ((DEPLOY / "compose/compose.yaml", 0), (wrong, 1)):
        command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file]
        answer = subprocess.run(command, capture_output=True, text=True)
        assert answer.returncode == code, answer.stdout + answer.stderr
    assert "read_onli" in answer.stdout


def test_promtool():
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("no promtool here: Debian has it in prometheus")
    for check, name in (("config", "prometheus.yml"), ("rules", "rules.yml")):
        command = [promtool, "check", check, DEPLOY / "prometheus" / name]
        answer = subprocess.run(command, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stdout + answer.stderr


# ---- systemd -------------------------------------------------------------------------------


@pytest.fixture
def units(tmp_path):
    """The two units, for a folder, a user and a cwsgi that are here."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd here")
    for name in ("hello.service", "hello.socket"):
        text = (DEPLOY / "systemd" / name).read_text()
        text = text.replace("/srv/hello/venv/bin/cwsgi", program()[0])
        text = text.replace("/srv/hello", HELLO).replace("=hello\n", "=root\n")
        (tmp_path / name).write_text(text)
    return tmp_path


def test_systemd_units(units):
    command = ["systemd-analyze", "verify", "--man=no", *sorted(units.iterdir())]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert str(units) not in answer.stderr


def test_systemd_socket(serve, units):
    """What systemd does for hello.socket: the first client starts the service."""
    activate = shutil.which("systemd-socket-activate")
    if not activate:
        pytest.skip("no systemd-socket-activate here")
    port = Port()
    words = shlex.split(after("systemd/hello.service", "ExecStart="))
    # It hands nothing on, also what sanitizers are told.
    kept = [f"-E{name}={os.environ[name]}" for name in os.environ if name.endswith("SAN_OPTIONS")]
    server = run(
        serve,
        [activate, *kept, "-l", str(port), *program(), "--chdir", HELLO, *words[1:]],
        binds=[port],
    )
    assert server.get("/").status == 200
    assert server.get("/health").status == 200


# ---- what starts cwsgi ---------------------------------------------------------------------


def test_supervisord(tmp_path, serve):
    port = Port()
    text = (DEPLOY / "supervisord/hello.conf").read_text()
    text = text.replace("/srv/hello/venv/bin/cwsgi", shlex.join(program()))
    text = text.replace("/srv/hello", HELLO).replace("127.0.0.1:8080", str(port))
    text = text.replace("user=hello\n", "").replace("/var/log", str(tmp_path))
    head = f"[supervisord]\nnodaemon=true\nlogfile={tmp_path}/log\npidfile={tmp_path}/pid\n"
    (tmp_path / "supervisord.conf").write_text(head + text)
    server = run(
        serve,
        [str(BIN / "supervisord"), "-c", f"{tmp_path}/supervisord.conf"],
        binds=[port],
    )
    assert server.get("/").status == 200
    log = tmp_path / "hello.log"
    wait_for(lambda: "Listening at: http://127.0.0.1" in log.read_text(), log.read_text, 10)
    server.stop()
    assert "cwsgi has stopped" in log.read_text()


def test_honcho(tmp_path, serve):
    port = Port()
    server = run(
        serve,
        ["sh", "-c", f"cd {HELLO} && exec {BIN}/honcho -f {DEPLOY}/honcho/Procfile start"],
        env={"PATH": f"{Path(program()[0]).parent}:{os.environ['PATH']}", "PORT": port.number},
        binds=[port],
    )
    assert server.get("/").status == 200
    wait_for(lambda: "tick" in server.stdout(), server.stdout, 10 * SLOW)
    server.expected_exit = {0, -signal.SIGTERM, 128 + signal.SIGTERM}
    server.stop()


class Compose(fronts.Nginx):
    """compose/nginx.conf, as it is but for addresses."""

    plain = (DEPLOY / "compose/nginx.conf").read_text().replace("app:8080", "127.0.0.1:8080")

    def config(self, lines):
        return self.whole(lines.replace("listen 80;", f"listen {self.port};"))


@pytest.fixture
def composed(serve, front):
    """The app of the compose file, with another in its place, and its nginx."""

    def start(app, *options):
        port = Port()
        line = line_of("compose").removeprefix("cwsgi ").replace("main:app", app)
        command = shlex.join([*program(), *options])
        server = run(
            serve,
            ["sh", "-c", f"cd {APPS} && exec {command} {line}"],
            env={"PORT": port.number},
            binds=[port],
        )
        return server, front(Compose, server)

    return start


def test_compose_finds_out_that_it_is_healthy(serve):
    """The command of healthcheck, in the app's container."""
    (document,) = documents("compose/compose.yaml")
    app = document["services"]["app"]
    kind, *words = app["healthcheck"]["test"]
    assert kind == "CMD" and words[0] == "python3"
    port = Port()
    start(serve, line_of("compose"), port)

    def check(number):
        code = words[2].replace(f":{app['environment']['PORT']}/", f":{number}/")
        command = [sys.executable, words[1], code]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    healthy = check(port.number)
    assert (healthy.returncode, healthy.stderr) == (0, "")
    assert "refused" in check(Port().number).stderr


@pytest.mark.parametrize("kind", fronts.each([Compose]))
def test_what_a_client_claims_is_not_passed_on(composed, kind):
    _, one = composed("envdump:app")
    claims = ("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=6.6.6.6")
    response = one.ask([*claims, ("X-Forwarded-Host", "evil")])
    assert response.status == 200
    assert b"6.6.6.6" not in response.body and b"evil" not in response.body


@pytest.mark.parametrize("kind", fronts.each([Compose]))
def test_nginx_keeps_connections_and_holds_nothing_back(composed, kind):
    server, one = composed("outputs:app", "--metrics", "/metrics")

    def accepted():
        text = one.ask(path="/metrics").body.decode()
        return re.search(r"^cwsgi_connections_accepted_total (\d+)$", text, re.M)[1]

    before = accepted()
    with one.connect() as client:
        client.send(request("/flush"))
        client.read_until(b"first;")
        server.open_gate("flush")
        client.read_until(b"second;")
        # nginx drops the connection behind it where a client leaves before the end.
        client.read_until(b"0\r\n\r\n")
    assert accepted() == before
