"""deploy/ names existing files and objects, confines containers, and fits the schemas (`make manifests`)."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from service.serve import SERVICES
from service.settings import Settings

DEPLOY = Path(__file__).parents[3] / "deploy"
PREFECT = {"PREFECT_HOME", "PREFECT_API_URL", "PREFECT_SERVER_UI_STATIC_DIRECTORY"}
KUBERNETES = ("1.31", "1.34")
KUSTOMIZATIONS = {
    folder: yaml.safe_load((folder / "kustomization.yaml").read_text())
    for folder in (DEPLOY / "kubernetes" / name for name in ("base", "dask", "torchrun"))
}
"""The base, and what adds pods to it, by folder."""

IMAGES = {each["name"] for kustomization in KUSTOMIZATIONS.values() for each in kustomization.get("images", [])}
FILES = [
    folder / name
    for folder, kustomization in KUSTOMIZATIONS.items()
    for name in kustomization["resources"]
    if name.endswith(".yaml")
]
OBJECTS = [each for path in FILES for each in yaml.safe_load_all(path.read_text())]


def named(*kinds):
    return {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] in kinds}


TEMPLATES = {name: each["spec"]["template"] for name, each in named("Deployment", "StatefulSet", "Job").items()}
"""The pods there are to be, by the name of what makes them."""


def selected(wanted):
    """Templates whose labels a selector takes."""
    labels = wanted.get("matchLabels", {}).items()
    within = {each["key"]: each["values"] for each in wanted.get("matchExpressions", [])}
    return [
        each
        for each in TEMPLATES.values()
        if labels <= each["metadata"]["labels"].items()
        and all(each["metadata"]["labels"].get(key) in values for key, values in within.items())
    ]


def ports(template):
    return {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0].get("ports", [])}


def test_every_file_is_a_resource():
    """A file that no kustomization names is never applied."""
    there = {path for folder in KUSTOMIZATIONS for path in folder.glob("*.yaml")}
    assert there == {*FILES, *(folder / "kustomization.yaml" for folder in KUSTOMIZATIONS)}


@pytest.mark.parametrize("name", TEMPLATES)
def test_pods_are_confined(name):
    """As the restricted standard has it, with a root that can't be written, and no token of the cluster's."""
    spec = TEMPLATES[name]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        confined = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["securityContext"] == confined
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        mounted = {each["name"] for each in container["volumeMounts"]}
        there = {each["name"] for each in spec["volumes"]}
        claimed = {"data"} if name in ("redis", "prefect") else set()
        assert mounted == there | claimed
        image = container["image"]
        assert ":" in image or image in IMAGES
        for variable in container.get("env", []):
            if "secret" not in variable["name"].lower():
                assert not re.search(r"://[^/]*:[^/]*@", variable["value"]), "a password in a manifest"


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_probes_and_time_to_drain(name):
    """The probes use the right endpoints and existing ports."""
    spec = TEMPLATES[name]["spec"]
    container = spec["containers"][0]
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        get = container[probe]["httpGet"]
        assert get["path"] == path
        assert ports(TEMPLATES[name])[get["port"]] == 3000
    assert container["args"] == ["--role", name]
    assert spec["terminationGracePeriodSeconds"] >= 45


def test_settings_are_those_of_the_service():
    """A variable that no process reads is a typing error."""
    known = {f"TANDEM_{name.upper()}" for name in Settings.model_fields} | {"TANDEM_KEYS", "TANDEM_DRAIN_SECONDS"}
    known |= {"REDIS_URL_FILE", *PREFECT, "DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT"}
    known |= {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE"}
    used = {
        each["name"] for template in TEMPLATES.values() for each in template["spec"]["containers"][0].get("env", [])
    }
    assert used <= known


def test_whatever_names_pods_names_some():
    """Services, disruption budgets, autoscalers and network policies; ports by names that those pods have."""
    for service in named("Service").values():
        (template,) = selected({"matchLabels": service["spec"]["selector"]})
        assert {port["targetPort"] for port in service["spec"].get("ports", [])} <= ports(template).keys()
    for scaler in named("HorizontalPodAutoscaler").values():
        assert scaler["spec"]["scaleTargetRef"]["name"] in named("Deployment")
    for budget in named("PodDisruptionBudget").values():
        assert selected(budget["spec"]["selector"])
    for policy in named("NetworkPolicy").values():
        chosen = selected(policy["spec"]["podSelector"])
        assert chosen
        for rule in policy["spec"].get("ingress", []):
            assert all({port["port"] for port in rule.get("ports", [])} <= ports(each).keys() for each in chosen)
        for rule in policy["spec"].get("ingress", []) + policy["spec"].get("egress", []):
            peers = [
                each["podSelector"] for side in ("from", "to") for each in rule.get(side, []) if "podSelector" in each
            ]
            assert all(map(selected, peers))


def test_only_gateways_reach_rows_and_only_ours_reach_redis():
    """Everything is closed but for that."""
    policies = named("NetworkPolicy")
    assert policies["nothing"]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert {"ingress", "egress"}.isdisjoint(policies["nothing"]["spec"])
    (rows,) = policies["rows"]["spec"]["ingress"]
    assert [each.get("podSelector", {}).get("matchLabels", {}).get("role") for each in rows["from"]] == [
        "gateway",
        None,
    ]
    (to_redis,) = policies["redis"]["spec"]["ingress"]
    assert {each["metadata"]["labels"]["role"] for each in selected(to_redis["from"][0]["podSelector"])} == {
        *("gateway", "retrieval", "ranking", "flows", "dask-worker", "training")
    }


FILLED = re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", (DEPLOY / "compose.yaml").read_text())
COMPOSE = {name: each for name, each in yaml.safe_load(FILLED).items() if not name.startswith("x-")}
"""compose.yaml as it is with no variable set."""


def test_prefect_servers_keep_concurrency_leases_on_a_volume():
    """A server that starts again frees the slots of killed runs. The image has prefect.toml in its working folder."""
    concurrency = tomllib.loads((DEPLOY.parent / "prefect.toml").read_text())["server"]["concurrency"]
    assert concurrency == {"lease_storage": "prefect.server.concurrency.lease_storage.filesystem"}
    image = (DEPLOY / "Dockerfile.flows").read_text().splitlines()
    assert {"COPY prefect.toml /app/src/", "WORKDIR /app/src"} <= {*image}
    server = COMPOSE["services"]["prefect"]
    assert f"prefect-data:{server['environment']['PREFECT_HOME']}" in server["volumes"]
    (container,) = TEMPLATES["prefect"]["spec"]["containers"]
    assert {"name": "PREFECT_HOME", "value": "/var/lib/tandem"} in container["env"]
    assert {"name": "data", "mountPath": "/var/lib/tandem"} in container["volumeMounts"]


@pytest.mark.parametrize("version", KUBERNETES)
def test_objects_hold_against_the_schemas_of_kubernetes(version):
    """Strictly: what it does not know it would ignore."""
    schemas = pytest.importorskip("kubernetes_validate", reason="make manifests installs it")
    for each in OBJECTS:
        schemas.validate(each, version, strict=True)


def test_compose_holds_against_its_schema():
    """As `docker compose config` would read it."""
    schema = pytest.importorskip("compose_spec", reason="make manifests installs it")
    schema.PyCompose.from_json(json.dumps(COMPOSE)).validate()
