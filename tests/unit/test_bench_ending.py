"""How a command of loadtests ends."""

import httpx
import psutil
import pytest

from loadtests.ending import sentences
from loadtests.peers.servers import PeerError


@pytest.mark.parametrize("error", [PeerError("gone"), httpx.ConnectError("gone"), psutil.NoSuchProcess(1, msg="gone")])
def test_a_peer_that_dies_is_a_sentence(error):
    """Whoever noticed it: the loader, the reader of its metrics, or who looks at its processes."""
    with pytest.raises(SystemExit, match=r"^tandem: .*gone"), sentences():
        raise error
