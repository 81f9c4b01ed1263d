"""The models that are loaded, the guard's too, shared by the page and the API. Their weights stay within a bound on memory.

A model is loaded when it is first asked for. If the bound leaves no room, idle models go, the least recently used first.
If those that answer now leave no room, the request waits until they are idle. What one request needs is always loaded
once nothing else is in use, even beyond the bound.
"""

import contextlib
import math
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer

from modeling.core import runtime, sampling
from modeling.core.continuous_batching import Scheduler, ThreadedScheduler
from release import guard
from release.bundle import BundleError
from release.fair_share import Shares
from release.gallery import Gallery

MEMORY = "CRIA_CHAT_MEMORY"  # GB
SHARE_OF_MEMORY = 1 / 8  # of the machine's: a training may run beside the chat
SHARE_OF_GPU = 1 / 2  # of the device's: caches and activations need the rest

Key = tuple[Path, str]  # path and content


@dataclass(frozen=True)
class Loaded:
    model: torch.nn.Module
    tokenizer: object
    scheduler: Scheduler = field(default_factory=ThreadedScheduler)


@dataclass
class Entry:
    """A model that is loaded, or about to be."""

    size: int  # bytes
    users: int = 0
    loaded: Loaded | guard.Judge | None = None
    loading: threading.Lock = field(default_factory=threading.Lock)


class Models:
    """Lends the models of a gallery to those who answer, and with them the guard's, if there is a guard."""

    def __init__(self, gallery: Gallery, bound: int | None = None) -> None:
        """`bound`: bytes; None: that of the settings. Raises ValueError if a setting is no number."""
        self.gallery, self.threshold = gallery, guard.threshold()
        self.bound = memory_bound() if bound is None else bound
        self.scheduler = ThreadedScheduler()
        self.shares = Shares()
        self._changed = threading.Condition()
        self._entries: dict[Key, Entry] = {}  # the least recently used first
        self._waiting: list[Lease] = []

    def lease(self, *names: str) -> "Lease":
        """Asks for versions as the gallery holds them now. Raises BundleError if it lacks one or cannot be read."""
        return Lease(self, names)

    def guard_now(self) -> guard.Source | None:
        """What guards the answers now, None without a guard. Raises GuardError if it cannot judge."""
        scale = self.gallery.folder or self.gallery.bundle.parent
        return None if self.threshold is None else guard.source(scale, self.threshold)

    def held(self) -> int:
        """Bytes of the weights that are loaded or about to be."""
        with self._changed:
            return sum(entry.size for entry in self._entries.values())

    def queue(self, lease: "Lease") -> None:
        with self._changed:
            self._waiting.append(lease)

    def ahead_of(self, lease: "Lease") -> int:
        with self._changed:
            return self._waiting.index(lease) if lease in self._waiting else 0

    def grant(self, lease: "Lease", patience: float) -> bool:
        """Waits up to `patience` seconds until there is room for the lease's models, and reserves it."""
        with self._changed:
            granted = self._changed.wait_for(lambda: self._reserve(lease), patience)
        if lease.evicted:
            sampling.free_memory()
        return granted

    def _reserve(self, lease: "Lease") -> bool:
        if self._waiting[0] is not lease:  # in the order of the requests, so that nobody waits forever
            return False
        wanted = sum(self._entries[key].size if key in self._entries else size for key, size in lease.sizes.items())
        others = {key: entry for key, entry in self._entries.items() if key not in lease.sizes}
        in_use = sum(entry.size for entry in others.values() if entry.users)
        if in_use and in_use + wanted > self.bound:
            return False
        offered = {*lease.offered.values(), *lease.sizes}
        held = wanted + sum(entry.size for entry in others.values())
        for key, entry in sorted(others.items(), key=lambda item: item[0] in offered):  # outdated ones first
            if not entry.users and (held > self.bound or key not in offered):
                del self._entries[key]
                held -= entry.size
                lease.evicted = True
        for key, size in lease.sizes.items():
            self._entries.setdefault(key, Entry(size)).users += 1
        self._waiting.remove(lease)
        self._changed.notify_all()
        return True

    def load(self, key: Key, name: str) -> Loaded:
        """Returns a model for which room is reserved. Raises BundleError if it was replaced while it was read."""
        entry = self._entries[key]
        with entry.loading:
            if entry.loaded is None:
                loaded = load(key[0], self.scheduler)
                version = self.gallery.now().version(name)
                if version.content != key[1]:
                    raise BundleError(f"{version.title} was made anew while it was being read: send the message again")
                entry.loaded = loaded
            return entry.loaded

    def judge(self, key: Key) -> guard.Judge:
        """Returns the guard for which room is reserved. Raises BundleError if its model cannot be read or was replaced."""
        entry = self._entries[key]
        with entry.loading:
            if entry.loaded is None:
                with _damage_told(key[0]):
                    loaded = guard.Judge(self.guard_now())
                if self.guard_now().content != key[1]:
                    raise BundleError("the guard was made anew while it was being read: send the message again")
                entry.loaded = loaded
            return entry.loaded

    def release(self, lease: "Lease") -> None:
        with self._changed:
            if lease in self._waiting:
                self._waiting.remove(lease)
            else:
                for key in lease.sizes:
                    entry = self._entries.pop(key)
                    entry.users -= 1
                    if entry.users or entry.loaded is not None:
                        self._entries[key] = entry  # at the end: the most recently used
            self._changed.notify_all()


class Lease:
    """Models that stay loaded while they are used: `with models.lease(name) as lease`."""

    def __init__(self, models: Models, names: tuple[str, ...]) -> None:
        self.models, self.loaded, self.evicted = models, [], False
        self.guard, self.judge = models.guard_now(), None
        bundle = models.gallery.now()
        self.offered = {version.name: (version.path, version.content) for version in bundle.offered}
        self.versions = [bundle.version(name) for name in names]
        keys = [self.offered[name] for name in names] + ([self.guard.key] if self.guard else [])
        self.sizes = {key: weight_bytes(key[0]) for key in keys}

    def __enter__(self) -> "Lease":
        self.models.queue(self)
        return self

    def __exit__(self, *error) -> None:
        self.models.release(self)

    @property
    def ahead(self) -> int:
        """Requests that wait for memory before this one."""
        return self.models.ahead_of(self)

    def ready(self, patience: float) -> bool:
        """Whether there was room within `patience` seconds; then the models are in `loaded`, in the order of the names.

        With a guard, `judge` is it. Raises BundleError if the weights are damaged or were replaced meanwhile, OSError if
        they cannot be read.
        """
        if not self.models.grant(self, patience):
            return False
        self.loaded = [self.models.load(self.offered[version.name], version.name) for version in self.versions]
        self.judge = self.models.judge(self.guard.key) if self.guard else None
        return True


def load(path: Path, scheduler: Scheduler | None = None) -> Loaded:
    """Returns the model and tokenizer in `path`. Raises BundleError if the weights are damaged."""
    with _damage_told(path):
        loaded = sampling.load_transformers(path), AutoTokenizer.from_pretrained(path)
        return Loaded(*loaded, scheduler) if scheduler else Loaded(*loaded)


def weight_bytes(path: Path) -> int:
    """Returns the bytes of a model's weights once they are loaded. Raises BundleError if they are damaged."""
    values = 0
    with _damage_told(path):
        for file in path.glob("*.safetensors"):
            with safe_open(file, framework="pt") as tensors:
                names = tensors.keys()
                values += sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)
    return values * sampling.generation_dtype(runtime.device(), values).itemsize


def memory_bound() -> int:
    """Bytes that loaded weights may take. Raises ValueError if the setting is no positive number."""
    if (text := os.environ.get(MEMORY, "")) == "":
        if torch.cuda.is_available():
            return int(SHARE_OF_GPU * torch.cuda.get_device_properties(runtime.device()).total_memory)
        return int(SHARE_OF_MEMORY * psutil.virtual_memory().total)
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return int(float(text) * 1e9)
    raise ValueError(f"{MEMORY} is {text!r}: give the GB of weights that the chat may keep loaded, for example 2.5")


@contextlib.contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except SafetensorError as error:
        raise BundleError(
            f"the weights in {path} cannot be read ({error}): copy or materialize the bundle again"
        ) from error
