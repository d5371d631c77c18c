"""The endpoint /status: the generation (trained models and tables) that answers, the processes, and what is wrong."""

from __future__ import annotations

from recsys.slates.served_generation import ServedGeneration
from service import schema
from service.generations.follower import GenerationFollower
from service.recommend.pipeline import Pipeline
from service.settings import Settings
from service.verbs.surfaces import SurfacesFollower


def status(
    follower: GenerationFollower,
    live: ServedGeneration | None,
    pipeline: Pipeline,
    surfaces: SurfacesFollower,
    settings: Settings,
) -> schema.StatusResponse:
    """The status of the process that answers. live: the generation in force, if there is one."""
    state, fresh = follower.state, live.fresh if live else None
    return schema.StatusResponse(
        ready=live is not None,
        generation=live.id if live else None,
        live=None if state.fault else state.live,
        topology=settings.topology,
        store=state.fault or "ok",
        away=pipeline.away,
        rules=surfaces.rules_problems(live),
        surfaces=surfaces.names,
        surface_errors=surfaces.problems(),
        refused=follower.refusals,
        processes=[
            schema.Process(name=each.name, held=list(each.held)) for each in (follower.holding, *state.processes)
        ],
        fresh_items=len(fresh.items) if fresh else 0,
        hidden_items=fresh.hidden_count if fresh else 0,
        event_types=list(live.spec.event_types) if live else [],
        data=live.manifest.data if live else {},
        metrics=live.manifest.metrics if live else {},
    )
