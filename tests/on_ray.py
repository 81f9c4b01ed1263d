"""A real Ray cluster of several nodes on this machine. Import it before Ray, which reads the token when it is imported."""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.conftest import ROOT

# Ray's workers inherit them.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")  # they lack the code that is sent, so none serves
os.environ.setdefault("RAY_worker_niceness", "0")  # 15 by default: beside other work of the machine they starve
ray = pytest.importorskip("ray", reason="Ray is not installed: make cluster")
from ray.cluster_utils import Cluster  # noqa: E402

# Ray's own time limits for the start of a node end these tests on a busy machine.
on_a_quiet_machine = pytest.mark.skipif(
    "CRIA_TEST_CLUSTER" not in os.environ, reason="takes minutes on a quiet machine: set CRIA_TEST_CLUSTER=1"
)


@contextmanager
def cluster(nodes: int) -> Iterator[Cluster]:
    """A head without processors and nodes with one each. Programs outside connect to `client`, all with a token."""
    with pytest.MonkeyPatch.context() as patch, socket.socket() as probe:
        patch.setenv("PYTHONPATH", str(ROOT))  # the functions of the tests
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        head = {"num_cpus": 0, "include_dashboard": False, "ray_client_server_port": port}
        started = Cluster(initialize_head=True, head_node_args=head)
        started.client = f"ray://127.0.0.1:{port}"
        try:
            for _ in range(nodes):
                started.add_node(num_cpus=1)
            started.wait_for_nodes()
            yield started
        finally:
            started.shutdown()


def node_of(started: Cluster, pid: int):
    """The node of the cluster that a process of this machine runs on."""
    above = {parent.pid for parent in psutil.Process(pid).parents()}
    (found,) = [
        node
        for node in started.worker_nodes
        if {each.process.pid for group in node.all_processes.values() for each in group} & above
    ]
    return found
