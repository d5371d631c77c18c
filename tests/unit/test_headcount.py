"""What the parent of the workers counts, read as a worker's /metrics reads it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from service.headcount import Headcount

ROOT = Path(__file__).resolve().parents[2]


def told(folder):
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    lines = generate_latest(registry).decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def test_workers_and_their_deaths_are_read_with_what_workers_count(tmp_path):
    """By service; from the start, so that a first death is an increase."""
    headcount = Headcount(str(tmp_path))
    headcount.begin("Ranking", 2)
    headcount.alive("Ranking", 2)
    assert told(tmp_path)['tandem_worker_deaths_total{service="Ranking"}'] == 0
    headcount.died("Ranking", 1, 7)
    headcount.alive("Ranking", 1)
    assert told(tmp_path) == {
        'tandem_worker_deaths_total{service="Ranking"}': 1,
        'tandem_workers{service="Ranking",state="wanted"}': 2,
        'tandem_workers{service="Ranking",state="alive"}': 1,
    }


def test_a_sum_over_the_living_leaves_the_dead_out(tmp_path):
    """The slates that may be under way, of two workers of which one is killed: else each death would add to them."""
    count = "import os; from service.telemetry import metrics; metrics.slates_limit.set(8); print(os.getpid())"
    folder = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    pids = [
        int(
            subprocess.run(
                [sys.executable, "-c", count], cwd=ROOT, env=os.environ | folder, stdout=subprocess.PIPE, check=True
            ).stdout
        )
        for _ in range(2)
    ]
    assert told(tmp_path)["tandem_slates_limit"] == 16
    Headcount(str(tmp_path)).died("Gateway", 1, pids[0])
    assert told(tmp_path)["tandem_slates_limit"] == 8


@pytest.mark.parametrize("folder", [None, "/nowhere/at/all"])
def test_without_a_folder_nothing_is_counted_and_nothing_breaks(folder):
    """Workers are minded all the same."""
    headcount = Headcount(folder)
    headcount.begin("Ranking", 1)
    headcount.died("Ranking", 1, 7)
