"""`python -m loadtests.bench.fast_generator`, run against a server."""

import json
import subprocess
import sys

import pytest

from loadtests.arrivals import Shape
from loadtests.tally import Outcome, Tally
from tests.fakes.slate_servers import http_slate_server
from tests.servers.deployment import ROOT


@pytest.mark.parametrize(("status", "outcome"), [(200, Outcome.WHOLE), (503, Outcome.FAILED)])
def test_the_generator_counts_every_request_once(status, outcome, tmp_path):
    """The command sends each arrival of the shape, and counts whole slates and failures."""
    sent = len(list(Shape("steady", ((1, 80),)).arrivals(1)))
    command = [sys.executable, "-m", "loadtests.bench.fast_generator", "--pieces", "1:80", "--warmup", "0", "--k", "5"]
    with http_slate_server(status) as server:
        command += ["--host", server.url, "--result", str(tmp_path / "load.json")]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    tally = Tally.from_json(json.loads((tmp_path / "load.json").read_text()))
    assert tally.count() == tally.count(outcome) == len(server.users) == sent
    assert tally.words == ({f"status {status}": sent} if status != 200 else {})


def test_another_verb_gets_its_own_requests(tmp_path):
    """The id of each request is put into the body, and the answer needs no number of items."""
    (tmp_path / "ids").write_text("a\nb")
    command = [sys.executable, "-m", "loadtests.bench.fast_generator", "--pieces", "1:40", "--warmup", "0"]
    command += ["--path", "/rank", "--body", '{"user_id": "{id}", "k": 1}', "--cold-share", "0"]
    with http_slate_server() as server:
        command += ["--host", server.url, "--user-file", str(tmp_path / "ids"), "--result", str(tmp_path / "load.json")]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert {*server.users} == {"a", "b"}
    tally = Tally.from_json(json.loads((tmp_path / "load.json").read_text()))
    assert tally.count(Outcome.WHOLE) == len(server.users)
