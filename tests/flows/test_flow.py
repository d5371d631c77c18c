"""The flows against a real embedded store, through the real command line."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recsys.environment import Environment
from recsys.generation.manifest import GenerationFolder
from recsys.lists.user_record import UserRecord
from recsys.store.from_environment import open_store
from recsys.store.redis.user_store import RedisUserStore
from tests.flows.ring import ring, write
from tests.sample_data import tiny
from tests.servers.flow_environment import ROOT, flow_environment
from tests.servers.s3_server import NAME
from training.evaluation.metric_table import BASELINES, PERSONAL


def call(home, *arguments, **environment):
    """Run `python -m flows` with its state under `home`."""
    return subprocess.run(
        [sys.executable, "-m", "flows", *map(str, arguments)],
        cwd=ROOT,
        env=flow_environment(home / "tandem", HOME=str(home / "user"), **environment),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory, bucket):
    """A home in which a small dataset of a bucket was run once, and what the command printed."""
    home = tmp_path_factory.mktemp("home")
    (home / "user").mkdir()
    (home / "tandem" / "prefect").mkdir(parents=True)  # there, but empty: here Prefect makes its own database
    data = write(home / "data", ring(users=150, strings=True))
    for file in data.iterdir():
        bucket.put(f"ring/{file.name}", file.read_bytes())
    return home, data, call(home, "run", "--data", f"s3://{NAME}/ring", "--json", **bucket.variables)


def test_run_prints_the_generation_that_status_shows(published):
    """A run ends with 0 and JSON; what it published is live, with its metrics, and can be read back."""
    home, _, run = published
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    status = call(home, "status", "--json")
    assert status.returncode == 0, status.stderr
    shown = json.loads(status.stdout)
    assert shown["live"] == told["generation"]
    assert shown["metrics"]["two_stage"] == told["evaluation"]["rows"]["two_stage"]
    assert (shown["items"], shown["users"], shown["bytes"]) == (40, 150, told["bytes"])
    for_seen = {*PERSONAL}  # baselines of what the user had, which this dataset never recommends
    assert set(told["evaluation"]["rows"]) == {*BASELINES, "tower", "union", "two_stage"} - for_seen


def test_lists_go_to_the_bucket(published, bucket, prefect_url):
    """`batch` writes everyone's best below TANDEM_EXPORTS; no credentials are printed, by the run or by `batch`."""
    home, _, run = published
    exports = {"TANDEM_EXPORTS": f"s3://{NAME}/exports"}
    batch = call(home, "batch", "--top", "3", "--json", PREFECT_API_URL=prefect_url, **exports, **bucket.variables)
    assert batch.returncode == 0, batch.stderr
    key = json.loads(batch.stdout)["parquet"].removeprefix(f"s3://{NAME}/")
    assert key.startswith(f"exports/lists/{json.loads(run.stdout)['generation']}/")
    assert bucket.keys("exports/") == ["exports/lists/.tandem", key]
    rows = pq.read_table(io.BytesIO(bucket.get(key))).to_pandas().groupby("user_id").size()
    assert (len(rows), rows.eq(3).all()) == (150, True)
    assert bucket.variables["AWS_SECRET_ACCESS_KEY"] not in run.stdout + run.stderr + batch.stdout + batch.stderr


def test_the_store_holds_the_users(published):
    """A user's record comes back from the store as it stands in the generation's folder."""
    home, _, run = published
    environment = Environment(home / "tandem", None)
    generation = json.loads(run.stdout)["generation"]
    folder = GenerationFolder(environment.home / "generations" / generation)
    ids, blobs = folder.users()

    async def read(store):
        users = RedisUserStore(store.url)
        state = await users.read_users(generation, folder.manifest.user_buckets, [ids[7], "nobody"])
        await users.close()
        return state

    with open_store(environment) as store:
        known, unknown = asyncio.run(read(store))
    assert known.record == blobs.bytes_at(7)
    assert len(UserRecord.unpack(known.record).candidates) > 0
    assert unknown.record is None


def test_progress_is_told_in_plain_lines(published):
    """Where stderr is no terminal each step is a line of its own, and nothing else is said."""
    lines = published[2].stderr.splitlines()
    assert [line.split(":")[0] for line in lines if " s" in line][:3] == [
        "starting Prefect",
        "reading the dataset",
        "towers before the labels",
    ]
    assert "Traceback" not in published[2].stderr


def test_nothing_is_left_in_the_users_home(published):
    """The store, the training and Prefect keep their files in TANDEM_HOME and PREFECT_HOME; fonts may be cached."""
    home = published[0] / "user"
    assert [path for path in home.rglob("*") if path.is_file() and home / ".cache" not in path.parents] == []


def test_status_is_a_table_for_people(published):
    """Without --json the same facts are printed for a person."""
    home, _, run = published
    status = call(home, "status")
    assert status.returncode == 0
    assert json.loads(run.stdout)["generation"] in status.stdout
    assert "recall@10" in status.stdout


def test_the_gate_is_shown_and_the_report_named(published):
    """A run's JSON has every check and the place of a page that names the generation; so has status."""
    home, _, run = published
    told = json.loads(run.stdout)
    assert {check["verdict"] for check in told["gate"]} <= {"passed", "not judged"}
    assert told["forced"] == []
    page = Path(told["report"]).read_text()
    assert told["generation"] in page
    assert json.loads(call(home, "status", "--json").stdout)["report"] == told["report"]


def test_a_tenth_of_the_log_is_refused_on_the_command_line(published, prefect_url):
    """It ends with 1, each failed line with both figures, and the way past; live stays."""
    home, _, run = published
    live = json.loads(run.stdout)["generation"]
    data = write(home / "tenth", ring(users=15, strings=True))
    refused = call(home, "run", "--data", data, PREFECT_API_URL=prefect_url)
    assert refused.returncode == 1
    assert f"  - rows: 180, and live {live} has 1,800; 900 to 5,400 would pass.\n" in refused.stderr
    assert "run again with --force (make run: FORCE=1).\n" in refused.stderr
    assert "Report: " in refused.stderr
    assert "Traceback" not in refused.stderr
    assert json.loads(call(home, "status", "--json").stdout)["live"] == live


def test_an_error_inside_the_flow_is_one_sentence(tmp_path, prefect_url):
    """A log that can't be used ends the run with 1, one sentence and no traceback, although Prefect stands between."""
    data = write(tmp_path / "data", ring(users=2, steps=2))
    run = call(tmp_path, "run", "--data", data, PREFECT_API_URL=prefect_url)
    assert run.returncode == 1
    said = [line for line in run.stderr.splitlines() if " s" not in line or "interactions" in line]
    assert len(said) == 1
    assert "at least 50" in said[0]


def test_nothing_live_says_what_to_run(tmp_path):
    """An empty store is said plainly, with the command that changes it, and ends with 1."""
    status = call(tmp_path, "status")
    assert status.returncode == 1
    assert status.stderr.count("\n") == 1
    assert "python -m flows run --data" in status.stderr
    as_json = call(tmp_path, "status", "--json")
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)["error"]["code"] == "NoGeneration"


def test_an_unreachable_store_and_a_wrong_word_end_honestly(tmp_path):
    """A store out of reach ends with 1 and a sentence, a command line that makes no sense with 2."""
    status = call(tmp_path, "status", REDIS_URL="redis://127.0.0.1:1/0")
    assert status.returncode == 1
    assert status.stderr.count("\n") == 1
    assert "Traceback" not in status.stderr
    assert call(tmp_path, "publicise").returncode == 2
    assert call(tmp_path, "run").returncode == 2


def begun(home):
    """A run that takes a while, in a session of its own, when it has begun to read."""
    data = write(home / "data", ring(users=800, steps=40))
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", "run", "--data", str(data)],
        cwd=ROOT,
        env=flow_environment(home / "tandem", HOME=str(home / "user")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stderr:
        if line.startswith("reading"):
            break
    return process


def test_a_killed_run_leaves_no_process(tmp_path):
    """After kill -9 of a run its store and its Prefect server end by themselves."""
    process = begun(tmp_path)
    children = with_home(tmp_path) - {process.pid}
    assert len(children) >= 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while children & with_home(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def with_home(home):
    """Pids whose environment or command line names `home`: Valkey writes its title over its environment."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(home).encode() in (path / "environ").read_bytes() + (path / "cmdline").read_bytes():
                found.add(int(path.name))
        except OSError:
            continue
    return found


def test_an_unreachable_prefect_is_a_sentence(tmp_path):
    """A PREFECT_API_URL that nobody answers at ends with 1 and a sentence that names it."""
    data = write(tmp_path / "data", ring())
    run = call(tmp_path, "run", "--data", data, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert run.returncode == 1
    assert "http://127.0.0.1:9/api" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("verb", "right", "wrong"),
    [
        ("run", 'file = "interactions.csv"', 'file = "nowhere.csv"'),
        ("run", 'timestamp = "timestamp"', 'timestamp = "when"'),
        ("run", 'numeric = ["year"]', 'numeric = ["years"]'),
        ("schedule", 'timestamp = "timestamp"', 'timestamp = "when"'),
    ],
)
def test_a_wrong_mapping_is_found_before_prefect_starts(tmp_path, verb, right, wrong):
    """A mistyped file or column ends the command with one sentence that names it, and Prefect has written no file."""
    (tmp_path / "tandem" / "prefect").mkdir(parents=True)
    mapping = tiny.write(tmp_path / "data") / "dataset.toml"
    mapping.write_text(mapping.read_text().replace(right, wrong))
    done = call(tmp_path, verb, "--data", mapping)
    assert done.returncode == 1
    assert wrong.split('"')[1] in done.stderr
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "tandem" / "prefect").iterdir()) == []


def test_ctrl_c_ends_with_130(tmp_path):
    """An interrupt ends a run with 130, without a traceback, and nothing goes live."""
    process = begun(tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everyone in the foreground gets it
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert call(tmp_path, "status").returncode == 1


def test_force_is_told_on_the_console_and_by_status(published, prefect_url):
    """A forced run says past what it went, and status goes on saying it. Last: it changes what is live."""
    home, _, _ = published
    data = write(home / "forced", ring(users=40, strings=True))
    forced = call(home, "run", "--data", data, "--force", PREFECT_API_URL=prefect_url)
    assert forced.returncode == 0, forced.stderr
    assert "Forced past the gate: rows: 480, and live" in forced.stdout
    status = json.loads(call(home, "status", "--json").stdout)
    assert status["forced"][0].startswith("rows: 480, and live")
    table = call(home, "status").stdout
    assert "forced" in table
    assert "rows: 480" in table
