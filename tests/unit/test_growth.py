"""The bench: exponents are slopes, every step is measured on every size, and what grows too fast is named."""

import json
from dataclasses import replace

import numpy as np
import pytest

from recsys.errors import DatasetError
from training.__main__ import checked, main, size
from training.bench import measure, some_users
from training.dataset import read
from training.generate import Shape, generate
from training.growth import Axis, Bench, Cost, Point, exponent, short
from training.log import encode

STEPS = (
    "read",
    "encode",
    "split",
    "towers",
    "item tables",
    "candidates",
    "ranker",
    "baselines",
    "evaluation",
    "export",
)


def axis(*costs, step="towers"):
    """A log at 1, 10 and 100 thousand events whose one step took these (seconds, MiB)."""
    return Axis(
        "interactions",
        [Point(10**n, 500, {step: Cost(seconds, seconds, mib)}) for n, (seconds, mib) in enumerate(costs, 3)],
    )


@pytest.mark.parametrize("power", [0, 1, 2])
def test_an_exponent_is_the_power(power):
    """What grows as the n-th power of its data has n for an exponent."""
    assert exponent([10, 100, 1000], [7 * n**power for n in (10, 100, 1000)]) == pytest.approx(power, abs=1e-3)


def test_a_step_that_grows_as_a_square_is_named():
    """Time or memory as a square is a violation; growth in step with the data is none."""
    assert Bench({}, [axis((1, 100), (10, 1_000), (100, 10_000))]).violations() == []
    in_time = Bench({}, [axis((1, 100), (10, 1_000), (1_000, 10_000))]).violations()
    in_memory = Bench({}, [axis((1, 100), (10, 1_000), (100, 100_000))]).violations()
    assert in_time == [
        "towers grows too fast in interactions: CPU seconds by 2.00, memory by 1.00 between the two largest."
    ]
    assert "memory by 2.00" in in_memory[0]


def test_what_took_no_time_does_not_grow():
    """Milliseconds are the price of starting: a hundred times as many of them are no growth."""
    growth = axis((0.001, 1), (0.01, 5), (0.1, 20)).growth()["towers"]
    assert (growth.cpu, growth.mib) == (0, 0)
    assert not growth.too_fast


def test_one_size_has_no_exponent_and_still_a_table():
    """A bench of one size prints what it measured and a dash for what it can't know."""
    alone = axis((1, 100))
    assert alone.growth() == {}
    assert alone.table().row_count == 1


def test_sizes_are_read_and_written_as_people_say_them():
    """100k and 10M there and back; what is no round number stays as it is."""
    assert [size(text) for text in ("100k", "10M", "512")] == [100_000, 10_000_000, 512]
    assert [short(n) for n in (100_000, 10_000_000, 512, 1_500)] == ["100k", "10M", "512", "1500"]


def test_every_step_is_taken_and_costs_something(capfd):
    """One walk takes each step from reading to export, in order, and tells of each as it ends.

    In its own process, as the bench does: one that has had more memory before would take none anew.
    """
    point = measure(3_000, 200)
    assert tuple(point.steps) == STEPS
    assert all(cost.seconds >= 0 and cost.mib >= 0 for cost in point.steps.values())
    assert all(sum(getattr(cost, what) for cost in point.steps.values()) > 0 for what in ("seconds", "cpu", "mib"))
    told = capfd.readouterr().err
    assert all(f"3,000 interactions, 200 items · {step}: " in told for step in STEPS)


@pytest.mark.slow
def test_the_verb_measures_every_size_in_a_process_of_its_own(tmp_path, capfd):
    """`bench` prints a table for each axis and writes points and exponents; no size is measured twice."""
    target = tmp_path / "bench.json"
    assert main(["bench", "--interactions", "1k", "2k", "--items", "100", "--json", str(target)]) == 0
    told = capfd.readouterr()
    assert "Growth in interactions, at 100 items" in told.out
    assert "Growth in items, at 2,000 interactions" in told.out
    measured = json.loads(target.read_text())
    assert [(p["interactions"], p["items"]) for p in measured["points"]] == [(1000, 100), (2000, 100)]
    assert set(measured["exponents"]["interactions"]) == set(STEPS)
    assert measured["machine"]["cores"] >= 1


def test_some_users_keep_all_they_did(tmp_path):
    """Every tenth user's events, in their order, with their contexts, under their own ids."""
    log = encode(read(generate(Shape(2_000, 100), tmp_path)))
    log = replace(log, contexts=np.arange(len(log), dtype=np.uint8)[:, None])
    some = some_users(log, 10)
    assert len(some.user_ids) == -(-len(log.user_ids) // 10)
    for user, name in enumerate(some.user_ids[:5]):
        before = list(log.user_ids).index(name)
        assert some.items[some.users == user].tolist() == log.items[log.users == before].tolist()
        assert some.contexts[some.users == user].tolist() == log.contexts[log.users == before].tolist()


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_folder_is_no_file_to_write(tmp_path, option):
    """It is refused before the work and not after it, with a sentence."""
    with pytest.raises(DatasetError, match=f"{option} names .*, which is a folder"):
        checked(tmp_path, option)
