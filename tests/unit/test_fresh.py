"""Items put beside a generation: what training would have made of them, and nothing else changed."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys import features
from recsys.errors import QueryError, StoreUnavailable
from recsys.fresh import Grower
from recsys.generation import TOWERS
from recsys.grown import Grown
from recsys.items import ITEMS_EXPIRE, NOTHING_PUT, Put, PutItem, PutItems
from recsys.ranker import Ranker
from recsys.retriever import PUT_SHARE, Retriever
from recsys.rules import compiled, parse
from recsys.segment import FreshSegment
from recsys.spec import FeatureSpec
from recsys.store import MemoryStore
from recsys.store.memory_items import MemoryItems
from recsys.strings import StringTable
from recsys.towers import ItemEncoder, Towers
from recsys.types import CANDIDATES, PAD, Event, Histories, Source
from service import schema
from service.callees import Callees
from service.items import ItemDesk, ItemFollower
from service.models import RankingModel, RetrievalModel
from service.pipeline import Pipeline
from service.query import Query
from service.served import ServedGeneration
from service.settings import Settings
from tests import tiny
from training import dataset
from training.export import export
from training.fit import item_embeddings
from training.log import encode
from training.recipe import train

LATER = 4e9
"""After the data of any world here ends."""

UNSEEN = ("comedy-90", "drama-91", "plain")
"""Items of the table that nobody took; the last with nothing that describes it."""


def item(item_id, seq, *categories, year=None, **more):
    """An item put; `more` as in PutItem."""
    content = {"categories": list(categories)} | ({} if year is None else {"year": year})
    told = {"version": 1, "put_at": LATER, "title_at": LATER, "available_at": LATER, "content": content} | more
    return PutItem(item_id, seq, **told)


def putting(*items, version=1):
    return NOTHING_PUT.joined(items, "e", version)


def hide(item_id, seq, **more):
    return PutItem(item_id, seq, 1, LATER, available=False, **({"available_at": LATER} | more))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A generation of a catalogue some items of which nobody took, and the log it was trained on."""
    folder = tmp_path_factory.mktemp("unseen")
    tiny.write(folder / "data")
    with (folder / "data" / "items.csv").open("a") as table:
        table.write("comedy-90,Unseen,comedy|drama,2003\ndrama-91,Unseen,drama,\nplain,,,\n")
    log = encode(dataset.read(folder / "data"))
    config = replace(tiny.CONFIG, tower=replace(tiny.CONFIG.tower, epochs=4))
    return export(folder / "generations", log, train(log, config), config, "unseen"), log


@pytest.fixture(scope="module")
def retriever(world):
    return Retriever.load(world[0])


@pytest.fixture(scope="module")
def ranker(world):
    return Ranker.load(world[0])


@pytest.fixture(scope="module")
def histories(world):
    return world[1].final_histories(np.arange(40))


TWINS = putting(
    item("twin-90", 5, "comedy", "drama", year=2003), item("twin-91", 17, "drama"), item("twin-plain", 10**9)
)
"""The same content as UNSEEN, put."""


def test_the_embedding_is_what_training_gives_an_unseen_item(world):
    """To the bit: content alone, by the spec and the tower, is what the tables hold of items that nobody took."""
    folder, log = world
    tables = folder.tables()
    grown = Grower.load(folder, tables).grow(TWINS)
    unseen = [tables.ids.rows[item_id] for item_id in UNSEEN]
    assert not np.isin(unseen, log.items).any()
    np.testing.assert_array_equal(grown.content.tail, tables.content[unseen])
    np.testing.assert_array_equal(grown.embeddings.tail, tables.embeddings[unseen])
    assert np.linalg.norm(grown.embeddings.tail, axis=1) == pytest.approx([1, 1, 0])


def test_the_encoder_is_the_tower_without_ids(world):
    """For the content of every item: the towers as training evaluates them, their ids forgotten."""
    folder, log = world
    towers = Towers.load(folder.path / TOWERS)
    towers.item.ids.weight.data.zero_()
    expected = item_embeddings(towers, log.catalogue.content)
    np.testing.assert_array_equal(ItemEncoder.load(folder.path / TOWERS).encode(log.catalogue.content), expected)


def test_features_are_those_of_an_item_that_nobody_took(world, retriever, histories):
    """A fresh item in an unseen item's place has the same features to the bit, and so has every other candidate.

    Among the candidates, and in the history, the newest event included.
    """
    tables = world[0].tables()
    grown = Grower.load(world[0], tables).grow(TWINS)
    unseen = np.array([tables.ids.rows[item_id] for item_id in UNSEEN], np.int32)
    found = retriever.retrieve(histories)
    found.items[:, :3] = unseen
    histories = replace(histories, items=histories.items.copy())
    histories.items[::2, -1], histories.items[::3, -4] = unseen[0], unseen[1]
    swapped = [found.items, histories.items]
    for a, b in zip(unseen, grown.segment.rows, strict=True):
        swapped = [np.where(rows == a, b, rows) for rows in swapped]
    assert (swapped[1] >= len(tables)).any()
    expected = features.build(tables, histories, found)
    got = features.build(grown, replace(histories, items=swapped[1]), replace(found, items=swapped[0]))
    np.testing.assert_array_equal(got, expected)


def test_a_fresh_item_costs_no_memory_for_the_rows_before_it(retriever, ranker, histories):
    """Seqs begin anywhere below a billion: what is allocated for every row up to there makes each call a slow one."""
    grown = retriever.with_items(TWINS)
    scored = ranker.with_items(TWINS)
    scored.score(histories, grown.retrieve(histories))
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak until now
    before = peak_bytes()
    scored.score(histories, grown.retrieve(histories))
    assert peak_bytes() - before < 32 << 20


def peak_bytes():
    """The most memory that this process had at once."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def test_without_fresh_items_everything_is_the_same_object(retriever, ranker):
    """No put, no detour: what answers is the generation's own retriever and ranker."""
    assert retriever.with_items(NOTHING_PUT) is retriever
    assert ranker.with_items(NOTHING_PUT) is ranker
    assert retriever.with_items(TWINS) is retriever.with_items(TWINS)


def test_items_put_that_the_generation_knows_change_no_candidate(retriever, ranker, histories):
    """A put that says nothing new: candidates and scores of grown tables are those of the plain ones, to the bit."""
    puts = putting(item("comedy-1", 1, "drama", year=1950), hide("comedy-2", 2, available_at=0.0))
    plain, grown = retriever.retrieve(histories), retriever.with_items(puts).retrieve(histories)
    for name in ("items", "tower", "sources"):
        np.testing.assert_array_equal(getattr(grown, name), getattr(plain, name))
    scores = ranker.with_items(puts).score(histories, plain)
    np.testing.assert_array_equal(scores, ranker.score(histories, plain))


def test_the_segment_is_merged_exactly(retriever, world, histories):
    """The tower's source over index and segment is brute force over both, hidden items left out."""
    tables = world[0].tables()
    rng = np.random.default_rng(1)
    fresh = [
        item(f"f{n}", 3 * n + 1, *rng.permutation(tiny.CATEGORIES)[: n % 3 + 1], year=1980 + n, available=n % 5 > 0)
        for n in range(60)
    ]
    puts = putting(*fresh, *(hide(f"drama-{n}", 1000 + n) for n in range(10)))
    grown = retriever.with_items(puts)
    users = grown._encoder.encode(histories)
    found = grown._index.search(users, 100)
    rows = np.concatenate([np.arange(len(tables)), grown._tables.segment.rows])
    scores = users @ grown._tables.embeddings[rows].T
    scores[:, ~grown._tables.available[rows]] = -np.inf
    best = np.take_along_axis(scores, np.argsort(-scores, axis=1), axis=1)[:, :100]
    assert (found != PAD).all()
    np.testing.assert_allclose(grown.tower_scores(users, found), best, atol=1e-6)
    assert all(len(set(row.tolist())) == 100 for row in found)
    everything = grown._index.search(users, 300)
    assert ((everything != PAD).sum(axis=1) == np.isfinite(scores[0]).sum()).all()


def test_fresh_items_are_candidates_and_say_so(retriever, histories):
    """The best of them by the tower come as a source of their own, however many are put, and no more than fit."""
    puts = putting(*(item(f"f{n}", n + 1, tiny.CATEGORIES[n % 3], year=1990 + n % 25) for n in range(2000)))
    grown = retriever.with_items(puts)
    found = grown.retrieve(histories)
    late = found.items >= len(retriever._tables)
    assert found.items.shape[1] == CANDIDATES
    named = ((found.sources & Source.FRESH) != 0) & late
    assert (named.sum(axis=1) == PUT_SHARE).all()
    users = grown._encoder.encode(histories)
    scores = users @ grown._tables.embeddings.tail.T
    for row in range(len(histories)):
        worst = found.tower[row][named[row]].min()
        assert worst >= np.sort(scores[row])[-PUT_SHARE] - 1e-6
    for row, items in enumerate(found.items):
        assert len(set(items[items != PAD].tolist())) == (items != PAD).sum()
        assert (np.diff(found.tower[row][items != PAD]) <= 0).all()


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_a_hidden_item_comes_from_no_source(world, histories, exclude_seen):
    """Whoever named it before: tower, co-visitation, EASE, popular, fresh, and the user's own repeats."""
    folder, _ = world
    whole = Retriever.load(folder)
    tables = folder.tables()
    retriever = Retriever(whole._encoder, tables, exclude_seen, Grower.load(folder, tables))
    before = retriever.retrieve(histories)
    named = np.bitwise_or.reduce(before.sources, axis=None)
    wanted = Source.TOWER | Source.COVISIT | Source.EASE | Source.POPULAR | Source.FRESH
    assert Source(int(named)) == (wanted if exclude_seen else wanted | Source.REPEAT)
    for category in tiny.CATEGORIES:
        ids = [f"{category}-{n}" for n in range(tiny.PER_CATEGORY)]
        puts = putting(*(hide(item_id, n + 1) for n, item_id in enumerate(ids)), hide("gone", 99))
        after = retriever.with_items(puts).retrieve(histories)
        rows = [tables.ids.rows[item_id] for item_id in ids]
        assert np.isin(before.items, rows).any()
        assert not np.isin(after.items, [*rows, len(tables) + 99]).any()


def test_the_popular_source_goes_on_behind_what_is_hidden(retriever, world, histories):
    """The most popular items hidden, the next ones take their places."""
    ids = world[0].tables().ids
    best = [ids[int(row)] for row in retriever._popular[:30]]
    puts = putting(*(hide(item_id, n + 1) for n, item_id in enumerate(best)))
    brought = retriever.with_items(puts).each_source(histories, 15)[Source.POPULAR]
    assert (brought[:, :15] != PAD).all()
    assert not {ids[row] for row in brought.ravel().tolist()} & {*best}


def test_an_item_is_shown_again(world, histories):
    """What the generation's tables hide, a put can show; the index is not rebuilt for it."""
    folder, _ = world
    tables = replace(folder.tables(), available=np.array(folder.tables().available))
    row = tables.ids.rows["comedy-1"]
    tables.available[row] = False
    retriever = Retriever(Retriever.load(folder)._encoder, tables, True, Grower.load(folder, tables))
    assert not (retriever.retrieve(histories).items == row).any()
    grown = retriever.with_items(putting(item("comedy-1", 1)))
    assert (grown.retrieve(histories).items == row).any()


def test_a_row_not_heard_of_is_no_item_and_no_error(retriever, ranker, histories):
    """In histories it is as if it had not happened, among candidates as if it had not been named; alone or beside."""
    plain = retriever.retrieve(histories)
    stranger = replace(histories, items=histories.items.copy(), times=histories.times.copy())
    for row in range(len(histories)):
        place = row % 3 + 1  # among the newest
        for column in (stranger.items, stranger.times):
            column[row, :-place] = np.roll(column[row], -1)[:-place]
        stranger.items[row, -place] = 10**9 + row
    shorter = replace(histories, items=histories.items.copy())
    shorter.items[:, 0] = PAD  # what the strangers pushed out
    for puts in (NOTHING_PUT, putting(item("x", 7, "comedy"), hide("y", 9))):
        expected = retriever.with_items(puts).retrieve(shorter)
        found = retriever.with_items(puts).retrieve(stranger)
        np.testing.assert_array_equal(found.items, expected.items)
        mixed = replace(plain, items=plain.items.copy())
        mixed.items[:, 3:7] = 2 * 10**9
        kept = np.delete(np.arange(plain.items.shape[1]), slice(3, 7))
        fewer = type(plain)(*(getattr(plain, name)[:, kept] for name in ("items", "tower", "sources")))
        scores = ranker.with_items(puts).score(stranger, mixed)
        assert (scores[:, 3:7] == -np.inf).all()
        np.testing.assert_array_equal(scores[:, kept], ranker.with_items(puts).score(shorter, fewer))


def test_a_new_segment_keeps_what_was_encoded(world, monkeypatch):
    """Only what changed is encoded anew, and the result is what encoding everything gives."""
    folder, _ = world
    tables = folder.tables()
    grower = Grower.load(folder, tables)
    first = putting(*(item(f"f{n}", n + 1, tiny.CATEGORIES[n % 3]) for n in range(30)))
    grower.grow(first)
    encoded = []
    encode = ItemEncoder.encode
    monkeypatch.setattr(ItemEncoder, "encode", lambda self, c: encoded.append(len(c)) or encode(self, c))
    changed = item("f3", 4, "drama", "comedy", version=2)
    second = first.joined([changed, item("new", 99, "action", version=2)], "e", 2)
    kept = grower.grow(second)
    assert encoded == [2]
    anew = Grower.load(folder, tables).grow(second)
    np.testing.assert_array_equal(kept.embeddings.tail, anew.embeddings.tail)
    np.testing.assert_array_equal(kept.content.tail, anew.content.tail)


def test_the_gateway_encodes_what_was_put_once(world, monkeypatch):
    """Not in every request that filters or caps: 10,000 puts held its loop for 120 ms each time."""
    served = ServedGeneration.load(world[0])
    encoded, encode = [], FeatureSpec.encode_items
    monkeypatch.setattr(FeatureSpec, "encode_items", lambda self, told: encoded.append(len(told)) or encode(self, told))
    first = putting(item("f1", 1, "drama"), item("f2", 2, "comedy"))
    second = first.joined([item("f2", 2, "action", version=2), item("f9", 9, "drama")], "e", 2)
    for puts in (first, second):
        joined = served.with_items(puts)
        for _ in range(3):
            content = joined.content(np.array([0, *joined.fresh.rows, 10**9], np.int32))
        assert content[0].tolist() == served.tables.content[0].tolist()
        assert content[1:-1].tolist() == encode(served.spec, [told.content for told in puts.items]).tolist()
        assert not content[-1].any()
    assert [count for count in encoded if count] == [2, 2]


def test_numbers_that_an_emptied_store_gives_again_are_other_items(world):
    """What was encoded before the store began anew is not taken for what was put since."""
    grower = Grower.load(world[0], world[0].tables())
    grower.grow(putting(item("f1", 1, "drama")))
    other = NOTHING_PUT.joined([item("f1", 1, "comedy", put_at=LATER + 1)], "later", 1)
    expected = Grower.load(world[0], world[0].tables()).grow(other)
    np.testing.assert_array_equal(grower.grow(other).content.tail, expected.content.tail)


class TestSegment:
    """Which items are fresh, renamed and hidden, for one generation."""

    def segment(self, *items, until=100.0):
        ids = {"a": 0, "b": 1, "c": 2}
        find = lambda texts: [ids.get(text) for text in texts]  # noqa: E731
        return FreshSegment.of(putting(*items), find, np.array([True, True, False]), until)

    def test_known_and_unknown(self):
        """An item that the generation knows has its row; others lie behind by their number, in any process."""
        segment = self.segment(item("x", 4), item("b", 2), item(7, 9))
        assert segment.by_id == {"x": 7, "7": 12}
        assert segment.by_row[12].item_id == 7
        assert len(segment.available) == 13

    def test_a_title_and_a_hiding_hold_until_the_data_knows_them(self):
        """What was said before the generation's data ended is in its tables, or was taken back; what came after holds.

        Each by its own time: a title told long ago is not brought back by hiding the item today.
        """
        told = {"title": "T", "put_at": 150.0}
        segment = self.segment(
            hide("a", 1, available_at=150.0),
            item("b", 2, title_at=50.0, available_at=150.0, available=False, **told),
            item("c", 3, title_at=150.0, available_at=50.0, **told),
        )
        assert segment.hidden.tolist() == [0, 1]
        assert segment.titles == {2: "T"}
        assert segment.shows(np.array([0, 1, 2])).tolist() == [False, False, False]
        later = self.segment(hide("a", 1, available_at=150.0), until=200.0)
        assert later.hidden.tolist() == []
        assert later.shows(np.array([0])).tolist() == [True]

    def test_shown_again(self):
        """What the tables hide is shown where a later put says so; what they say already changes nothing."""
        segment = self.segment(item("c", 1), item("a", 2))
        assert (segment.shown.tolist(), segment.hidden.tolist()) == ([2], [])

    def test_hidden_fresh_items_and_strangers_are_not_shown(self):
        """A row that no item here has may not be shown either, and is no error."""
        segment = self.segment(item("x", 4), hide("y", 6))
        rows = np.array([7, 9, 8, 10, 10**9, 0, 3])
        assert segment.shows(rows).tolist() == [True, False, False, False, False, True, False]
        assert segment.hidden_count == 1

    def test_a_fresh_item_is_the_next_generation_s_own(self):
        """The generation that contains it has its row and content; the segment has not."""
        assert self.segment(item("b", 4)).items == ()


def test_what_was_put_too_long_ago_is_let_go():
    """By the time of its last put; where nothing was, nothing is copied."""
    puts = putting(item("old", 1, put_at=0.0), item("new", 2, put_at=1000.0))
    assert puts.unexpired(500.0) is puts
    assert [i.text for i in puts.unexpired(ITEMS_EXPIRE + 500.0).items] == ["new"]


@given(st.lists(st.integers(0, 3000), unique=True, max_size=30), st.lists(st.integers(-1, 3100), max_size=40))
@settings(max_examples=100, deadline=None)
def test_grown_columns_are_one_table(late, rows):
    """Indexed by rows of either part a grown column gives what the whole table would; it knows what it has."""
    base = np.arange(100) * 3
    late = np.array(sorted(100 + n for n in late), np.int32)
    grown = Grown(base, late, late * 7)
    rows = np.array(rows, np.int32)
    known = grown.knows(rows)
    assert known.tolist() == [row < 100 or row in late for row in rows]
    whole = {PAD: base[-1]} | dict(enumerate(base)) | dict(zip(late.tolist(), (late * 7).tolist(), strict=True))
    assert grown[rows[known]].tolist() == [whole[row] for row in rows[known].tolist()]


@given(st.lists(st.text(max_size=12), unique=True, max_size=40), st.lists(st.text(max_size=12), max_size=10))
@settings(max_examples=100, deadline=None)
def test_strings_are_found_without_a_dict(strings, others):
    """Every string by its row, and what isn't there not; long ones and empty ones too."""
    strings = list(dict.fromkeys([*strings, "", "x" * 1000, "x" * 999]))
    table = StringTable.pack(strings)
    rows = {text: row for row, text in enumerate(strings)}
    asked = [*others, *strings]
    assert table.find(asked) == [rows.get(text) for text in asked]
    assert StringTable.pack([]).find(["a"]) == [None]


def test_strings_that_share_a_hash_are_told_apart(monkeypatch):
    """A collision costs a comparison and never an item."""
    monkeypatch.setattr("recsys.strings.hashed", lambda table: np.zeros(len(table), np.uint64))
    table = StringTable.pack(["a", "b", "c"])
    assert table.find(["c", "d", "a"]) == [2, None, 0]


class Held:
    def __init__(self, thing):
        self.thing = thing

    def get(self, _):
        return self.thing


class Deployment:
    """The whole path in one process, where each part may know of other puts."""

    def __init__(self, world):
        self.store = MemoryStore()
        tiny.publish(world[0], self.store)
        self.served = ServedGeneration.load(world[0])
        self.knows = dict.fromkeys(("gateway", "retrieval", "ranking"), NOTHING_PUT)
        self.retrieval = RetrievalModel(Held(Retriever.load(world[0])), lambda: self.knows["retrieval"])
        self.ranking = RankingModel(Held(Ranker.load(world[0])), lambda: self.knows["ranking"])

    def recommend(self, user=4, k=100, broken=(), **more):
        async def retrieve(rows):
            if "retrieval" in broken:
                raise RuntimeError("gone")
            return self.retrieval.retrieve(rows)

        async def rank(rows):
            if "ranking" in broken:
                raise RuntimeError("gone")
            return self.ranking.rank(rows)

        served = self.served.with_items(self.knows["gateway"])
        query = Query(served, user, k, time.monotonic() + 30, **more)
        callees = replace(Callees.local(self.retrieval, self.ranking), retrieve=retrieve, rank=rank)
        asyncio.run(Pipeline(self.store, callees, Settings()).run([query]))
        return [served.item_id(int(row)) for row in query.items], query


@pytest.fixture
def path(world):
    return Deployment(world)


def test_what_was_put_long_ago_fills_no_quota(path):
    """It is as old as its last put, so that another one makes it new again; whatever was put last comes first."""
    now, day = LATER + 100 * 86_400, 86_400
    quota = parse("[[quota]]\nnew_within_days = 1\nat_least = 1\nwithin = 3")
    old, older = item("a", 1, put_at=now - 80 * day), item("b", 2, put_at=now - 90 * day)
    again = item("a", 1, version=3, put_at=now - day / 2)
    recent = item("b", 2, version=2, put_at=now - day * 0.9)
    for puts, brought in (((old, older), []), ((old, recent), ["b"]), ((again, recent), ["a"])):
        path.knows["gateway"] = putting(*puts)
        told, query = path.recommend(k=3, now=now, rules=compiled(quota, path.served.spec))
        assert [name for name, row in zip(told, query.items.tolist(), strict=True) if query.words.get(row)] == brought
        assert [name for name in told if name in ("a", "b")] == brought


PUT = putting(item("x", 4, "comedy", year=2003), hide("comedy-2", 5), hide("y", 6))


@pytest.mark.parametrize("heard", [("gateway",), ("retrieval",), ("ranking",), ("gateway", "retrieval"), (), None])
def test_processes_that_have_not_all_heard_disagree_on_no_item(path, heard):
    """Whoever knows first: the slate is whole, names only items, each once; all knowing, the fresh one is on it."""
    path.knows |= dict.fromkeys(path.knows if heard is None else heard, PUT)
    ids, query = path.recommend(user="nobody", session=[Event("nobody", "x", 1.0), Event("nobody", "comedy-1", 2.0)])
    assert query.degraded == []
    assert np.isfinite(query.scores).all()
    assert len(ids) == len(set(ids)) >= 70
    if heard is None or "gateway" in heard:
        assert "comedy-2" not in ids
    ids, query = path.recommend(user="nobody", session=[Event("nobody", "comedy-1", 2.0)])
    # What the gateway knows and may show tops up a list of all there is; as a candidate it needs all three to know it.
    assert ("x" in ids) == (heard is None or "gateway" in heard)
    assert (query.candidates.items >= len(query.generation.tables)).any() == (heard is None)


@pytest.mark.parametrize("broken", [(), ("ranking",), ("retrieval",), ("retrieval", "ranking")])
def test_a_hidden_item_is_on_no_rung_of_the_ladder(path, broken):
    """Nor in what tops a short slate up: precomputed and popular lists are older than the hiding."""
    before, _ = path.recommend(broken=broken)
    gone = before[:20]
    path.knows |= dict.fromkeys(path.knows, putting(*(hide(item_id, n + 1) for n, item_id in enumerate(gone))))
    after, query = path.recommend(broken=broken)
    assert not set(gone) & set(after)
    assert len(after) == len(before) - 20
    if "retrieval" in broken:
        assert query.removed["unavailable"] >= 1


def test_a_full_store_makes_room_of_what_the_generation_learned(path, monkeypatch):
    """Items put before its data ended, which it knows, go for new ones; others don't, and then there is no room."""
    monkeypatch.setattr("recsys.store.memory_items.CAPACITY", 2)
    end = path.served.manifest.data_end
    now = [end - 5]
    store = MemoryItems(lambda: now[0])
    follower = ItemFollower(store, lambda: now[0])
    desk = ItemDesk(store, follower)

    def put(*ids):
        answer = asyncio.run(desk.put([schema.Item(item_id=item_id) for item_id in ids], path.served))
        follower.look()
        return answer.stored

    assert put("comedy-1", "x") == 2
    now[0] = end + 5
    assert put("comedy-2") == 1
    assert {item.text for item in follower.current.items} == {"x", "comedy-2"}
    with pytest.raises(QueryError, match="python -m flows run"):
        put("comedy-3")


def test_a_follower_keeps_what_it_has(caplog):
    """With the store away, however it is away; and says so once."""

    class Away(MemoryItems):
        away = False

        def changes(self, known):
            if self.away:
                raise StoreUnavailable("No Redis answers.")
            return super().changes(known)

    store = Away()
    asyncio.run(store.put([Put("a")]))
    follower = ItemFollower(store)
    follower.look()
    known = follower.current
    assert len(known) == 1
    store.away = True
    for _ in range(3):
        follower.look()
    assert follower.current is known
    assert caplog.text.count("No Redis answers.") == 1
    store.away = False
    asyncio.run(store.put([Put("b")]))
    follower.look()
    assert len(follower.current) == 2


def test_a_fresh_item_s_click_moves_the_slate_like_one_of_its_kind(path):
    """Somebody unknown who clicks a fresh comedy is shown comedies; the click is in the history and not shown again."""
    path.knows |= dict.fromkeys(path.knows, putting(*(item(f"c{n}", n + 1, "comedy", year=2000) for n in range(3))))
    ids, query = path.recommend(user="nobody", session=[Event("nobody", f"c{n}", float(n)) for n in range(3)])
    assert len(query.history[0]) == 3
    assert not {"c0", "c1", "c2"} & set(ids)
    assert sum(item_id.startswith("comedy") for item_id in ids[:10]) >= 7


def test_histories_close_up(histories):
    """Without some events a history is shorter, newest last, and its times and types go with it."""
    kept = histories.items % 2 == 0
    shorter = histories.only(kept)
    for row in range(len(histories)):
        mask = kept[row] & (histories.items[row] != PAD)
        expected = Histories.empty(histories.now[row : row + 1])
        expected.put(0, histories.items[row][mask], histories.times[row][mask], histories.types[row][mask])
        real = expected.items[0] != PAD
        np.testing.assert_array_equal(shorter.items[row], expected.items[0])
        np.testing.assert_array_equal(shorter.times[row][real], expected.times[0][real])
        np.testing.assert_array_equal(shorter.types[row][real], expected.types[0][real])


def test_the_snapshot_replaces_by_id():
    """An item that changed stands once; what changed in another epoch stands alone."""
    puts = putting(item("a", 2), item("b", 1))
    assert [i.text for i in puts.items] == ["b", "a"]
    later = puts.joined([item("a", 2, version=2), item("c", 3, version=2)], "e", 2)
    assert [(i.text, i.version) for i in later.items] == [("b", 1), ("a", 2), ("c", 2)]
    assert [i.text for i in later.joined([item("z", 1)], "another", 1).items] == ["z"]
    assert isinstance(later, PutItems)
