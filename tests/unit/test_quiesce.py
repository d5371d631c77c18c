"""What the kernel lets through, and what it does not any more."""

import socket

import pytest

from service import quiesce


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)
        yield listening


@pytest.fixture
def pair(listener):
    """A client's end and the server's."""
    with socket.create_connection(listener.getsockname(), 5) as client:
        served, _ = listener.accept()
        with served:
            served.settimeout(5)
            yield client, served


def test_no_connection_begins_and_those_that_did_are_served(listener):
    """Of two that connected one is accepted after it, and both are answered; the third finds nobody in its time."""
    before = [socket.create_connection(listener.getsockname(), 5) for _ in range(2)]
    first, _ = listener.accept()
    if not quiesce.refuse_connections(listener):
        pytest.skip("this kernel gives no socket filter to whoever has no rights")
    second, _ = listener.accept()
    with pytest.raises(TimeoutError):
        socket.create_connection(listener.getsockname(), 0.3)
    for client, served in zip(before, (first, second), strict=True):
        client.sendall(b"asked")
        assert served.recv(10) == b"asked"
        served.sendall(b"told")
        assert client.recv(10) == b"told"
        client.close()
        served.close()


def test_where_there_is_no_filter_it_says_so():
    """A closed socket has none, nor has a kernel that gives it to nobody without rights."""
    one, other = socket.socketpair()
    one.close()
    assert not quiesce.refuse_connections(one)
    other.close()
