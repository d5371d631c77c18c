"""The verbs that follow users, on the command line: once, again and again, and by the clock."""

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


def test_again_and_again_until_told_to_end(shop):
    """A line of JSON each time; Ctrl-C is an end like any other."""
    shop.click("a", "drama-1")
    process = shop.command("refresh", "--every", "1", "--json")
    lists = [json.loads(process.stdout.readline())["lists"] for _ in range(2)]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert lists == [1, 0]


def test_what_passes_is_waited_for(shop):
    """Nothing live yet, rules saved half way: a sentence each time, and on it goes once that is mended."""
    with redis.Redis.from_url(shop.url) as client:
        client.flushall()
    process = shop.command("refresh", "--every", "1", "--json")
    try:
        assert "python -m flows run --data DIR. Trying again in 1 s." in process.stderr.readline()
        shop.live = tiny.publish(shop.folder, shop.generations)
        assert json.loads(process.stdout.readline())["generation"] == shop.live
        shop.rules.write_text("[[cap]]\ncolumn = ")
        told = process.stderr.readline()
        while "rules.toml" not in told:
            assert "python -m flows run" in told
            told = process.stderr.readline()
        assert told.endswith("Trying again in 1 s.\n")
        shop.rules.write_text("")
        shop.click("a", "drama-1")
        while json.loads(process.stdout.readline())["lists"] != 1:
            pass
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


def test_once_is_no_waiting(shop):
    """A single refresh with a file of rules that is wrong ends with one sentence about it, and does not try again."""
    shop.rules.write_text("[[cap]]\ncolumn = ")
    process = shop.command("refresh")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.count("rules.toml is not valid TOML") == 1, errors
    assert "Trying again" not in errors
    assert "Traceback" not in errors


def test_a_schedule_without_the_rules_that_it_names_does_not_start(shop):
    """It would be told by every run, the first of them at night."""
    shop.rules.unlink()
    process = shop.command("schedule")
    _, told = process.communicate(timeout=60)
    assert (process.returncode, len(told.splitlines())) == (1, 1)
    assert str(shop.rules) in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["batch", "--top", "0"],
        ["batch", "--top", "many"],
        ["refresh", "--every", "0"],
        ["drain", "--wait", "nan"],
        ["drain", "--wait", "abc"],
        ["refresh", "--every", "abc"],
        ["drain", "--every", "-1"],
    ],
)
def test_a_wrong_number_is_told_at_once(capsys, arguments):
    """With what would be right, before anything starts."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert f"argument {arguments[1]}: {arguments[2]} is " in capsys.readouterr().err


def test_the_schedule_runs_what_is_due(shop):
    """On Prefect's clock, in processes of their own, until Ctrl-C; a mistyped path is told before it begins."""
    wrong = shop.command("schedule", "--data", str(shop.home / "nowhere"))
    _, told = wrong.communicate(timeout=60)
    assert (wrong.returncode, len(told.splitlines())) == (1, 1)
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
        _, told = process.communicate(timeout=90)
    assert process.returncode == 0, told
    assert "Traceback" not in told


def test_a_prefect_server_that_is_away(tmp_path):
    """One sentence names the address, without the password that may stand in it."""
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
