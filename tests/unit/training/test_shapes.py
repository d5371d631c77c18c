"""The least that a log may hold trains and is evaluated by one command."""

import json

from training.__main__ import main

ROWS = ("popularity", "tower", "union", "two_stage")


def test_three_columns_of_text_train_and_are_evaluated(tmp_path, capsys):
    """A log of ids and times alone, without an items table, gives a whole table."""
    assert main(["generate", "--shape", "plain", "--out", str(tmp_path), "--interactions", "5k", "--items", "400"]) == 0
    target = tmp_path / "table.json"
    arguments = ["--config", "small", "--data", str(tmp_path), "--json", str(target)]
    assert main(["evaluate", *arguments]) == 0, capsys.readouterr().err
    table = json.loads(target.read_text())
    assert table["queries"] > 0
    for row in ROWS:
        assert 0 <= table["rows"][row]["recall@10"] <= 1
    chance = 10 / table["items"]
    assert table["rows"]["two_stage"]["recall@10"] > 3 * chance
