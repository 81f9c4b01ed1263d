"""An API server that speaks what a launcher needs of Kubernetes' HTTP API, and runs the pods of Jobs as processes here.

It refuses what the schemas of Kubernetes refuse. Faults are asked for by name: `cut` breaks each connection to a log after
so many lines, `away` answers so many requests with 503, `unscheduled` leaves pods without a node for so many looks.
"""

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate

from orchestration.processes import kill_with_children
from orchestration.store import CHECKOUT

VERSION, NAMESPACE, LAUNCHER = "1.37", "team", "run-pod"


@dataclass
class Pod:
    """A pod that is a process of this machine."""

    job: dict
    process: subprocess.Popen
    lines: list[tuple[str, str]] = field(default_factory=list)
    reason: str = ""  # of the pod's end, as Kubernetes' own: Evicted
    killed_for: str = ""  # of the container's end: OOMKilled
    looks: int = 0

    def __post_init__(self) -> None:
        self.reads = threading.Thread(target=self._read, daemon=True)
        self.reads.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append((f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.{time.time_ns() % 10**9:09d}Z", line))

    def as_json(self, unscheduled: int) -> dict:
        self.looks += 1
        name = f"{self.job['metadata']['name']}-x"
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "message": "0/3 nodes are available: 3 Insufficient gpu.",
        }
        if self.looks <= unscheduled:
            return {"metadata": {"name": name}, "status": {"phase": "Pending", "conditions": [condition]}}
        code = self.process.poll()
        if code is None:
            phase, state = "Running", {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        else:
            phase = "Failed" if code else "Succeeded"
            ended = {"exitCode": 128 - code if code < 0 else code, "reason": self.killed_for or "Error"}
            state = {"terminated": ended}
        status = {"phase": phase, "containerStatuses": [
            {"name": "stage", "image": "i", "imageID": "i", "ready": True, "restartCount": 0, "state": state}
        ]}  # fmt: skip
        return {"metadata": {"name": name}, "status": status | ({"reason": self.reason} if self.reason else {})}


class Cluster:
    """The state behind the server: the launcher's own pod, and the Jobs with their pods."""

    def __init__(self, launcher: dict) -> None:
        self.launcher, self.pods, self.jobs = launcher, {}, []
        self.cut, self.away, self.unscheduled = 0, 0, 0

    def create(self, job: dict) -> None:
        kubernetes_validate.validate(job, VERSION, strict=True)
        (container,) = job["spec"]["template"]["spec"]["containers"]
        variables = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        process = subprocess.Popen(
            container["command"],
            cwd=CHECKOUT,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.jobs.append(job)
        self.pods[job["metadata"]["name"]] = Pod(job, process)

    def delete(self, name: str) -> None:
        pod = self.pods.pop(name)
        if pod.process.poll() is None:
            kill_with_children(pod.process.pid)
        pod.process.wait()

    def end(self, number: int = signal.SIGKILL, reason: str = "", killed_for: str = "") -> None:
        """Ends the only pod from outside."""
        (pod,) = self.pods.values()
        pod.reason, pod.killed_for = reason, killed_for
        pod.process.send_signal(number)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass

    def answer(self, content: dict, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_request(self) -> None:
        cluster, url = self.server.cluster, urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if cluster.away:
            cluster.away -= 1
            return self.answer({"message": "away"}, 503)
        pods, jobs = f"/api/v1/namespaces/{NAMESPACE}/pods", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
        if url.path == f"{pods}/{LAUNCHER}":
            return self.answer(cluster.launcher)
        if url.path == jobs and self.command == "POST":
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                cluster.create(job)
            except Exception as error:  # noqa: BLE001  (whatever is wrong with it, the launcher is told)
                return self.answer({"message": str(error)}, 422)
            return self.answer(job, 201)
        if url.path == pods:
            pod = cluster.pods.get(asked["labelSelector"].partition("=")[2])
            return self.answer({"items": [pod.as_json(cluster.unscheduled)] if pod else []})
        name = re.sub(r"-x(/log)?$", "", url.path.removeprefix(pods).removeprefix(jobs).strip("/"))
        if name not in cluster.pods:
            return self.answer({"message": "not found"}, 404)
        if url.path.endswith("/log"):
            return self.log(cluster.pods[name])
        if self.command == "DELETE":
            cluster.delete(name)
        return self.answer(cluster.pods[name].as_json(0) if name in cluster.pods else {})

    do_GET = do_POST = do_DELETE = handle_request

    def log(self, pod: Pod) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        told, cut = 0, self.server.cluster.cut
        while True:
            alive = pod.reads.is_alive()
            for stamp, line in pod.lines[told:]:
                if cut and told == cut:
                    self.server.cluster.cut *= 2  # the next connection gets farther
                    self.chunk(f"{stamp} {line}".encode()[:-3])
                    self.close_connection = True
                    return
                self.chunk(f"{stamp} {line}".encode())
                told += 1
            if not alive:
                return self.chunk(b"")
            time.sleep(0.02)

    def chunk(self, content: bytes) -> None:
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")


@contextmanager
def serving(launcher: dict) -> Iterator[tuple[Cluster, str]]:
    """Yields the cluster and the address of its API."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.cluster = Cluster(launcher)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.cluster, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        for name in list(server.cluster.pods):
            server.cluster.delete(name)
