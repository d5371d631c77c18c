"""Make the lists of some users in an arm of an experiment, each as of the user's list of the control.

A list of an arm is made for the time of the control's list, with its events. So both are equally old, and a request
takes the same mode with either of them. A user without a list of the control gets none of an arm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from flows.list_parts.list_work import ListWork, OpenMaker
from flows.list_parts.user_lists import CHUNK, unpacked
from recsys.lists.user_list import UserList


@dataclass(frozen=True, slots=True)
class ArmWork:
    """How the lists of an arm are made. variant: a part of their key. live: the control's generation.

    live_buckets: hashes over which the users of `live` are spread.
    """

    lists: ListWork
    variant: str
    live: str
    live_buckets: int


def lists_of_arm(work: ArmWork, users: Sequence[str]) -> int:
    """Make and write an arm's lists for the users with a list of the control; return how many."""
    opened, made = work.lists.open(), 0
    manifest = opened.maker.manifest
    for start in range(0, len(users), CHUNK):
        controls = _control_lists(opened, work, users[start : start + CHUNK])
        for alike in _made_together(controls):
            lists = _lists(opened, alike)
            opened.flows.write_lists(manifest.id, manifest.user_buckets, lists, work.variant)
            made += len(lists)
    return made


def _control_lists(opened: OpenMaker, work: ArmWork, users: Sequence[str]) -> dict[str, UserList]:
    """The users' lists of the control, without damaged ones."""
    found = {}
    for user, packed in zip(users, opened.flows.read_lists(work.live, work.live_buckets, users), strict=True):
        try:
            control = UserList.unpack(packed)
        except ValueError:
            continue
        if control is not None:
            found[user] = control
    return found


def _made_together(controls: Mapping[str, UserList]) -> Iterator[dict[str, UserList]]:
    """Lists by the time at which they were made."""
    times: dict[float, dict[str, UserList]] = {}
    for user, control in controls.items():
        times.setdefault(control.made_at, {})[user] = control
    yield from times.values()


def _lists(opened: OpenMaker, controls: Mapping[str, UserList]) -> dict[str, bytes]:
    """The packed list of each user, for the one time at which all these lists of the control were made."""
    users, now, manifest = [*controls], next(iter(controls.values())).made_at, opened.maker.manifest
    records = opened.generations.read_records(manifest.id, manifest.user_buckets, users)
    histories = [[event for event in events if event.timestamp <= now] for events in opened.flows.read_events(users)]
    made = opened.maker.make([*zip(map(unpacked, records), histories, strict=True)], now)
    return {
        user: replace(each, events=control.events).pack()
        for (user, control), each in zip(controls.items(), made, strict=True)
    }
