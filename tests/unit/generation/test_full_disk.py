"""A full disk under TANDEM_HOME is reported at the start; a write to a mapped file would end in SIGBUS."""

import errno
import os

import pytest

from recsys.environment import Environment
from recsys.errors import SettingsError
from service import serve
from service.settings import Settings


def test_a_home_without_room_is_reported(tmp_path, monkeypatch):
    """The start fails, because an empty file can be created on a full disk. A restarted worker does not check."""

    def full(_handle, _offset, size):
        assert size >= 1 << 16
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(SettingsError, match=r"cache can't be written \(No space left on device\)"):
        serve.check(Settings(GRPC_PORT=0), Environment(tmp_path, None))
    Environment(tmp_path, None).folder("cache")  # as in a restarted worker


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (3, "ended with code 3; the lines above have the reason."),
        (-7, "ended by SIGBUS. The disk of TANDEM_HOME may be full."),
        (-9, "ended by SIGKILL. Memory may have run out."),
        (-11, "ended by SIGSEGV."),
        (-40, "ended by signal 40."),
    ],
)
def test_the_end_of_a_service_is_reported_with_its_signal(code, sentence):
    """A killed process logs nothing, so the signal is named."""
    assert serve._ended(code).endswith(sentence)
