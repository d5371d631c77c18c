"""Make the lists of some users: a part of `batch`, of `refresh`, or of the lists of an arm of an experiment.

A part can be computed again: the store replaces a list by the same list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from flows.list_parts.list_tables import MadeLists, best_items
from flows.list_parts.list_work import ListWork, OpenMaker
from recsys.lists.list_maker import UserData
from recsys.lists.user_list import UserList
from recsys.lists.user_record import UserRecord

CHUNK = 512
"""Users of one read and one write of the store."""

BUCKETS = 4
"""Hashes of records of a part: some 2,000 users, about two seconds of work."""

USERS = 2_048
"""Users of a part that names its users."""

Records = Mapping[str, bytes | None]
Made = tuple[str, UserData, UserList]


def lists_of_buckets(work: ListWork, top: int, buckets: range) -> MadeLists:
    """Make and write lists for the users with a record in some hashes. top: items of a user in the table."""
    opened = work.open()
    return _exported(work, top, opened, (opened.flows.read_bucket(work.generation, bucket) for bucket in buckets))


def lists_of_new_users(work: ListWork, top: int, users: Sequence[str]) -> MadeLists:
    """Make and write lists for those users who have no record. top: items of a user in the table."""
    opened = work.open()
    found = records_of(opened, users)
    return _exported(work, top, opened, ({user: None for user in each if each[user] is None} for each in found))


def lists_of_users(work: ListWork, users: Sequence[str]) -> int:
    """Make and write lists for users with a record or events; return how many."""
    opened = work.open()
    return sum(len(write_lists(opened, records, work.now)) for records in records_of(opened, users))


def records_of(opened: OpenMaker, users: Sequence[str]) -> Iterator[Records]:
    """The packed record of each user, CHUNK users at a time."""
    manifest, left = opened.maker.manifest, iter(users)
    while some := [*islice(left, CHUNK)]:
        found = opened.generations.read_records(manifest.id, manifest.user_buckets, some)
        yield dict(zip(some, found, strict=True))


def _exported(work: ListWork, top: int, opened: OpenMaker, records: Iterator[Records]) -> MadeLists:
    made = [each for some in records for each in write_lists(opened, some, work.now)]
    return MadeLists(len(made), best_items(opened.maker, top, work.now, made))


def write_lists(opened: OpenMaker, records: Records, now: float) -> list[Made]:
    """Make and write the lists of users with a record or events. Other users were deleted meanwhile."""
    maker = opened.maker
    events = zip(records.items(), opened.flows.read_events([*records]), strict=True)
    pasts = {user: (unpacked(record), history) for (user, record), history in events if record is not None or history}
    lists = dict(zip(pasts, maker.make([*pasts.values()], now), strict=True))
    packed = {user: made.pack() for user, made in lists.items()}
    opened.flows.write_lists(maker.manifest.id, maker.manifest.user_buckets, packed)
    return [(user, pasts[user], made) for user, made in lists.items()]


def unpacked(packed: bytes | None) -> UserRecord:
    """A user's record; an empty one if it is damaged, as in serving."""
    try:
        return UserRecord.unpack(packed)
    except ValueError:
        return UserRecord.empty()
