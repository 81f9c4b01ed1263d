"""Answers to many requests at once: rows join a model's batch and leave it between two tokens.

Steps of two models take turns: at the same time they would share the cores. Requests wait in one line for all models,
and only a chunk of a prompt is read between two steps, so a long one delays the other rows by little.
"""

import threading
import time
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from modeling.core import sampling
from modeling.core.request_rows import CHUNK, Group, Request

MOST_ROWS = 32
LINE = 64  # requests that may wait
USUAL_ANSWER = 100.0  # tokens, until answers have ended
WEIGHT = 0.1  # of the latest value in a moving average


class LineFullError(RuntimeError):
    """As many requests wait as may wait."""


@dataclass(frozen=True)
class Place:
    """How long a request has to wait."""

    number: int  # in line; 0: its prompt is being read
    seconds: float | None  # estimate; None: nothing is measured yet


class Scheduler:
    """Gives rows to requests in the order in which they came. `turn` computes; any thread may call the rest."""

    def __init__(self, rows: int = MOST_ROWS, line: int = LINE) -> None:
        self.rows, self.line = rows, line
        self._lock = threading.RLock()  # of the line and of the admitted
        self._line: list[Request] = []
        self._admitted: list[Request] = []  # those that have a row, or will have it once their prompt is read
        self._groups: dict[int, Group] = {}  # by identity of the model; `turn` alone uses them
        self._turn_s: float | None = None
        self._answer_tokens = USUAL_ANSWER

    def submit(
        self, model: PreTrainedModel, ids: list[int], temperature: float, top_p: float, most: int, closing: int,
        generator: torch.Generator,
    ) -> Request:  # fmt: skip
        """Puts a request at the end of the line. Raises LineFullError."""
        request = Request(model, ids, temperature, top_p, most, closing, generator)
        with self._lock:
            if len(self._line) + len(self._admitted) >= self.rows + self.line:
                raise LineFullError(f"{self.rows} answers are being written and {self.line} requests wait")
            self._line.append(request)
        return request

    def cancel(self, request: Request) -> None:
        """Frees the request's row before the next step, or its place in line at once."""
        request.gone = True
        with self._lock:
            if request in self._line:
                self._line.remove(request)

    def place(self, request: Request) -> Place:
        with self._lock:
            number = self._line.index(request) + 1 if request in self._line else 0
            if not number or self._turn_s is None:
                return Place(number, None)
            return Place(number, number * self._answer_tokens * self._turn_s / max(1, len(self._admitted)))

    def requests(self) -> list[Request]:
        """Those that have a row, then those in line."""
        with self._lock:
            return [*self._admitted, *self._line]

    def busy(self) -> tuple[int, int]:
        """(rows that are taken, requests in line)."""
        with self._lock:
            return len(self._admitted), len(self._line)

    def turn(self) -> bool:
        """Lets requests in, reads prompts and gives each row one token. False: there is nothing to do."""
        if not self._admit():
            return False
        begun = time.monotonic()
        left = CHUNK
        for request in self._admitted:
            while left > 0 and request.last is None and not request.gone:
                left -= self._groups[id(request.model)].read(request)
        for group in self._groups.values():
            group.step()
        self._turn_s = _moved(self._turn_s, time.monotonic() - begun)
        return True

    def _admit(self) -> bool:
        """Frees the rows of those who are gone, and lets in the first of the line. Whether any request has a row."""
        for group in self._groups.values():
            group.clear()
        with self._lock:
            for one in self._admitted:
                if one.gone and one.made:
                    self._answer_tokens = _moved(self._answer_tokens, one.made)
            self._admitted = [one for one in self._admitted if not one.gone]
            models = {id(one.model) for one in self._admitted}
            self._groups = {model: group for model, group in self._groups.items() if model in models}
            while self._line and self._has_room_for(self._line[0]):
                self._admitted.append(self._line.pop(0))
            return bool(self._admitted)

    def _has_room_for(self, request: Request) -> bool:
        """Whether a row is free, and the cache of the request's model has room for the longest row so often."""
        if len(self._admitted) >= self.rows:
            return False
        if id(request.model) not in self._groups:
            self._groups[id(request.model)] = Group(request.model)
        rooms = [one.room for one in self._admitted if one.model is request.model]
        return not rooms or (len(rooms) + 1) * max(*rooms, request.room) <= self._groups[id(request.model)].budget


class ThreadedScheduler(Scheduler):
    """Takes its turns in a thread of its own, which lives while there is something to do."""

    _thread: threading.Thread | None = None

    def submit(self, *asked) -> Request:
        with self._lock:
            request = super().submit(*asked)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="answers", daemon=True)
                self._thread.start()
        return request

    def _work(self) -> None:
        try:
            while self.turn():
                pass
        except Exception as error:  # noqa: BLE001 (nobody may wait for a thread that has ended)
            with self._lock:
                for request in (*self._admitted, *self._line):
                    request.add(error)
                self._line, self._groups, self._thread = [], {}, None
        sampling.free_memory()

    def _admit(self) -> bool:
        with self._lock:
            if not (going := super()._admit()):
                self._thread = None
            return going


def _moved(average: float | None, value: float) -> float:
    return value if average is None else average + WEIGHT * (value - average)
