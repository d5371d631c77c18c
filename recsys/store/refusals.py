"""What a store says no to, as the error to raise: the fake and the real one say it in the same words."""

from __future__ import annotations

from recsys.errors import GenerationError, PublisherBusy, StalePublisher
from recsys.store.publisher_lock import Owner


def absent(generation: str) -> GenerationError:
    """It can't go live without a manifest."""
    return GenerationError(f"Generation {generation} is not in the store, so it can't go live.")


def aliased(generation: str) -> GenerationError:
    """It can't be deleted while an alias names it."""
    return GenerationError(f"Generation {generation} is named by an alias and stays.")


def no_way_back() -> GenerationError:
    """There is no previous generation."""
    return GenerationError("There is nothing to roll back to: no other generation was live before.")


def chunk_missing(generation: str, name: str, chunk: int) -> GenerationError:
    """A chunk is not there, or not all of it."""
    return GenerationError(f"Part {name} of generation {generation} lacks chunk {chunk} in the store.")


def not_whole(generation: str, missing: str) -> GenerationError:
    """The manifest names what is not there."""
    return GenerationError(
        f"Generation {generation} is not whole in the store: {missing} is missing or short. "
        "If the store evicts keys, give it more memory or maxmemory-policy noeviction; then publish again."
    )


def claim_lost() -> StalePublisher:
    """The claim is not held any more."""
    return StalePublisher(
        "This publisher was paused for longer than its claim lasts and has lost it; it has changed nothing since. "
        "Run it again: it goes on where it stopped."
    )


def overtaken(generation: str, live: str | None) -> StalePublisher:
    """It, or a later one, was live before."""
    return StalePublisher(
        f"Generation {generation} or a later one was live before ({live} is live now): it does not go live by itself. "
        f"If that is meant: python -m flows promote {generation}"
    )


def moved_meanwhile(live: str | None) -> StalePublisher:
    """The alias is not where it was seen a moment ago."""
    return StalePublisher(f"{live} went live at this moment. If that is what you want to leave, roll back once more.")


def busy(token: str, now: int) -> PublisherBusy:
    """Another process publishes."""
    owner = owner_of(token)
    since = int(token.split(" ", 2)[1])
    return PublisherBusy(
        f"Process {owner.pid} on {owner.host} has been publishing {owner.generation} for {max(0, now - since)} seconds "
        f"(fence {token.split(' ', 1)[0]}). Wait until it is done, or end it and run this again: at once on its own "
        "machine, elsewhere after half a minute."
    )


def owner_of(token: str) -> Owner:
    """Who a claim's token names."""
    try:
        return Owner.from_json(token.split(" ", 2)[2])
    except (ValueError, TypeError, IndexError):
        return Owner("an unknown machine", 0, "", "", "an unknown generation", "")
