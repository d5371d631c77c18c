"""The commands `python -m flows experiment`, and the lists that flows make for users in arms."""

import json
from importlib.util import find_spec

import pytest

from flows.__main__ import main
from flows.lists import batch, refresh
from recsys.errors import StoreFull
from recsys.experiments.document import Experiment
from recsys.generation.publisher import Publisher
from recsys.store.redis.redis_experiments import RedisExperimentStore
from tests.sample_data import tiny
from tests.sample_data.altered_generation import altered

DASK = pytest.mark.skipif(find_spec("distributed") is None, reason="the extra dask")

TEXT = """
name = "towers"

[arms.new]
share = 0.5
generation = "g-next"

[arms.few]
share = 0.25
candidates = 20
"""


@pytest.fixture
def call(shop, capsys):
    """Run an action of `experiment`; the JSON that it prints, also of an error."""

    def run(*arguments):
        main(["experiment", *map(str, arguments), "--json"])
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def created(shop, call):
    """An experiment with a generation in one arm, and fewer candidates in the other."""
    shop.publish_beside("g-next")
    (shop.home / "towers.toml").write_text(TEXT)
    call("create", shop.home / "towers.toml")
    return "towers"


def users_of(shop, arm):
    """The users of an arm now, by the document in the store."""
    store = RedisExperimentStore(shop.url)
    experiment = store.read().experiments["towers"]
    store.close()
    return {str(user) for user in range(tiny.USERS) if experiment.lanes.arm_of(user) == arm}


def test_the_life_of_an_experiment(shop, created, call, capsys):
    """Each action prints the experiment; `show` prints a file that `create` reads again."""
    assert call("start", created)["status"] == "running"
    assert call("ramp", created, "0%")["ramp"] == 0.0
    assert call("pause", created)["status"] == "paused"
    stopped = call("stop", created)
    assert [each["what"] for each in stopped["changes"]] == ["Created.", "Started.", "Paused.", "Stopped."]
    assert main(["experiment", "show", created]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# state: stopped\n")
    (shop.home / "again.toml").write_text(text.replace('"towers"', '"again"'))
    again = Experiment.model_validate(call("create", shop.home / "again.toml"))
    assert again.definition.arms == Experiment.model_validate(stopped).definition.arms
    assert [*call("list")["experiments"]] == ["towers", "again"]
    assert main(["experiment", "list"]) == 0
    table = capsys.readouterr().out
    assert "…" not in table
    assert all(word in table for word in ("towers", "again", "stopped", "draft", "g-next"))


def test_a_ramp_makes_the_lists_of_the_users_who_move(shop, created, call):
    """Before the users move, each has the list of its arm; a second ramp makes those of the further users alone."""
    batch(5)
    call("start", created)
    first = call("ramp", created, 20)
    new, few = users_of(shop, "new"), users_of(shop, "few")
    assert (first["ramp"], first["lists"]) == (0.2, len(new) + len(few))
    assert 0 < len(few) < len(new) < tiny.USERS / 4
    assert shop.users_with_lists("g-next") == new
    assert shop.users_with_lists(shop.live, "towers.few") == few
    second = call("ramp", created, 100)
    assert second["lists"] == len(users_of(shop, "new") - new) + len(users_of(shop, "few") - few)
    assert call("ramp", created, 5)["lists"] == 0


def test_lists_are_made_before_users_move(shop, created, call, monkeypatch):
    """The write of the document comes last: a ramp that fails there leaves all users where they were, with lists."""
    batch(5)
    call("start", created)

    def full(*_):
        raise StoreFull("Redis is full.")

    with monkeypatch.context() as patched:
        patched.setattr(RedisExperimentStore, "_write", full)
        assert call("ramp", created, 20)["error"]["message"] == "Redis is full."
    assert users_of(shop, "new") == set()
    made = shop.users_with_lists("g-next")
    call("ramp", created, 20)
    assert users_of(shop, "new") == made != set()


@pytest.mark.parametrize("workers", ["", pytest.param("2", marks=DASK)])
def test_batch_and_refresh_make_the_lists_of_arms(shop, created, call, monkeypatch, workers):
    """Every user has the control's list; users of an arm have that of their arm beside it, also if Dask makes them."""
    monkeypatch.setenv("TANDEM_DASK", workers)
    call("start", created)
    store = RedisExperimentStore(shop.url)
    store.change(lambda document: _at(document, 0.5))  # without the lists of `ramp`
    new, few = users_of(shop, "new"), users_of(shop, "few")
    done = batch(5)
    assert (done.lists, done.arm_lists) == (tiny.USERS, len(new) + len(few))
    assert shop.users_with_lists(shop.live) == {*map(str, range(tiny.USERS))}
    assert (shop.users_with_lists("g-next"), shop.users_with_lists(shop.live, "towers.few")) == (new, few)
    shop.click(min(new), "drama-1")
    shop.click(min(few), "drama-1")
    done = refresh()
    assert (done.lists, done.arm_lists) == (2, 2)
    store.close()


def _at(document, ramp):
    experiment = document.experiments["towers"].model_copy(update={"ramp": ramp})
    return document.model_copy(update={"experiments": {"towers": experiment}})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (TEXT.replace("share = 0.25", "shre = 0.25"), "Did you mean arms.few.share?"),
        (TEXT.replace("g-next", "g-gone"), "Generation g-gone is not in the store"),
        ("name = 5", "name is 1 to 32 of a-z"),
        (
            f'{TEXT}[audience]\nsurfaces = ["hme"]',
            "has hme; the surfaces of surfaces.toml are default, home.",
        ),
        (
            f'{TEXT}[audience.context]\nplanet = ["mars"]',
            "audience.context has planet; the live generation has device.",
        ),
        (b"\xff", "is not a text in UTF-8"),
        (None, "can't be read: No such file"),
    ],
)
def test_a_wrong_file_is_one_sentence(shop, capsys, monkeypatch, text, sentence):
    """The exit code is 1, and nothing is created."""
    (shop.home / "surfaces.toml").write_text("[home]\n")
    monkeypatch.setenv("TANDEM_SURFACES", str(shop.home / "surfaces.toml"))
    file = shop.home / "wrong.toml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main(["experiment", "create", str(file)]) == 1
    shown = capsys.readouterr()
    assert (shown.out, len(shown.err.splitlines())) == ("", 1)
    assert sentence in shown.err
    assert main(["experiment", "list"]) == 0
    assert "There is no experiment yet" in capsys.readouterr().out


def test_a_generation_of_an_experiment_is_not_deleted(shop, created, call, capsys):
    """Neither by a person nor by a publish, until the experiment stops."""
    assert main(["delete", "g-next"]) == 1
    assert "an experiment needs it" in capsys.readouterr().err
    publisher = Publisher(shop.generations, shop.home / "trials")
    for place in range(4):
        publisher.publish(altered(shop.folder, shop.home / "generations" / f"g-{place}"))
    assert "g-next" not in publisher.delete_old(shop.home / "generations")
    assert (shop.home / "generations" / "g-next").exists()
    call("stop", created)
    assert main(["delete", "g-next"]) == 0
