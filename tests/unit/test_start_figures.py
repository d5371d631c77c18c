"""The parts of `python -m loadtests.start` that start nothing: what holds, and how it is told."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from math import inf

import pytest

from loadtests import start
from loadtests.alike import K
from loadtests.report import write
from loadtests.report.of_start import of_start, table
from loadtests.start_figures import Start, verdict
from tests.unit.test_bench import point


def one(topology="split", number=1, ready=8.0, first=12.0, later=11.0, **told):
    return Start(topology, number, ready, 20.0, first, later, point(topology, number=number, **told))


@pytest.mark.parametrize(
    ("starts", "broken"),
    [
        ([one(number=0, ready=60.0, first=900.0), one(), one(first=20.0)], []),
        ([one(), one(ready=15.1)], ["split: seconds to ready"]),
        ([one(first=20.5), one()], ["split: first of p99"]),
        ([one(first=inf)], ["split: first of p99"]),
        ([one(later=inf)], ["split: first of p99"]),
        ([one(), one("inline", ready=16.0)], ["inline: seconds to ready"]),
        ([one(late=True)], ["split: first of p99"]),
        ([one(whole=0, failed=9)], ["split: first of p99"]),
        ([one(failed=20)], ["split: first of p99"]),
    ],
)
def test_the_worst_warm_start_counts(starts, broken):
    """A cold one does not; what was not measured did not hold."""
    told = verdict(starts)
    assert [line.name for line in told.lines if not line.held] == broken
    assert told.held is not bool(broken)


def test_starts_are_told(tmp_path):
    """Cold apart from warm, and one that never answered as well."""
    starts = [one(number=0, ready=40.0), one(), one(ready=9.0, first=inf)]
    rows = table(starts).rows
    assert rows[0][:3] == ["split, cold", "1", "40.0"]
    assert rows[1][:5] == ["split, warm", "2", "8.0-9.0", "20.0", "12.0-inf"]
    report = of_start(starts, verdict(starts), "here")
    assert report.sentence == "It did not hold: split: first of p99 inf, and 2 is the limit."
    write(report, tmp_path / "start.json")
    json.dumps([each.to_json() for each in starts], allow_nan=False)


@pytest.fixture
def server():
    """Answers what stands in `answer`: a status and a body."""

    class Handler(BaseHTTPRequestHandler):
        answer = (200, {})

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            status, body = self.answer
            told = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_):
            pass

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield Handler, f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    listening.server_close()
    thread.join()


def test_the_first_request_has_to_be_answered_whole(server):
    """A slate counts by its time; a refusal, half a slate and a closed door never came."""
    handler, url = server
    handler.answer = 200, {"items": [{"item_id": n} for n in range(K)], "degraded": []}
    assert 0 < start.ask(url, "someone") < 5_000
    handler.answer = 200, {"items": [{"item_id": n} for n in range(K)], "degraded": ["ranking"]}
    assert start.ask(url, "someone") == inf
    handler.answer = 503, {}
    assert start.ask(url, "someone") == inf
    assert start.ask("http://127.0.0.1:9", "someone") == inf
