"""What is checked of keys, hosts and ports before anything starts."""

import os
import socket
from unittest.mock import patch

import click
import pytest
from click.testing import CliRunner

from recsys.environment import Environment
from recsys.errors import SettingsError
from service.auth import setup
from service.settings import Settings
from tests.fakes.issued_keys import IssuedKeys
from tests.servers.deployment import free_port


@pytest.fixture(autouse=True)
def environment_kept():
    """`setup.prepare` sets variables for the workers that this process would start."""
    with patch.dict(os.environ):
        yield


@pytest.fixture
def keys(tmp_path):
    made = IssuedKeys(tmp_path / "keys.toml")
    made.add("reader", "read")
    return made


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_without_keys_only_loopback_may_be_bound(host):
    """By the setting and by the command line; TANDEM_KEYS=none allows every address."""

    @click.command()
    @click.option("--host", envvar="BENTOML_HOST")
    def serve(host):
        setup.check(Settings())

    with pytest.raises(SettingsError, match="TANDEM_KEYS"):
        setup.check(Settings(host=host))
    setup.check(Settings(host=host, keys="none"))
    for arguments, env in ((["--host", host], {}), ([], {"BENTOML_HOST": host}), (["--host", "x.org"], {})):
        error = CliRunner().invoke(serve, arguments, env=env).exception
        assert isinstance(error, SettingsError)
        assert f"Other machines can connect to {arguments[1] if arguments else host}" in str(error)
    assert CliRunner().invoke(serve, []).exit_code == 0


def test_a_socket_that_other_machines_reach_is_found():
    """Whichever setting opened it; a socket on loopback and one that does not listen are fine."""
    with socket.socket() as opened, socket.create_server(("127.0.0.1", 0)):
        opened.bind(("0.0.0.0", 0))
        setup.check_listening(Settings())
        opened.listen()
        with pytest.raises(SettingsError, match=r"connect to 0\.0\.0\.0, .*TANDEM_KEYS"):
            setup.check_listening(Settings())
        setup.check_listening(Settings(keys="none"))
        setup.check_listening(Settings(keys="keys.toml"))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:3000", "http://127.0.0.1", "a" * 100])
def test_a_host_that_is_no_address_is_refused(host, monkeypatch):
    """BentoML binds IP addresses alone."""
    monkeypatch.setenv("TANDEM_HOST", host)
    with pytest.raises(SettingsError, match=r"TANDEM_HOST=.* is no IP address"):
        Settings()


def test_without_keys_loopback_needs_nothing(tmp_path):
    """Every loopback address may be bound, and there is no key check."""
    for host in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"):
        setup.check(Settings(host=host))
    assert setup.key_guard(Settings(), Environment(tmp_path, None)) is None
    assert setup.key_guard(Settings(keys="none"), Environment(tmp_path, None)) is None


def test_the_file_of_keys_and_the_admin_port_are_checked(keys, tmp_path):
    """A worker that starts while the file is wrong has the keys that were in force."""
    port = free_port()
    settings = Settings(PORT=free_port(), host="0.0.0.0", keys=str(keys.path), admin_port=port, GRPC_PORT=0)
    setup.check(settings)
    with pytest.raises(SettingsError, match="There is no file"):
        setup.check(Settings(keys=str(tmp_path / "other")))
    with pytest.raises(SettingsError, match="TANDEM_ADMIN_HOST"):
        setup.check(Settings(keys=str(keys.path), admin_port=port, admin_host="203.0.113.1"))
    environment = Environment(tmp_path, None)
    setup.prepare(settings, environment)
    keys.path.write_text("[[key")
    guard = setup.key_guard(settings, environment)
    assert len(guard.keys.current.records) == len(keys.texts)


def test_a_second_deployment_gets_no_port_of_one_that_still_starts(keys, tmp_path):
    """The parent holds the ports from its check on; its own workers share them, and nobody else."""
    http, rpc, admin = free_port(), free_port(), free_port()
    settings = Settings(PORT=http, keys=str(keys.path), admin_port=admin, GRPC_PORT=rpc)
    setup.prepare(settings, Environment(tmp_path / "first", None))
    with pytest.raises(SettingsError, match=r"can't be bound .*: GRPC_PORT="):
        setup.prepare(Settings(PORT=http, GRPC_PORT=rpc), Environment(tmp_path / "second", None))
    with pytest.raises(SettingsError, match=r"can't be bound .*: TANDEM_ADMIN_PORT="):
        setup.prepare(
            Settings(PORT=http, keys=str(keys.path), admin_port=admin, GRPC_PORT=0), Environment(tmp_path, None)
        )
    with socket.create_server(("127.0.0.1", http)), pytest.raises(SettingsError, match=r"can't be bound .*: PORT="):
        setup.prepare(Settings(PORT=http, GRPC_PORT=0), Environment(tmp_path, None))
    for port in (rpc, admin):
        with socket.create_server(("127.0.0.1", port), reuse_port=True) as worker:
            socket.create_connection(worker.getsockname(), 5).close()
            worker.accept()[0].close()
