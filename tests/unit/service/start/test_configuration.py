"""Settings are told with where they come from, and without what is secret; a slip of the pen is pointed out."""

import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from service import configuration
from service.__main__ import main
from service.auth import key
from service.settings import Settings, environment, settings

ROOT = Path(__file__).resolve().parents[4]


def config(*options, **variables):
    """What `python -m service config` returns and prints with these variables and no other setting."""
    stdout, stderr = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        for line in configuration.defaults():
            patch.delenv(line.variable, raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["service", "config", *options])
        for read_once in (settings, environment):
            read_once.cache_clear()
        code = main()
    for read_once in (settings, environment):
        read_once.cache_clear()
    return SimpleNamespace(returncode=code, stdout=stdout.getvalue(), stderr=stderr.getvalue())


def test_each_setting_says_where_it_comes_from_and_no_password_is_told():
    """The environment, slo.toml or the default; a Redis URL is told without its user's password."""
    done = config("--json", REDIS_URL="redis://me:hunter2@store:6380/0", PORT="3100")
    told = {line["variable"]: line for line in json.loads(done.stdout)}
    assert (told["PORT"]["value"], told["PORT"]["source"]) == ("3100", "environment")
    assert told["TANDEM_DEADLINE_MS"]["source"] == "slo.toml"
    assert told["TANDEM_TOPOLOGY"]["source"] == "default"
    assert told["REDIS_URL"]["value"] == "redis://store:6380"
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "http"), ("TANDEM_TOPOLOGY", "sideways"), ("TANDEM_MAX_BATCH", "-1")]
)
def test_a_wrong_value_stops_with_a_sentence(name, value):
    """One line that names the variable as it is written, and no traceback."""
    done = config(**{name: value})
    assert done.returncode == 1
    assert done.stderr.startswith(f"tandem: {name}='{value}' is not a valid setting: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"TANDEM_RANKING_URL": "http://me:hunter2@h:1"}, "TANDEM_RANKING_URL is not a valid setting: write it as"),
        ({"REDIS_URL": "redis://me:hunter2@h/0?hunter2=1"}, "REDIS_URL has an option behind its ?"),
        ({"REDIS_URL": "hunter2"}, "REDIS_URL can't be read."),
        ({"TANDEM_REDIS_BUDGET": "9" * 400}, "TANDEM_REDIS_BUDGET is '9999"),
        ({"TANDEM_TOPOLOGY": "a" * 3000}, "TANDEM_TOPOLOGY='aaaa"),
        ({"TANDEM_POLL_SECONDS": "6"}, "TANDEM_POLL_SECONDS='6' is not a valid setting: "),
        ({"TANDEM_POLL_SECONDS": "inf"}, "TANDEM_POLL_SECONDS='inf' is not a valid setting: "),
        ({"TANDEM_MAX_UNDER_WAY": "9" * 23}, "TANDEM_MAX_UNDER_WAY='9999"),
    ],
)
def test_a_value_that_would_fail_later_stops_with_a_short_sentence_without_its_password(variables, told):
    """What a client of Redis, a float or the clock would say by a traceback, once something uses the value."""
    done = config(**variables)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith(f"tandem: {told}")
    assert len(done.stderr) < 300
    assert "hunter2" not in done.stderr


def test_a_url_from_a_file_says_so(tmp_path):
    """Not that it is a default."""
    (tmp_path / "url").write_text("redis://me:hunter2@store:6380/0")
    told = {
        line["variable"]: line for line in json.loads(config("--json", REDIS_URL_FILE=str(tmp_path / "url")).stdout)
    }
    assert (told["REDIS_URL"]["value"], told["REDIS_URL"]["source"]) == ("redis://store:6380", "REDIS_URL_FILE")


@pytest.mark.parametrize(
    ("exports", "shown"),
    [("/mnt/team@shop/exports", "/mnt/team@shop/exports"), ("s3://AKIA:hunter2@shop/x?key=hunter2", "s3://shop/x")],
)
def test_exports_are_shown_without_credentials(exports, shown):
    """A path is shown as it is, and a URL without what flows refuse in it."""
    lines = {line["variable"]: line for line in json.loads(config("--json", TANDEM_EXPORTS=exports).stdout)}
    assert lines["TANDEM_EXPORTS"]["value"] == shown


def test_an_empty_variable_is_none():
    """Compose and Kubernetes pass on what nobody set as nothing at all."""
    empty = {line.variable: "" for line in configuration.defaults()}
    done = config("--json", **empty)
    assert done.stderr == ""
    assert {line["source"] for line in json.loads(done.stdout)} == {"default", "slo.toml"}


@pytest.mark.parametrize(
    ("command", "name", "told"),
    [
        ("config", "TANDEM_KEYS", "the path of the file of keys"),
        ("serve", "TANDEM_KEYS", "the path of the file of keys"),
        ("keys add shop", "TANDEM_KEYS", "the path of the file of keys"),
        ("config", "PORT", "it takes none"),
    ],
)
def test_a_key_where_none_belongs_is_not_repeated(command, name, told, tmp_path):
    """No command tells a part of it, and each says what belongs there instead."""
    text = key.generate().text
    done = subprocess.run(
        [sys.executable, "-m", "service", *command.split()],
        cwd=ROOT,
        env=os.environ | {"TANDEM_HOME": str(tmp_path), name: f"Bearer {text}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"tandem: {name} holds what looks like an API key; ")
    assert told in done.stderr
    assert text[-24:] not in done.stdout + done.stderr


def test_what_looks_like_a_key():
    """Also one that lost its end; not a file that is called somewhat like one."""
    text = key.generate().text
    assert all(map(key.appears_in, (text, text[:40], f"tdm_shop_{'Zz9~' * 8}")))
    assert not any(map(key.appears_in, ("", "none", "keys.toml", "/run/tdm_shop_keys.toml", "tdm_shop_1234.toml")))


def test_a_variable_that_is_no_setting_is_pointed_out():
    """With the one that was meant, where one is near."""
    slips = list(configuration.unknown(["TANDEM_GATEWAY_WORKER", "TANDEM_PORT", "TANDEM_XYZZY", "TANDEM_HOME", "PATH"]))
    assert slips == [
        "TANDEM_GATEWAY_WORKER is no setting; did you mean TANDEM_GATEWAY_WORKERS?",
        "TANDEM_PORT is no setting; did you mean PORT?",
        "TANDEM_XYZZY is no setting.",
    ]


def test_every_setting_is_described_and_the_page_is_of_today():
    """Whoever adds a setting says what it does, and makes docs/configuration.md anew."""
    assert all(info.description for info in Settings.model_fields.values())
    assert configuration.page(configuration.defaults()) == (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
