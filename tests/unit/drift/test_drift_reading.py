"""Drift of a window: quiet where nothing changed, and the changed column is named alone."""

import numpy as np
import pytest

from tests.sample_data.served_slates import DAY, slates
from training.drift.drift_page import page
from training.drift.drift_reading import LEAST_USERS, WEEK, read
from training.drift.recomputed_features import Skew
from training.export.training_slates import draw

USERS = 600


@pytest.fixture(scope="module")
def week_before():
    """The drawn rows of the week before."""
    return draw(slates(3_000), 0.0, DAY, 7)


def scaled(shown):
    return shown.assign(**{"feature.tower": 1.5 * shown["feature.tower"]})


def without_a_source(shown):
    return shown.assign(sources=shown["sources"].str.replace(",ease", ""))


def pushed(shown):
    return shown.assign(item_id=shown["item_id"].where(shown["place"] != 2, "i-pushed"))


def pushed_to_some(shown):
    few = shown["user_id"].str[1:].astype(int) % 5 == 0
    return shown.assign(item_id=shown["item_id"].where(~few | (shown["place"] != 0), "i-pushed"))


def without_context(shown):
    return shown.assign(context="{}")


def without_lists(shown):
    return shown.assign(mode="realtime")


CHANGES = {
    scaled: "feature.tower",
    without_a_source: "source.ease",
    pushed: "item",
    pushed_to_some: "first_item",
    without_context: "context.device",
    without_lists: "mode",
}


def window(change=lambda shown: shown, seed=1, users=USERS):
    return draw(change(slates(users, 1, seed)), 0.0, DAY, 1)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_named_alone(week_before, change):
    """One column drifted; the page shows both of its distributions."""
    reading = read(window(change), week_before, None, "g1")
    assert [each.name for each in reading.alarms] == [f"{WEEK}/{CHANGES[change]}"]
    assert reading.sentence == f"Drift against the week before: {CHANGES[change]}."
    assert {"warm users", "cold users"} <= {*reading.segments}
    shown = page("g1", reading, Skew(), 0.0, DAY)
    assert shown.good is False
    assert any(part.title.startswith(f"{CHANGES[change]}: PSI") for part in shown.parts[0].parts)


def of_nights(rows):
    """The rows with another generation on each day, whose tables have other popularity and another first item."""
    night = (rows["time"] // DAY).astype(int)
    items = "i-new-" + night.astype(str)
    return rows.assign(
        generation="g" + night.astype(str),
        first_item=items,
        **{"feature.popularity_7d": rows["feature.popularity_7d"] + night},
    )


def liked(shown):
    return shown.assign(**{"feature.like_best": 2 * shown["feature.like_best"]})


@pytest.mark.parametrize(
    ("change", "column"), [(liked, "feature.like_best"), (without_a_source, "source.ease"), (pushed, "item")]
)
def test_a_week_of_nightly_trainings_is_a_week(week_before, change, column):
    """A change is named alone, although the window's generation served on no day before. Without one all is quiet."""
    for changed, alarms in ((change, [f"{WEEK}/{column}"]), (lambda shown: shown, [])):
        today = of_nights(window(changed)).assign(generation="g7", first_item="i-new-7")
        reading = read(today, of_nights(week_before), None, "g7")
        assert reading.users[WEEK] == len(week_before)
        assert [each.name for each in reading.alarms] == alarms


def test_windows_without_a_change_are_quiet(week_before):
    """Ten windows of few users."""
    readings = [read(window(seed=seed, users=200), week_before, None, "g1") for seed in range(1, 11)]
    assert [reading.sentence for reading in readings] == ["No column differs from the week before."] * 10
    assert all(len(reading.drifts) > 50 for reading in readings)


def test_too_little_to_compare_is_a_sentence(week_before):
    """Too few users, or nothing to compare with."""
    few = window().iloc[: LEAST_USERS - 1]
    assert read(few, week_before, None, "g1").sentence == "Not compared: 99 users had slates, and 100 are needed."
    reading = read(window(), week_before.iloc[:0], None, "g1")
    assert "0 had slates in the week before. The training of the generation has slates of 0," in reading.sentence
    assert not reading.drifts
    assert page("g1", reading, Skew(), 0.0, DAY).good is None


def test_many_users_alone_are_no_alarm(week_before):
    """A small shift of a large sample has a small p value, and no alarm: its size does not matter."""
    shifted = window(lambda shown: shown.assign(**{"feature.tower": shown["feature.tower"] + 0.25}), users=6_000)
    reading = read(shifted, week_before, None, "g1")
    drift = next(each for each in reading.drifts if each.column == "feature.tower")
    assert drift.p < 0.001
    assert drift.psi < 0.2
    assert not reading.alarms
    assert np.isclose(sum(drift.window), 1, atol=1e-3)
