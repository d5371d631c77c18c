"""The flows that follow users, over a real store and with nothing that serves: lists, trends, the cursor, the clock."""

import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import redis

from recsys.errors import NoGeneration, RulesError
from recsys.lists.user_list import digest
from recsys.store import RedisFlowStore
from recsys.store.streams import StreamLimits
from tests.flows.test_drain import shown
from tests.sample_data import tiny
from training.progress import RunProgress

COLUMNS = ["user_id", "rank", "item_id", "title", "score", "sources", "generation", "made_at"]


def batch(shop, top=5, on_update=None, rules=None):
    from flows.lists import batch

    with shown_to(on_update):
        return batch(top, rules)


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
    def test_a_list_for_everyone_and_a_file(self, shop):
        """Users of the generation and users with events alone, of any age; the file has their best by the rules."""
        shop.click("newcomer", "drama-1", "drama-2")
        with redis.Redis.from_url(shop.url) as client:
            client.xtrim("events", maxlen=0)  # as the log's limits do after a day
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
        told = table.to_pandas()
        assert told["user_id"].nunique() == tiny.USERS + 1
        assert told.groupby("user_id")["rank"].apply(list).map(lambda ranks: ranks == [1, 2, 3, 4, 5, 6]).all()
        of_each = told.assign(category=told["item_id"].str.partition("-")[0]).groupby(["user_id", "category"]).size()
        assert of_each.eq(2).all()
        assert told["title"].str.startswith("The ").all()
        assert not told.duplicated(["user_id", "item_id"]).any()

    def test_a_hidden_item_is_sent_to_nobody(self, shop):
        """Nor is what a user has had; a message can't be called back."""
        first = pq.read_table(batch(shop).parquet).to_pandas()
        favourite = first["item_id"].value_counts().index[0]
        shop.hide(favourite)
        shop.click("1", *first[first["user_id"] == "1"]["item_id"])
        time.sleep(1)  # a file is named by its second
        after = pq.read_table(batch(shop).parquet).to_pandas()
        assert favourite not in after["item_id"].to_numpy()
        both = [set(each[each["user_id"] == "1"]["item_id"]) for each in (first, after)]
        assert not both[0] & both[1]
        assert after.groupby("user_id").size().eq(5).all()

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

    def test_what_can_t_be_done_leaves_no_file(self, shop, monkeypatch):
        """Broken rules are told by field, missing ones by path; of a run that breaks off there is nothing."""
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


class TestRefresh:
    def test_only_those_who_did_something(self, shop):
        """Once; what is trending comes to everyone's list as a candidate."""
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

    def test_killed_before_the_cursor_moved(self, shop, monkeypatch):
        """The same users are done once more, and none is lost."""
        shop.click("a", "drama-1")
        with monkeypatch.context() as killed:
            killed.setattr(RedisFlowStore, "write_cursor", lambda self, generation, cursor: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                refresh()
        assert refresh().lists == 1
        assert refresh().lists == 0

    def test_on_another_host_it_goes_on(self, shop, monkeypatch, tmp_path):
        """How far the log was read is in the store, and not on the disk of the host that read it."""
        shop.click("a", "drama-1")
        assert refresh().lists == 1
        monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "another host"))
        shop.click("b", "drama-1")
        assert refresh().lists == 1

    def test_events_that_left_the_log_unread(self, shop):
        """They are counted, and all users with stored events get new lists, once; deleted users are not a loss."""
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

    def test_a_host_whose_clock_is_wrong(self, shop, monkeypatch):
        """What is trending is read from the log by the clock of the store, which names the entries of the log."""
        from flows.steps.list_making import follow_trend

        for user in ("a", "b"):
            shop.click(user, "drama-24")
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 2 * 86_400)
        assert follow_trend.fn(shop.flows, shop.folder).ids == ["drama-24"]

    def test_another_generation_begins_with_the_log(self, shop):
        """Its users have no lists yet."""
        shop.click("a", "drama-1")
        refresh()
        second = shop.another_live()
        done = refresh()
        assert (done.generation, done.lists) == (second, 1)
        assert shop.listed("a", generation=second)[0] is not None

    def test_a_user_forgotten_since_gets_none(self, shop):
        """Between reading the log and making the lists."""
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

    def test_nothing_live(self, shop):
        """Says how to have something."""
        with redis.Redis.from_url(shop.url) as client:
            client.flushall()
        with pytest.raises(NoGeneration, match="python -m flows run"):
            refresh()


class TestDrain:
    def test_it_says_how_many_impressions_were_lost(self, shop, capsys):
        """Those that the store's limits removed since the last drain, in the result and in a sentence."""
        from flows.cli.follow_commands import _tell_drained
        from flows.drain import drain

        slates = [("7", shown().pack())] * 500
        shop.with_users(lambda users: users.add_impressions(slates), impressions=StreamLimits(1e6, 64 << 10))
        done = drain(0.0)
        assert done.lost > 0
        assert done.lost + done.impressions == 500
        _tell_drained(done)
        assert f"{done.lost} impressions were removed before a drain could read them" in capsys.readouterr().out
        assert drain(0.0).lost == 0
