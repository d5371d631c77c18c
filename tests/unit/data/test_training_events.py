"""Event types: what a log's views, carts, purchases and refunds teach, and what is asked of a model."""

import numpy as np
import pandas as pd
import pytest

from recsys.errors import DatasetError
from recsys.lists.user_record import UserRecord
from recsys.model.event_types import EventRules, SeenRule
from recsys.types import PAD
from tests.flows.ring import quick
from training.data import dataset
from training.data.dataset import Dataset
from training.data.interaction_log import Log, encode
from training.evaluation.baselines import popularity
from training.evaluation.ranking import metric_rows
from training.evaluation.split import split
from training.tables.neighbours import followers
from training.user_records import seen_until

HOUR = 3_600.0
DAY = 24 * HOUR
SHOP = EventRules({"view": 1.0, "purchase": 8.0}, ("purchase",), ("refund",), ("scroll",))


def log_of(rows, rules=SHOP, seen=None, **more) -> Log:
    """A log of (user, item, seconds, type), in order of time."""
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", "event_type"])
    frame = frame.sort_values("timestamp", kind="stable", ignore_index=True).astype({"timestamp": float})
    nothing = pd.DataFrame({"item_id": pd.Series(dtype="str")})
    return encode(Dataset("shop", frame.assign(**more), nothing, seen or SeenRule(False), events=rules))


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


def test_a_purchase_is_asked_for_before_the_session_views_its_item():
    """A query's history ends before the session's first event with the item; a later session is one of its own."""
    log = log_of(FUNNEL)
    assert log.first_touch.tolist() == [0, 1, 2, 1, 4, 5]
    purchase = log.first_touch[np.array([3])]
    assert items_of(log, log.histories(purchase).items[0]) == ["a"]


def test_a_session_s_best_event_grades_its_item():
    """A view that becomes a purchase teaches as a purchase, at the moment of the view; the purchase teaches no more."""
    log = log_of(FUNNEL)
    view = log.weights[0]
    assert log.grades.tolist() == pytest.approx([view, 8 * view, view, 0, view, view])


def test_weights_are_of_the_type_and_the_share_of_the_value():
    """A purchase of twice the mean value counts twice as much; a missing value counts as the mean, an absurd one 10."""
    rows = [("u", item, moment, "purchase") for moment, item in enumerate("abcde")]
    frame = log_of(rows).weights
    assert frame.tolist() == [1] * 5
    data = Dataset(
        "shop",
        pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", "event_type"]).assign(
            timestamp=np.arange(5.0), value=[5.0, 20.0, np.nan, 10.0, 1e9]
        ),
        pd.DataFrame({"item_id": pd.Series(dtype="str")}),
        SeenRule(False),
        events=SHOP,
        weighed_by_value=("purchase",),
    )
    data.interactions.loc[4, "value"] = 10.0
    weights = encode(data).weights
    mean = np.mean([5, 20, 10, 10])
    assert weights[:2] / weights[2] == pytest.approx([5 / mean, 20 / mean])
    data.interactions.loc[4, "value"] = 1e9
    weights = encode(data).weights
    assert weights[4] / weights[2] == pytest.approx(1e9 / np.mean([5, 20, 10, 1e9]), rel=1e-3)
    assert weights[0] / weights[2] == pytest.approx(0.1)


def test_an_event_of_two_rows_weighs_as_both():
    """Rows of one item, second and type are one event, here and in serving; those of the next second are another."""
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


def test_a_refund_revokes_what_came_before_it_and_no_more():
    """Histories, popularity and what is learned lose the purchase from the refund on; a view after it counts."""
    log = log_of(REFUNDED)
    assert len(log) == 7  # scrolls are ignored
    assert log.stands.tolist() == [True, False, True, False, True, True, True]
    before, after = log.histories(np.array([3, 5])).items
    assert items_of(log, before) == ["a", "b", "a"]
    assert items_of(log, after) == ["a", "a", "c"]
    weight = dict(zip(items_of(log, np.arange(3)), popularity(log.standing()), strict=True))
    assert weight["a"] == pytest.approx(9 * weight["c"])
    assert weight["b"] == pytest.approx(2 * weight["c"])
    with_purchase = log[:3].standing()
    assert len(with_purchase) == 3  # before the refund the purchase stood


def test_a_negative_type_is_known_before_its_first_event():
    """A shop may name refunds before it has one; a positive type without an event stays unknown: nothing taught it."""
    spec = log_of(FUNNEL, EventRules({"view": 1, "wish": 2}, ("purchase",), ("refund",))).catalogue.spec
    assert [spec.is_unknown(name) for name in ("view", "purchase", "refund", "wish", "impression")] == [
        False,
        False,
        False,
        True,
        False,
    ]


def test_exclude_seen_goes_by_type_and_days():
    """What was bought is hidden for so many days, what was viewed is not; a refunded item is hidden as well."""
    log = log_of(REFUNDED, seen=SeenRule(True, ("purchase",), 30))
    hidden = lambda at: set(items_of(log, log.seen_before(np.array([at]))[1]))  # noqa: E731
    assert hidden(1) == set()
    assert hidden(4) == {"a", "b"}
    later = log_of(
        [*REFUNDED, ("u", "c", 2 * HOUR + 30 * DAY, "view"), ("u", "a", 40 * DAY, "view")], seen=log.exclude_seen
    )
    assert set(items_of(later, later.seen_before(np.array([7]))[1])) == {"b"}
    assert set(items_of(later, later.seen_before(np.array([8]))[1])) == set()


def test_a_record_knows_until_when_each_item_is_hidden():
    """The packed record hides what the rule hides at a moment, after the log's end, too."""
    log = log_of(REFUNDED, seen=SeenRule(True, ("purchase",), 30))
    order, offsets = log.by_user
    events = order[offsets[0] : offsets[1]]
    seen, until = seen_until(log, events)
    none = np.zeros(0, np.int32)
    record = UserRecord(log.items[events], log.times[events], log.types[events], seen, none, until)
    read = UserRecord.unpack(record.pack())
    assert set(items_of(log, read.excluded(4 * HOUR))) == {"a", "b"}
    assert set(items_of(log, read.excluded(2.5 * HOUR + 30 * DAY))) == {"b"}
    assert items_of(log, read.excluded(31 * DAY)) == []
    assert set(items_of(log, read.seen)) == {"a", "b", "c"}


def test_what_follows_an_item_is_what_sessions_made_of_it():
    """After a, one purchase of b outweighs several views of c; a step from an item to itself is none."""
    rows = [("buyer", "a", 0, "view"), ("buyer", "b", 60, "view"), ("buyer", "b", 90, "purchase")]
    for user in range(4):
        rows += [(f"u{user}", "a", 1_000 * user, "view"), (f"u{user}", "c", 1_000 * user + 60, "view")]
    log = log_of(rows)
    table = followers(log, 3, 0.7)
    a = [*log.catalogue.ids].index("a")
    assert items_of(log, table.rows[a]) == ["b", "c"]
    plain = log_of(rows, EventRules())
    assert items_of(plain, followers(plain, 3, 0.7).rows[a])[0] == "c"


def test_figures_are_of_the_targets_and_of_each_type():
    """A scorer that finds every purchase and no view has recall 1 where nothing is prefixed, and 0 for views."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(60):
        for step in range(10):
            moment = step * DAY + user
            rows.append((f"u{user}", f"v{rng.integers(30)}", moment, "view"))
            if step % 3 == 2:
                rows.append((f"u{user}", "bought", moment + HOUR, "purchase"))
    parts = split(log_of(rows), quick())
    bought = np.array([name == "bought" for name in parts.log.catalogue.ids])
    row = metric_rows(parts, {"oracle": lambda histories: np.tile(bought.astype(np.float32), (len(histories), 1))})[
        "oracle"
    ]
    assert row["recall@10"] == row["type:purchase_recall@10"] == 1
    assert row["type:view_recall@10"] == 0
    assert 0 < row["overall_recall@10"] < 1
    assert row["queries"] == row["type:purchase_queries"]


INTERACTIONS = '[interactions]\nfile = "log.csv"\nuser_id = "user"\nitem_id = "item"\ntimestamp = "at"\n'
TYPES = 'event_type = "what"\n'


def read(tmp_path, toml: str, kinds: str = "view,view,purchase,refund,view") -> Dataset:
    """A dataset of one row for each of these event types."""
    lines = [f"u{row},i{row},{row},{kind}" for row, kind in enumerate(kinds.split(","))]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,at,what", *lines]) + "\n")
    (tmp_path / "dataset.toml").write_text(toml)
    return dataset.read(tmp_path)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", ["Column 'what' holds 'refund' (row 3)", 'negative = ["refund"]']),
        (
            '[events]\ntarget = ["purchase"]\n',
            ["holds 'view' (rows 0 and 1) and 'refund' (row 3), which [events]", "Add 'view' and 'refund' to weights"],
        ),
        ('[events]\ntarget = ["Purchase"]\n', ["target in [events] names 'Purchase'", "'purchase' (1)"]),
        ("[events]\nweights = {view = 0}\n", ["weights in [events]", "above 0"]),
        ("[events]\nweights = {view = 1e308}\n", ["weights in [events]", "1,000,000"]),
        ('[events]\nweights = {refund = 1}\nnegative = ["refund"]\n', ["'refund' in both negative and weights"]),
        ('[events]\ntarget = "purchase"\n', ['target is a list of event types such as ["purchase"]']),
        ('[events]\nunknown = "drop"\n', ['"accept" or "refuse"']),
        ('[events]\nweigh_by_value = ["purchase"]\n', ["needs a column of values"]),
        ('[events]\ntargets = ["purchase"]\n', ["unknown entry 'targets' in '[events]'"]),
        ('[settings]\nexclude_seen = {types = ["buy"]}\n', ["types of exclude_seen", "names 'buy'", "'purchase' (1)"]),
        (
            '[settings]\nexclude_seen = {types = ["view"]}\n[events]\nignored = ["view"]\n',
            ["types of exclude_seen", "'view'", "[events] ignores"],
        ),
        ('[events]\ntarget = ["impression"]\n', ["target in [events] names 'impression'", "Take the type out"]),
        ("[events]\nweights = {impression = 1}\n", ["weights in [events] names 'impression'"]),
        ('[settings]\nexclude_seen = {types = ["impression"]}\n', ["types of exclude_seen", "names 'impression'"]),
        ("[settings]\nexclude_seen = {days = 0}\n", ["days of exclude_seen", "above 0"]),
        ("[settings]\nexclude_seen = {days = 1e-9}\n", ["days of exclude_seen", "a minute", "not 1e-09"]),
        ("[settings]\nexclude_seen = {days = 1e300}\n", ["days of exclude_seen", "100 years", "36,525"]),
        ("[settings]\nexclude_seen = {types = []}\n", ["types of exclude_seen in [settings] is empty"]),
        ('[events]\nunknown = ["drop"]\n', ['"accept" or "refuse"']),
        (
            '[settings]\nexclude_seen = {kinds = ["purchase"]}\n',
            ["exclude_seen in [settings] is true, false or a table"],
        ),
    ],
)
def test_a_wrong_meaning_is_refused_by_name(tmp_path, more, told):
    """The sentence names the entry or the column, the rows that disagree and the setting that decides."""
    with pytest.raises(DatasetError) as error:
        read(tmp_path, INTERACTIONS + TYPES + more)
    for part in told:
        assert part in str(error.value)


def test_events_without_a_column_of_types_are_refused(tmp_path):
    """[events] says nothing where no column holds a type."""
    with pytest.raises(DatasetError, match="names no column of event types"):
        read(tmp_path, INTERACTIONS + '[events]\ntarget = ["purchase"]\n')


@pytest.mark.parametrize(
    ("kinds", "settings", "told"),
    [
        ("impression,impression", TYPES, "'impression' (2) alone: items that were shown"),
        (",".join(f"t{row}" for row in range(256)), TYPES, "holds 256 event types, and 255 are the most"),
        ("view", '[settings]\nexclude_seen = {types = ["view"]}\n', "needs a column of event types"),
    ],
)
def test_a_log_whose_types_mean_nothing_is_refused(tmp_path, kinds, settings, told):
    """Impressions alone, a column of something else and a rule without a column of types are sentences."""
    with pytest.raises(DatasetError) as error:
        read(tmp_path, INTERACTIONS + settings, kinds)
    assert told in str(error.value)


def test_a_weight_that_no_event_has_is_said(tmp_path):
    """The run names `Purchase` in place of `purchase`, and goes on: the log of a small shop may lack a rare type."""
    events = '[events]\ntarget = ["purchase"]\nweights = {view = 1, Purchase = 9}\nweigh_by_value = ["buy"]\n'
    toml = INTERACTIONS.replace('"at"', '"at"\nvalue = "worth"') + TYPES + events
    lines = ["user,item,at,what,worth", "u1,i1,1,view,", "u2,i2,2,purchase,3"]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "dataset.toml").write_text(toml)
    first, second = dataset.read(tmp_path).assumptions
    assert "weighs 'Purchase', and no row of column 'what' has it. Its types: '" in first
    assert "weighs 'buy'" in second


@pytest.mark.parametrize(
    ("kinds", "target"),
    [
        ("view,view,Bestellung,Bestellung,rate", "Bestellung"),
        ("order_completed,order_cancelled,order_cancelled,view", "order_completed"),
        ("view,view,rate", "..."),
        ("view,view,order-storno", "..."),
    ],
)
def test_the_target_that_is_proposed_looks_like_an_order(tmp_path, kinds, target):
    """Where no type does, none is named: the rarest one may be a cancellation."""
    (assumed,) = read(tmp_path, INTERACTIONS + TYPES, kinds).assumptions
    assert f'such as target = ["{target}"].' in assumed


def test_several_types_without_a_meaning_are_said(tmp_path):
    """One sentence says what was assumed and how to say otherwise, without impressions; with [events] there is none."""
    (assumed,) = read(tmp_path, INTERACTIONS + TYPES, "view,view,purchase,impression").assumptions
    assert "Every event type counts the same and is a target: 'view' (2), 'purchase' (1)." in assumed
    assert read(tmp_path, INTERACTIONS + TYPES, "view,view,impression").assumptions == ()
    assert 'target = ["purchase"]' in assumed
    events = '[events]\ntarget = ["purchase"]\nweights = {view = 1}\n'
    found = read(tmp_path, INTERACTIONS + TYPES + events, "view,view,purchase")
    assert found.assumptions == ()
    assert encode(found).catalogue.spec.events == EventRules({"view": 1.0}, ("purchase",))
