"""A history is the same from events of the log and from events sent to `/events`."""

import asyncio
import time

import numpy as np
import pandas as pd
import pytest

from recsys.slates.query import Query
from recsys.slates.served_generation import ServedGeneration
from recsys.store import RedisUserStore
from recsys.types import PAD, Event
from service.recommend.stages import UserHydrator
from tests.sample_data import tiny
from training.data import dataset
from training.data.interaction_log import encode

USER = 9_999
ACTS = (
    ("drama-1", 0.0, "view"),
    ("drama-1", 0.4, "view"),  # in the same second
    ("drama-1", 60.0, "purchase"),
    ("drama-1", 60.0, "purchase"),  # two lines of an order
    ("drama-2", 61.0, "impression"),
    ("drama-2", 61.0, "view"),
    ("drama-1", 61.0, "view"),
    ("drama-3", 120.0, "scroll"),
    ("drama-2", 121.9, "refund"),
    ("drama-3", 122.0, "view"),
)


def trained(folder, start, duplicates):
    """The user's history in training, from a log with these events: item, time and type."""
    path = tiny.write_shop(folder, start - 3_600) / "interactions.csv"
    rows = [(USER, item, start + later, tiny.DEVICES[n % 2], kind) for n, (item, later, kind) in enumerate(ACTS)]
    table = pd.read_csv(path)
    pd.concat([table, pd.DataFrame(rows, columns=table.columns)]).to_csv(path, index=False)
    mapping = folder / "dataset.toml"
    mapping.write_text(mapping.read_text().replace("[items]", f'duplicates = "{duplicates}"\n[items]'))
    log = encode(dataset.read(folder))
    past = log.final_histories(np.flatnonzero(log.user_ids == USER))
    real = past.items[0] != PAD
    types = log.catalogue.spec.event_types
    found = zip(past.items[0][real], past.times[0][real], past.types[0][real], strict=True)
    return [(log.catalogue.ids[item], moment, types[kind]) for item, moment, kind in found]


def served(generation, url, start):
    """The history in serving, from a store with these events."""

    async def hydrated():
        store = RedisUserStore(url)
        try:
            await store.add_events([Event(USER, item, start + later, kind) for item, later, kind in ACTS])
            hydrator, query = UserHydrator(store), Query(generation, USER, 10, 0.0, now=time.time())
            [state] = await hydrator.run([query])
            hydrator.put(query, state)
            return query.history
        finally:
            await store.forget_user(USER)
            await store.close()

    history = asyncio.run(hydrated())
    types = generation.spec.event_types
    return [(generation.item_id(int(item)), moment, types[kind]) for item, moment, kind in zip(*history, strict=True)]


@pytest.mark.parametrize("duplicates", ["drop", "keep"])
def test_a_log_and_the_store_give_one_history(tiny_shop, embedded_url, tmp_path, duplicates):
    """Repeated events count once; impressions and ignored types do not count; a refund revokes earlier events."""
    start = float(int(time.time()) - 600)
    expected = [("drama-1", start, "view"), ("drama-1", start + 60, "purchase")]
    expected += [("drama-1", start + 61, "view"), ("drama-3", start + 122, "view")]
    assert trained(tmp_path / "data", start, duplicates) == expected
    assert served(ServedGeneration.load(tiny_shop[0]), embedded_url, start) == expected
