"""An answer's head and body leave together."""

from __future__ import annotations

from unittest.mock import Mock, call

import pytest

from service.edge.packet import OnePacket


@pytest.fixture
def below():
    return Mock(["write", "writelines", "close", "is_closing"])


def test_a_head_waits_for_its_body_and_nothing_after_it_waits(below):
    """Both are one write; what follows is written as it comes."""
    packet = OnePacket(below, below.close)
    packet.write(b"head")
    assert below.mock_calls == []
    packet.write(b"body")
    packet.write(b"more")
    assert below.mock_calls == [call.writelines([b"head", b"body"]), call.write(b"more")]


def test_an_empty_body_is_a_body(below):
    """Or the head would never be said."""
    packet = OnePacket(below, below.close)
    packet.write(b"head")
    packet.write(b"")
    assert below.mock_calls == [call.writelines([b"head", b""])]


def test_a_head_whose_body_never_comes_is_said_at_the_close(below):
    """As uvicorn would have said it."""
    packet = OnePacket(below, below.close)
    packet.write(b"head")
    packet.close()
    assert below.mock_calls == [call.write(b"head"), call.close()]


def test_what_was_said_is_not_said_again_at_the_close(below):
    """A close says only what still waits."""
    packet = OnePacket(below, below.close)
    packet.write(b"head")
    packet.write(b"body")
    packet.close()
    assert below.mock_calls == [call.writelines([b"head", b"body"]), call.close()]


def test_a_head_without_a_body_is_said_at_once(below):
    """And so is what tells a client to send its body."""
    packet = OnePacket(below, below.close, at_once=True)
    packet.write(b"head")
    assert below.mock_calls == [call.write(b"head")]
