"""The operating verbs on the command line, over a store with untrained generations."""

import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import redis

from recsys.generation.manifest import GenerationFolder
from recsys.store import RedisGenerationStore
from tests.sample_data import tiny
from tests.sample_data.altered_generation import altered
from tests.servers.flow_environment import ROOT, flow_environment


@pytest.fixture
def home(tmp_path, tiny_world):
    """A home with the folders of three generations, none of them published."""
    for n in (1, 2, 3):
        altered(tiny_world[0], tmp_path / "generations" / f"g{n}", lambda path: None)
    return tmp_path


@pytest.fixture
def call(home, empty_url):
    """Run verbs of `python -m flows` over an empty store, in this process, because imports take seconds."""
    from flows.__main__ import main

    def run(*arguments, python=None, **environment):
        environment = flow_environment(home, **{"REDIS_URL": empty_url, "COLUMNS": "80"} | environment)
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
    """Publish and promote generations without the command line."""
    store = RedisGenerationStore(own_valkey_url)
    yield lambda *ids: [tiny.publish(GenerationFolder(home / "generations" / name), store) for name in ids]
    store.close()


def answer(process):
    """The JSON of a command that ended with 0."""
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def refusal(process):
    """The sentence of a command that ended with 1."""
    assert process.returncode == 1
    lines = [line for line in process.stderr.splitlines() if not line.startswith("publishing: ")]
    assert len(lines) == 1
    return lines[0]


def test_publish_rollback_and_promote(call):
    """Each verb prints the move of `live`, and `generations` shows it."""
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


def test_an_unknown_id_is_answered_with_the_known_ids(call, home):
    """The error lists the ids of the store, or those of the folder; for an empty store it names a command."""
    assert refusal(call("promote", "g9")).endswith("Publish one with: python -m flows publish FOLDER")
    assert "holds no generation yet" in call("generations").stdout
    call("publish", home / "generations" / "g1")
    assert refusal(call("promote", "g9")).endswith("The store has: g1.")
    assert refusal(call("delete", "g9")).endswith("The store has: g1.")
    assert refusal(call("publish", "g9")).endswith("there are: g1, g2, g3.")
    error = json.loads(call("promote", "g9", "--json").stdout)["error"]
    assert error["code"] == "GenerationError"
    assert "g1" in error["message"]


def test_an_unreachable_store_and_a_wrong_command_line_have_exit_codes(call):
    """An unreachable store ends with 1 and one sentence, an unknown verb and a missing option with 2."""
    assert "No Redis answers at redis://127.0.0.1:1" in refusal(call("status", REDIS_URL="redis://127.0.0.1:1/0"))
    for arguments in (["publicise"], ["run"]):
        with pytest.raises(SystemExit) as ended:
            call(*arguments)
        assert ended.value.code == 2


def test_delete_refuses_an_aliased_generation(call, put):
    """A live generation is not deleted, one without an alias is."""
    put("g1", "g2", "g3")
    assert "named by an alias" in refusal(call("delete", "g3"))
    assert answer(call("delete", "g1", "--json")) == {"deleted": "g1"}
    assert [row["id"] for row in answer(call("generations", "--json"))["generations"]] == ["g2", "g3"]


def test_a_rolled_back_generation_does_not_go_live_by_itself(call, put):
    """After a rollback a second publish leaves the older generation live, and the error names `promote`."""
    put("g1", "g2")
    call("rollback")
    assert refusal(call("publish", "g2")).endswith("If that is meant: python -m flows promote g2")
    assert answer(call("status", "--json"))["live"] == "g1"


def test_operating_verbs_import_neither_prefect_nor_torch(call):
    """In an emergency a rollback takes one second, not ten."""
    code = (
        "import sys, flows.__main__ as m\n"
        "m.main(['generations']); m.main(['rollback']); m.main(['promote', 'g9'])\n"
        "sys.exit(any(name in sys.modules for name in ('prefect', 'torch', 'pandas')))"
    )
    process = call(python=code)
    assert process.returncode == 0, process.stderr


def test_a_generation_has_its_metrics_and_a_broken_one_a_note(empty_store, empty_url):
    """Metrics are read from the manifest; a manifest that can't be read is listed with the reason."""
    from flows.operate.generations import list_generations
    from recsys.generation.manifest import Manifest
    from recsys.store.key_names import manifest_key

    served = {"recall@10": 0.2, "ndcg@10": 0.1, "recall@100": 0.6}
    for name in ("g1", "g0"):
        manifest = Manifest(name, 0.0, "test", {}, {"users": 0}, metrics={"two_stage": served})
        empty_store.write_manifest(name, manifest.to_json())
    with redis.Redis.from_url(empty_url) as client:
        client.set(manifest_key("g0"), "not JSON")
    row, broken = list_generations(empty_store, {"g1": ["gateway 12", "ranking 13"]})
    assert row.held_by == ["gateway 12", "ranking 13"]
    assert row.metrics == {"recall@10": 0.2, "ndcg@10": 0.1}
    assert "can't be read" in broken.note
