"""Event types: the weight, target and history of views, purchases and refunds, and types without a meaning."""

import numpy as np
import pandas as pd
import pytest

from recsys.model.event_types import EventRules, SeenRule
from recsys.types import PAD
from tests.flows.ring_dataset import quick
from tests.unit.data.small_log import rows
from training.encode.interaction_log import Log, encode
from training.encode.split import split
from training.fit.item_tables import popularity
from training.judge.ranking import metric_rows
from training.judge.scorers import same_for_all
from training.read import dataset
from training.read.dataset import Dataset

HOUR = 3_600.0
DAY = 24 * HOUR
SHOP = EventRules({"view": 1.0, "purchase": 8.0}, ("purchase",), ("refund",), ("scroll",))


def log_of(rows, rules=SHOP, seen=None) -> Log:
    """A log of (user, item, seconds, type), in order of time."""
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", "event_type"])
    frame = frame.sort_values("timestamp", kind="stable", ignore_index=True).astype({"timestamp": float})
    nothing = pd.DataFrame({"item_id": pd.Series(dtype="str")})
    return encode(Dataset("shop", frame, nothing, seen or SeenRule(False), events=rules))


def items_of(log: Log, rows) -> list[str]:
    """The ids of item rows."""
    return [str(log.catalogue.ids[row]) for row in rows if row != PAD]


FUNNEL = [
    ("u", "a", 0, "view"),
    ("u", "b", 60, "view"),
    ("u", "c", 120, "view"),
    ("u", "b", 180, "purchase"),
    ("u", "b", 3 * DAY, "view"),
    ("v", "b", 3 * DAY + 1, "view"),
]


def test_the_query_of_a_purchase_is_before_the_session_s_first_view():
    """A query's history ends before the session's first event with the item; a later session is one of its own."""
    log = log_of(FUNNEL)
    assert log.first_touch.tolist() == [0, 1, 2, 1, 4, 5]
    purchase = log.first_touch[np.array([3])]
    assert items_of(log, log.histories(purchase).items[0]) == ["a"]


def test_a_session_s_best_event_grades_its_item():
    """A view before a purchase has the weight of the purchase as a training target; the purchase itself has none."""
    log = log_of(FUNNEL)
    view = log.weights[0]
    assert log.grades.tolist() == pytest.approx([view, 8 * view, view, 0, view, view])


def test_an_event_weighs_by_its_value_over_the_mean_of_the_type(typed):
    """A missing value counts as the mean, and an extreme one is limited to a tenth or to ten times of it."""
    more = 'value = "worth"\n[events]\nweights = {buy = 8}\nweigh_by_value = ["buy"]\n'
    folder = typed(",".join(["buy"] * 34), more, worth=["5", "500", "", "10", *["1"] * 30])
    weights = encode(dataset.read(folder)).weights
    mean = np.mean([5, 500, 10, *[1] * 30])
    assert weights[[0, 1, 3, 4]] / weights[2] == pytest.approx([5 / mean, 10, 10 / mean, 0.1])
    assert weights.mean() == pytest.approx(1)


def test_an_event_of_two_rows_weighs_as_both():
    """Rows of one item, second and type are one event, as in serving; rows of the next second are another event."""
    log = log_of([("u", "a", 7, "view"), ("u", "a", 7.9, "view"), ("u", "a", 8, "view"), ("v", "a", 7, "view")])
    assert log.times.tolist() == [7, 7, 8]
    assert log.weights.tolist() == pytest.approx([1.5, 0.75, 0.75])


REFUNDED = [
    ("u", "a", 0, "view"),
    ("u", "b", HOUR, "purchase"),
    ("u", "a", 2 * HOUR, "purchase"),
    ("u", "b", 3 * HOUR, "refund"),
    ("u", "c", 4 * HOUR, "view"),
    ("u", "b", 5 * HOUR, "view"),
    ("v", "b", 6 * HOUR, "view"),
    ("v", "c", 7 * HOUR, "scroll"),
]


def test_a_refund_revokes_earlier_events_and_no_later_ones():
    """Histories, popularity and training targets lose the purchase from the refund on; a view after it counts."""
    log = log_of(REFUNDED)
    assert len(log) == 7  # scrolls are ignored
    assert log.not_revoked.tolist() == [True, False, True, False, True, True, True]
    before, after = log.histories(np.array([3, 5])).items
    assert items_of(log, before) == ["a", "b", "a"]
    assert items_of(log, after) == ["a", "a", "c"]
    weight = dict(zip(items_of(log, np.arange(3)), popularity(log.without_revoked()), strict=True))
    assert weight["a"] == pytest.approx(9 * weight["c"])
    assert weight["b"] == pytest.approx(2 * weight["c"])
    with_purchase = log[:3].without_revoked()
    assert len(with_purchase) == 3  # before the refund the purchase stood


def test_exclude_seen_goes_by_type_and_days():
    """Bought items are hidden for some days, viewed items are not; a refunded item is hidden as well."""
    log = log_of(REFUNDED, seen=SeenRule(True, ("purchase",), 30))
    hidden = lambda at: set(items_of(log, log.seen_before(np.array([at]))[1]))  # noqa: E731
    assert hidden(1) == set()
    assert hidden(4) == {"a", "b"}
    later = log_of(
        [*REFUNDED, ("u", "c", 2 * HOUR + 30 * DAY, "view"), ("u", "a", 40 * DAY, "view")], seen=log.exclude_seen
    )
    assert set(items_of(later, later.seen_before(np.array([7]))[1])) == {"b"}
    assert set(items_of(later, later.seen_before(np.array([8]))[1])) == set()


def test_figures_are_of_the_targets_and_of_each_type():
    """A scorer that finds every purchase and no view has recall 1 for the targets, and 0 for views."""
    rng = np.random.default_rng(0)
    acts = []
    for user in range(60):
        for step in range(10):
            moment = step * DAY + user
            acts.append((f"u{user}", f"v{rng.integers(30)}", moment, "view"))
            if step % 3 == 2:
                acts.append((f"u{user}", "bought", moment + HOUR, "purchase"))
    parts = split(log_of(acts), quick())
    bought = np.array([name == "bought" for name in parts.log.catalogue.ids])
    row = metric_rows(parts, lambda _: {"oracle": same_for_all(bought.astype(np.float32))})["oracle"]
    assert row["recall@10"] == row["type:purchase_recall@10"] == 1
    assert row["type:view_recall@10"] == 0
    assert 0 < row["overall_recall@10"] < 1
    assert row["queries"] == row["type:purchase_queries"]


@pytest.fixture
def typed(shop):
    """Write a dataset of one row for each of these event types and return its folder."""

    def write(kinds, more="", **columns):
        kinds = kinds.split(",")
        return shop(rows(len(kinds), kind=kinds, **columns), f'event_type = "kind"\n{more}')

    return write


@pytest.mark.parametrize(
    ("kinds", "more", "words"),
    [
        ("view,purchase,refund", "", ["'kind' holds 'refund' (row 2)", 'negative = ["refund"]']),
        (
            "view,view,purchase,refund",
            '[events]\ntarget = ["purchase"]\n',
            ["holds 'view' (rows 0 and 1) and 'refund' (row 3), which [events]", "Add 'view' and 'refund' to weights"],
        ),
        ("view,buy", '[events]\ntarget = ["Buy"]\n', ["target in [events] names 'Buy'", "'buy' (1) in row 1"]),
        ("view,buy", '[settings]\nexclude_seen = {types = ["Buy"]}\n', ["types of exclude_seen", "names 'Buy'"]),
        ("impression,impression", "", ["'impression' (2) alone: items that were shown"]),
        (",".join(f"t{row}" for row in range(256)), "", ["holds 256 event types, and 255 are the most"]),
    ],
)
def test_a_type_without_a_meaning_is_refused(typed, refusal, kinds, more, words):
    """The sentence names the column, the rows of the type and the entry that gives a meaning."""
    sentence = refusal(typed(kinds, more))
    assert all(word in sentence for word in words), sentence
