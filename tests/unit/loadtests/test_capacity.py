"""The capacity model finds the costs in measurements, and its command predicts the needs of a size from a file."""

import subprocess
import sys

import pytest

from loadtests.capacity.curves import Size, fit
from tests.servers.deployment import ROOT

SIZES = [Size(items, events, 0) for events in (100_000, 1_000_000, 3_000_000) for items in (20_000, 300_000)]


def cost(size: Size) -> float:
    """2 s, 5 s for a million events, 20 s for a million items."""
    return 2 + 5 * size.interactions / 1e6 + 20 * size.items / 1e6


def test_a_curve_finds_the_costs_behind_noisy_measurements():
    """Each measurement is 5 % too high or too low; at a size between them the curve is closer than that."""
    noisy = [(size, cost(size) * (1.05 if place % 2 else 0.95)) for place, size in enumerate(SIZES)]
    curve = fit(("", "events", "items"), noisy)
    unseen = Size(100_000, 700_000, 0)
    assert curve.at(unseen) == pytest.approx(cost(unseen), rel=0.05)


def test_no_term_of_a_curve_is_negative():
    """Memory that falls with the items, by chance, is no memory that items give back."""
    curve = fit(("", "items"), [(Size(10_000, 0, 0), 110.0), (Size(50_000, 0, 0), 105.0), (Size(200_000, 0, 0), 100.0)])
    assert curve.weights["items"] == 0
    assert curve.at(Size(10_000_000, 0, 0)) == pytest.approx(105, rel=0.02)


def predict(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtests.capacity", "predict", "--users", "1M", "--items", "100k", *options]
    return subprocess.run(
        [*command, "--interactions", "20M"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TANDEM_HOME": variables["home"]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_predicts_from_the_published_measurements(tmp_path):
    """Where this machine was not measured: cores, memory, network, money, and what breaks first."""
    ran = predict("--rate", "100", home=str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    for expected in ("cores of all slates", "GiB of the store", "Mbit/s, client", "money a month", "break"):
        assert expected in ran.stdout


@pytest.mark.parametrize(
    ("options", "content", "sentence"),
    [
        (["--rate", "many"], None, "'many' is not a whole number from 1 to 1,000,000"),
        (["--rate", "100", "--users", "10G"], None, "--users: each user has an event, so at most --interactions"),
        (["--rate", "100"], "{}", "has no measurements of capacity"),
    ],
)
def test_a_mistake_is_a_sentence(options, content, sentence, tmp_path):
    """A rate that is no number, more users than events, and a file that something else wrote."""
    if content:
        (tmp_path / "capacity.json").write_text(content)
    ran = predict(*options, home=str(tmp_path))
    assert ran.returncode != 0
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr
