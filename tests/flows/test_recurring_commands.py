"""The verbs `refresh`, `batch`, `drain` and `schedule` on the command line: once, at an interval, and on a schedule."""

import json
import signal
import subprocess
import sys
import time

import pytest
import redis

from flows.__main__ import main
from tests.sample_data import tiny
from tests.servers.deployment import ROOT, free_port
from tests.servers.flow_environment import flow_environment


def test_an_interval_repeats_and_waits_for_what_may_pass(shop):
    """Without a live generation or with invalid rules a sentence is printed, and the next run follows; Ctrl-C ends."""
    with redis.Redis.from_url(shop.url) as client:
        client.flushall()
    process = shop.command("refresh", "--every", "1", "--json")
    try:
        assert "python -m flows run --data DIR. Trying again in 1 s." in process.stderr.readline()
        shop.live = tiny.publish(shop.folder, shop.generations)
        assert json.loads(process.stdout.readline())["generation"] == shop.live
        shop.rules.write_text("[[cap]]\ncolumn = ")
        line = process.stderr.readline()
        while "rules.toml" not in line:
            assert "python -m flows run" in line
            line = process.stderr.readline()
        assert line.endswith("Trying again in 1 s.\n")
        shop.rules.write_text("")
        shop.click("a", "drama-1")
        while json.loads(process.stdout.readline())["lists"] != 1:
            pass
        assert json.loads(process.stdout.readline())["lists"] == 0
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


@pytest.mark.parametrize(
    "arguments",
    [["batch", "--top", "0"], ["batch", "--top", "many"], ["refresh", "--every", "0"], ["drain", "--wait", "nan"]],
)
def test_a_wrong_number_is_an_error_at_once(capsys, arguments):
    """The error names the allowed values, and nothing starts."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert f"argument {arguments[1]}: {arguments[2]} is " in capsys.readouterr().err


def test_the_schedule_runs_flows_when_they_are_due(shop):
    """`schedule` starts a Prefect server of its own and runs flows in processes of their own, until Ctrl-C."""
    shop.click("a", "drama-1")
    own_server = {"PREFECT_API_URL": "", "PREFECT_SERVER_API_PORT": str(free_port())}
    process = shop.command("schedule", "--refresh-every", "5", **own_server)
    try:
        due = time.monotonic() + 180
        while shop.listed("a") == [None]:
            assert process.poll() is None
            assert time.monotonic() < due
            time.sleep(1)
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_an_unreachable_prefect_server_is_named_without_its_password(tmp_path):
    """One sentence names the address, also for a profile or an environment that has a password in the URL."""
    away = f"127.0.0.1:{free_port()}/api"
    run = subprocess.run(
        [sys.executable, "-m", "flows", "drain"],
        cwd=ROOT,
        env=flow_environment(tmp_path, PREFECT_API_URL=f"http://me:hunter2@{away}"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (run.returncode, len(run.stderr.splitlines())) == (1, 1)
    assert run.stderr.startswith(f"No Prefect server answers at http://{away} (")
    assert "hunter2" not in run.stdout + run.stderr
