"""The parts of `python -m loadtests.breakdown` that load nothing: shares by process, and how they are told."""

import json

import pytest

from loadtests.breakdown_figures import Part
from loadtests.floor import Floor
from loadtests.report import write
from loadtests.report.of_breakdown import of_breakdown, table
from tests.unit.test_bench import point


def part(rate, number, **roles):
    return Part(number, point("split", rate=rate, number=number), 7, roles).over(Floor(0.5, 0.25))


def test_a_breakdown_is_told(tmp_path):
    """Least and most of the passes, the rates in order, and what had no part in a pass has none."""
    parts = [part(400, 0, gateway=1.5, ranking=1.0), part(100, 0, gateway=2.0), part(400, 1, gateway=1.25, ranking=1.0)]
    shown = table([[parts[1]], [parts[0], parts[2]]])
    assert shown.header[2:4] == ["gateway", "ranking"]
    assert shown.rows[0][:4] == ["100", "7", "2.00", "0.00"]
    assert shown.rows[1][:4] == ["400", "7", "1.25-1.50", "1.00"]
    assert shown.rows[1][5:7] == ["0.50", "0.25"]
    report = of_breakdown(parts, "here")
    assert "its kernels by themselves 0.75" in report.sentence
    path = tmp_path / "breakdown.json"
    path.write_text(json.dumps([each.to_json() for each in parts]))
    assert write(report, path).exists()


def test_kernels_are_retrieval_and_ranking():
    """What is called the floor is their sum."""
    assert part(100, 0).kernels == pytest.approx(0.75)
