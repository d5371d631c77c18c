"""The meaning of event types in a deployment: the items that they hide, in every mode and fallback, and trends.

The catalogue of the shop fits into one slate, so an item that is not in a slate is hidden.
"""

import asyncio
import json
import time

import numpy as np
import pytest

from recsys.generation.manifest import SPEC
from recsys.lists.user_list import UserList
from recsys.lists.user_record import UserRecord
from recsys.store import RedisGenerationStore, RedisUserStore
from service.schema import verb_table
from tandem_client import Client
from tests.sample_data import tiny
from tests.sample_data.altered_generation import altered
from tests.servers.both_doors import BothDoors
from tests.servers.deployment import wait_for

DAY = 86_400
ACTS = {
    "a purchase": ("purchase", 0, True),
    "a purchase of 31 days ago": ("purchase", 31, False),
    "a view": ("view", 0, False),
    "a refund": ("refund", 0, True),
}
"""Type, age in days, and whether the item is hidden."""

UNLISTED, LISTED = ("precomputed", "realtime", "popular", "similar"), ("hybrid", "batch", "auto")
MADE_BY = {"precomputed": "batch", "realtime": "realtime", "popular": "batch", "hybrid": "hybrid", "batch": "batch"}


class Shop:
    """The shop behind a deployment, over a store that can be stopped."""

    def __init__(self, running, folder):
        self.running, self.folder, self.tables = running, folder, folder.tables()

    def __getattr__(self, name):
        return getattr(self.running, name)

    def slate(self, kind, user):
        """All items that a mode, a fallback or /similar shows to a user."""
        if kind == "similar":
            request = {"item_id": "action-0", "user_id": user, "k": 100}
            return ids(self.client.post("/similar", json=request).raise_for_status().json())
        mode = {"precomputed": "batch", "popular": "batch"}.get(kind, kind)
        answer = self.recommend(user, mode=mode, k=100)
        assert answer["degraded"] == []
        assert answer["mode"] == MADE_BY.get(kind, answer["mode"])
        return ids(answer)

    def hidden(self, user):
        """The items that the trained past hides from a user, by brute force, and the items about which the time
        decides.
        """
        log_ids, blobs = self.folder.users()
        record = UserRecord.unpack(blobs.bytes_at(log_ids.row_of(str(user))))
        types = np.array(self.folder.spec().event_types)[record.types]
        counts = np.isin(types, ["purchase", "refund"])
        ages = time.time() - record.times
        assert len(ages) < 200, "the record is cut"
        hidden = {self.tables.ids[row] for row in record.items[counts & (ages < 30 * DAY)]}
        unsure = {self.tables.ids[row] for row in record.items[counts & (abs(ages - 30 * DAY) < 900)]}
        return hidden - unsure, unsure

    def read(self, work):
        async def scene():
            store = RedisUserStore(self.url)
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(scene())


def ids(answer):
    return [item["item_id"] for item in answer["items"]]


@pytest.fixture(scope="module")
def shop(inline_deployment, tiny_shop, tmp_path_factory):
    return Shop(inline_deployment.renew(tmp_path_factory.mktemp("shop-served"), tiny_shop[0]), tiny_shop[0])


@pytest.fixture(scope="module")
def listed(shop):
    """The result of `flows batch`: lists for everyone, with all items that may be shown."""
    return shop.flow("batch", "--top", "100")


@pytest.mark.parametrize("kind", [*UNLISTED, *LISTED])
def test_a_purchase_hides_an_item_and_a_view_does_not(shop, kind, request):
    """For 30 days, in every mode, from lists of both kinds, from popular items and from similar items."""
    if kind in LISTED:
        request.getfixturevalue("listed")
    for place, (act, (event_type, days, hides)) in enumerate(ACTS.items()):
        user = f"a stranger {place}" if kind == "popular" else 10 * (UNLISTED + LISTED).index(kind) + place
        before = shop.slate(kind, user)
        item = next(each for each in before if not each.startswith("action"))  # action films trend by their fans alone
        answer = shop.click(user, item, event_type=event_type, timestamp=time.time() - days * DAY)
        assert answer == {"stored": 1, "unknown_items": [], "unknown_types": [], "too_old": 0}
        assert set(before) - set(shop.slate(kind, user)) == ({item} if hides else set()), act


def click_as_fans(shop):
    """Act on items of action films: purchases, refunds, views, ignored types and unknown types."""
    for user in range(3):
        shop.click(f"fan {user}", "action-6", "action-7", event_type="purchase")
    for user in range(2):
        shop.click(f"fan {user}", "action-7", event_type="refund")
    for user in range(9):
        shop.click(f"fan {user}", "action-8", event_type="view")
        shop.click(f"fan {user}", "action-9", event_type="scroll")
        shop.click(f"fan {user}", "action-9", event_type="Purchase")


def test_refresh_leaves_purchases_out_of_lists_and_weighs_trends(shop, listed):
    """A new list has no purchase and no refund, and keeps a view. Three purchases outweigh nine views.

    Refunded items, ignored types and unknown types do not trend.
    """
    item, acts = "drama-1", dict(enumerate(ACTS.values(), 100))
    for user, (kind, days, _) in acts.items():
        shop.click(user, item, event_type=kind, timestamp=time.time() - days * DAY)
    assert shop.click("a scroller", "drama-1", event_type="scroll")["stored"] == 0
    assert shop.click("a misspeller", "drama-1", event_type="Purchase")["unknown_types"] == ["Purchase"]
    click_as_fans(shop)
    assert shop.flow("refresh")["lists"] >= len(ACTS)
    manifest = shop.folder.manifest
    states = shop.read(lambda store: store.read_users(manifest.id, manifest.user_buckets, list(acts)))
    for (user, (_, _, hides)), state in zip(acts.items(), states, strict=True):
        rows = UserList.unpack(state.listed).items
        trained, unsure = shop.hidden(user)
        if item not in trained | unsure:
            assert (item in {shop.tables.ids[row] for row in rows}) != hides, user
    trends = [each for each, _ in shop.read(lambda store: store.read_trending()).items]
    assert [each for each in trends if each in {f"action-{n}" for n in range(6, 10)}] == ["action-6", "action-8"]


def test_rules_replace_exclude_seen_of_the_dataset(shop):
    """A pin of a bought item stays out, unless the file of rules sets exclude_seen."""
    shop.click("the ruled", "drama-2", event_type="purchase")
    shop.click("the ruled", "drama-3", event_type="view")
    pin = '[[pin]]\nitem = "drama-2"\nplace = 1\n[[pin]]\nitem = "drama-3"\nplace = 2\n'
    shop.rules(pin)
    answer = ids(shop.recommend("the ruled", k=10))
    assert "drama-2" not in answer
    assert "drama-3" in answer[:2]
    shop.rules(f"exclude_seen = true\n{pin}")
    assert not {"drama-2", "drama-3"} & set(shop.slate("realtime", "the ruled"))
    shop.rules(f"exclude_seen = false\n{pin}")
    assert ids(shop.recommend("the ruled", k=2)) == ["drama-2", "drama-3"]
    shop.rules("")


def test_a_refund_revokes_a_purchase_for_the_models(shop):
    """The scores are those of a user without the purchase. The item itself stays hidden."""
    bought, moment = "comedy-5", time.time() - 3_600
    for user in ("with a refund", "without"):
        shop.click(user, "drama-5", event_type="view", timestamp=moment)
    shop.click("with a refund", bought, event_type="purchase", timestamp=moment + 60)
    assert shop.recommend("with a refund")["history"] == 2
    shop.click("with a refund", bought, event_type="refund", timestamp=moment + 120)
    ours, other = (shop.recommend(user, mode="realtime", k=100) for user in ("with a refund", "without"))
    assert (ours["history"], other["history"]) == (1, 1)
    scores = [{item["item_id"]: (item["score"], item["tower_score"]) for item in of["items"]} for of in (ours, other)]
    assert set(scores[1]) - set(scores[0]) == {bought}
    for item, answer in scores[0].items():
        assert answer == pytest.approx(scores[1][item], abs=2e-3, nan_ok=True)


def test_the_types_of_session_events_count(shop):
    """A purchase in the session hides the item; a view, an ignored type and an unknown type do not."""
    kinds = ("purchase", "view", "scroll", "Purchase")
    session = [{"item_id": f"comedy-{at}", "event_type": kind} for at, kind in enumerate(kinds)]
    answer = shop.recommend("a visitor", session=session, k=100)
    assert (answer["history"], answer["unknown_types"]) == (2, ["Purchase"])
    assert {f"comedy-{at}" for at in range(4)} - set(ids(answer)) == {"comedy-0"}
    with Client(f"grpc://{shop.deployment.grpc}") as client:
        over_grpc = client.recommend("a visitor", session=session, k=100)
        assert (over_grpc.history, over_grpc.unknown_types) == (2, ["Purchase"])
        event = {"user_id": "a visitor", "item_id": "comedy-9", "event_type": "Purchase"}
        assert client.add_events([event]).unknown_types == ["Purchase"]


def test_an_unknown_type_is_refused_if_the_dataset_requires_it(shop):
    """At both doors, in events and in sessions, with the field and the known types. No event of the request is
    stored.
    """

    def refuse(path):
        spec = json.loads((path / SPEC).read_text())
        spec["events"]["refuse_unknown"] = True
        (path / SPEC).write_text(json.dumps(spec))

    folder = altered(shop.folder, shop.home / "strict" / "g-strict", refuse)
    tiny.publish(folder, RedisGenerationStore(shop.url))
    wait_for(lambda: shop.client.get("/status").json()["generation"] == "g-strict")
    doors, wrong = BothDoors(shop.deployment), {"item_id": "drama-2", "event_type": "Purchase"}
    events = [{"user_id": "strict", "item_id": "drama-1", "event_type": "view"}, {"user_id": "strict", **wrong}]
    for verb, values, field in (
        (verb_table.EVENTS, {"events": events}, "events.1.event_type"),
        (verb_table.RECOMMEND, {"user_id": "strict", "session": [wrong]}, "session.0.event_type"),
        (verb_table.EXPLAIN, {"user_id": "strict", "item_id": "drama-1", "session": [wrong]}, "session.0.event_type"),
    ):
        over_http, over_grpc = doors.verdicts(verb, values)
        assert over_http == over_grpc
        assert over_http["field"] == field
        assert over_http["message"] == (
            "The live generation does not know the event type 'Purchase'; it knows view, purchase, refund."
        )
    doors.close()
    assert shop.client.get("/users/strict").json()["events"] == []
    assert shop.click("strict", "drama-1", event_type="impression")["stored"] == 1
