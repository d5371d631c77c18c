"""Runs the load test, `python -m locust` with the committed locustfile, in tests of it, and reads its CSV file.

It also computes the users for whom the run should send requests.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

from loadtests.arrivals import Shape
from loadtests.user_sequence import Population, UserSequence
from tests.servers.deployment import ROOT

LATE = 3
"""Exit code if the generator itself was late and nothing was measured."""

RATE, WARMUP_SECONDS, KNOWN = 20.0, 1.0, 16_000


def command(url: str, result: Path, seconds: float, *options: str, users: int = 1) -> list[str]:
    """The command without `--headless`, and without the users that requests are for."""
    line = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--host", url, "--users", str(users)]
    line += ["--rate", str(RATE), "--seconds", str(seconds), "--warmup", str(WARMUP_SECONDS)]
    return [*line, "--result", str(result), *options]


def locust(
    url: str, result: Path, *options: str, store: str = "", users: int = 1, seconds: float = 6
) -> subprocess.CompletedProcess[str]:
    """A run by users of the generation that is live in the store, or without a store by KNOWN users with a number."""
    more = ["--headless", "--only-summary", *([] if store else ["--known-users", str(KNOWN)])]
    env = os.environ | ({"REDIS_URL": store} if store else {})
    line = command(url, result, seconds, *options, *more, users=users)
    return subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)


def expected_users(seconds: float, seed: int = 1) -> tuple[list[int | str], list[int | str]]:
    """The users of the requests in the warm-up and after it, each in the order in which they are due."""
    parts = ((WARMUP_SECONDS, f"warm-up {seed}"), (seconds, seed))
    sequences = []
    for length, part_seed in parts:
        users = UserSequence(Population(KNOWN), part_seed)
        arrivals = Shape("steady", ((length, RATE),)).arrivals(part_seed)
        sequences.append([users.next_user() for _ in arrivals])
    return sequences[0], sequences[1]


def statistics(prefix: Path) -> dict[str, tuple[int, int]]:
    """Requests and failures by name, in the file that Locust writes for `--csv`."""
    with Path(f"{prefix}_stats.csv").open(encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    return {row["Name"]: (int(row["Request Count"]), int(row["Failure Count"])) for row in rows}
