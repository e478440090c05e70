"""The Django example: sessions, the admin behind its login, static files by WhiteNoise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from server import clean_env

pytest.importorskip("django")
pytest.importorskip("whitenoise")
SITE = Path(__file__).resolve().parent.parent.parent / "examples" / "django"
USER, PASSWORD = "admin", "correct horse battery"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A database with one superuser, outside of the source tree."""
    path = tmp_path_factory.mktemp("django") / "db.sqlite3"
    env = clean_env(
        {
            "DJANGO_DB": path,
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "DJANGO_SETTINGS_MODULE": "project.settings",
        }
    )
    for command in (
        ["migrate", "-v", "0"],
        ["createsuperuser", "--noinput", "--username", USER, "--email", "a@example.com"],
    ):
        subprocess.run(
            [sys.executable, "-m", "django", *command],
            env={**env, "PYTHONPATH": str(SITE)},
            cwd=SITE,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    return path


@pytest.fixture(scope="module", params=[(1, 8), (2, 2)], ids=["1x8", "2x2"])
def server(request, serve_all, database):
    workers, threads = request.param
    env = {"DJANGO_DB": database, "DJANGO_DEBUG": "0"}
    return serve_all("main:app", chdir=SITE, env=env, workers=workers, threads=threads)


@pytest.fixture
def session():
    with requests.Session() as session:
        yield session


def token(page):
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page).group(1)


def login(server, session, password=PASSWORD):
    url = server.url("/admin/login/?next=/admin/")
    page = session.get(url)
    assert page.status_code == 200
    form = {"username": USER, "password": password, "csrfmiddlewaretoken": token(page.text)}
    return session.post(url, data=form, headers={"Referer": url})


def test_session(server, session):
    for number in range(1, 6):
        assert f"Visit {number}." in session.get(server.url("/")).text
    assert "Visit 1." in requests.get(server.url("/")).text


def test_admin_login(server, session):
    response = login(server, session)
    assert response.status_code == 200
    assert response.url == server.url("/admin/")
    assert "Site administration" in response.text
    assert "sessionid" in session.cookies


def test_admin_refuses_a_wrong_password(server, session):
    response = login(server, session, "wrong")
    assert response.status_code == 200
    assert "Please enter the correct" in response.text
    assert "sessionid" not in session.cookies


def test_admin_refuses_a_missing_token(server, session):
    url = server.url("/admin/login/")
    session.get(url)
    assert session.post(url, data={"username": USER, "password": PASSWORD}).status_code == 403


def test_admin_adds_and_deletes(server, session):
    login(server, session)
    url = server.url("/admin/auth/group/add/")
    form = {"name": "caf\xe9 group", "csrfmiddlewaretoken": token(session.get(url).text)}
    response = session.post(url, data=form, headers={"Referer": url})
    assert "was added successfully" in response.text
    (number,) = set(re.findall(r"/admin/auth/group/(\d+)/change/", response.text))
    url = server.url(f"/admin/auth/group/{number}/delete/")
    form = {"post": "yes", "csrfmiddlewaretoken": token(session.get(url).text)}
    response = session.post(url, data=form, headers={"Referer": url})
    assert "was deleted successfully" in response.text


@pytest.mark.parametrize(
    "path", ["admin/css/base.css", "admin/js/core.js", "admin/img/icon-yes.svg"]
)
def test_static_files(server, session, path):
    import django.contrib.admin

    file = Path(django.contrib.admin.__file__).parent / "static" / path
    response = session.get(server.url(f"/static/{path}"))
    assert response.status_code == 200
    assert response.content == file.read_bytes()
    assert response.headers["Content-Length"] == str(os.path.getsize(file))
    again = session.get(
        server.url(f"/static/{path}"),
        headers={"If-Modified-Since": response.headers["Last-Modified"]},
    )
    assert (again.status_code, again.content) == (304, b"")
    part = session.get(server.url(f"/static/{path}"), headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, response.content[:10])
    head = session.head(server.url(f"/static/{path}"), headers={"Accept-Encoding": "identity"})
    assert head.headers["Content-Length"] == str(os.path.getsize(file))


def test_missing_page(server, session):
    assert session.get(server.url("/no/such/page")).status_code == 404
    assert session.get(server.url("/static/no.css")).status_code == 404


def test_a_database_that_is_not_migrated(serve, tmp_path):
    """The start says how to make it right, and the error of a page is in the log."""
    server = serve("main:app", chdir=SITE, env={"DJANGO_DB": tmp_path / "new.sqlite3"})
    assert "manage.py migrate" in server.log()
    assert server.get("/").status == 500
    server.wait_log("no such table: django_session")


def test_a_migrated_database_is_no_reason_to_say_anything(server):
    assert "manage.py migrate" not in server.log()
