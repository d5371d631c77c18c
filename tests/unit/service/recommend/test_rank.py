"""Items that a caller has found, ordered by the same models as a list of these items in mode hybrid."""

import numpy as np
import pytest

from recsys.filters.conditions import Range
from recsys.lists.user_list import UserList
from recsys.model.event_types import SeenRule
from recsys.rules import compile_rules, parse
from recsys.slates.query import Degraded
from recsys.types import Mode
from service.backends import wire
from service.recommend.records import rank_table
from tests.fakes.in_process import InProcessService, broken
from tests.sample_data.put_items import hide, putting

USER, NOW = 4, 1.7e9
ROWS = np.arange(30, 60, dtype=np.int32)
SHOWN = SeenRule(excludes=False)


@pytest.fixture(scope="module")
def world(tiny_world):
    return InProcessService(tiny_world[0])


@pytest.fixture
def ranked(world):
    """Rank rows for the user, with rules from a text."""

    def run(rows=ROWS, rules="", k=None, calls=None, **more):
        query = world.query(user=USER, k=k or len(rows), deadline=60.0, now=NOW, own_seen_rule=SHOWN, **more)
        query.given = np.array(rows, np.int32)
        if rules:
            query.rules = compile_rules(parse(rules), world.served.spec)
        return world.run(query, **(calls or {}))

    return run


def test_candidates_features_and_scores_are_those_of_a_list_in_mode_hybrid(world, ranked):
    """To the last bit, for a user with a history."""
    made = ranked()
    world.store.write_lists(world.served.id, 1, {str(USER): UserList(NOW, 0, ROWS, *_flags(ROWS)).pack()})
    other = world.run(world.query(user=USER, k=30, deadline=60.0, now=NOW, mode=Mode.HYBRID, own_seen_rule=SHOWN))
    world.store._lists.clear()
    assert made.made_by == other.made_by == Mode.HYBRID
    assert made.degraded == other.degraded == []
    for column in ("items", "tower", "scores"):
        np.testing.assert_array_equal(getattr(made.candidates, column), getattr(other.candidates, column))
        np.testing.assert_array_equal(getattr(made, column), getattr(other, column))
    assert set(made.items) == set(ROWS)
    assert not made.sources.any()
    np.testing.assert_array_equal(features(world, made), features(world, other))


def _flags(rows):
    return np.zeros(len(rows), np.uint16), np.zeros(len(rows), np.float32)


def features(world, query):
    """The features of the candidates of a query, as ranking computes them."""
    request = rank_table(wire.FEATURES_OF, [query], [query.candidates])
    request["places"][:, :30] = np.arange(30)
    request["due"] = 4e9
    return wire.as_table(world.ranking.features(wire.as_bytes(request)), wire.FEATURES_FOUND)["features"]


def test_only_items_of_the_request_are_in_the_answer_and_the_others_are_counted(world, ranked):
    """A pin of another item and a quota bring nothing, a cap and a filter leave items out, and no item fills up."""
    foreign = world.served.item_id(0)
    pinned = world.served.item_id(int(ROWS[7]))
    rules = f'[[pin]]\nitem = "{foreign}"\nplace = 1\n[[pin]]\nitem = "{pinned}"\nplace = 2\n'
    rules += "[[quota]]\nnew_within_days = 3650\nat_least = 9\nwithin = 10\n"
    made = ranked(rules=rules)
    assert sorted(made.items) == list(ROWS)
    assert made.items[1] == ROWS[7]
    capped = ranked(rules='[[cap]]\ncolumn = "categories"\nat_most = 4\n')
    assert len(capped.items) + capped.removed["rules"] == len(ROWS)
    assert set(capped.items) < set(ROWS)
    filtered = ranked(filter={"year": Range(lt=1995)}, exclude=[pinned])
    assert len(filtered.items) + sum(filtered.removed.values()) == len(ROWS)
    assert filtered.removed["filter"] > 0
    assert ranked(k=5).items.tolist() == ranked().items.tolist()[:5]
    assert ranked(k=5).removed == {}
    assert len(ranked(rows=[]).items) == 0


def test_items_that_may_not_be_shown_are_counted(world, ranked, monkeypatch):
    """Retrieval leaves them out."""
    hidden = [hide(world.served.item_id(int(row)), at) for at, row in enumerate(ROWS[:2])]
    monkeypatch.setitem(world.puts, "retrieval", putting(*hidden))
    made = ranked()
    assert made.removed == {"unavailable": 2}
    assert set(made.items) == set(ROWS[2:])


def test_without_retrieval_the_order_of_the_request_stays(ranked):
    """Without ranking it is the order of the tower."""
    assert ranked(calls={"complete": broken}).items.tolist() == ROWS.tolist()
    made = ranked(calls={"rank": broken})
    assert made.degraded == [Degraded.RANKING]
    assert made.items.tolist() == made.candidates.items.tolist()
    assert (np.diff(made.tower) <= 0).all()


@pytest.mark.parametrize("given", [ROWS[:3], ROWS[:0]])
def test_a_late_request_keeps_the_order_of_the_caller(world, given):
    """Its deadline passes before the first stage: no stage has run. Without a known item the answer is empty."""
    query = world.query(user=USER, k=3, deadline=60.0, now=NOW, own_seen_rule=SHOWN)
    query.given = given
    world.pipeline().finish(query)
    assert query.items.tolist() == given.tolist()
    assert query.degraded == [Degraded.STORE, Degraded.RETRIEVAL]
