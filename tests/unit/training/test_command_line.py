"""`python -m training evaluate` and `bench` on the smallest datasets: complete tables, progress, exponents."""

import json

import pytest

from recsys.errors import DatasetError
from training.__main__ import checked, main
from training.scaling_bench import Point, exponents


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


def test_bench_measures_every_step(tmp_path, capsys):
    """One size gives the costs of all steps from reading to export; two sizes have exponents."""
    target = tmp_path / "bench.json"
    sizes = ["--interactions", "2k", "--items", "150", "--json", str(target)]
    assert main(["bench", *sizes]) == 0, capsys.readouterr()
    by_interactions, _ = json.loads(target.read_text())
    steps = ["read", "encode", "split", "towers", "item tables", "ranker", "baselines", "evaluation", "export"]
    assert [list(point["steps"]) for point in by_interactions] == [steps]
    points = [Point(10**n, 500, {"towers": (cpu, 10.0**n)}) for n, cpu in ((4, 1.0), (5, 100.0))]
    assert exponents(points, "towers") == [2.0, 1.0]


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_folder_is_no_file_to_write(tmp_path, option):
    """A folder as the target is refused before the work, with a sentence."""
    with pytest.raises(DatasetError, match=f"{option} names .*, which is a folder"):
        checked(tmp_path, option)
