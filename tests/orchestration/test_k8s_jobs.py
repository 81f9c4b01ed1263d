"""A stage as a Kubernetes Job: what its manifest copies from the run's pod, and what becomes of its pod's end.

No cluster is at hand in tests: pods are processes behind an API server of this folder (toy_kubernetes.py), which checks
each Job against the schemas of Kubernetes.
"""

import copy
import os
import signal
import sys
import threading
import time

import pytest

from orchestration import k8s_jobs, k8s_manifest, launchers, preflight
from orchestration.execution import StageError
from orchestration.listening import LAST_LINES, WorkerKilledError
from orchestration.store import store
from tests import test_deploy
from tests.orchestration.test_launchers import FAULTY

kubernetes = pytest.importorskip("kubernetes", reason="not installed: make cluster")
pytest.importorskip("kubernetes_validate", reason="not installed: make cluster")

from tests.orchestration.toy_kubernetes import LAUNCHER, NAMESPACE, serving  # noqa: E402

GPUS = {"nvidia.com/gpu": "2", "cpu": "16", "memory": "64Gi"}


@pytest.fixture(scope="module")
def run_pod() -> dict:
    """The pod of a run as the API states it: that of Dagster's launcher with the values of deploy/, on a node."""
    spec = test_deploy.run_job()["spec"]["template"]["spec"]
    spec["volumes"].append({"name": "kube-api-access-1", "projected": {"sources": []}})
    spec["containers"][0]["volumeMounts"].append({"name": "kube-api-access-1", "mountPath": k8s_manifest.TOKEN})
    return {"metadata": {"name": LAUNCHER, "uid": "4f1c"}, "spec": spec | {"nodeName": "node-7"}}


@pytest.fixture
def cluster(run_pod, monkeypatch):
    pod = copy.deepcopy(run_pod)
    here = {"CRIA_STORE": str(store()), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    (container,) = pod["spec"]["containers"]
    container["env"] = [{"name": name, "value": value} for name, value in here.items()]
    monkeypatch.setenv(k8s_jobs.HOST, "in-a-pod")
    monkeypatch.setenv("CRIA_LAUNCHER", "k8s")
    monkeypatch.setattr(k8s_jobs, "LOOK_AGAIN_S", 0.1)
    with serving(pod) as (cluster, address):
        place = k8s_jobs.Place(kubernetes.client.Configuration(host=address), NAMESPACE, LAUNCHER)
        monkeypatch.setattr(k8s_jobs, "here", lambda: place)
        yield cluster


def follow(code: str, log, *arguments: str, **variables: str) -> list[str]:
    command = [sys.executable, "-c", code, *arguments]
    return k8s_jobs.follow("rlhf_v1/policy", command, {}, variables, log, store() / "heartbeat")


def test_the_job_is_the_runs_pod_with_the_stages_command_and_resources(run_pod):
    name = k8s_manifest.job_name("rlhf_v1/policy", run_pod, 1)
    job = k8s_manifest.stage_job(run_pod, name, ["python", "-m", "x"], GPUS, {"CRIA_STORE": "/elsewhere", "NEW": "1"})
    test_deploy.validate(job)
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", LAUNCHER, "4f1c")
    run, spec = run_pod["spec"], job["spec"]["template"]["spec"]
    (container,), (of_run,) = spec["containers"], run["containers"]
    assert container["command"] == ["python", "-m", "x"] and container["image"] == of_run["image"]
    assert spec["securityContext"] == run["securityContext"] and "nodeName" not in spec
    assert {"name": "cria", "mountPath": "/cria"} in container["volumeMounts"]
    assert {volume["name"] for volume in spec["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}
    assert not any(mount["mountPath"] == k8s_manifest.TOKEN for mount in container["volumeMounts"])
    variables = {variable["name"]: variable for variable in container["env"]}
    assert len(variables) == len(container["env"])
    assert variables["CRIA_STORE"]["value"] == "/elsewhere" and variables["NEW"]["value"] == "1"
    assert "secretKeyRef" in variables["RAY_AUTH_TOKEN"]["valueFrom"]  # a secret stays a reference
    assert container["resources"]["requests"] == GPUS
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2", "memory": "64Gi"}
    assert {"key": "nvidia.com/gpu", "operator": "Exists"} in spec["tolerations"]
    assert job["spec"]["backoffLimit"] == 0 and spec["restartPolicy"] == "Never" and spec["shareProcessNamespace"]


def test_names_are_valid_and_differ(run_pod):
    keys = ["rlhf_v1/policy", "rlhf_v1_policy", "Größe/" + "x" * 200]
    names = {k8s_manifest.job_name(key, run_pod, attempt) for key in keys for attempt in (1, 2)}
    assert len(names) == 6
    for name in names:
        test_deploy.validate(k8s_manifest.stage_job(run_pod, name, ["x"], {}, {}))
        assert len(name) <= 63 and name == name.lower() and name.isascii() and not name.endswith("-")


@pytest.mark.parametrize("text", ["8", "[1]", "{", '{"cpu": "many"}', '{"cpu": null}'])
def test_resources_that_are_none_are_named(text, monkeypatch):
    monkeypatch.setenv(k8s_manifest.RESOURCES, text)
    with pytest.raises(StageError, match="CRIA_K8S_RESOURCES=.*use a JSON object of Kubernetes quantities"):
        k8s_manifest.stated_resources()


def test_gpus_of_all_makers_count(monkeypatch):
    monkeypatch.setenv(k8s_manifest.RESOURCES, '{"amd.com/gpu": 4, "nvidia.com/mig-1g.10gb": "2", "cpu": "1500m"}')
    assert k8s_manifest.gpus(k8s_manifest.stated_resources()) == 6
    monkeypatch.delenv(k8s_manifest.RESOURCES)
    assert k8s_manifest.stated_resources() == {} and k8s_manifest.gpus({}) == 0


def test_outside_of_a_cluster_it_says_where_it_works(monkeypatch):
    monkeypatch.setenv("CRIA_LAUNCHER", "k8s")
    monkeypatch.delenv(k8s_jobs.HOST, raising=False)
    with pytest.raises(StageError, match="works in a run that is a pod of the cluster"):
        launchers.stated_launcher("tiny")


@pytest.mark.parametrize(
    ("scale", "resources", "said"),
    [
        ("70b", "{}", "scale 70b does not fit a stage's pod: .*a stage's pod has no GPU"),
        ("70b", '{"nvidia.com/gpu": 8}', ""),
        ("laptop", '{"memory": "1Gi"}', "scale laptop does not fit a stage's pod: .*a stage's pod has 1.1 GB"),
        ("laptop", "{}", ""),
    ],
)
def test_a_scale_needs_the_resources_of_its_pods(scale, resources, said, cluster, monkeypatch):
    monkeypatch.setenv(k8s_manifest.RESOURCES, resources)
    if not said:
        return preflight.check_fit(scale)
    with pytest.raises(StageError, match=said):
        preflight.check_fit(scale)


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("os.kill(os.getpid(), 9)", WorkerKilledError, "SIGKILL ended the worker; started again, it continues"),
        ("sys.exit('no such file')", StageError, "the worker stopped with 1: no such file"),
        ("time.sleep(600)", WorkerKilledError, "the worker hung: no line and no step for 0.1 minutes"),
    ],
    ids=["killed", "failed", "hung"],
)
def test_a_faulty_pod_shows_its_last_lines_and_the_same_command_continues(
    fault, error, said, cluster, log, tmp_path, monkeypatch
):
    monkeypatch.setenv("CRIA_HEARTBEAT_MINUTES", "0.1")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(error, match=f"rlhf_v1/policy: {said}") as raised:
        follow(FAULTY.format(fault), log, str(out))
    lines = str(raised.value).splitlines()
    assert lines[1] == "Its last lines:" and len(lines) == 2 + LAST_LINES and "step 30" in lines[-2:]
    assert not cluster.pods, "the Job is gone before anybody starts it again"
    assert follow(FAULTY.format(fault), log, str(out)) == [f"step {step}" for step in range(31, 40)][-LAST_LINES:]
    assert len(list(out.iterdir())) == 40 and len(cluster.jobs) == 2


SAYS = "print(*map('line {}'.format, range(50)), sep='\\n')"


def test_a_log_that_breaks_off_is_heard_once_and_whole(cluster, log):
    cluster.cut = 7
    follow(SAYS, log)
    assert log.lines[1:] == [f"line {number}" for number in range(50)]


def test_it_waits_for_a_node_and_for_an_api_that_is_away(cluster, log):
    cluster.unscheduled, cluster.away = 3, 3
    follow(SAYS, log)
    waits = [line for line in log.lines if line.startswith("waits")]
    assert waits == ["waits: 0/3 nodes are available: 3 Insufficient gpu."]
    assert log.lines[-1] == "line 49"


WAITS = "import time; print('works', flush=True); time.sleep(600)"


@pytest.mark.parametrize(
    ("end", "error", "said"),
    [
        ({"reason": "Evicted"}, WorkerKilledError, r"the loss of its pod \(Evicted\) ended the worker"),
        ({"killed_for": "OOMKilled"}, StageError, "needs more memory than it was given: raise `memory` in CRIA_K8S"),
        ({"number": signal.SIGTERM}, WorkerKilledError, "SIGTERM ended the worker"),
        (None, WorkerKilledError, "the loss of its pod ended the worker"),
    ],
    ids=["evicted", "out of memory", "terminated", "deleted"],
)
def test_what_ends_a_pod_from_outside_is_named(end, error, said, cluster, log):
    def act() -> None:
        while "works" not in log.lines:
            time.sleep(0.05)
        if end is None:
            cluster.delete(next(iter(cluster.pods)))
        else:
            cluster.end(**end)

    acting = threading.Thread(target=act, daemon=True)
    acting.start()
    with pytest.raises(error, match=said):
        follow(WAITS, log)
    acting.join()
    assert not cluster.pods


def test_a_job_that_kubernetes_refuses_is_no_traceback(cluster, log):
    with pytest.raises(StageError, match="rlhf_v1/policy: Kubernetes does not make its Job: .*not of type"):
        follow(SAYS, log, NUMBER=5)
    assert not cluster.jobs


@pytest.mark.trains
@pytest.mark.timeout(600)
def test_a_training_whose_pod_is_evicted_continues_to_the_same_bytes(cluster, log, tmp_path, monkeypatch):
    from tests.orchestration import toy_pretraining as toys
    from tests.orchestration import toy_pretraining_worker as worker

    command = [sys.executable, "-m", worker.__name__, toys.STAGE.key, "tiny"]
    monkeypatch.setattr(launchers, "worker_command", lambda *_, **__: command)
    with monkeypatch.context() as patch:
        for name, value in {**launchers.ALLOCATOR, "CRIA_LAUNCHER": "subprocess"}.items():
            patch.setenv(name, value)
        patch.setenv("CRIA_STORE", str(tmp_path / "of-a-process"))
        for part in toys.PARTS.values():
            launchers.materialize(part, "tiny", log)
        expected, _ = launchers.materialize(toys.STAGE, "tiny", log)
    for part in toys.PARTS.values():
        launchers.materialize(part, "tiny", log)
    store().mkdir(exist_ok=True)
    (store() / worker.HOLD).touch()

    def evict() -> None:
        while not (store() / worker.HELD).exists():
            time.sleep(0.05)
        (store() / worker.HOLD).unlink()
        cluster.end(reason="Evicted")

    evicting = threading.Thread(target=evict, daemon=True)
    evicting.start()
    with pytest.raises(WorkerKilledError, match="Evicted"):
        launchers.materialize(toys.STAGE, "tiny", log)
    evicting.join()
    before = len(log.lines)
    record, reused = launchers.materialize(toys.STAGE, "tiny", log)
    assert not reused and record["content"] == expected["content"]
    assert any("continues where it was stopped" in line for line in log.lines[before:])
    assert launchers.materialize(toys.STAGE, "tiny", log)[1]
    assert os.environ["CRIA_LAUNCHER"] == "k8s" and len(cluster.jobs) == 2
