"""Events that came from a slate are no answers of queries over all items."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.flows.ring_dataset import log_of, ring
from training.config import small
from training.encode.slate_events import SlateEvents, slate_events
from training.encode.split import split
from training.read.impressions import COLUMNS
from training.read.locations import Location

FEATURES = [name.removeprefix("feature.") for name in COLUMNS]
WAIT = 1_800.0


def shown(path, log, events, before=60.0, dataset="ring", label=True, **features):
    """A file with a slate of one taken item before each of some events. features: other than those of every dataset."""
    times = log.times[events] - before
    rows = pd.DataFrame(
        {
            "user_id": log.user_ids[log.users[events]].astype(str),
            "item_id": log.catalogue.ids[log.items[events]].astype(str),
            "time": times,
            "labelled_until": times + WAIT,
            "dataset": dataset,
            "label": label,
            **(dict.fromkeys(COLUMNS, np.float32(1)) | {f"feature.{name}": each for name, each in features.items()}),
        }
    )
    rows.to_parquet(path)
    return Location(str(path))


def test_an_event_within_the_wait_of_a_slate_with_its_item_came_from_it(tmp_path):
    """Not one after the wait, one before its slate, one of another dataset's slate, or of an item not taken. A file of
    the first version has no labels.
    """
    log = log_of(ring(users=60))
    parts = np.array_split(np.random.default_rng(0).permutation(len(log)), 5)
    files = [
        shown(tmp_path / "from", log, parts[0]),
        shown(tmp_path / "late", log, parts[1], before=WAIT + 1),
        shown(tmp_path / "early", log, parts[2], before=-2),
        shown(tmp_path / "other", log, parts[3], dataset="shop"),
        shown(tmp_path / "untaken", log, parts[4], label=False),
    ]
    pd.DataFrame({"impression": ["1"], "user_id": ["1"]}).to_parquet(tmp_path / "old")
    files.append(Location(str(tmp_path / "old")))
    assert sorted(np.flatnonzero(slate_events(log, "ring", files, FEATURES, 0.0).from_slate)) == sorted(parts[0])
    since = float(np.median(log.times))
    later = slate_events(log, "ring", files, FEATURES, since).from_slate
    assert sorted(np.flatnonzero(later)) == sorted(parts[0][log.times[parts[0]] >= since])
    assert not slate_events(log, "ring", [], FEATURES, 0.0).from_slate.any()


def test_only_a_slate_with_all_features_of_the_ranker_takes_a_label_away(tmp_path):
    """Other slates train nothing: of lists, without features; of a generation before; with a column of the dataset."""
    log = log_of(ring(users=60))
    parts = np.array_split(np.random.default_rng(0).permutation(len(log)), 4)
    files = [
        shown(tmp_path / "whole", log, parts[0], price=np.nan),
        shown(tmp_path / "list", log, parts[1], **dict.fromkeys(FEATURES, np.nan)),
        shown(tmp_path / "priced", log, parts[2], price=3.0),
    ]
    before = shown(tmp_path / "before", log, parts[3])
    pq.write_table(pq.read_table(before.path).drop_columns([COLUMNS[-1]]), before.path)
    found = slate_events(log, "ring", [*files, before], FEATURES, 0.0)
    assert found.from_slate.all()
    assert sorted(np.flatnonzero(found.from_usable)) == sorted(parts[0])
    priced = slate_events(log, "ring", [*files, before], [*FEATURES, "price"], 0.0)
    assert sorted(np.flatnonzero(priced.from_usable)) == sorted(parts[2])


@pytest.mark.parametrize("usable", [True, False])
def test_events_from_slates_are_no_test_and_labels_only_of_slates_that_train_nothing(usable):
    """They stay in the log that the towers learn from."""
    log = log_of(ring(users=300))
    came = np.random.default_rng(1).random(len(log)) < 0.3
    plain = split(log, small())
    own = split(log, small(), from_slates=lambda _: SlateEvents(came, came & usable))
    assert not came[own.test].any()
    assert came[np.flatnonzero(own.model_events)[own.labels]].any() != usable
    assert len(own.test) > 0.6 * len(plain.test)
    assert len(own.before_test) == len(plain.before_test)
    assert own.warnings == plain.warnings == ()


def test_too_few_own_test_events_leave_labels_and_test_whole_with_a_sentence():
    """One decision for both windows, and the report has it."""
    log = log_of(ring(users=300))
    plain = split(log, small())
    came = np.arange(len(log)) >= plain.test.min()
    came[::5] = True
    found = split(log, small(), from_slates=lambda _: SlateEvents(came, came))
    assert (found.labels.tolist(), found.test.tolist()) == (plain.labels.tolist(), plain.test.tolist())
    assert " test events came from no logged slate. 200 of each are needed" in found.warnings[0]
