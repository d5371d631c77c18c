"""Judge the model under test of a training by explored slates that are newer than its data, for the gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from recsys.environment import Environment
from recsys.lists.user_record import UserRecord
from recsys.model.ranker import RankerNet
from recsys.types import Event
from recsys.user_digest import DeletedUsers
from recsys.utc_day import day_of
from training.encode.interaction_log import user_record
from training.encode.split import Split, by_cut
from training.fit.first_stage import FirstStage
from training.judge.replay import ReplayedModel
from training.offpolicy.arm_judgement import judge_targets
from training.offpolicy.logged_slates import LoggedSlate, WantedExploredSlates, read
from training.offpolicy.replayed_target import ReplayedTarget
from training.read.dataset import Dataset
from training.read.day_partitions import by_day
from training.read.impressions import FOLDER
from training.read.locations import exports
from training.recipe import PolicyJudge
from training.results import ArmJudgement

MOST = 5_000
"""Slates that are judged, the newest."""


def policy_judge(dataset: Dataset, parts: Split, deleted: DeletedUsers | None = None) -> PolicyJudge | None:
    """Reads the explored slates since the test began, for `recipe.evaluate`; None if the dataset reads no impressions.

    deleted: users whose slates before their deletion are left out. DatasetError and LocationError name a file that
    can't be read.
    """
    if not dataset.impressions:
        return None
    test = float(parts.log.times[parts.test].min())
    days = by_day(exports(Environment.read(), FOLDER))
    late = [file for day in reversed(days) if day >= day_of(test) for file in reversed(days[day])]
    return partial(judge_tested, read(late, WantedExploredSlates(dataset.name, test, MOST, deleted or {})))


def judge_tested(slates: Sequence[LoggedSlate], parts: Split, stage: FirstStage, net: RankerNet) -> ArmJudgement:
    """The tested model against the logged policy. stage: of the events before the test.

    The history of a slate's user is that of the whole log until the second before the request: an event of the same
    second may be the reward. The slates of a day are judged with the popularity and the age of items before that day.
    """
    log, before = parts.log, parts.before_test
    order, offsets = log.by_user
    rows = {str(user): row for row, user in enumerate(log.user_ids.tolist())}

    def past(slate: LoggedSlate) -> tuple[UserRecord, Sequence[Event]]:
        row = rows.get(slate.user_id)
        if row is None:
            return UserRecord.empty(), ()
        events = order[offsets[row] : offsets[row + 1]]
        return user_record(log, events[log.times[events] < np.floor(slate.asked)]), ()

    def days() -> Iterator[tuple[Sequence[LoggedSlate], ReplayedTarget]]:
        cuts = parts.cuts(np.array([slate.asked for slate in slates], np.float64))
        for cut, chunks in by_cut(cuts, len(slates)):
            known = parts.known_to_test(cut)
            service = ReplayedModel.of(known, stage.recounted(known), net, log)
            yield [slates[at] for at in chunks[0]], ReplayedTarget(service, past, before.end)

    return judge_targets(days())
