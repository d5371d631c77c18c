"""What is checked of keys, hosts and ports before anything starts."""

import click
import pytest
from click.testing import CliRunner

from recsys.environment import Environment
from recsys.errors import SettingsError
from service.auth import setup
from service.edge import listening
from service.settings import Settings
from tests.deployment import free_port
from tests.keys import Keys


@pytest.fixture
def keys(tmp_path):
    made = Keys(tmp_path / "keys.toml")
    made.add("reader", "read")
    return made


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_without_keys_only_this_machine_is_served(host):
    """Unless somebody says that the ports are guarded."""
    with pytest.raises(SettingsError, match="TANDEM_KEYS"):
        setup.check(Settings(host=host), host)
    setup.check(Settings(keys="none"), host)


def test_the_host_is_the_one_that_bentoml_binds():
    """Its default is every address there is, whatever the settings say."""

    @click.command()
    @click.option("--host")
    def serve(host):
        click.echo(listening.host("127.0.0.1"))

    told = [CliRunner().invoke(serve, asked).output.strip() for asked in ([], ["--host", "192.0.2.1"])]
    assert told == ["0.0.0.0", "192.0.2.1"]
    assert listening.host("127.0.0.1") == "127.0.0.1"


def test_without_keys_nothing_is_asked(tmp_path):
    """Of this machine."""
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        setup.check(Settings(), host)
    assert setup.key_guard(Settings(), Environment(tmp_path, None)) is None
    assert setup.key_guard(Settings(keys="none"), Environment(tmp_path, None)) is None


def test_what_keys_need_is_checked_before_anything_starts(keys, tmp_path):
    """The file, and the admin port."""
    port = free_port()
    settings = Settings(keys=str(keys.path), admin_port=port)
    setup.check(settings, "0.0.0.0")
    with pytest.raises(SettingsError, match="There is no file"):
        setup.check(Settings(keys=str(tmp_path / "other")), "127.0.0.1")
    with pytest.raises(SettingsError, match="TANDEM_ADMIN_HOST"):
        setup.check(Settings(keys=str(keys.path), admin_port=port, admin_host="203.0.113.1"), "127.0.0.1")
    environment = Environment(tmp_path, None)
    setup.prepare(settings, environment)
    keys.path.write_text("[[key")
    guard = setup.key_guard(settings, environment)
    assert len(guard.keys.current.entries) == len(keys.texts)
