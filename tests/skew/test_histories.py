"""A history is the same from events of the log and from events that the store has; so are hidden items and features."""

import asyncio
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recsys.model.history import stack
from recsys.model.ranker import Ranker
from recsys.retrieval.retriever import Retriever
from recsys.slates.query import Query
from recsys.slates.served_generation import ServedGeneration
from recsys.store import RedisUserStore
from recsys.store.stored_types import UserState
from recsys.types import PAD, Event
from service.recommend.stages import UserHydrator
from tests.fakes.fake_users import AwayStore
from tests.sample_data import tiny
from training.encode.interaction_log import encode
from training.read import dataset

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


def test_a_shop_s_log_replayed(tiny_shop):
    """Before each event after a generation's data, with event types, refunds and an exclude_seen of types and days."""
    folder, log = tiny_shop
    generation, spec = ServedGeneration.load(folder), folder.spec()
    hydrator = UserHydrator(AwayStore())
    retriever, ranker = Retriever.load(folder), Ranker.load(folder)
    ids, blobs = folder.users()
    packed = {ids[row]: blobs.bytes_at(row) for row in range(len(ids))}
    later = np.flatnonzero(log.times > folder.manifest.data_end)
    queries, since = [], {}
    for at in later.tolist():
        user, event_type = str(log.user_ids[log.users[at]]), spec.event_types[log.types[at]]
        query = Query(generation, user, 10, 0.0, now=float(log.times[at]))
        hydrator.put(query, UserState(packed.get(user), list(since.get(user, ())), False, None))
        queries.append(query)
        since.setdefault(user, []).append(Event(user, generation.item_id(log.items[at]), query.now, event_type))
    assert {"view", "purchase", "refund"} == {event.event_type for of_user in since.values() for event in of_user}

    expected = log.histories(later)
    ours = stack([query.history for query in queries], [query.now for query in queries])
    ours = replace(ours, context=expected.context)
    assert np.array_equal(ours.items, expected.items)
    real = ours.items != PAD
    assert np.array_equal(ours.times[real], expected.times[real])
    assert np.array_equal(ours.types[real], expected.types[real])
    place, hidden = log.seen_before(later)
    for row, query in enumerate(queries):
        assert set(query.seen.tolist()) == set(hidden[place == row].tolist())
    assert len(hidden)
    assert any(len(query.past[0]) > len(query.history[0]) > 0 for query in queries)
    for start in range(0, len(later), 64):
        some = slice(start, start + 64)
        candidates = retriever.retrieve(expected.take(some))
        assert np.array_equal(
            ranker.features_and_scores(ours.take(some), candidates)[0],
            ranker.features_and_scores(expected.take(some), candidates)[0],
        )
