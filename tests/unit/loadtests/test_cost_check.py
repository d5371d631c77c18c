"""The cost profile that loadtests writes: `training advise` reads it, and its check compares it with measurements."""

from dataclasses import replace
from math import log

import pytest
from pydantic import TypeAdapter

from loadtests.cost_check import checked, predicted_bytes, predicted_cpu, write_profile
from tests.sample_data.planted_curves import profile
from training.advisor.cost import CostProfile, Point

PROFILE = TypeAdapter(CostProfile).validate_python(profile())


def test_the_advisor_reads_the_file(tmp_path):
    """Every figure, also of a point without a latency; the folder is made."""
    written = replace(PROFILE, points=(*PROFILE.points, Point("batch", 7.0, 3.0)))
    path = tmp_path / "home" / "cost_profile.json"
    write_profile(written, path)
    assert CostProfile.read(path) == written


@pytest.mark.parametrize(
    ("factor", "difference", "held"), [(1.0, 0.0, True), (1.24, 0.24, True), (1.3, 0.3, False), (0.7, -0.3, False)]
)
def test_cpu_is_predicted_within_a_quarter(factor, difference, held):
    """At a rate between two of the profile, at which hybrid takes 2.7 and 1.5 ms, on a logarithmic scale."""
    [found] = predicted_cpu(PROFILE, [Point("hybrid", 60.0, (2.7 - 1.2 * log(3) / log(5)) / factor)])
    assert found.difference == pytest.approx(difference, abs=1e-6)
    assert found.held == held
    assert checked([found]).rows[0][-1] == ("held" if held else "BROKEN")


@pytest.mark.parametrize(("factor", "held"), [(1.0, True), (1.14, True), (0.86, True), (1.2, False), (0.8, False)])
def test_bytes_are_predicted_within_fifteen_per_cent(factor, held):
    """Of a generation with other numbers of users and items, and of it with a list for each user."""
    memory = PROFILE.memory
    other = replace(memory, users=2 * memory.users, items=3 * memory.items)
    taken = {"parts_bytes": 3 * memory.parts_bytes / factor, "records_bytes": 2 * memory.records_bytes / factor}
    generation, with_lists = predicted_bytes(PROFILE, replace(other, **taken, list_bytes=memory.list_bytes / factor))
    assert (generation.held, with_lists.held) == (held, held)
    assert generation.measured < with_lists.measured
