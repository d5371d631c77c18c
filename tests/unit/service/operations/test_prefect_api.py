"""Calls of Prefect's API: what is sent, and the sentence for each answer that is no run."""

import asyncio
import json
import threading
from base64 import b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from service.operations.actions import Actions, PromotionRequest
from service.operations.prefect_api import PrefectApi, PrefectError
from service.settings import Settings

RUN = {"id": "r1", "tags": ["tandem"], "state": {"type": "FAILED", "name": "Failed", "message": "It is gone."}}


@contextmanager
def prefect(status=200, answer=None, busy=()):
    """A server that answers each request so, and the requests that it got. busy: numbers of those that get a 503."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            sent = self.rfile.read(int(self.headers.get("content-length", 0)))
            got.append((self.command, self.path, dict(self.headers), json.loads(sent or "null")))
            body = answer if isinstance(answer, bytes) else json.dumps(answer or {"id": "d1"}).encode()
            self.send_response(503 if len(got) in busy else status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api", got
    finally:
        server.shutdown()
        server.server_close()


def api(url, **more):
    """The API with these settings."""
    return PrefectApi(Settings(PREFECT_API_URL=url, **more))


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        ({}, None),
        ({"PREFECT_API_KEY": "pnu_1"}, "Bearer pnu_1"),
        ({"PREFECT_API_AUTH_STRING": "me:word"}, f"Basic {b64encode(b'me:word').decode()}"),
    ],
)
def test_a_run_is_started_with_its_parameter_and_the_credentials(credentials, header):
    """The deployment is found by its name, and the run gets the generation."""
    with prefect(answer=RUN) as (url, got):
        run = asyncio.run(Actions(api(url, **credentials)).promote(PromotionRequest(generation="g1", confirm="g1")))
    assert [(method, path) for method, path, *_ in got] == [
        ("GET", "/api/deployments/name/promote/by-hand"),
        ("POST", "/api/deployments/r1/create_flow_run"),
    ]
    assert got[1][3]["parameters"] == {"generation": "g1"}
    assert {headers.get("authorization") for _, _, headers, _ in got} == {header}
    assert (run.state, run.message, run.ended, run.succeeded) == ("Failed", "It is gone.", True, False)


def test_a_run_that_waits_for_no_slot_names_the_other_run():
    """Prefect's own words are about a limit of a deployment."""
    state = {"type": "CANCELLED", "name": "Cancelled", "message": "Deployment concurrency limit reached."}
    with prefect(answer=RUN | {"state": state}) as (url, _):
        run = asyncio.run(api(url).start("rollback/by-hand", {}))
    assert (run.message, run.ended) == ("Another promotion or rollback is running.", True)


def test_a_busy_prefect_is_asked_again_and_starts_one_run():
    """Another writer may hold its SQLite file. By the key Prefect answers a repeated start with the same run."""
    with prefect(answer=RUN, busy={1, 3}) as (url, got):
        asyncio.run(api(url).start("promote/by-hand", {}))
        asyncio.run(api(url).start("promote/by-hand", {}))
    assert [method for method, *_ in got] == ["GET", "GET", "POST", "POST", "GET", "POST"]
    first, again, other = (body["idempotency_key"] for method, _, _, body in got if method == "POST")
    assert first == again != other
    with prefect(busy=range(99)) as (url, got), pytest.raises(PrefectError, match="Prefect answered 503"):
        asyncio.run(api(url).start("promote/by-hand", {}))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "prefect deploy --all"),
        (401, "PREFECT_API_KEY"),
        (500, "Prefect answered 500"),
        (200, "not Prefect's API"),
    ],
)
def test_what_prefect_refuses_is_a_sentence(status, words):
    """It names the remedy."""
    for answer in ({"detail": "Something else."}, b"<html>Another page</html>"):
        with prefect(status, answer) as (url, _), pytest.raises(PrefectError, match=words):
            asyncio.run(api(url).start("promote/by-hand", {}))


@pytest.mark.parametrize("url", ["localhost:4200/api", "http://me:word@localhost:4200/api"])
def test_a_wrong_url_is_refused_at_the_start(url):
    """Also one with a password, which the configuration would print."""
    with pytest.raises(ValueError, match="PREFECT_API_AUTH_STRING"):
        Settings(PREFECT_API_URL=url)
