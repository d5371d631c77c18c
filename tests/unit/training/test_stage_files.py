"""The files of stages: a killed run goes on from them, and other data, settings or code make others."""

import os
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.flows.ring_dataset import log_of, quick, ring
from training import recipe
from training.config import RankerConfig
from training.encode.split import split
from training.stage_files import KEPT, MOST, StageFiles

ROOT = Path(__file__).resolve().parents[3]

SAVE = """
from pathlib import Path
from training.stage_files import StageFiles

files = StageFiles(Path("kept"))
for stage in ("fit", "rank"):
    files.state(files.name(stage)).save({})
"""


class Killed(Exception):
    """In place of a kill: nothing of the run is left but its files."""


def run(log, config, files, progress=recipe.NO_PROGRESS):
    """Train the ranker, evaluate, and train on everything."""
    run, parts = recipe.TrainingRun(config, progress, files), split(log, config)
    ranker = recipe.train_ranker(parts, run)
    return recipe.train_on_everything(log, ranker, recipe.evaluate(parts, ranker, run), run)


def test_a_killed_run_goes_on_from_the_files_of_its_stages(tmp_path):
    """Killed in each step and at its end, a run repeats no complete stage and has the model of a run without a kill."""
    log, config = log_of(ring(users=60)), replace(quick(), ranker=RankerConfig(minimum=20, doubtful=0))
    whole, steps = run(log, config, None), list[str]()

    def killing(at):
        def show(update):
            if update.done and update.step == at:
                raise Killed
            if not update.share and update.step not in steps:
                steps.append(update.step)

        return recipe.NO_PROGRESS.shown_on(show)

    for at in ("towers before the labels", "ranker on the labels", "towers before the test", "evaluation"):
        with pytest.raises(Killed):
            run(log, config, StageFiles(tmp_path), killing(at))
    steps.clear()
    files = StageFiles(tmp_path)
    found = run(log, config, files, killing(""))
    assert not {"towers before the labels", "ranker on the labels"} & {*steps}
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, found.net.state_dict()[name]), name
    np.testing.assert_array_equal(whole.stage.tables.embeddings, found.stage.tables.embeddings)
    assert found.evaluation.rows == whole.evaluation.rows
    files.clear()
    assert sorted(path.name.partition("-")[0] for path in tmp_path.iterdir()) == ["fit", "fit", "rank"]


def test_files_of_another_training_are_not_used(tmp_path):
    """Another log, split, configuration or seed has files of its own."""
    log, config = log_of(ring(users=60)), replace(quick(), ranker=RankerConfig(minimum=20, doubtful=0))
    parts = split(log, config)
    others = [
        (parts, config),
        (split(log[:-5], config), config),
        (split(log, replace(config, test_share=0.2)), config),
        (parts, replace(config, seed=1)),
        (parts, replace(config, ranker=replace(config.ranker, epochs=2))),
        (parts, replace(config, tower=replace(config.tower, id_dropout=0.3))),
    ]
    for count, (cut, settings) in enumerate(others, 1):
        recipe.train_ranker(cut, recipe.TrainingRun(settings, files=StageFiles(tmp_path)))
        assert len([*tmp_path.glob("rank-*")]) == count


def test_a_damaged_file_counts_as_none(tmp_path):
    """Also a state with code in it."""
    files = StageFiles(tmp_path)
    state, path = files.state("x"), tmp_path / "x.pt"
    state.save({"x": torch.zeros(2), "done": 1})
    assert state.load()["done"] == 1
    path.write_bytes(path.read_bytes()[:-5])
    assert state.load() is None
    torch.save({"x": tmp_path}, path)
    assert state.load() is None
    with zipfile.ZipFile(path, "w", strict_timestamps=False) as damaged:
        damaged.writestr("archive/data.pkl", b"\x80\x02a.")  # an append with an empty stack: IndexError
        damaged.writestr("archive/version", b"3\n")
    assert state.load() is None

    def result(text):
        write = lambda value, folder: (folder / "text").write_text(value)  # noqa: E731
        return files.result("y", lambda: text, write, lambda folder: str(int((folder / "text").read_text())))

    assert (result("1"), result("2")) == ("1", "1")
    (tmp_path / "y" / "text").write_text("damaged")
    assert (result("3"), result("4")) == ("3", "3")


def test_a_stage_whose_code_was_edited_runs_again(tmp_path):
    """An edit of the ranker's training changes no towers; an edit of the towers changes both."""
    for name in ("training", "recsys"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))

    def saved():
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        subprocess.run([sys.executable, "-c", SAVE], check=True, cwd=tmp_path, env=env)
        found = {path.name for path in (tmp_path / "kept").iterdir()}
        shutil.rmtree(tmp_path / "kept")
        return found

    before = saved()
    for edited, others in (("training/judge/ranking.py", set()), ("training/rank/fit_net.py", {"rank"})):
        (tmp_path / edited).write_text((tmp_path / edited).read_text() + "\nOTHER = 1\n")
        assert {name.partition("-")[0] for name in saved() - before} == others
    before = saved()
    edited = tmp_path / "training/fit/gradients.py"  # the loss
    edited.write_text(edited.read_text() + "\nOTHER = 1\n")
    assert not saved() & before


def test_old_files_are_deleted_and_few_are_kept(tmp_path):
    """Results, states and half-written files of killed runs after a week; after a successful run the newest stay."""
    for name, age in (("fit-old", KEPT + 60), ("fit-young", KEPT - 60)):
        path = tmp_path / name
        path.mkdir()
        (tmp_path / f"{name}.pt").touch()
        for each in (path, tmp_path / f"{name}.pt"):
            os.utime(each, (time.time() - age,) * 2)
    files = StageFiles(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"fit-young", "fit-young.pt"}
    for age in range(MOST):
        path = tmp_path / f"fit-{age}"
        path.mkdir()
        os.utime(path, (time.time() - 60 * age,) * 2)
    files.clear()
    assert {path.name for path in tmp_path.iterdir()} == {f"fit-{age}" for age in range(MOST)}
