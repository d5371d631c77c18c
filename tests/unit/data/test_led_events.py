"""Events that a slate led to are no answers of queries over all items."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.flows.ring_dataset import log_of, ring
from training.config import small
from training.data.led_events import READ, led_events
from training.data.locations import Location
from training.evaluation.split import split

WAIT = 1_800.0


def shown(path, log, events, before=60.0, dataset="ring", label=True):
    """A file with a slate of one taken item before each of some events."""
    times = log.times[events] - before
    ids = [log.user_ids[log.users[events]].astype(str), log.catalogue.ids[log.items[events]].astype(str)]
    same = [[dataset] * len(events), [label] * len(events)]
    pq.write_table(pa.table([pa.array(list(column)) for column in [*ids, times, times + WAIT, *same]], READ), path)
    return Location(str(path))


def test_an_event_within_the_wait_of_a_slate_with_its_item_is_led(tmp_path):
    """Not one after the wait, one before its slate, one of another dataset's slate, or of an item not taken."""
    log = log_of(ring(users=60))
    parts = np.array_split(np.random.default_rng(0).permutation(len(log)), 5)
    files = [
        shown(tmp_path / "led", log, parts[0]),
        shown(tmp_path / "late", log, parts[1], before=WAIT + 1),
        shown(tmp_path / "early", log, parts[2], before=-2),
        shown(tmp_path / "other", log, parts[3], dataset="shop"),
        shown(tmp_path / "untaken", log, parts[4], label=False),
    ]
    old = pd.DataFrame({"impression": ["1"], "user_id": ["1"]})
    old.to_parquet(tmp_path / "old")
    assert sorted(np.flatnonzero(led_events(log, "ring", [*files, Location(str(tmp_path / "old"))]))) == sorted(
        parts[0]
    )
    assert not led_events(log, "ring", []).any()


def test_led_events_are_neither_labels_nor_test_but_stay_in_the_log():
    """If fewer than 200 events of a window are left, all of the window count."""
    log = log_of(ring(users=300))
    led = np.random.default_rng(1).random(len(log)) < 0.3
    plain, own = split(log, small()), split(log, small(), led=led)
    assert not led[own.test].any()
    assert not led[np.flatnonzero(own.model_events)[own.labels]].any()
    assert len(own.test) > 0.6 * len(plain.test)
    assert len(own.before_test) == len(plain.before_test)
    few = split(log, small(), led=np.ones(len(log), bool))
    assert len(few.test) == len(plain.test)
