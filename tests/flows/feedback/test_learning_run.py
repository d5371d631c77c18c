"""A run of `train` whose ranker learns from slates that users were shown, on the command line."""

import json
from pathlib import Path

from tests.flows.ring_dataset import START, ring, write
from tests.flows.test_flow import call
from tests.sample_data import shown_slates
from training.data.impressions import PREFIX

DAY = 86_400.0


def test_many_slates_that_contradict_the_log_decide_the_ranker(tmp_path, prefect_url):
    """Users of the slates take the item that the towers hold for the worst. Another dataset's slates change nothing."""
    data = write(tmp_path / "data", ring(users=300))
    mapping = data / "dataset.toml"
    mapping.write_text(mapping.read_text() + "[collected]\nimpressions = true\n")
    folder, tower = tmp_path / "tandem" / "impressions", PREFIX + "tower"
    for seed, (name, sign) in enumerate((("ring", -1), ("other", 1))):
        rows = shown_slates.slates(3_000, (START, START + 9 * DAY), seed, name)
        shown_slates.write(folder, shown_slates.take(rows, sign * rows[tower]))
    settings = [f"--set=ranker.{name}" for name in ("minimum=50", "doubtful=0")]
    settings += ["--config=small", "--set=tower.epochs=4"]
    run = call(tmp_path, "run", "--data", data, "--force", "--json", *settings, PREFECT_API_URL=prefect_url)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    found, rows = result["evaluation"]["impressions"], result["evaluation"]["rows"]
    assert (found["trained"], found["held"], found["serves"]) == (2_699, 300, True)
    assert found["ours"] > found["theirs"] + 0.2
    assert rows["two_stage"]["recall@10"] < rows["without_impressions"]["recall@10"]
    (sentence,) = [check["sentence"] for check in result["gate"] if check["name"] == "impressions"]
    assert sentence in result["notes"]
    assert sentence in Path(result["report"]).read_text()
