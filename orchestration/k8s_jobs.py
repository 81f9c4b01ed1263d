"""A stage of modeling as a Kubernetes Job: makes it, forwards what its pod says, and ends it with the run.

Only a run that is itself a pod of the cluster can launch one, because the Job copies that pod (k8s_manifest.py). The pod
has all GPUs of the stage, so a stage has at most those of one node; several nodes are for the launcher "ray".
"""

import contextlib
import importlib.util
import os
import platform
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_cleaning import ray_shards
from orchestration import k8s_manifest
from orchestration.execution import StageError
from orchestration.k8s_manifest import CONTAINER
from orchestration.listening import Listener

HOST = "KUBERNETES_SERVICE_HOST"  # set in every pod
LOOK_AGAIN_S = 2.0
GONE_WITHIN_S = 120.0  # a pod has 30 s to end
AWAY_S = 600.0  # how long the API may be away, as while its servers are replaced
ENDED = ("Succeeded", "Failed")
OUT_OF_MEMORY = "OOMKilled"
# No waiting mends these; an image that cannot be pulled now may be there later.
HOPELESS = {"InvalidImageName", "CreateContainerConfigError", "CreateContainerError"}


@dataclass(frozen=True)
class Place:
    """Where this process runs: the API's settings (kubernetes.client.Configuration), namespace and the pod's name."""

    configuration: Any
    namespace: str
    pod: str


def launchable() -> None:
    """Raises StageError if no stage can be launched from here: no pod, no package, or CRIA_K8S_RESOURCES is wrong."""
    if not os.environ.get(HOST):
        raise StageError(
            "CRIA_LAUNCHER=k8s works in a run that is a pod of the cluster: use Dagster's Helm chart (docs/cluster.md)"
        )
    if importlib.util.find_spec("kubernetes") is None:
        raise StageError("CRIA_LAUNCHER=k8s needs the package kubernetes: run `make cluster`")
    k8s_manifest.stated_resources()


def here() -> Place:
    """Returns this pod's place. Raises StageError if the pod has no token for the API."""
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException as error:
        raise StageError(f"CRIA_LAUNCHER=k8s needs the API of Kubernetes in the run's pod: {error}") from error
    namespace = Path(k8s_manifest.TOKEN, "namespace").read_text(encoding="utf-8").strip()
    return Place(configuration, namespace, platform.node())


def follow(
    key: str,
    command: Sequence[str],
    resources: Mapping[str, str],
    variables: Mapping[str, str],
    log: Any,
    heartbeat: Path,
) -> list[str]:
    """Runs the worker of stage `key` as a Job, forwards its output and returns its last lines.

    Raises WorkerKilledError if a signal ended it, its pod was lost or it hung; StageError if it failed, needs more
    memory than it was given, can never start, or Kubernetes does not allow it. The Job is gone then.
    """
    from kubernetes import client

    listener, place = Listener(key, log, heartbeat), here()
    with client.ApiClient(place.configuration) as api:
        pods, jobs = client.CoreV1Api(api), client.BatchV1Api(api)
        try:
            own = api.sanitize_for_serialization(_asked(pods.read_namespaced_pod, place.pod, place.namespace))
            name = k8s_manifest.job_name(key, own, time.time_ns())
            # A worker has its own GPUs and asks Ray for no other.
            alone = {**variables, ray_shards.ADDRESS: ""}
            jobs.create_namespaced_job(place.namespace, k8s_manifest.stage_job(own, name, command, resources, alone))
        except client.ApiException as error:
            raise StageError(f"{key}: Kubernetes does not make its Job: {error.reason}: {error.body}") from error
        try:
            log.info(f"Kubernetes Job {name} in namespace {place.namespace}")
            _listen(pods, place.namespace, name, listener, log)
        finally:
            _end(jobs, place.namespace, name)
    return list(listener.last)


def _asked(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Returns the API's answer; asks again while the API is away. Raises ApiException for what it refuses."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    deadline = time.monotonic() + AWAY_S
    while True:
        try:
            return call(*args, **kwargs)
        except (ApiException, HTTPError) as error:
            refused = isinstance(error, ApiException) and error.status not in (429, 500, 502, 503, 504)
            if refused or time.monotonic() > deadline:
                raise
        time.sleep(LOOK_AGAIN_S)


def _listen(pods, namespace: str, job: str, listener: Listener, log: Any) -> None:
    """Forwards what the pod of the Job says until it has ended well; raises the errors of `follow`."""
    said: queue.Queue[str] = queue.Queue()
    told, seen, reader = "", False, None
    while True:
        pod = _pod_of(pods, namespace, job)
        state = _state(pod)
        if pod is None and seen:
            raise listener.lost_error("the loss of its pod")
        seen = pod is not None
        if (why := _waits_for(pod, state)) and why != told:
            log.info(f"waits: {why}")
            told = why
        if state is not None and state.waiting and state.waiting.reason in HOPELESS:
            raise StageError(f"{job}: its pod cannot start: {why}")
        if state is None or state.waiting:
            listener.hear("")  # to wait for a node or an image is no silence of the worker
        elif reader is None:
            reader = threading.Thread(target=_read, args=(pods, namespace, pod.metadata.name, said), daemon=True)
            reader.start()
        if pod is not None and pod.status.phase in ENDED:
            if reader is not None:
                reader.join(GONE_WITHIN_S)
            _hear(said, listener, 0.0)
            return _judge(pod, state, listener)
        _hear(said, listener, LOOK_AGAIN_S)
        if listener.hung():
            raise listener.hung_error()


def _hear(said: queue.Queue[str], listener: Listener, seconds: float) -> None:
    """Hears what is said within so many seconds, and all that was said before."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(queue.Empty):
        while True:
            left = deadline - time.monotonic()
            listener.hear(said.get(timeout=left) if left > 0 else said.get_nowait())


def _pod_of(pods, namespace: str, job: str):
    """Returns the Job's pod, None if there is none yet or no longer."""
    label = f"batch.kubernetes.io/job-name={job}"
    found = _asked(pods.list_namespaced_pod, namespace, label_selector=label).items
    return found[0] if found else None


def _state(pod):
    """Returns the state of the stage's container, None before the pod has a node."""
    states = (pod.status.container_statuses or []) if pod is not None else []
    return next((one.state for one in states if one.name == CONTAINER), None)


def _waits_for(pod, state) -> str:
    """Returns why the pod does not run yet, in Kubernetes' words where it has some; "" if it runs."""
    if state is not None:
        waiting = state.waiting
        return f"{waiting.reason}: {waiting.message or ''}".rstrip(": ") if waiting and waiting.reason else ""
    if pod is None:
        return "Kubernetes has not made its pod yet"
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.message or condition.reason or ""
    return ""


def _read(pods, namespace: str, pod: str, said: queue.Queue[str]) -> None:
    """Puts each line of the pod once, also where the connection breaks: lines have times, and it goes on after the last."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    last = ""
    try:
        while True:
            ended = _asked(pods.read_namespaced_pod, pod, namespace).status.phase in ENDED
            with contextlib.suppress(HTTPError):
                stream = _asked(
                    pods.read_namespaced_pod_log, pod, namespace, container=CONTAINER, follow=True, timestamps=True,
                    _preload_content=False,
                )  # fmt: skip
                for stamp, line in _stamped(stream):
                    if stamp > last:
                        said.put(line)
                        last = stamp
                if ended:
                    return
            time.sleep(LOOK_AGAIN_S)
    except ApiException as error:
        if error.status != 404:  # then the pod is gone, which the listener sees too
            said.put(f"what the pod says cannot be read: {error.reason}")


def _stamped(stream) -> Iterator[tuple[str, str]]:
    """Yields (time that sorts as text, line) of a log with times; the last line may be cut, and is then left for later."""
    rest = b""
    for part in stream.stream(amt=None):  # as it comes, instead of in blocks of 64 kB
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            stamp, _, text = line.decode(errors="replace").partition(" ")
            whole, _, fraction = stamp.removesuffix("Z").partition(".")
            yield f"{whole}.{fraction:0<9}", text.rstrip()


def _judge(pod, state, listener: Listener) -> None:
    """Raises the error of a pod that has ended, unless it ended well."""
    ended = state.terminated if state is not None else None
    if pod.status.phase == "Succeeded":
        return
    if ended is None or pod.status.reason:  # evicted, preempted, or its node was shut down
        raise listener.lost_error(f"the loss of its pod ({pod.status.reason or 'no reason given'})")
    if ended.reason == OUT_OF_MEMORY:
        raise StageError(
            f"the pod needs more memory than it was given: raise `memory` in {k8s_manifest.RESOURCES}, then run again. "
            f"It said last: {listener.tail()}"
        )
    raise listener.error(128 - ended.exit_code if ended.exit_code > 128 else ended.exit_code)


def _end(jobs, namespace: str, name: str) -> None:
    """Removes the Job and waits until its pod is gone: two workers of one stage would write the same files."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    with contextlib.suppress(ApiException, HTTPError):
        _asked(jobs.delete_namespaced_job, name, namespace, propagation_policy="Foreground")
        deadline = time.monotonic() + GONE_WITHIN_S
        while time.monotonic() < deadline:
            _asked(jobs.read_namespaced_job, name, namespace)  # once it is gone, this is refused with 404
            time.sleep(LOOK_AGAIN_S)
