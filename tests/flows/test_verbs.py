"""The operating verbs through the real command line, over a store with generations that were made up."""

import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from recsys.generation.manifest import GenerationFolder
from recsys.store import RedisGenerationStore
from tests.sample_data import tiny
from tests.sample_data.altered_generation import altered
from tests.servers.flow_environment import ROOT, flow_environment


@pytest.fixture
def home(tmp_path, tiny_world):
    """A home with three generations in folders, none published."""
    for n in (1, 2, 3):
        altered(tiny_world[0], tmp_path / "generations" / f"g{n}", lambda path: None)
    return tmp_path


@pytest.fixture
def call(home, own_valkey_url):
    """Run the verbs of `python -m flows` against an empty store, in this process: a start imports for seconds."""
    import redis

    from flows.__main__ import main

    with redis.Redis.from_url(own_valkey_url) as client:
        client.flushall()

    def run(*arguments, python=None, **environment):
        environment = flow_environment(home, **{"REDIS_URL": own_valkey_url, "COLUMNS": "80"} | environment)
        if python:
            command = [sys.executable, "-c", python]
            return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        stdout, stderr = StringIO(), StringIO()
        with patch.dict(os.environ, environment, clear=True), redirect_stdout(stdout), redirect_stderr(stderr):
            code = main([*map(str, arguments)])
        return SimpleNamespace(returncode=code, stdout=stdout.getvalue(), stderr=stderr.getvalue())

    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def put(call, home, own_valkey_url):
    """Publish and promote as the verb does, in this process: each command imports for seconds."""
    store = RedisGenerationStore(own_valkey_url)
    yield lambda *ids: [tiny.publish(GenerationFolder(home / "generations" / name), store) for name in ids]
    store.close()


def answer(process):
    """What a command said as JSON, and that it ended with 0."""
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def refusal(process):
    """The one sentence a command ended with."""
    assert process.returncode == 1
    lines = [line for line in process.stderr.splitlines() if not line.startswith("publishing: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_life_of_verbs(call):
    """Publish, publish, roll back, promote: each says from where to where, and `generations` shows it."""
    first = answer(call("publish", "g1", "--json"))
    assert first["moved"] == {"was": None, "live": "g1", "previous": None}
    second = call("publish", "g2")
    assert second.returncode == 0
    assert "Live: g2. Before: g1; python -m flows rollback goes back to it." in second.stdout
    assert second.stderr.startswith("publishing: ")
    assert answer(call("rollback", "--json")) == {"was": "g2", "live": "g1", "previous": "g2"}
    assert answer(call("promote", "g2", "--json")) == {"was": "g1", "live": "g2", "previous": "g1"}
    rows = answer(call("generations", "--json"))["generations"]
    assert [(row["id"], row["aliases"]) for row in rows] == [("g1", ["previous"]), ("g2", ["live"])]
    table = call("generations").stdout.splitlines()
    assert all(len(line) <= 80 for line in table)
    assert any(line.split()[0] == "g2" and "live" in line for line in table if line.split())
    assert answer(call("status", "--json"))["live"] == "g2"


def test_published_and_not_promoted(call, put):
    """With --no-promote nothing goes live; a folder will do as well as an id."""
    put("g1")
    folder = call("publish", Path(os.devnull).parent / "nowhere")
    assert folder.returncode == 1
    told = call("publish", "g2", "--no-promote")
    assert "python -m flows promote g2" in told.stdout
    assert answer(call("status", "--json"))["live"] == "g1"


def test_unknown_ones_are_answered_with_the_known(call, home):
    """Promote and delete name what the store has, publish what the folder has; an empty store says how to fill it."""
    assert refusal(call("promote", "g9")).endswith("Publish one with: python -m flows publish FOLDER")
    assert "holds no generation yet" in call("generations").stdout
    call("publish", home / "generations" / "g1")
    assert refusal(call("promote", "g9")).endswith("The store has: g1.")
    assert refusal(call("delete", "g9")).endswith("The store has: g1.")
    assert refusal(call("publish", "g9")).endswith("there are: g1, g2, g3.")
    error = json.loads(call("promote", "g9", "--json").stdout)["error"]
    assert error["code"] == "GenerationError"
    assert "g1" in error["message"]


def test_nothing_to_roll_back_to_is_a_sentence(call):
    """Before the second promote there is no way back."""
    assert "nothing to roll back to" in refusal(call("rollback"))


def test_delete_spares_what_is_named(call, put):
    """A generation that no alias names is removed on request; one that is live is not."""
    put("g1", "g2", "g3")
    assert "named by an alias" in refusal(call("delete", "g3"))
    assert answer(call("delete", "g1", "--json")) == {"deleted": "g1"}
    assert [row["id"] for row in answer(call("generations", "--json"))["generations"]] == ["g2", "g3"]


def test_the_fourth_publish_deletes_the_first(call, put, home):
    """What has had its time is said to be deleted."""
    altered(GenerationFolder(home / "generations" / "g1"), home / "generations" / "g4", lambda path: None)
    put("g1", "g2", "g3")
    assert answer(call("publish", "g4", "--json"))["deleted"] == ["g1"]


def test_rolled_back_does_not_come_again_by_itself(call, put):
    """Publishing anew what was rolled back leaves the older one live, with the command that would move it."""
    put("g1", "g2")
    call("rollback")
    assert refusal(call("publish", "g2")).endswith("If that is meant: python -m flows promote g2")
    assert answer(call("status", "--json"))["live"] == "g1"


def test_the_budget_of_the_environment(call):
    """A generation over TANDEM_REDIS_BUDGET is refused with the budget."""
    assert "TANDEM_REDIS_BUDGET is 0.0 MiB" in refusal(call("publish", "g1", TANDEM_REDIS_BUDGET="10KB"))


def test_operating_needs_no_prefect(call):
    """The verbs that matter in an emergency import neither Prefect nor torch."""
    code = (
        "import sys, flows.__main__ as m\n"
        "m.main(['generations']); m.main(['rollback']); m.main(['promote', 'g9'])\n"
        "sys.exit(any(name in sys.modules for name in ('prefect', 'torch', 'pandas')))"
    )
    process = call(python=code)
    assert process.returncode == 0, process.stderr


def test_who_holds_a_generation_is_told_whole():
    """In 80 columns too, where the figures leave no room for names."""
    from rich.console import Console

    from flows.operate.generations import Row, to_table, who_holds

    figures = {"recall@10": 0.2, "ndcg@10": 0.1}
    rows = [
        Row(
            "g20261126-014232-740bb7", 1.0, 86_400.0, figures, 90 << 20, ["live"], ["gateway tandem-0 12", "ranking 13"]
        ),
        Row("g20261125-014232-740bb7", 1.0, 86_400.0, figures, 90 << 20, ["previous"]),
    ]
    console = Console(width=80)
    with console.capture() as shown:
        console.print(to_table(rows))
    assert "…" not in shown.get()
    assert all(word in shown.get() for row in rows for word in (row.id, *row.aliases))
    assert who_holds(rows) == ["g20261126-014232-740bb7 is held by gateway tandem-0 12, ranking 13."]


def test_holders_and_metrics_are_shown():
    """Which processes hold a generation is asked of whoever knows, and what it scored stands in its manifest."""
    from flows.operate.generations import list_generations
    from recsys.generation.manifest import Manifest
    from recsys.store import MemoryStore

    store = MemoryStore()
    served = {"recall@10": 0.2, "ndcg@10": 0.1, "recall@100": 0.6}
    store.write_manifest("g1", Manifest("g1", 0.0, "test", {}, {}, metrics={"two_stage": served}).to_json())
    store.write_manifest("g0", "not JSON")
    row, broken = list_generations(store, lambda: {"g1": ["gateway 12", "ranking 13"]})
    assert row.held_by == ["gateway 12", "ranking 13"]
    assert row.metrics == {"recall@10": 0.2, "ndcg@10": 0.1}
    assert "can't be read" in broken.note
