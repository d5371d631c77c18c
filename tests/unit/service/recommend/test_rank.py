"""Items that a caller has found, ordered by the same models as a list of these items in mode hybrid."""

import numpy as np
import pytest

from recsys.filters.conditions import Range
from recsys.model.event_types import SeenRule
from recsys.rules import compile_rules, parse
from recsys.slates.query import Degraded
from tests.fakes.in_process import InProcessService, broken

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


def test_without_retrieval_the_order_of_the_request_stays(ranked):
    """Without ranking it is the order of the tower."""
    assert ranked(calls={"complete": broken}).items.tolist() == ROWS.tolist()
    made = ranked(calls={"rank": broken})
    assert made.degraded == [Degraded.RANKING]
    assert made.items.tolist() == made.candidates.items.tolist()
    assert (np.diff(made.tower) <= 0).all()
