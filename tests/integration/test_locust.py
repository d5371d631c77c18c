"""The locustfile with Locust's own options: users, processes, runs from the web page, statistics and CSV."""

import json
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress

import httpx
import pytest

from loadtests.tally import Outcome, Tally
from tests.fakes.slate_servers import http_slate_server
from tests.servers.deployment import ROOT, free_port
from tests.servers.locust_command import KNOWN, LATE, command, expected_users, locust, statistics

SECONDS = 3


def test_users_and_processes_spread_one_load(tmp_path):
    """Two users in two processes send each request of the load once; the figures and Locust's CSV count all."""
    warmup, counted = expected_users(SECONDS)
    options = ["--csv", str(tmp_path / "csv"), "--figures-only"]
    options += ["--processes", "2"]
    with http_slate_server() as server:
        run = locust(server.url, tmp_path / "load.json", *options, users=2, seconds=SECONDS)
    assert Counter(server.users) == Counter(warmup + counted), run.stderr
    figures = json.loads((tmp_path / "load.json").read_text())
    assert figures["requests"] == Tally.from_json(figures).count(Outcome.WHOLE) == len(counted)
    assert (figures["asked"]["users"], figures["asked"]["processes"]) == (2, 2)
    assert len(Tally.from_json(figures).lag) == len(counted)
    assert statistics(tmp_path / "csv")["/recommend"] == (len(counted), 0)
    assert run.returncode in {0, 1, LATE}, run.stdout + run.stderr  # 1, 3: other work on the cores


def until(happened, seconds=60):
    """Wait; the test fails after so many seconds."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.1)


class Page:
    """Locust's web page, used over HTTP."""

    def __init__(self, port, result):
        self.url, self.result = f"http://127.0.0.1:{port}", result

    def reachable(self):
        with suppress(httpx.ConnectError):
            return httpx.get(self.url).is_success
        return False

    def start(self, **form):
        self.result.unlink(missing_ok=True)
        form = {"user_count": 2, "spawn_rate": 100, **form}
        assert httpx.post(f"{self.url}/swarm", data=form).json()["success"]

    def figures(self):
        """The figures of the run, when it has been judged."""
        until(lambda: self.result.exists() and self.state() == "stopped")
        return json.loads(self.result.read_text())

    def statistics(self):
        return httpx.get(f"{self.url}/stats/requests").json()

    def state(self):
        return self.statistics()["state"]

    def counted(self):
        return {row["name"]: row["num_requests"] for row in self.statistics()["stats"]}["Aggregated"]


def test_each_run_from_the_web_page_has_its_own_figures(tmp_path):
    """Two complete runs, an option out of range, and a run that is stopped; the exit code is that of the last run."""
    port, result = free_port(), tmp_path / "load.json"
    web = ["--web-host", "127.0.0.1", "--web-port", str(port), "--known-users", str(KNOWN), "--figures-only"]
    with http_slate_server() as server, (tmp_path / "log").open("wb") as log:
        line = command(server.url, result, SECONDS, *web)
        process = subprocess.Popen(line, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            page = Page(port, result)
            until(page.reachable)
            for seed in (1, 2):
                page.start(seed=seed)
                figures = page.figures()
                assert figures["requests"] == len(expected_users(SECONDS, seed)[1]) == page.counted()
            page.start(rate=-5)
            until(lambda: (tmp_path / "log").read_text().count("Shape test stopping") == 3)
            assert "--rate: '-5.0' is not a number" in (tmp_path / "log").read_text()
            assert not result.exists()
            sent = len(server.users)
            page.start(rate=20, seconds=60, warmup=0)
            until(lambda: len(server.users) >= sent + 20)
            httpx.post(f"{page.url}/stop", timeout=60)
            figures = page.figures()
            assert 20 <= figures["requests"] == len(server.users) - sent
            process.send_signal(signal.SIGTERM)
            late, held = figures["generator_late"], figures["held"]
            assert process.wait(30) == (LATE if late else 0 if held else 1), (tmp_path / "log").read_text()
        finally:
            process.kill()
            process.wait()


def test_a_generator_that_was_late_measured_nothing(tmp_path):
    """A generator that did not run for a second sends the requests that were due then, and ends with exit code 3."""
    with http_slate_server() as server:
        line = command(
            server.url, tmp_path / "load.json", SECONDS, "--headless", "--figures-only", "--known-users", "9"
        )
        process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            until(lambda: len(server.users) > 25)  # after the warm-up
            process.send_signal(signal.SIGSTOP)
            time.sleep(1)
            process.send_signal(signal.SIGCONT)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == LATE, output
    assert "Nothing was measured: the generator itself was late" in output
    assert json.loads((tmp_path / "load.json").read_text())["requests"] == len(expected_users(SECONDS)[1])


@pytest.mark.parametrize(("delay", "broken"), [(0.0, ""), (0.3, "p99 ms")])
def test_the_gate_passes_a_good_deployment_and_fails_a_slow_one(delay, broken, tmp_path):
    """The exit code, the table and the report have the verdict, with the limit that did not hold."""
    with http_slate_server(200, delay) as server:
        for _ in range(5):
            run = locust(server.url, tmp_path / "load.json", "--warmup", "0.5", seconds=2)
            if run.returncode == bool(broken):
                break  # otherwise other work on the cores delayed the generator or the server
    assert run.returncode == bool(broken), run.stdout + run.stderr
    lines = [line for line in run.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(line.startswith(broken) for line in lines) if broken else not lines
    assert f"The report: {tmp_path / 'load.html'}" in run.stdout
    report = (tmp_path / "load.html").read_text()
    assert ("slo.toml did not hold" if broken else "slo.toml held") in report
    assert broken in report
