"""Arms of experiments on a running deployment, over HTTP and gRPC: each answer is of its user's arm, and says so."""

import time

import httpx
import numpy as np
import pytest
import redis

from recsys.experiments import changes
from recsys.experiments.definition import checked
from recsys.generation.publisher import Publisher
from recsys.lists.impression import Impression
from recsys.lists.user_list import UserList
from recsys.store import RedisGenerationStore
from recsys.store.key_names import EXPERIMENTS, EXPERIMENTS_VERSION, halt_key
from recsys.store.redis.flow_store import RedisFlowStore
from recsys.store.redis.redis_experiments import RedisExperimentStore
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.schema.verb_table import RECOMMEND
from tandem_client import Client
from tests.judged_load.served_pair import GenerationPair
from tests.sample_data import released_store
from tests.sample_data.altered_generation import altered
from tests.servers.both_doors import BothDoors
from tests.servers.deployment import wait_for

USERS = range(0, 120, 5)
PIN = {"pin": [{"item": "drama-20", "place": 1}]}
MODELS = {"name": "models", "audience": {"surfaces": ["default"]}, "arms": {"new": {"share": 0.5}}}
"""Its arm gets the second generation."""
RULES = {
    "name": "rules",
    "audience": {"context": {"device": ["mobile"]}},
    "arms": {"pinned": {"share": 0.5, "rules": PIN, "mode": "realtime"}},
}
FLAG = {
    "name": "flag",
    "assignment": "caller",
    "audience": {"surfaces": ["feed"]},
    "arms": {"few": {"share": 0.5, "candidates": 12}},
}


class World:
    """A deployment in one process, which serves the first generation of a pair, with one document of experiments."""

    def __init__(self, url, pair, deployment):
        self.url, self.pair, self.deployment = url, pair, deployment
        self.live, self.second = (each.manifest.id for each in (pair.first, pair.second))
        self.experiments, self.flows = RedisExperimentStore(url), RedisFlowStore(url)
        self.web, self.rpc = Client(deployment.url, deadline=30), Client(f"grpc://{deployment.grpc}", deadline=30)

    @property
    def doors(self):
        return self.web, self.rpc

    def run(self, *definitions, ramp=1.0):
        """Run these experiments and no others."""

        def change(document):
            document = document.model_copy(update={"experiments": {}})
            for each in definitions:
                document = changes.create(document, checked(each), 0.0)
                document = changes.start(document, each["name"], 0.0)
                if each.get("assignment") != "caller":
                    document = changes.ramp(document, each["name"], ramp, 0.0)
            return document

        self.document = self.experiments.change(change)

    def wait(self, *definitions):
        """Wait until the gateway has read the experiments."""
        names = {each["name"] for each in definitions}
        wait_for(lambda: set(self.web.recommend(0, context={"device": "mobile"}).arms) == names)
        wait_for(lambda: all(each.arms["models"] == self.arm_of("models", each.user_id) for each in self.slates()))

    def slates(self):
        """The slate of each user."""
        return answers(self.web, USERS)

    def arm_of(self, name, user):
        return self.document.experiments[name].lanes.arm_of(user)

    def count(self, **labels):
        """The counted slates with these labels."""
        text = httpx.get(f"{self.deployment.url}/metrics", timeout=10).text
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        lines = [line for line in text.splitlines() if line.startswith("tandem_arm_slates_total")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(each in line for each in wanted))

    def impressions(self):
        """What was logged by now."""
        time.sleep(1.5)
        return [Impression.unpack(each.data) for each in self.flows.read_impressions()]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return GenerationPair.make(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def world(pair, inline_deployment, tmp_path_factory):
    running = inline_deployment.renew(tmp_path_factory.mktemp("experiments"), pair.first)
    Publisher(RedisGenerationStore(running.url), tmp_path_factory.mktemp("trials")).publish(pair.second)
    running.deployment.surfaces.write_text("[feed]\n[batch]\nmode = 'batch'\n")
    wait_for(lambda: "feed" in running.client.get("/status").json()["surfaces"])
    return World(running.url, pair, running.deployment)


@pytest.fixture
def models(world):
    """Half of the users get the second generation."""
    arms = {"new": {"share": 0.5, "generation": world.second}}
    world.run(MODELS | {"arms": arms}, RULES, FLAG)
    world.wait(MODELS, RULES)
    wait_for(lambda: not any(each.arms_away for each in world.slates()))
    return world


def generation_of(world, user):
    return world.second if world.arm_of("models", user) == "new" else world.live


def answers(door, users):
    return door.recommend_many(list(users), mode="realtime").slates


class TestAssignment:
    def test_each_user_is_answered_from_the_generation_of_the_arm(self, models):
        """At both doors, for one user and for many in one request. The slates are computed again from the folders."""
        for door in models.doors:
            many = answers(door, USERS)
            for user, answer in zip(USERS, many, strict=True):
                one = door.recommend(user, mode="realtime")
                assert one.arms == answer.arms == {"models": models.arm_of("models", user)}
                assert one.generation == answer.generation == generation_of(models, user)
                assert one.degraded == answer.degraded == one.arms_away == []
                for each in (one, answer):
                    assert models.pair.expected[each.generation].agrees(each.model_dump(), time.time())
        assert {each.generation for each in many} == {models.live, models.second}

    def test_rank_and_explain_follow_the_arm_and_similar_the_live_generation(self, models):
        """They name it too."""
        for user in list(USERS)[:8]:
            arm, generation = models.arm_of("models", user), generation_of(models, user)
            for answer in (
                models.web.rank(["drama-3", "action-4", "comedy-5"], user_id=user),
                models.rpc.explain(user, "drama-3"),
            ):
                assert (answer.arms, answer.generation) == ({"models": arm}, generation)
            assert models.web.similar("drama-3", user_id=user).generation == models.live

    def test_rules_mode_and_context_of_an_arm(self, models):
        """Only in the context of the audience, and a mode in the request wins."""
        users = {arm: [user for user in USERS if models.arm_of("rules", user) == arm] for arm in ("pinned", "control")}
        for door in models.doors:
            for arm, some in users.items():
                for user in some[:3]:
                    answer = door.recommend(user, context={"device": "mobile"})
                    assert answer.arms["rules"] == arm
                    assert (answer.items[0].item_id == "drama-20") == (arm == "pinned")
                    assert "rules" not in door.recommend(user, context={"device": "desktop"}).arms
        user = users["pinned"][0]
        assert models.web.recommend(user, context={"device": "mobile"}, surface="batch").mode == "realtime"
        assert models.web.recommend(user, context={"device": "mobile"}, surface="batch", mode="batch").mode == "batch"


class TestArmsFromOutside:
    def test_a_forced_arm_is_for_tests(self, models):
        """Over HTTP and gRPC; a wrong one is refused with a sentence. Its slates are logged without arms."""
        user = next(user for user in USERS if models.arm_of("models", user) == "control")
        body = {"user_id": user, "mode": "realtime"}

        def send(*values):
            headers = [("x-tandem-arm", value) for value in values]
            return httpx.post(f"{models.deployment.url}/recommend", json=body, headers=headers, timeout=30)

        before = len(models.impressions()), models.count()
        answer = send("models=new").json()
        assert (answer["generation"], answer["arms"]) == (models.second, {"models": "new"})
        assert len(models.impressions()) == before[0] + 1
        assert models.impressions()[-1].arms == models.impressions()[-1].assigned == {}
        assert models.count() == before[1]
        for values, words in (
            (["nothing=new"], "There is no experiment 'nothing'; there is models, rules, flag."),
            (["models=old"], "The experiment models has no arm 'old'; it has control, new."),
            *(
                (values, "Send one experiment and one of its arms, as in checkout=new.")
                for values in (["models"], ["=new"], ["models="], [""], ["models=new", "models=control"])
            ),
        ):
            refused = send(*values)
            assert refused.status_code == 422
            assert refused.json()["error"] == {"code": "invalid", "message": words, "field": "x-tandem-arm"}
        doors = BothDoors(models.deployment)
        request = pb.RecommendRequest(user_id=pb.Id(number=user)).SerializeToString()
        assert doors.grpc(RECOMMEND, request, [("x-tandem-arm", "models=old")])["field"] == "x-tandem-arm"
        doors.close()

    def test_users_keep_the_arms_that_the_release_before_gave(self, world):
        """With a layer, with a holdout and without, from the document as that release stored it."""
        with redis.Redis.from_url(world.url) as client:
            client.set(EXPERIMENTS, released_store.stored()["experiments"]["string"])
            client.incr(EXPERIMENTS_VERSION)
        wanted = released_store.arms("running")
        for arms in wanted.values():
            del arms["named"]  # these requests name no arm
        wait_for(lambda: "plain" in world.web.recommend(0).arms)
        users = [*wanted]
        given = [slate for first in range(0, len(users), 50) for slate in answers(world.web, users[first : first + 50])]
        assert {each.user_id: each.arms for each in given} == wanted


class TestListsAndLog:
    def test_a_list_of_another_arm_is_never_used(self, models):
        """A list is of a generation, and of the arm whose rules made it. Without its own list a slate is computed."""
        buckets, tables = models.pair.first.manifest.user_buckets, models.pair.first.tables()
        lists = {}
        for number, (generation, variant) in enumerate(
            [(models.live, ""), (models.second, ""), (models.live, "rules.pinned")]
        ):
            ids = [f"action-{number}", *(f"drama-{place}" for place in range(20))]
            rows = np.array([tables.ids.row_of(each) for each in ids], np.int32)
            made = UserList(time.time(), 0, rows, np.zeros(21, np.uint16), -np.arange(21, dtype=np.float32))
            models.flows.write_lists(generation, buckets, {"7": made.pack()}, variant)
            lists[generation, variant] = ids[0]

        def first(**more):
            headers = {"x-tandem-arm": more.pop("arm")} if "arm" in more else {}
            body = {"user_id": 7, "mode": "batch", **more}
            return httpx.post(f"{models.deployment.url}/recommend", json=body, headers=headers, timeout=30).json()

        for arm, key in (
            ("models=control", (models.live, "")),
            ("models=new", (models.second, "")),
            ("rules=control", (models.live, "")),
        ):
            answer = first(arm=arm)
            assert answer["items"][0]["item_id"] == lists[key]
            assert answer["items"][0]["sources"] == ["precomputed"]
        pinned = first(arm="rules=pinned")["items"]
        assert [each["item_id"] for each in pinned[:2]] == ["drama-20", lists[models.live, "rules.pinned"]]
        models.flows.write_lists(models.second, buckets, {"10": made.pack()})
        assert first(arm="models=control", user_id=10)["items"][0]["item_id"] != ids[0]
        assert first(arm="models=new", user_id=10)["items"][0]["item_id"] == ids[0]

    def test_slates_of_an_experiment_are_logged_in_every_mode_with_their_arms(self, models):
        """A slate from a list has no features. A slate outside of all experiments is logged as before."""
        users = [1, 2, 3, 4]
        before = len(models.impressions())
        for user in users:
            for mode in ("realtime", "batch"):
                models.web.recommend(user, mode=mode)
        models.web.recommend(1, surface="feed", mode="batch")
        logged = models.impressions()[before:]
        assert len(logged) == 8
        for each in logged:
            assert each.arms == each.assigned == {"models": models.arm_of("models", each.user_id)}
            assert each.generation == generation_of(models, each.user_id)
            assert np.isnan(each.features).all() == (each.mode == "batch")


class TestFallback:
    def test_an_arm_whose_generation_is_refused_is_halted_and_its_users_get_the_control(self, world, tmp_path):
        """The halt has the reason, and `live` is not touched. The users stay assigned: their slates are logged as such,
        with the arms that served them beside, ranked or from a list.
        """

        def spoil(folder):
            table = np.load(folder / "embeddings.npy")
            table[3] = np.nan
            np.save(folder / "embeddings.npy", table)

        bad = altered(world.pair.second, tmp_path / "g-bad", spoil)
        Publisher(RedisGenerationStore(world.url), tmp_path / "trials").publish(bad)
        world.run(MODELS | {"arms": {"new": {"share": 1.0, "generation": "g-bad"}}})
        with redis.Redis.from_url(world.url) as client:
            wait_for(lambda: client.exists(halt_key("models", "new")))
            assert b"Generation g-bad was refused by gateway" in client.get(halt_key("models", "new"))
        wait_for(lambda: world.experiments.halts(world.document))
        users, slates = range(1_000, 1_003), {}
        for user in users:
            for mode in ("realtime", "batch"):
                answer = world.web.recommend(user, mode=mode)
                assert (answer.arms, answer.arms_away) == ({"models": "new"}, ["models"])
                assert answer.generation == world.live

        def logged():
            found = [Impression.unpack(each.data) for each in world.flows.read_impressions(count=10_000)]
            slates.update({(each.user_id, each.mode): each for each in found if each.user_id in users})
            return len(slates) == 6

        wait_for(logged)
        assert all((each.assigned, each.arms) == ({"models": "new"}, {}) for each in slates.values())
