"""Where the doors listen: what can't be bound is told by the setting that has to change."""

import socket

import pytest

from recsys.errors import SettingsError
from service import serve
from service.auth import setup
from service.auth.setup import require_free
from service.settings import Settings, place


@pytest.mark.parametrize("host", ["192.0.2.1", "127.0.0.1:3000", "http://127.0.0.1", "\udc80", "a" * 100])
def test_a_wrong_address_is_told_as_one(host):
    """Another port would not help; and what is no name at all is a sentence, too."""
    with pytest.raises(SettingsError, match=r"^TANDEM_ADMIN_HOST=.* is no address of this machine"):
        require_free(host, 3002, "TANDEM_ADMIN_PORT", "TANDEM_ADMIN_HOST")


def test_a_taken_port_is_told_as_one():
    """With the variable that names it, and the address as URLs have it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"^127\.0\.0\.1:{port} can't be bound .*: GRPC_PORT="):
            require_free("127.0.0.1", port, "GRPC_PORT")
    assert place("::1", 3000) == "[::1]:3000"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"GRPC_PORT": 3000}, "PORT and GRPC_PORT are both 3000. Choose another port: GRPC_PORT="),
        ({"keys": "keys.toml", "admin_port": 3001}, "GRPC_PORT and TANDEM_ADMIN_PORT are both 3001."),
    ],
)
def test_two_doors_do_not_share_a_port(variables, told):
    """They bind with SO_REUSEPORT: a client would reach either by chance, or each worker would end as it starts."""
    with pytest.raises(SettingsError, match=told):
        setup.check(Settings(**variables))


def test_doors_that_are_not_opened_share_whatever_they_like():
    """No gRPC, and no admin port where there are no keys."""
    setup.check(Settings(GRPC_PORT=0, admin_port=3000))


def test_a_backend_logs_its_one_port():
    """Nobody listens at its gRPC port, nor at its admin port."""
    settings = Settings(host="::1", PORT=3000, GRPC_PORT=3001, keys="keys.toml", admin_port=3002)
    assert serve.doors(settings, "retrieval") == "http://[::1]:3000"
    assert serve.doors(settings) == "http://[::1]:3000 and grpc://[::1]:3001, admin port http://127.0.0.1:3002"
