"""Training on the command line, over an embedded store: a whole run, refusals, errors, Ctrl-C and kill -9."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flows.ring_dataset import ring, write
from tests.sample_data import tiny
from tests.servers.flow_environment import ROOT, flow_environment
from tests.servers.s3_server import NAME
from training.judge.metric_table import BASELINES, PERSONAL

SMALL = "--config=small", "--set=threads=1"


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


def status_of(home):
    status = call(home, "status", "--json")
    assert status.returncode == 0, status.stderr
    return json.loads(status.stdout)


@pytest.fixture(scope="module")
def published(tmp_path_factory, bucket):
    """A home with one run on a small dataset in a bucket, and the finished command."""
    home = tmp_path_factory.mktemp("home")
    (home / "user").mkdir()
    data = write(home / "data", ring(users=150, strings=True))
    for file in data.iterdir():
        bucket.put(f"ring/{file.name}", file.read_bytes())
    run = call(home, "run", "--data", f"s3://{NAME}/ring", *SMALL, "--json", **bucket.variables)
    assert run.returncode == 0, run.stderr
    return home, run


def test_status_shows_the_generation_that_a_run_printed(published):
    """The JSON of the run and of `status` agree on id, metrics, size and report; `status` also prints a table.

    The run prints every check of the gate.
    """
    home, run = published
    result, status = json.loads(run.stdout), status_of(home)
    assert {check["verdict"] for check in result["gate"]} <= {"passed", "not judged"}
    assert result["forced"] == []
    assert result["generation"] in Path(result["report"]).read_text()
    assert status["report"] == result["report"]
    assert status["live"] == result["generation"]
    assert status["metrics"]["two_stage"] == result["evaluation"]["rows"]["two_stage"]
    assert (status["items"], status["users"], status["bytes"]) == (40, 150, result["bytes"])
    expected = {*BASELINES, "tower", "union", "two_stage"} - {*PERSONAL}  # the dataset recommends no seen items
    assert set(result["evaluation"]["rows"]) == expected
    table = call(home, "status").stdout
    assert result["generation"] in table
    assert "recall@10" in table


def test_a_run_writes_no_file_into_the_user_s_home(published):
    """Store, training and Prefect write to TANDEM_HOME and PREFECT_HOME only; fonts may be cached."""
    home = published[0] / "user"
    assert [path for path in home.rglob("*") if path.is_file() and home / ".cache" not in path.parents] == []


def test_a_refused_run_prints_the_failed_checks(published, prefect_url):
    """A tenth of the log: exit code 1, each failed check with both figures, and the option that overrides the gate."""
    home, run = published
    live = json.loads(run.stdout)["generation"]
    data = write(home / "tenth", ring(users=15, strings=True))
    refused = call(home, "run", "--data", data, PREFECT_API_URL=prefect_url)
    assert refused.returncode == 1
    assert f"  - rows: 180, and live {live} has 1,800; 900 to 5,400 would pass.\n" in refused.stderr
    assert "run again with --force (make run: FORCE=1).\n" in refused.stderr
    assert "Report: " in refused.stderr
    assert "Traceback" not in refused.stderr
    assert status_of(home)["live"] == live


@pytest.mark.parametrize(
    ("verb", "right", "wrong"),
    [
        ("run", 'title = "title"', 'title = "titel"'),
        ("schedule", 'timestamp = "timestamp"', 'timestamp = "when"'),
    ],
)
def test_a_wrong_mapping_is_found_before_prefect_starts(tmp_path, verb, right, wrong):
    """A mistyped column ends the command with one sentence that names it; Prefect has written no file."""
    (tmp_path / "tandem" / "prefect").mkdir(parents=True)
    mapping = tiny.write(tmp_path / "data") / "dataset.toml"
    mapping.write_text(mapping.read_text().replace(right, wrong))
    done = call(tmp_path, verb, "--data", mapping)
    assert done.returncode == 1
    assert wrong.split('"')[1] in done.stderr
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "tandem" / "prefect").iterdir()) == []


def start_run(home, **environment):
    """Start a long run in a session of its own, and return its process when the run reads its dataset."""
    data = write(home / "data", ring(users=800, steps=40))
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", "run", "--data", str(data)],
        cwd=ROOT,
        env=flow_environment(home / "tandem", HOME=str(home / "user"), **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stderr:
        if line.startswith("reading"):
            break
    return process


def processes_of(home):
    """Pids whose environment or command line names `home`. Valkey overwrites its environment with its title."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(home).encode() in (path / "environ").read_bytes() + (path / "cmdline").read_bytes():
                found.add(int(path.name))
        except OSError:
            continue
    return found


def test_a_killed_run_leaves_no_process(tmp_path):
    """After kill -9 of a run its store and its Prefect server end."""
    process = start_run(tmp_path)
    children = processes_of(tmp_path) - {process.pid}
    assert len(children) >= 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while children & processes_of(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_ctrl_c_ends_with_130(tmp_path, prefect_url):
    """An interrupted run ends with 130 and without a traceback, and nothing is live."""
    process = start_run(tmp_path, PREFECT_API_URL=prefect_url)
    os.killpg(process.pid, signal.SIGINT)  # a terminal signals all processes in the foreground
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert call(tmp_path, "status").returncode == 1


def test_a_forced_run_is_marked_on_the_console_and_in_status(published, prefect_url):
    """The console and `status` list the failed checks. The last test of the module: it changes what is live."""
    home, _ = published
    data = write(home / "forced", ring(users=40, strings=True))
    forced = call(home, "run", "--data", data, *SMALL, "--force", PREFECT_API_URL=prefect_url)
    assert forced.returncode == 0, forced.stderr
    assert "Forced past the gate: rows: 480, and live" in forced.stdout
    assert status_of(home)["forced"][0].startswith("rows: 480, and live")
    assert "rows: 480" in call(home, "status").stdout
