"""Locust's own means give right figures: users, processes, runs from the web page, statistics and CSV."""

import json
import signal
import subprocess
import time
from collections import Counter

import httpx
import pytest

from loadtests.tally import Outcome, Tally
from tests.fakes.slate_servers import grpc_slate_server, http_slate_server
from tests.servers.deployment import ROOT, free_port
from tests.servers.locust_command import KNOWN, LATE, command, expected_users, locust, statistics

SECONDS = 3


@pytest.mark.parametrize("processes", [1, 2])
def test_users_and_processes_spread_one_load(processes, tmp_path):
    """Two users send each request of the load once, in one process or two; the figures and Locust's CSV have all."""
    warmup, counted = expected_users(SECONDS)
    options = ["--csv", str(tmp_path / "csv"), "--figures-only"]
    options += ["--processes", str(processes)] if processes > 1 else []
    with http_slate_server() as stub:
        run = locust(stub.url, tmp_path / "load.json", *options, users=2, seconds=SECONDS)
    assert Counter(stub.users) == Counter(warmup + counted), run.stderr
    figures = json.loads((tmp_path / "load.json").read_text())
    assert figures["requests"] == Tally.from_json(figures).count(Outcome.WHOLE) == len(counted)
    assert (figures["asked"]["users"], figures["asked"]["processes"]) == (2, processes)
    assert len(Tally.from_json(figures).lag) == len(counted)
    assert statistics(tmp_path / "csv")["/recommend"] == (len(counted), 0)
    assert run.returncode in {0, 1, LATE}, run.stdout + run.stderr  # 1, 3: other work on the cores


def test_grpc_calls_enter_the_statistics_of_locust(tmp_path):
    """Each user has a connection of its own; calls and failures stand in the CSV, without those of the warm-up."""
    warmup, counted = expected_users(SECONDS)
    failed = sum(isinstance(user, str) for user in counted)
    with grpc_slate_server() as stub:
        options = ["--door", "grpc", "--csv", str(tmp_path / "csv"), "--figures-only"]
        run = locust(stub.url, tmp_path / "load.json", *options, users=2, seconds=SECONDS)
    assert len(stub.users) == len(warmup + counted), run.stderr
    assert len(stub.peers) == 2
    figures = json.loads((tmp_path / "load.json").read_text())
    assert Tally.from_json(figures).count(Outcome.FAILED) == failed > 0
    assert statistics(tmp_path / "csv")["/tandem.v1.Recommender/Recommend"] == (len(counted), failed)
    assert run.returncode in {1, LATE}


def until(happened, seconds=60):
    """Wait; the test fails where it does not happen."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.1)


class Page:
    """Locust's web page, driven by its requests."""

    def __init__(self, port, result):
        self.url, self.result = f"http://127.0.0.1:{port}", result

    def start(self, **form):
        self.result.unlink(missing_ok=True)
        form = {"user_count": 2, "spawn_rate": 100, **form}
        assert httpx.post(f"{self.url}/swarm", data=form).json()["success"]

    def figures(self):
        """Of the run, once it is judged."""
        until(lambda: self.result.exists() and self.state() == "stopped")
        return json.loads(self.result.read_text())

    def statistics(self):
        return httpx.get(f"{self.url}/stats/requests").json()

    def state(self):
        return self.statistics()["state"]

    def counted(self):
        return {row["name"]: row["num_requests"] for row in self.statistics()["stats"]}["Aggregated"]


def test_each_run_from_the_web_page_has_its_own_figures(tmp_path):
    """Two whole runs, an option out of range, and a run that is stopped; the exit code is that of the last run."""
    port, result = free_port(), tmp_path / "load.json"
    web = ["--web-host", "127.0.0.1", "--web-port", str(port), "--known-users", str(KNOWN), "--figures-only"]
    with http_slate_server() as stub, (tmp_path / "log").open("wb") as log:
        line = command(stub.url, result, SECONDS, *web)
        process = subprocess.Popen(line, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        try:
            page = Page(port, result)
            until(lambda: "Starting web interface" in (tmp_path / "log").read_text())
            for seed in (1, 2):
                page.start(seed=seed)
                figures = page.figures()
                assert figures["requests"] == len(expected_users(SECONDS, seed)[1]) == page.counted()
            page.start(rate=-5)
            until(lambda: (tmp_path / "log").read_text().count("Shape test stopping") == 3)
            assert "--rate: '-5.0' is not a number" in (tmp_path / "log").read_text()
            assert not result.exists()
            sent = len(stub.users)
            page.start(rate=20, seconds=60, warmup=0)
            until(lambda: len(stub.users) >= sent + 20)
            httpx.post(f"{page.url}/stop", timeout=60)
            figures = page.figures()
            assert 20 <= figures["requests"] == len(stub.users) - sent
            process.send_signal(signal.SIGTERM)
            late, held = figures["generator_late"], figures["held"]
            assert process.wait(30) == (LATE if late else 0 if held else 1), (tmp_path / "log").read_text()
        finally:
            process.kill()
            process.wait()


def test_a_generator_that_was_late_measured_nothing(tmp_path):
    """A generator that did not run for a second sends the requests that were due then, and ends with exit code 3."""
    with http_slate_server() as stub:
        line = command(stub.url, tmp_path / "load.json", SECONDS, "--headless", "--figures-only", "--known-users", "9")
        process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            until(lambda: len(stub.users) > 25)  # after the warm-up
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


@pytest.mark.parametrize(("status", "delay", "broken"), [(200, 0.3, "p99 ms"), (503, 0.0, "error share")])
def test_a_slow_or_a_failing_deployment_fails_the_gate(status, delay, broken, tmp_path):
    """The exit code, the table and the report name the limit that did not hold."""
    with http_slate_server(status, delay) as stub:
        for _ in range(5):
            run = locust(stub.url, tmp_path / "load.json", "--warmup", "0.5", seconds=2)
            if run.returncode != LATE:  # other work on the cores
                break
    assert run.returncode == 1, run.stdout + run.stderr
    assert any(line.startswith(broken) and line.endswith("BROKEN") for line in run.stdout.splitlines())
    report = (tmp_path / "load.html").read_text()
    assert "slo.toml did not hold" in report
    assert broken in report
