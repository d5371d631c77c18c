"""Slates under rules, compared with a plain implementation of docs/rules.md (tests/fakes/plain_slate.py)."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.rules import parse
from tests.fakes import plain_slate
from tests.fakes.plain_slate import GENRES, Catalogue, slate

NINE = Catalogue([["Drama"]] * 3 + [["Comedy"]] * 3 + [["Action"]] * 3)


def test_without_rules_the_best_come_first_and_popular_ones_fill_up():
    """Candidates are ordered by score, and popular items of the catalogue follow with lower scores."""
    made = slate(NINE, [4, 8], [1.0, 2.0], 4, "")
    assert made.items == [8, 4, 0, 1]
    assert made.scores == sorted(made.scores, reverse=True)
    assert made.moved_by == {0: ("top_up",), 1: ("top_up",)}


def test_a_pin_has_its_place_unless_the_item_is_hidden():
    """The item need not be a candidate. The pin counts in its context alone."""
    pin = "[[pin]]\nitem=7\nplace=2\ncontext={device='tv'}"
    assert slate(NINE, [0, 1, 2], [3, 2, 1], 3, pin, device="tv").items == [0, 7, 1]
    assert slate(NINE, [0, 1, 2], [3, 2, 1], 3, pin, device="web").items == [0, 1, 2]
    hidden = Catalogue(NINE.genres, hidden=frozenset({7}))
    assert slate(hidden, [0, 1, 2], [3, 2, 1], 3, pin, device="tv").items == [0, 1, 2]


def test_an_item_that_a_rule_removes_is_named_with_the_rule():
    """An item among the k best scores is not in the slate because of a pin, a boost or its bury."""
    pin = "[[pin]]\nitem=8\nplace=1"
    assert slate(NINE, [0, 1], [2, 1], 2, pin).passed_over == {1: "others came before it by pin"}
    boost = "[[boost]]\nitems=[6]\nby=9"
    assert slate(NINE, [0, 1, 6], [3, 2, 1], 2, boost).passed_over == {1: "others came before it by boost"}
    bury = "[[bury]]\nitems=[0]\nby=9"
    assert slate(NINE, [0, 1, 6], [3, 2, 1], 2, bury).passed_over == {0: "bury"}


def test_a_large_catalogue_under_a_full_cap_is_scanned_once(monkeypatch):
    """A cap that no item fits must not cost a scan of all blocks for each place."""
    world = Catalogue([["Drama"]] * 9_000)
    blocks = []
    monkeypatch.setattr(world, "content", lambda rows: blocks.append(len(rows)) or np.ones((len(rows), 3), np.int32))
    monkeypatch.setattr(world, "blocks", lambda: iter(np.arange(9_000, dtype=np.int32).reshape(3, 3_000)))
    pins = "".join(f"[[pin]]\nitem={row}\nplace={place}\n" for row, place in ((7, 5), (8, 8)))
    made = slate(world, [0], [1], 9, f"[[cap]]\ncolumn='genre'\nat_most=1\n{pins}")
    assert made.items == [0, 7, 8]
    assert blocks.count(3_000) == 3


TEXTS = st.lists(
    st.sampled_from(
        [
            "[[cap]]\ncolumn='genre'\nat_most=1",
            "[[cap]]\ncolumn='genre'\nat_most=2\nwithin=3",
            "[[cap]]\ncolumn='actor'\nat_most=1",
            "[[boost]]\nwhere={genre='Comedy'}\nby=2",
            "[[boost]]\nwhere={genre=['Comedy', 'Drama'], price={lt=6}}\nby=1",
            "[[bury]]\nwhere={price={lt=3}}\nby=0.5",
            "[[bury]]\nitems=[1, 2]\nby=1.5",
            "[[pin]]\nitem=3\nplace=2",
            "[[pin]]\nitem=5\nplace=7",
            "[[pin]]\nitem=1\nplace=3",
            "[[cap]]\ncolumn='genre'\nat_most=1\nwithin=2",
            "[[pin]]\nitem=99\nplace=1",
            "[[quota]]\nnew_within_days=7\nat_least=2\nwithin=4",
            "[[quota]]\nnew_within_days=3\nat_least=2\nwithin=2",
            "[diversity]\nweight=0.5\namong=3",
        ]
    ),
    unique=True,
).map("\n".join)


@st.composite
def worlds(draw):
    count = draw(st.integers(0, 12))
    genres = draw(st.lists(st.lists(st.sampled_from(GENRES), unique=True), min_size=count, max_size=count))
    rows = st.sets(st.integers(0, max(count - 1, 0)))
    every = frozenset(range(count))
    world = Catalogue(genres, every & draw(rows), every & draw(rows))
    allowed = [row for row in range(count) if row not in world.hidden]
    items = draw(st.permutations(allowed).map(lambda rows: rows[: draw(st.integers(0, len(rows)))]))
    scores = draw(st.lists(st.floats(-5, 5, width=32), min_size=len(items), max_size=len(items)))
    return world, items, scores


@settings(max_examples=150, deadline=None)
@given(worlds(), st.integers(1, 12), TEXTS)
def test_a_slate_equals_that_of_the_plain_implementation(drawn, k, text):
    """For any rules, catalogue and candidates."""
    world, items, scores = drawn
    assert slate(world, items, scores, k, text).items == plain_slate.expected(world, items, scores, k, parse(text))


@settings(max_examples=100, deadline=None)
@given(worlds(), st.integers(1, 12), TEXTS)
def test_a_traced_slate_is_the_same_and_names_what_is_missing(drawn, k, text):
    """Each of the k best candidates that the slate lacks has a reason."""
    world, items, scores = drawn
    made = slate(world, items, scores, k, text)
    assert slate(world, items, scores, k, text, traced=False).items == made.items
    best = [row for _, row in sorted(zip(scores, items, strict=True), key=lambda pair: -pair[0])][:k]
    assert {row for row in best if row not in made.items} <= made.passed_over.keys()
    assert not made.passed_over.keys() & set(made.items)
    assert all(word[-1] != " " for word in made.passed_over.values())
