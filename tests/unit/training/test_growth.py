"""The bench: exponents are slopes, every step is measured on every size, and what grows too fast is named."""

import pytest

from recsys.errors import DatasetError
from training.__main__ import checked
from training.growth.exponents import Axis, Bench, Cost, Point, exponent
from training.growth.measurements import measure

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


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_folder_is_no_file_to_write(tmp_path, option):
    """It is refused before the work and not after it, with a sentence."""
    with pytest.raises(DatasetError, match=f"{option} names .*, which is a folder"):
        checked(tmp_path, option)
