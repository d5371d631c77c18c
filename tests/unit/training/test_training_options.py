"""The training configuration: presets, a dataset's [training], and the options of the command line."""

from operator import attrgetter

import pytest

from recsys.errors import SettingsError
from training.config import full
from training.options import FIELDS, parsed, training_config


def test_every_field_can_be_set_and_overrides_replace_the_section():
    """A dataset's [training] changes the preset, overrides change both, and every field can be overridden."""
    config = training_config("full", {"seed": 3, "tower": {"epochs": 7}}, parsed(["tower.epochs=5", "device=cpu"]))
    assert (config.seed, config.tower.epochs, config.device) == (3, 5, "cpu")
    assert config.tower.patience == full().tower.patience
    values = {name: attrgetter(name)(config) for name in FIELDS}
    assert training_config("small", overrides=values) == config


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"epochs": 3}, "There is no entry epochs. Did you mean tower.epochs?"),
        (
            {"nonsense": 1},
            "There is no entry nonsense. The entries here are tower.*, ranker.*, label_share, test_share, "
            "test_queries, precomputed, threads, seed, device.",
        ),
        ({"tower": {"epochs": 0}}, "tower.epochs is 0; the value should be greater than or equal to 1."),
        ({"tower": 3}, "tower is a table of fields, not 3."),
        ({"device": "gpu"}, "device is 'gpu'; the value should be 'auto', 'cpu' or 'cuda'."),
        (
            {"label_share": 0.5, "test_share": 0.5},
            "label_share and test_share are below 1 together, so that events are left to train on.",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence(section, sentence):
    """An unknown field or a wrong value is an error with the field and the fix."""
    with pytest.raises(SettingsError) as refused:
        training_config(section=section)
    assert str(refused.value) == f"[training]: {sentence}"
