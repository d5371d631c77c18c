"""A home whose disk is full: told before anything maps a file there, which the system answers by SIGBUS."""

import errno
import os

import pytest

from recsys.environment import Environment
from recsys.errors import SettingsError
from service import serve
from service.settings import Settings


def test_a_home_without_room_is_told(tmp_path, monkeypatch):
    """A file of no bytes can be made where no byte can be written. What runs already is not asked."""

    def full(_handle, _offset, size):
        assert size >= 1 << 16
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(SettingsError, match=r"cache can't be written \(No space left on device\)"):
        serve.check(Settings(GRPC_PORT=0), Environment(tmp_path, None))
    Environment(tmp_path, None).folder("cache")  # a worker that takes another's place


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (3, "ended by itself with code 3; its lines above say why."),
        (-7, "ended by SIGBUS. The disk of TANDEM_HOME may be full."),
        (-9, "ended by SIGKILL. Memory may have run out."),
        (-11, "ended by SIGSEGV."),
        (-40, "ended by signal 40."),
    ],
)
def test_a_service_that_was_ended_leaves_no_lines(code, told):
    """So the signal is what there is to say."""
    assert serve._ended(code).endswith(told)
