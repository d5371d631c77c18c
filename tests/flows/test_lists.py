"""The flows `batch`, `item-lists`, `refresh` and `drain` over a real store: lists, trending, cursor, lost entries."""

from contextlib import contextmanager, nullcontext
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import redis

from flows.__main__ import main
from recsys.errors import RulesError
from recsys.lists.similar_list import SIMILAR_LENGTH, SimilarList
from recsys.lists.user_list import digest
from recsys.retrieval.retriever import Retriever
from recsys.store.stored_types import StreamLimits
from tests.flows.feedback.test_drain import shown
from tests.sample_data import tiny
from training.progress import RunProgress

COLUMNS = ["user_id", "rank", "item_id", "title", "score", "sources", "generation", "made_at"]


def batch(shop, top=5, on_update=None, rules=None):
    from flows.lists import batch

    with shown_to(on_update):
        return batch(top, rules)


def item_lists(on_update=None):
    from flows.lists import item_lists

    with shown_to(on_update):
        return item_lists()


def refresh(on_update=None):
    from flows.lists import refresh

    with shown_to(on_update):
        return refresh()


@contextmanager
def shown_to(on_update):
    """Call a test's function at each update of the progress of a run."""
    with pytest.MonkeyPatch.context() as patched:
        if on_update is not None:
            progress = RunProgress((on_update,))
            patched.setattr("flows.lists.run_progress", lambda: nullcontext(progress))
        yield


class TestBatch:
    def test_lists_and_a_file_for_all_users(self, shop):
        """Users of the generation and users with events of any age get lists; the file obeys the rules."""
        shop.click("newcomer", "drama-1", "drama-2")
        with redis.Redis.from_url(shop.url) as client:
            client.xtrim("events", maxlen=0)  # as the limits of the log do after a day
        shop.click("shown something", "drama-1", kind="impression")
        (shop.home / "rules.toml").write_text('[[cap]]\ncolumn = "categories"\nat_most = 2\n')
        done = batch(shop, top=6)
        assert (done.generation, done.lists, done.superseded) == (shop.live, tiny.USERS + 1, ())
        assert shop.listed("shown something") == [None]
        for made in shop.listed("0", "newcomer", "479"):
            assert len(made.items) >= 30
        (made,) = shop.listed("newcomer")
        assert made.events == digest(shop.flows.read_events(["newcomer"])[0])
        assert made.events != 0
        assert list((shop.home / "lists").rglob("*")) == [Path(done.parquet).parent, Path(done.parquet)]
        table = pq.read_table(done.parquet)
        assert table.column_names == COLUMNS
        frame = table.to_pandas()
        assert frame["user_id"].nunique() == tiny.USERS + 1
        assert frame.groupby("user_id")["rank"].apply(list).map(lambda ranks: ranks == [1, 2, 3, 4, 5, 6]).all()
        of_each = frame.assign(category=frame["item_id"].str.partition("-")[0]).groupby(["user_id", "category"]).size()
        assert of_each.eq(2).all()
        assert frame["title"].str.startswith("The ").all()
        assert not frame.duplicated(["user_id", "item_id"]).any()

    @pytest.mark.parametrize("flow", ["batch", "refresh"])
    def test_a_generation_promoted_meanwhile_gets_the_lists(self, shop, flow):
        """Lists that were made for a superseded generation are made again for the one that is live."""
        shop.click("3", "drama-1")
        later = []

        def on_update(update):
            later or later.append(shop.another_live())

        done = batch(shop, on_update=on_update) if flow == "batch" else refresh(on_update)
        assert (done.generation, done.superseded) == (later[0], (shop.live,))
        assert done.lists == (tiny.USERS if flow == "batch" else 1)
        assert shop.listed("3", generation=later[0])[0] is not None

    def test_an_error_leaves_no_file(self, shop, monkeypatch):
        """The error names the field of invalid rules or the missing file; an interrupted run leaves no file."""
        (shop.home / "rules.toml").write_text("[[cap]]\ncolumn = 3\n")
        with pytest.raises(RulesError, match=r"cap\.0\.column"):
            batch(shop)
        shop.rules.unlink()
        with pytest.raises(RulesError, match=r"There is no file .*rules\.toml"):
            batch(shop)
        monkeypatch.delenv("TANDEM_RULES")
        with pytest.raises(RulesError, match=r"There is no file .*rules\.toml"):
            batch(shop, rules=str(shop.rules))

        with pytest.raises(ZeroDivisionError):
            batch(shop, on_update=lambda update: 1 / 0)
        assert list((shop.home / "lists").rglob("*.parquet")) == []


class TestItemLists:
    def test_each_available_item_gets_the_list_that_similar_would_find(self, shop, capsys):
        """In the store and in the file, without hidden items; for the generation that is live at the end."""
        shop.hide("drama-3")
        later = []
        done = item_lists(lambda update: later or later.append(shop.another_live()))
        assert (done.generation, done.superseded, done.lists) == (later[0], (shop.live,), len(shop.folder.tables()) - 1)
        assert main(["item-lists"]) == 0
        assert f"Lists of similar items for {done.lists} items of {done.generation}: " in capsys.readouterr().out

        ids, row_of = shop.folder.tables().ids, shop.folder.tables().ids.row_of
        item = row_of("drama-1")
        found, scores = Retriever.load(shop.folder).similar(item)
        expected = [(ids[row], score) for row, score in zip(found.items[0], scores[0], strict=True) if row >= 0]
        expected = [each for each in expected if each[0] != "drama-3"][:SIMILAR_LENGTH]
        assert {name for name, _ in expected} & {f"drama-{number}" for number in range(2, 9)}
        made = SimilarList.unpack(shop.with_users(lambda store: store.read_similar(done.generation, item)))
        assert [ids[row] for row in made.items] == [name for name, _ in expected]
        assert shop.with_users(lambda store: store.read_similar(done.generation, row_of("drama-3"))) is None

        frame = pq.read_table(done.parquet).to_pandas()
        assert Path(done.parquet).parent == shop.home / "similar" / done.generation
        assert frame["item_id"].nunique() == done.lists
        assert "drama-3" not in {*frame["item_id"], *frame["similar_item_id"]}
        of_item = frame[frame["item_id"] == "drama-1"]
        assert [*zip(of_item["similar_item_id"], of_item["score"], strict=True)] == expected
        assert of_item["rank"].tolist() == [*range(1, len(expected) + 1)]
        assert (of_item["likeness"].to_numpy() == made.likeness).all()


class TestRefresh:
    def test_only_users_with_new_events_get_lists(self, shop):
        """They get them once, and the trending items are candidates of every list."""
        for user in ("a", "b", "c"):
            shop.click(user, "drama-24")
        done = refresh()
        assert (done.lists, done.trending) == (3, 1)
        assert [made is not None for made in shop.listed("a", "b", "c", "1")] == [True, True, True, False]
        assert refresh().lists == 0
        shop.click("1", "comedy-2")
        shop.click("2", "comedy-2", kind="impression")
        assert refresh().lists == 1
        assert [made is not None for made in shop.listed("1", "2")] == [True, False]

    def test_events_that_left_the_log_unread_are_counted(self, shop):
        """All users with stored events then get new lists, once. Events of deleted users are not lost events."""
        shop.click("a", "drama-1")
        assert refresh().lists == 1
        shop.click("forgotten", "drama-1")
        shop.with_users(lambda store: store.forget_user("forgotten"))
        shop.click("b", "drama-1", "drama-2")
        done = refresh()
        assert (done.lists, done.lost) == (1, 0)
        for user in ("c", "d", "e"):
            shop.click(user, "drama-3")
        with redis.Redis.from_url(shop.url) as client:
            client.xtrim("events", maxlen=1, approximate=False)
        done = refresh()
        assert (done.lists, done.lost) == (5, 2)
        assert None not in shop.listed("a", "b", "c", "d", "e")
        shop.click("a", "drama-2")
        done = refresh()
        assert (done.lists, done.lost) == (1, 0)

    def test_a_user_deleted_meanwhile_gets_no_list(self, shop):
        """The user is deleted between the read of the log and the lists."""
        from flows import lists

        shop.click("a", "drama-1")
        shop.click("b", "drama-1")
        read_active = lists.read_active

        def forgotten_then(store, folder):
            found = read_active(store, folder)
            shop.with_users(lambda store: store.forget_user("a"))
            return found

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(lists, "read_active", forgotten_then)
            assert refresh().lists == 1
        assert shop.listed("a") == [None]


class TestDrain:
    def test_lost_impressions_are_reported_once(self, shop, capsys):
        """The result and a sentence count impressions that the store's limits removed since the last drain."""
        from flows.cli.recurring_commands import print_drained
        from flows.drain import drain

        slates = [("7", shown().pack())] * 500
        shop.with_users(lambda users: users.add_impressions(slates), impressions=StreamLimits(1e6, 64 << 10))
        done = drain(0.0)
        assert done.lost > 0
        assert done.lost + done.impressions == 500
        print_drained(done)
        assert f"{done.lost} impressions were removed before a drain could read them" in capsys.readouterr().out
        assert drain(0.0).lost == 0
