"""`python -m training evaluate` and `bench` on the smallest datasets: complete tables, progress, exponents."""

import json

import pytest

from recsys.errors import DatasetError
from training.__main__ import checked, main
from training.growth import Axis, Cost, Point


def test_three_columns_of_text_train_and_are_evaluated(tmp_path, capsys):
    """A log of ids and times without an items table has a complete table; each step has a line on stderr."""
    assert main(["generate", "--shape", "plain", "--out", str(tmp_path), "--interactions", "5k", "--items", "400"]) == 0
    target = tmp_path / "table.json"
    arguments = ["--config", "small", "--data", str(tmp_path), "--json", str(target)]
    assert main(["evaluate", *arguments]) == 0, capsys.readouterr().err
    table = json.loads(target.read_text())
    assert table["queries"] > 0
    for row in ("popularity", "tower", "union", "two_stage"):
        assert 0 <= table["rows"][row]["recall@10"] <= 1
    chance = 10 / table["items"]
    assert table["rows"]["two_stage"]["recall@10"] > 3 * chance
    lines = capsys.readouterr().err
    for step in ("towers before the labels", "ranker on the labels", "baselines", "evaluation"):
        assert f"\n{step}: " in f"\n{lines}"


def axis(*costs):
    """A log of 1,000, 10,000 and 100,000 events whose one step has these costs (seconds, MiB)."""
    points = [Point(10**n, 500, {"towers": Cost(cpu, cpu, mib)}) for n, (cpu, mib) in enumerate(costs, 3)]
    return Axis("interactions", points)


def test_a_step_that_grows_as_a_square_is_named():
    """Time or memory that grows as the square of the data is a violation; growth in step with the data is none."""
    assert axis((1, 100), (10, 1_000), (100, 10_000)).violations() == []
    (in_time,) = axis((1, 100), (10, 1_000), (1_000, 10_000)).violations()
    (in_memory,) = axis((1, 100), (10, 1_000), (100, 100_000)).violations()
    assert in_time.startswith("towers grows too fast in interactions: CPU seconds by 2.00, memory by 1.00")
    assert "memory by 2.00" in in_memory


def test_bench_measures_every_step(tmp_path, capsys):
    """One size gives the costs of all steps from reading to export, without exponents."""
    target = tmp_path / "bench.json"
    assert main(["bench", "--interactions", "2k", "--items", "150", "--json", str(target)]) == 0, capsys.readouterr()
    (point,) = json.loads(target.read_text())["points"]
    steps = ["read", "encode", "split", "towers", "item tables", "ranker", "baselines", "evaluation", "export"]
    assert list(point["steps"]) == steps
    assert sum(cost["cpu"] for cost in point["steps"].values()) > 0


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_folder_is_no_file_to_write(tmp_path, option):
    """A folder as the target is refused before the work, with a sentence."""
    with pytest.raises(DatasetError, match=f"{option} names .*, which is a folder"):
        checked(tmp_path, option)
