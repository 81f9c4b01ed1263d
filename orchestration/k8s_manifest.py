"""The Kubernetes Job of a stage: a pod like that of the run which launches it, with the stage's command and resources.

Image, variables, volumes, user and where it may run are those of the run's own pod. So the stage sees the same store and
code, and secrets stay references. The Job belongs to the run's pod: if that goes, Kubernetes removes the Job.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from decimal import Decimal

from orchestration.execution import StageError

RESOURCES = "CRIA_K8S_RESOURCES"
CONTAINER = "stage"
RUN_CONTAINER = "dagster"  # as Dagster's launcher calls it; beside it there may be those of a service mesh
# Of the run's pod. Its name, its node and its token for the API are not taken over.
POD_FIELDS = (
    "volumes", "securityContext", "imagePullSecrets", "serviceAccountName", "nodeSelector", "affinity", "tolerations",
    "runtimeClassName", "priorityClassName", "schedulerName",
)  # fmt: skip
CONTAINER_FIELDS = ("image", "imagePullPolicy", "env", "envFrom", "volumeMounts", "securityContext", "workingDir")
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
# The default 64 MB are too few for processes that train together.
SHARED = {"name": "cria-shm", "mountPath": "/dev/shm"}


def stated_resources() -> dict[str, str]:
    """Returns what CRIA_K8S_RESOURCES asks for, by name, such as {"nvidia.com/gpu": "8", "memory": "512Gi"}.

    Empty if it is unset. Raises StageError unless it is a JSON object of quantities.
    """
    text = os.environ.get(RESOURCES, "")
    try:
        stated = json.loads(text or "{}")
        asked = {name: str(quantity) for name, quantity in stated.items()}
        for quantity in asked.values():
            _quantity(quantity)
    except (AttributeError, ValueError) as error:
        raise StageError(
            f"{RESOURCES}={text}: use a JSON object of Kubernetes quantities, for example "
            '{"nvidia.com/gpu": 8, "cpu": 64, "memory": "512Gi"}'
        ) from error
    return asked


def _quantity(text: str) -> Decimal:
    """Returns a quantity as Kubernetes writes it, such as 1500m or 64Gi. Raises ValueError if it is none."""
    from kubernetes.utils.quantity import parse_quantity  # an optional package

    return parse_quantity(text)


def gpus(resources: Mapping[str, str]) -> int:
    """Returns how many GPUs the resources hold, of any maker; a part of a GPU (MIG) counts as one."""
    devices = (name for name in resources if name.endswith("/gpu") or "/mig-" in name)
    return sum(int(_quantity(resources[name])) for name in devices)


def memory_bytes(resources: Mapping[str, str]) -> float:
    """Returns the memory that the resources hold; infinite if they do not say."""
    return float(_quantity(resources["memory"])) if "memory" in resources else float("inf")


def job_name(key: str, pod: Mapping, attempt: int) -> str:
    """Returns a name that is valid in Kubernetes and that no other stage, run or attempt has."""
    unique = hashlib.sha256(f"{key} {pod['metadata']['uid']} {attempt}".encode()).hexdigest()[:10]
    readable = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in key.lower())
    return f"cria-{readable.strip('-')[:40].rstrip('-')}-{unique}"


def stage_job(
    pod: Mapping, name: str, command: Sequence[str], resources: Mapping[str, str], variables: Mapping[str, str]
) -> dict:
    """Returns the Job that runs `command` once.

    `pod` is the launcher's, as the API states it. Extended resources such as GPUs are limits, and their taints are
    tolerated; the others are requests, and memory is a limit too. `variables` are set beside those of the run.
    """
    spec, containers = pod["spec"], pod["spec"]["containers"]
    run = next((one for one in containers if one["name"] == RUN_CONTAINER), containers[0])
    taken = {field: spec[field] for field in POD_FIELDS if field in spec}
    mounts = [mount for mount in run.get("volumeMounts", []) if mount["mountPath"] != TOKEN]
    mounted = {mount["name"] for mount in mounts}
    extended = {name: quantity for name, quantity in resources.items() if "/" in name}
    plain = {name: quantity for name, quantity in resources.items() if "/" not in name}
    kept = [variable for variable in run.get("env", []) if variable["name"] not in variables]
    container = {
        **{field: run[field] for field in CONTAINER_FIELDS if field in run},
        "name": CONTAINER,
        "command": list(command),
        "env": [*kept, *({"name": name, "value": value} for name, value in variables.items())],
        "volumeMounts": [*mounts, SHARED],
        "resources": {
            "requests": {**plain, **extended},
            "limits": {**extended, **({"memory": plain["memory"]} if "memory" in plain else {})},
        },
    }
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    labels = {"app.kubernetes.io/name": "cria", "app.kubernetes.io/component": "stage"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
        "spec": {
            "backoffLimit": 0,  # the pipeline starts a lost stage again, as with every launcher
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    **taken,
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    # Else the command is process 1, which no signal ends that it sends to itself.
                    "shareProcessNamespace": True,
                    "tolerations": [
                        *taken.get("tolerations", []),
                        *({"key": name, "operator": "Exists"} for name in extended),
                    ],
                    "volumes": [
                        *(volume for volume in taken.get("volumes", []) if volume["name"] in mounted),
                        {"name": SHARED["name"], "emptyDir": {"medium": "Memory"}},
                    ],
                    "containers": [container],
                },
            },
        },
    }
