"""The verdict of `make soak`: growth of memory and descriptors, failures, and swaps."""

import json
import random
import subprocess
import sys

import pytest

from loadtests.arrivals import Shape
from loadtests.processes.usage import Sample, sample
from loadtests.soak.soak_report import MEMORY_MIB, growth, judge, soak_report
from loadtests.soak.swaps import Swaps
from loadtests.tally import Outcome, Tally
from training.report.page import write


def samples(memory=lambda at: 500.0, descriptors=lambda at: 80, count=100):
    return [Sample(at, {"gateway": memory(at), "ranking": 100.0}, descriptors(at), 4) for at in range(count)]


def rejected():
    counted = Tally()
    for number in range(1_000):
        counted.add(number / 10, 1.0, Outcome.REJECTED if number < 100 else Outcome.WHOLE)
    return counted


def tally(failed=0, word="status 503", count=1_000):
    counted = Tally()
    counted.lag.add(0.1)
    for number in range(count):
        counted.add(
            number / 10, 9.0, Outcome.FAILED if number < failed else Outcome.WHOLE, word if number < failed else ""
        )
    return counted


def broken(verdict):
    return [line.name for line in verdict.lines if not line.held]


def test_growth_in_the_first_half_is_no_leak():
    """Neither are noise and a peak at each swap."""
    chance = random.Random(1)
    warm = samples(lambda at: 500 + min(at, 40) * 10 + chance.uniform(-30, 30) + 400 * (at % 10 == 0))
    assert growth(warm, lambda each: each.memory) < MEMORY_MIB
    verdict = judge(tally(), 1_000, warm, 0)
    assert verdict.held, verdict.table()


@pytest.mark.parametrize(
    ("run", "lines"),
    [
        ({"samples": samples(lambda at: 500.0 + at)}, ["memory MiB"]),
        ({"samples": samples(descriptors=lambda at: 80 + at // 2)}, ["descriptors"]),
        ({"tally": tally(failed=1)}, ["5xx", "failures"]),
        ({"tally": tally(failed=1, word="no answer")}, ["failures"]),
        ({"tally": rejected()}, ["not whole"]),
        ({"missed": 1}, ["swaps missed"]),
        ({"tally": tally(count=900)}, ["not sent"]),
        ({"samples": samples(count=5)}, ["memory MiB", "descriptors"]),
        ({"tally": tally(count=0)}, ["not sent"]),
    ],
)
def test_each_line_can_break_alone(run, lines):
    """With too few samples the limits do not hold."""
    verdict = judge(**{"tally": tally(), "requests": 1_000, "samples": samples(), "missed": 0, **run})
    assert broken(verdict) == lines
    assert not verdict.held


@pytest.mark.parametrize("leaks", [True, False])
def test_every_run_has_a_report(tmp_path, leaks):
    """The sentence names the limits that did not hold, and the figures are valid JSON."""
    seen = samples(lambda at: 500.0 + at * leaks)
    verdict = judge(tally(), 1_000, seen, 0)
    report = soak_report(verdict, tally(), seen, [20.0, 60.0], Shape("steady", ((100, 10),)), "here")
    assert report.good is not leaks
    assert ("memory MiB was 45, and 20 is the limit" in report.sentence) is leaks
    assert write(report, tmp_path / "soak.html").exists()
    json.dumps([verdict.to_json(), *(each.to_json() for each in seen)], allow_nan=False)


TAKES = 'taken, opened = bytearray(b"x") * (64 << 20), [open("/dev/null") for _ in range(20)]'


def sampled_around(does):
    """Samples of a child process before and after it runs a line of Python."""
    child = f"""
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
input()
{does}
print("done", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        before = sample(process.pid, port, 0.0)
        process.stdin.write(b"\n")
        assert process.stdout.readline() == b"done\n"
        return before, sample(process.pid, port, 1.0)


def test_a_process_is_sampled():
    """The sample grows by the memory and the files of the process."""
    before, after = sampled_around(TAKES)
    assert after.memory - before.memory == pytest.approx(64, abs=4)
    assert after.descriptors - before.descriptors == 20


class Store:
    """Aliases alone."""

    def __init__(self):
        self.live, self.previous = "a", None

    def promote(self, generation):
        self.live, self.previous = generation, self.live

    def rollback(self):
        self.live, self.previous = self.previous, self.live

    def alias(self, _):
        return self.live


class Generation:
    def __init__(self, name):
        self.manifest = type("Manifest", (), {"id": name})


def test_swaps_alternate_and_one_without_effect_is_missed(monkeypatch):
    """Promote, roll back; a deployment has until the next swap to serve the generation."""
    store, served, lives = Store(), [], []
    swaps = Swaps(store, [Generation("a"), Generation("b")], "http://x", [1.0, 2.0, 3.0])
    monkeypatch.setattr(swaps, "_serves", lambda wanted: wanted in served)
    for at in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5):
        served[:] = [store.live] if at > 2 else []
        swaps.look(at)
        lives.append(store.live)
    swaps.end()
    assert lives == ["a", "b", "b", "a", "a", "b", "b"]
    assert swaps.done == [1.0, 2.0, 3.0]
    assert swaps.missed == 1
