"""The files in deploy/ pass the schemas of Kubernetes, agree with each other, and with the code that they run."""

import re
import shlex

import pytest
import yaml

from orchestration.instance import SETTINGS
from orchestration.launchers import ALLOCATOR
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
KUBERNETES = "1.37"


def loaded(name: str) -> dict:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


CLUSTER, VALUES, STORE = loaded("ray-cluster.yaml"), loaded("dagster-values.yaml"), loaded("store.yaml")
GROUPS = [CLUSTER["spec"]["headGroupSpec"], *CLUSTER["spec"]["workerGroupSpecs"]]
(LOCATION,) = VALUES["dagster-user-deployments"]["deployments"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def pinned(name: str) -> str:
    """The version that the requirements pin; an extra in brackets is left out."""
    lines = [line for file in ("constraints.txt", "requirements-cluster.txt") for line in (ROOT / file).open()]
    (version,) = {found[1] for line in lines if (found := re.match(rf"{name}(?:\[.*\])?==(\S+)", line))}
    return version


def validate(document: dict) -> None:
    """Raises ValidationError where a document breaks the schema of its kind, unknown fields included."""
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="not installed: make cluster")
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def pod(spec: dict) -> dict:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}


@pytest.mark.parametrize("group", GROUPS, ids=["head", "workers"])
def test_the_pods_of_ray_are_valid(group):
    validate(pod(group["template"]["spec"]))


def test_the_volume_is_valid_and_an_unknown_field_is_not():
    validate(STORE)
    with pytest.raises(Exception, match="accesModes"):
        validate({**STORE, "spec": {**STORE["spec"], "accesModes": []}})


def run_job() -> dict:
    """The Kubernetes Job of a run, as Dagster's launcher makes it from the values, rendered as the chart does."""
    job = pytest.importorskip("dagster_k8s.job", reason="not installed: make cluster")
    from dagster_k8s.container_context import K8sContainerContext
    from kubernetes.client import ApiClient

    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    snake = {"containerConfig": "container_config", "jobSpecConfig": "job_spec_config"}
    of_runs = {"run_k8s_config": {snake[name]: config for name, config in launcher["runK8sConfig"].items()}}
    of_location = {name: LOCATION[camel] for name, camel in (("env", "env"), ("volumes", "volumes"))}
    of_location["volume_mounts"] = LOCATION["volumeMounts"]
    of_location["run_k8s_config"] = {"pod_spec_config": {"security_context": LOCATION["podSecurityContext"]}}
    contexts = [K8sContainerContext.create_from_config({"k8s": config}) for config in (of_runs, of_location)]
    image = f"{LOCATION['image']['repository']}:{LOCATION['image']['tag']}"
    config = job.DagsterK8sJobConfig(
        job_image=image, dagster_home="/opt/dagster/dagster_home", instance_config_map="instance",
        postgres_password_secret="password",
    )  # fmt: skip
    context = contexts[0].merge(contexts[1])
    made = job.construct_dagster_k8s_job(config, ["dagster"], "run", context.run_k8s_config)
    return ApiClient().sanitize_for_serialization(made)


def test_a_run_has_the_store_the_cluster_and_its_token():
    made = run_job()
    validate(made)
    spec = made["spec"]["template"]["spec"]
    assert spec["securityContext"] == {"runAsUser": 1000, "fsGroup": 1000}
    assert {"name": "cria", "persistentVolumeClaim": {"claimName": STORE["metadata"]["name"]}} in spec["volumes"]
    (container,) = spec["containers"]
    assert {"name": "cria", "mountPath": "/cria"} in container["volumeMounts"]
    assert container["resources"]["limits"] == {"memory": "16Gi"}
    variables = {variable["name"]: variable for variable in container["env"]}
    name = CLUSTER["metadata"]["name"]
    assert variables["RAY_ADDRESS"]["value"] == f"ray://{name}-head-svc:10001"
    assert variables["RAY_AUTH_MODE"]["value"] == CLUSTER["spec"]["authOptions"]["mode"]
    assert variables["RAY_AUTH_TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": name, "key": "auth_token"}}
    assert variables["CRIA_STORE"]["value"].startswith("/cria/")


def test_all_nodes_have_the_image_and_the_mount_of_the_runs():
    image = f"{LOCATION['image']['repository']}:{LOCATION['image']['tag']}"
    for group in GROUPS:
        spec = group["template"]["spec"]
        (container,) = spec["containers"]
        assert container["image"] == image
        assert container["volumeMounts"] == LOCATION["volumeMounts"] == VALUES["dagsterWebserver"]["volumeMounts"]
        assert spec["volumes"] == LOCATION["volumes"] == VALUES["dagsterWebserver"]["volumes"]
        assert spec["securityContext"] == LOCATION["podSecurityContext"]
    assert f"docker build -f deploy/Dockerfile -t {image} ." in DOCKERFILE


def test_versions_are_those_that_are_pinned():
    assert CLUSTER["spec"]["rayVersion"] == pinned("ray")
    said = (DEPLOY / "dagster-values.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert f"chart {pinned('dagster')}." in said
    assert re.search(r"^FROM python:3\.1[12]-slim$", DOCKERFILE, re.MULTILINE)


def test_the_instance_has_the_limits_and_retries_of_make_ui():
    settings, daemon = yaml.safe_load(SETTINGS), VALUES["dagsterDaemon"]
    pools = VALUES["concurrency"]["pools"]
    assert VALUES["concurrency"]["enabled"]
    assert {"granularity": pools["granularity"], "default_limit": pools["defaultLimit"]} == settings["concurrency"][
        "pools"
    ]
    assert daemon["runMonitoring"]["enabled"] == settings["run_monitoring"]["enabled"]
    retries = {
        "enabled": "enabled",
        "maxRetries": "max_retries",
        "retryOnAssetOrOpFailure": "retry_on_asset_or_op_failure",
    }
    assert {retries[name]: value for name, value in daemon["runRetries"].items()} == settings["run_retries"]
    assert VALUES["telemetry"] == settings["telemetry"]


def test_no_password_is_in_the_values():
    assert VALUES["postgresql"]["postgresqlPassword"] is None


def test_the_code_location_is_that_of_the_workspace():
    (entry,) = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    arguments = dict(zip(LOCATION["dagsterApiGrpcArgs"][::2], LOCATION["dagsterApiGrpcArgs"][1::2], strict=True))
    assert arguments == {
        "--python-file": f"/app/{entry['python_file']['relative_path']}",
        "--working-directory": "/app",
    }
    assert "WORKDIR /app" in DOCKERFILE


def test_the_image_sets_the_allocator_and_copies_what_exists():
    (block,) = re.findall(r"^ENV (.*?)(?<!\\)$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    variables = dict(word.split("=", 1) for word in shlex.split(block.replace("\\\n", " ")))
    assert ALLOCATOR.items() <= variables.items()
    (copied,) = re.findall(r"^COPY (requirements.*) \./$", DOCKERFILE, re.MULTILINE)
    assert all((ROOT / name).is_file() for name in copied.split())
    (installed,) = re.findall(r"^RUN pip install --no-cache-dir (.*)$", DOCKERFILE, re.MULTILINE)
    assert sorted(word for word in installed.split() if not word.startswith("-")) == sorted(copied.split())


def test_the_image_holds_nothing_that_git_ignores():
    """And all that git knows: otherwise the records would call the checkout dirty."""
    ignored, left_out = (
        {line.removeprefix("**/") for line in path.read_text(encoding="utf-8").split()}
        for path in (ROOT / ".gitignore", DEPLOY / "Dockerfile.dockerignore")
    )
    assert ignored == left_out
