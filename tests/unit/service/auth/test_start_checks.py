"""The checks of keys, hosts, ports and roles before anything starts."""

import os
import socket
from unittest.mock import patch

import pytest

from recsys.environment import Environment
from recsys.errors import SettingsError
from service import serve
from service.auth import start_checks
from service.settings import Settings
from tests.fakes.issued_keys import IssuedKeys
from tests.servers.deployment import free_port


@pytest.fixture(autouse=True)
def environment_kept():
    """`start_checks.prepare` sets variables for the workers that this process would start."""
    with patch.dict(os.environ):
        yield


@pytest.fixture
def keys(tmp_path):
    made = IssuedKeys(tmp_path / "keys.toml")
    made.add("reader", "read")
    return made


def test_without_keys_only_loopback_may_be_bound(tmp_path):
    """TANDEM_KEYS=none allows every address. There is no key check then."""
    for host in ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"):
        start_checks.check(Settings(host=host))
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        start_checks.check(Settings(host=host, keys="none"))
        with pytest.raises(SettingsError, match=f"Other machines can connect to {host}.*TANDEM_KEYS"):
            start_checks.check(Settings(host=host))
    for keys in ("", "none"):
        assert start_checks.key_check(Settings(keys=keys), Environment(tmp_path, None)) is None


def test_the_file_of_keys_and_the_admin_port_are_checked(keys, tmp_path):
    """A worker that starts while the file is wrong has the keys that were in force."""
    port = free_port()
    settings = Settings(PORT=free_port(), host="0.0.0.0", keys=str(keys.path), admin_port=port, GRPC_PORT=0)
    start_checks.check(settings)
    with pytest.raises(SettingsError, match="There is no file"):
        start_checks.check(Settings(keys=str(tmp_path / "other")))
    with pytest.raises(SettingsError, match="TANDEM_ADMIN_HOST"):
        start_checks.check(Settings(keys=str(keys.path), admin_port=port, admin_host="203.0.113.1"))
    environment = Environment(tmp_path, None)
    start_checks.prepare(settings, environment)
    keys.path.write_text("[[key")
    assert len(start_checks.key_check(settings, environment).keys.current.records) == len(keys.texts)


def test_a_second_deployment_gets_no_port_of_one_that_still_starts(keys, tmp_path):
    """The parent holds the ports from its check on. Only its own workers share them."""
    http, rpc, admin = free_port(), free_port(), free_port()
    settings = Settings(PORT=http, keys=str(keys.path), admin_port=admin, GRPC_PORT=rpc)
    start_checks.prepare(settings, Environment(tmp_path / "first", None))
    with pytest.raises(SettingsError, match=r"can't be bound .*: GRPC_PORT="):
        start_checks.prepare(Settings(PORT=http, GRPC_PORT=rpc), Environment(tmp_path / "second", None))
    with pytest.raises(SettingsError, match=r"can't be bound .*: TANDEM_ADMIN_PORT="):
        start_checks.prepare(
            Settings(PORT=http, keys=str(keys.path), admin_port=admin, GRPC_PORT=0), Environment(tmp_path, None)
        )
    with socket.create_server(("127.0.0.1", http)), pytest.raises(SettingsError, match=r"can't be bound .*: PORT="):
        start_checks.prepare(Settings(PORT=http, GRPC_PORT=0), Environment(tmp_path, None))
    for port in (rpc, admin):
        with socket.create_server(("127.0.0.1", port), reuse_port=True) as worker:
            socket.create_connection(worker.getsockname(), 5).close()
            worker.accept()[0].close()


@pytest.mark.parametrize("host", ["192.0.2.1", "127.0.0.1:3000", "\udc80"])
def test_the_error_of_a_wrong_address_names_the_variable_of_the_address(host):
    """Another port would not help."""
    with pytest.raises(SettingsError, match=r"^TANDEM_ADMIN_HOST=.* is no address of this machine"):
        start_checks.require_free(host, 3002, "TANDEM_ADMIN_PORT", "TANDEM_ADMIN_HOST")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"GRPC_PORT": 3000}, "PORT and GRPC_PORT are both 3000. Choose another port: GRPC_PORT="),
        ({"keys": "keys.toml", "admin_port": 3001}, "GRPC_PORT and TANDEM_ADMIN_PORT are both 3001."),
    ],
)
def test_two_doors_do_not_share_a_port(variables, sentence):
    """They bind with SO_REUSEPORT, so a client would reach either door by chance. A port that is not opened is free."""
    with pytest.raises(SettingsError, match=sentence):
        start_checks.check(Settings(**variables))
    start_checks.check(Settings(GRPC_PORT=0, admin_port=3000))


@pytest.mark.parametrize(
    ("role", "redis_url", "urls", "sentence"),
    [
        ("ranking", None, {}, "The role ranking needs REDIS_URL"),
        ("gateway", "redis://a", {"ranking_url": "http://b"}, "TANDEM_RETRIEVAL_URL and TANDEM_RANKING_URL"),
    ],
)
def test_a_role_without_its_settings_does_not_start(tmp_path, role, redis_url, urls, sentence):
    """The sentence names the setting."""
    with pytest.raises(SettingsError, match=sentence):
        serve.check(Settings(**urls), Environment(tmp_path, redis_url), role)
