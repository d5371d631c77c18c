"""The errors with which the store refuses a call."""

from __future__ import annotations

from recsys.errors import ExperimentError, GenerationError, PublisherBusy, StalePublisher
from recsys.store.publisher_lock import ClaimOwner


def not_stored(generation: str) -> GenerationError:
    return GenerationError(f"Generation {generation} is not in the store, so it can't go live.")


def aliased(generation: str) -> GenerationError:
    return GenerationError(f"Generation {generation} is named by an alias and stays.")


def absent(generation: str) -> ExperimentError:
    return ExperimentError(
        f"Generation {generation} is not in the store, so no arm can name it. python -m flows generations lists them."
    )


def needed(generation: str) -> GenerationError:
    return GenerationError(
        f"Generation {generation} stays: an experiment needs it. Stop the experiment first; "
        "python -m flows experiment list names it."
    )


def no_previous() -> GenerationError:
    return GenerationError("There is nothing to roll back to: no other generation was live before.")


def chunk_missing(generation: str, name: str, chunk: int) -> GenerationError:
    return GenerationError(f"Part {name} of generation {generation} lacks chunk {chunk} in the store.")


def incomplete(generation: str, missing: str) -> GenerationError:
    return GenerationError(
        f"Generation {generation} is not whole in the store: {missing} is missing or short. "
        "If the store evicts keys, give it more memory or maxmemory-policy noeviction; then publish again."
    )


def claim_lost() -> StalePublisher:
    return StalePublisher(
        "This publisher was paused for longer than its claim lasts and has lost it; it has changed nothing since. "
        "Run it again: it goes on where it stopped."
    )


def outdated(generation: str, live: str | None) -> StalePublisher:
    return StalePublisher(
        f"Generation {generation} or a later one was live before ({live} is live now): it does not go live by itself. "
        f"If that is meant: python -m flows promote {generation}"
    )


def alias_moved(live: str | None) -> StalePublisher:
    return StalePublisher(f"{live} went live at this moment. If that is what you want to leave, roll back once more.")


def publisher_busy(token: str, now: int) -> PublisherBusy:
    fence, since, _ = token.split(" ", 2)
    owner = ClaimOwner.of_token(token)
    return PublisherBusy(
        f"Process {owner.pid} on {owner.host} has been publishing {owner.generation} for {max(0, now - int(since))} "
        f"seconds (fence {fence}). Wait until it is done, or end it and run this again: at once on its own "
        "machine, elsewhere after half a minute."
    )
