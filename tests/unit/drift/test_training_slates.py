"""The slates of a training that its generation holds, to compare served slates with."""

import numpy as np
import pytest

from recsys.errors import GenerationError
from tests.sample_data import tiny
from tests.sample_data.altered_generation import altered
from training.export.training_slates import DAYS, PART, PLACES, columns_to_compare, read


def test_a_generation_holds_slates_of_its_training(tiny_world):
    """One item for each user who counts on one of the last days; no id of a user."""
    folder, log = tiny_world
    rows = read(folder)
    late = np.unique(log.users[log.times >= log.end - DAYS * 86_400])
    assert 0.15 * len(late) < len(rows) < len(late)
    assert "user_id" not in rows
    assert set(rows["item_id"]) | set(rows["first_item"]) <= {*map(str, log.catalogue.ids)}
    columns = columns_to_compare(rows)
    assert np.isfinite(columns["feature.tower"]).all()
    assert columns["score"].abs().max() > 0
    assert (columns["source.tower"] == "True").any()
    assert (rows["item_id"] == rows["first_item"]).mean() < 2 / PLACES
    assert folder.manifest.parts[PART].bytes < 300 * tiny.USERS


def test_an_older_or_a_damaged_generation(tiny_world, tmp_path):
    """An older one has no slates of its training; a damaged part is an error that names the generation."""
    folder, _ = tiny_world
    assert read(altered(folder, tmp_path / "g-older", lambda path: (path / PART).unlink())) is None
    other = altered(folder, tmp_path / "g-other", lambda path: np.save(path / PART, np.zeros(3)))
    assert read(other) is None
    damaged = altered(folder, tmp_path / "g-damaged", lambda path: (path / PART).write_bytes(b"no array"))
    with pytest.raises(GenerationError, match="g-damaged"):
        read(damaged)
