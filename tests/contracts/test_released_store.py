"""A store of the release before is read by this one: every user's arm, keys, impressions, lists, events and items."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.__main__ import main
from recsys.errors import ExperimentError
from recsys.experiments import changes
from recsys.experiments.definition import CONTROL, checked
from recsys.experiments.definition import parse as parse_experiment
from recsys.experiments.document import ExperimentsDocument
from recsys.experiments.running_experiments import RunningExperiments
from recsys.lists.impression import Impression
from recsys.lists.similar_list import SimilarList
from recsys.lists.user_list import UserList, digest
from recsys.lists.user_record import UserRecord
from service.auth.keyring import Keyring, parse
from tests.contracts.stores import Store
from tests.sample_data import released_store
from tests.sample_data.released_store import KEYS, Arms, arms

NOW = 1_796_100_000.0
FOREIGN = "Ünï-çødé 用户"


@pytest.fixture
def released(store: Store) -> Store:
    """A Valkey, and a Redis, with the keys of the release before."""
    released_store.load(store.client)
    return store


def answered(document: ExperimentsDocument) -> Arms:
    """The arms that serving gives the users of the file."""
    running = RunningExperiments(document)
    users = arms("running")
    return {user: dict(running.assign(user, "home", {}, NOW, {"named": "one"}).arms) for user in users}


def test_every_user_keeps_the_arm(released: Store) -> None:
    """In serving and in the flows, with a layer, with a holdout and without; a paused one too, when it starts again."""
    document = released.experiments.read()
    assert answered(document) == arms("running")
    paused = changes.pause(changes.pause(document, "shortest", NOW), "plain", NOW)
    for name in ("shortest", "plain", "resting"):
        paused = changes.start(paused, name, NOW)
    again = released.experiments.change(lambda _: paused)
    assert answered(again) == arms("started_again") == answered(released.experiments.read())
    users = [*arms("started_again")]
    for name, each in again.experiments.items():
        if each.status == "running" and each.definition.assignment == "salt":
            names = [*each.definition.arms]
            of_flows = [names[arm] if arm >= 0 else CONTROL for arm in each.lanes.assign(users)]
            assert of_flows == [arms("started_again")[user].get(name, CONTROL) for user in users]


def test_the_release_before_reads_what_this_one_writes(released: Store) -> None:
    """During an update processes of both run: a change leaves all fields of experiments that it does not concern."""
    before = json.loads(released.client.get("experiments"))
    released.experiments.change(lambda each: changes.ramp(each, "plain", 0.5, NOW))
    after = json.loads(released.client.get("experiments"))
    for document in (before, after):
        del document["version"], document["experiments"]["plain"]
    assert after == before
    released.experiments.change(lambda each: changes.create(each, checked({"name": "new", "arms": ARMS}), NOW))
    new = json.loads(released.client.get("experiments"))["experiments"]["new"]
    assert (new["slot"], new["definition"]["layer"], new["definition"]["traffic"]) == ([0.0, 1.0], None, 1.0)
    assert new["definition"]["audience"]["holdout"] == 0.0


ARMS = {"new": {"share": 0.5, "candidates": 50}}


def test_a_stored_draft_with_a_layer_does_not_start(released: Store) -> None:
    """The sentence names the first field and the fix. A draft without a layer starts, and a new definition does too."""
    with pytest.raises(ExperimentError, match=r"planned can't start: there is no layer any more: .* Create it again"):
        released.experiments.change(lambda each: changes.start(each, "planned", NOW))
    started = released.experiments.change(lambda each: changes.start(each, "sketch", NOW))
    assert started.experiments["sketch"].status == "running"
    again = changes.create(started, checked({"name": "planned", "arms": {"new": {"share": 0.1}}}), NOW)
    assert changes.start(again, "planned", NOW).experiments["planned"].lanes.former is None


def test_a_layer_lasts_until_the_stop(released: Store) -> None:
    """A new experiment shares the users of a stored one, so it can't change the same thing beside it."""
    document = changes.create(released.experiments.read(), checked({"name": "new", "arms": ARMS}), NOW)
    with pytest.raises(ExperimentError, match=r"new can't run beside shorter: both change candidates on"):
        changes.start(document, "new", NOW)
    for name in ("shorter", "shortest", "resting"):
        document = changes.stop(document, name, NOW)
    document = changes.start(document, "new", NOW)
    assert all(user_arms["new"] for user_arms in answered(changes.ramp(document, "new", 1.0, NOW)).values())


def test_the_command_shows_the_users_of_a_part(
    released: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Shares are those of all users: of 30 % of the layer without a holdout of 10 %, at a ramp of 50 %.

    `create` reads what is shown: the part is a comment.
    """
    monkeypatch.setenv("REDIS_URL", released.url)
    monkeypatch.chdir(tmp_path)
    main(["experiment", "show", "shortest"])
    shown = capsys.readouterr().out
    assert "few 3.375 %, fewer 6.75 %" in shown
    assert "# of the release before: positions" in shown
    assert parse_experiment(shown).name == "shortest"


def test_api_keys_are_read() -> None:
    """Each key is found by its text, with its scopes, rate and users."""
    keyring = Keyring(parse((released_store.FOLDER / "keys.toml").read_text()))
    found = {name: keyring.find(text.encode()) for name, text in KEYS.items()}
    assert [record and record.name for record in found.values()] == [*KEYS]
    shop = found["shop"]
    assert shop is not None
    assert ([*map(str, shop.scopes)], shop.rate, shop.users) == (["read", "write"], 50, "shop-1:")
    assert keyring.find(KEYS["shop"].replace("0216", "0217").encode()) is None


def test_impressions_lists_and_users_are_read(released: Store) -> None:
    """Also those of an arm, and of a user whose id is not ASCII."""
    logged = [(each.user, Impression.unpack(each.data)) for each in released.flows.read_impressions()]
    assert [user for user, _ in logged] == ["0", "1", FOREIGN]
    of_one = logged[1][1]
    assert (of_one.items, of_one.surface, of_one.mode) == (["item-0", "item-1", "item-2"], "home", "realtime")
    assert of_one.arms == {"plain": "varied", "half": "same"}
    assert of_one.assigned == {"plain": "varied", "half": "same", "shorter": "few"}
    states = released.users(lambda users: users.read_users("g1", 1, ["0", "1", FOREIGN]))
    lists = [UserList.unpack(state.listed) for state in states]
    assert [of_user and of_user.items.tolist() for of_user in lists] == [[0, 7, 8], [1, 7, 8], [2, 7, 8]]
    assert [of_user and of_user.events for of_user in lists] == [digest(state.events) for state in states]
    (of_arm,) = released.users(lambda users: users.read_users("g1", 1, ["1"], "plain.varied"))
    listed = UserList.unpack(of_arm.listed)
    assert listed is not None
    assert listed.items.tolist() == [3, 7, 8]
    assert UserRecord.unpack(states[1].record).items.tolist() == [1, 2]


def test_events_items_and_halts_are_read(released: Store) -> None:
    """So are similar and trending items, the deleted user and the live generation."""
    assert [each.event.item_id for each in released.flows.read_log()] == ["item-3", "item-4", "item-5"]
    assert released.generations.alias("live") == "g1"
    similar = SimilarList.unpack(released.users(lambda users: users.read_similar("g1", 3)))
    trending = released.users(lambda users: users.read_trending())
    put = released.write_items(lambda writer: writer.read("item-new"))
    assert (similar.items.tolist(), trending.ids, put.content) == ([4, 5, 6], ["item-3", "item-4"], {"price": 3.5})
    assert len(released.flows.read_deleted_users()) == 1
    document = released.experiments.read()
    assert released.experiments.halts(document) == {("held", "fresh"): "20 of its slates failed in a row."}
    assert [*document.experiments["half"].halted] == ["again"]
