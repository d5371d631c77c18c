"""Whatever a team's log looks like, it trains and is evaluated with the one command and no change of code."""

import json

import pytest

from training.__main__ import main

ROWS = ("popularity", "tower", "union", "two_stage")


@pytest.mark.parametrize(
    "shape", ["plain", *(pytest.param(each, marks=pytest.mark.slow) for each in ("sessions", "repeats", "wide"))]
)
def test_a_shape_trains_and_is_evaluated(tmp_path, shape, capsys):
    """Three text columns, sessions of 2 to 5, repeat purchases, and more items than EASE takes: a whole table each."""
    items = "12k" if shape == "wide" else "400"
    assert main(["generate", "--shape", shape, "--out", str(tmp_path), "--interactions", "5k", "--items", items]) == 0
    target = tmp_path / "table.json"
    arguments = ["--config", "small", "--data", str(tmp_path), "--json", str(target)]
    assert main(["evaluate", *arguments]) == 0, capsys.readouterr().err
    table = json.loads(target.read_text())
    assert table["queries"] > 0
    for row in ROWS:
        assert 0 <= table["rows"][row]["recall@10"] <= 1
    chance = 10 / table["items"]
    assert table["rows"]["two_stage"]["recall@10"] > 3 * chance
