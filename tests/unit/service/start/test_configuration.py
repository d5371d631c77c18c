"""`python -m service config` and `check`: each setting with its source, and a sentence for each wrong value.

No secret is printed.
"""

import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from recsys.environment import Environment
from service import configuration
from service.__main__ import main
from service.auth import key
from service.settings import Settings, environment, settings
from tests.servers.deployment import free_port

ROOT = Path(__file__).resolve().parents[4]


def command(*words, **variables):
    """The result of `python -m service` with these words, these variables and no other setting."""
    stdout, stderr = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        for line in configuration.defaults():
            patch.delenv(line.variable, raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["service", *words])
        for read_once in (settings, environment):
            read_once.cache_clear()
        code = main()
    for read_once in (settings, environment):
        read_once.cache_clear()
    return SimpleNamespace(returncode=code, stdout=stdout.getvalue(), stderr=stderr.getvalue())


config = partial(command, "config")


def test_each_setting_has_its_source_and_no_password_is_shown():
    """The environment, slo.toml or the default."""
    exports = "s3://AKIA:hunter2@shop/x?key=hunter2"
    done = config("--json", REDIS_URL="redis://me:hunter2@store:6380/0", PORT="3100", TANDEM_EXPORTS=exports)
    lines = {line["variable"]: line for line in json.loads(done.stdout)}
    assert (lines["PORT"]["value"], lines["PORT"]["source"]) == ("3100", "environment")
    assert lines["TANDEM_DEADLINE_MS"]["source"] == "slo.toml"
    assert lines["TANDEM_TOPOLOGY"]["source"] == "default"
    assert lines["REDIS_URL"]["value"] == "redis://store:6380"
    assert lines["TANDEM_EXPORTS"]["value"] == "s3://shop/x"
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("variables", "start"),
    [
        ({"PORT": "http"}, "PORT='http' is not a valid setting: "),
        ({"TANDEM_TOPOLOGY": "sideways"}, "TANDEM_TOPOLOGY='sideways' is not a valid setting: "),
        ({"TANDEM_HOST": "127.0.0.1:3000"}, "TANDEM_HOST=127.0.0.1:3000 is no IP address."),
        *(
            ({"TANDEM_RANKING_URL": url}, f"TANDEM_RANKING_URL='{url}' is not a valid setting: write it as http://")
            for url in ("ranking:3000", "https://ranking:3000", "http://", "http://a:99999", "http://a/b")
        ),
        (
            {"TANDEM_RETRIEVAL_URL": "http://a:3000,http://b:3000"},
            "TANDEM_RETRIEVAL_URL='http://a:3000,http://b:3000' is not a valid setting: write it as http",
        ),
        ({"TANDEM_RANKING_URL": "http://ranking", "TANDEM_TOPOLOGY": "inline"}, "TANDEM_TOPOLOGY=inline keeps"),
        ({"TANDEM_RANKING_URL": "http://me:hunter2@h:1"}, "TANDEM_RANKING_URL is not a valid setting: write it as"),
        ({"REDIS_URL": "redis://me:hunter2@h/0?hunter2=1"}, "REDIS_URL has an option behind its ?"),
        ({"REDIS_URL": "hunter2"}, "REDIS_URL can't be read."),
        ({"TANDEM_REDIS_BUDGET": "9" * 400}, "TANDEM_REDIS_BUDGET is '9999"),
        ({"TANDEM_TOPOLOGY": "a" * 3000}, "TANDEM_TOPOLOGY='aaaa"),
        ({"TANDEM_POLL_SECONDS": "6"}, "TANDEM_POLL_SECONDS='6' is not a valid setting: "),
    ],
)
def test_a_wrong_value_stops_with_a_short_sentence_without_its_password(variables, start):
    """One line that names the variable, and no traceback."""
    done = config(**variables)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith(f"tandem: {start}")
    assert len(done.stderr) < 300
    assert "hunter2" not in done.stderr


def test_the_url_of_redis_may_be_in_a_file(tmp_path, monkeypatch):
    """Containers receive secrets as files. A missing file stops the start, with its variable."""
    path = tmp_path / "url"
    missing = config(REDIS_URL_FILE=str(path))
    assert missing.returncode == 1
    assert "REDIS_URL_FILE" in missing.stderr
    path.write_text("redis://me:hunter2@store:6380/0\n")
    lines = {line["variable"]: line for line in json.loads(config("--json", REDIS_URL_FILE=str(path)).stdout)}
    assert (lines["REDIS_URL"]["value"], lines["REDIS_URL"]["source"]) == ("redis://store:6380", "REDIS_URL_FILE")
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("REDIS_URL_FILE", str(path))
    assert Environment.read().redis_url == "redis://me:hunter2@store:6380/0"


def test_an_empty_variable_is_not_set():
    """Compose and Kubernetes pass empty variables."""
    empty = {line.variable: "" for line in configuration.defaults()}
    done = config("--json", **empty)
    assert done.stderr == ""
    assert {line["source"] for line in json.loads(done.stdout)} == {"default", "slo.toml"}


@pytest.mark.parametrize(
    ("word", "name", "sentence"),
    [
        ("check", "TANDEM_KEYS", "the path of the file of keys"),
        ("config", "PORT", "it takes none"),
    ],
)
def test_a_key_where_none_belongs_is_not_repeated(word, name, sentence, tmp_path):
    """No command prints a part of the key. The error names the expected value."""
    text = key.generate().text
    done = command(word, **{"TANDEM_HOME": str(tmp_path), name: f"Bearer {text}"})
    assert done.returncode == 1
    assert done.stderr.startswith(f"tandem: {name} holds what looks like an API key; ")
    assert sentence in done.stderr
    assert text[-24:] not in done.stdout + done.stderr


def test_an_exporter_that_is_not_installed_stops_the_start(tmp_path):
    """Before anything starts, in one line."""
    done = command("check", OTEL_TRACES_EXPORTER="nowhere", TANDEM_HOME=str(tmp_path))
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("tandem: OTEL_TRACES_EXPORTER=nowhere needs an exporter that is not installed")


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("TANDEM_HOME", "rules.toml", "TANDEM_HOME"),  # a file in place of a folder
        ("TANDEM_RULES", "rules.toml", "cap.0.column is 3"),
        ("TANDEM_RULES", "rulez.toml", "There is no file"),
        ("TANDEM_SURFACES", "surfaces.toml", "surfaces.toml: home.rules names"),
    ],
)
def test_a_wrong_file_stops_the_start(tmp_path, variable, value, sentence):
    """In one line, with the field, or with the path of a missing file."""
    (tmp_path / "rules.toml").write_text("[[cap]]\ncolumn = 3\n")
    (tmp_path / "surfaces.toml").write_text('[home]\nrules = "nowhere.toml"\n')
    variables = {"TANDEM_HOME": str(tmp_path / "home"), "PORT": str(free_port()), variable: str(tmp_path / value)}
    done = command("check", **variables)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert sentence in done.stderr


def test_a_variable_that_is_no_setting_is_named():
    """With the most similar setting, if one is similar; of a removed setting, with what to set."""
    sentences = list(
        configuration.unknown(
            ["TANDEM_GATEWAY_WORKER", "TANDEM_PORT", "TANDEM_RETRIEVAL_SHARD", "TANDEM_XYZZY", "TANDEM_HOME", "PATH"]
        )
    )
    assert sentences == [
        "TANDEM_GATEWAY_WORKER is no setting; did you mean TANDEM_GATEWAY_WORKERS?",
        "TANDEM_PORT is no setting; did you mean PORT?",
        "TANDEM_RETRIEVAL_SHARD is no setting any more: each host of retrieval holds all items, and needs the memory "
        "for them. Unset it, and set TANDEM_RETRIEVAL_URL to one address; a name may stand for several hosts.",
        "TANDEM_XYZZY is no setting.",
    ]


def test_every_setting_is_described_and_the_page_is_up_to_date():
    """`python -m service config --page` writes docs/configuration.md."""
    assert all(info.description for info in Settings.model_fields.values())
    assert configuration.page(configuration.defaults()) == (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
