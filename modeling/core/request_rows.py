"""The rows of one model: requests, the reading of their prompts, and a step that gives each of them one token.

A prompt is read alone and in chunks. Each row has its own sampling and random numbers: its tokens are those of the row
alone, up to the rounding of matrix products with more rows. What fails in one row ends this row only.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from modeling.core import nucleus, sampling
from modeling.core.live_batch import LiveBatch

CHUNK = 128  # tokens of a prompt that are read at once


@dataclass(eq=False)
class Request:
    """One answer to come."""

    model: PreTrainedModel
    ids: list[int]  # the prompt
    temperature: float  # 0: greedy
    top_p: float
    most: int  # tokens of the longest answer
    closing: int  # the token that ends the answer
    generator: torch.Generator
    cache: DynamicCache | None = None  # of the prompt, while it is read
    read: int = 0  # tokens of the prompt
    last: int | None = None  # the latest token of the answer
    made: int = 0  # tokens of the answer
    gone: bool = False  # ended, failed or cancelled: it needs no row
    events: SimpleQueue = field(default_factory=SimpleQueue)

    @property
    def room(self) -> int:
        """Tokens that the row may come to hold."""
        return len(self.ids) + self.most

    def tokens(self, patience: float) -> Iterator[int | None]:
        """Yields each token of the answer as it is made, and None whenever there was none for `patience` seconds.

        Raises the error that ended this row alone. The caller knows the last token by `closing` and `most`.
        """
        while True:
            try:
                event = self.events.get(timeout=patience)
            except Empty:
                event = None
            if isinstance(event, Exception):
                raise event
            yield event

    def add(self, outcome: int | Exception) -> None:
        """Hands over the next token, or the error that ends the row."""
        if isinstance(outcome, Exception):
            self.gone = True
        else:
            self.last, self.made = outcome, self.made + 1
            self.gone = self.gone or outcome == self.closing or self.made == self.most
        self.events.put(outcome)

    def uniforms(self) -> Tensor:
        """Two numbers (1, 2) for the next token."""
        return torch.rand((1, 2), generator=self.generator)


class Group:
    """The rows of one model: row r of the batch belongs to request r."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.batch = LiveBatch(model)
        self.requests: list[Request] = []
        self.budget = sampling.token_budget(model)

    def read(self, request: Request) -> int:
        """Reads the next chunk of a prompt. After the last one the request has its first token and a row.

        Returns the number of tokens read.
        """
        chunk = request.ids[request.read : request.read + CHUNK]
        try:
            if (logits_1V := read_chunk(self.batch.model, request, chunk)) is not None:
                (outcome,) = next_tokens([request], logits_1V, request.uniforms())
                request.add(outcome)
                if not request.gone:
                    self.batch.join(request.cache, request.room)
                    self.requests.append(request)
                request.cache = None
        except Exception as error:  # noqa: BLE001 (whatever fails in one row must not end the others)
            request.add(error)
        return len(chunk)

    def step(self) -> None:
        """Gives each row its next token. Rows that end leave."""
        if not self.requests:
            return
        uniforms_R2 = torch.cat([request.uniforms() for request in self.requests])
        outcomes = self._outcomes(slice(0, len(self.requests)), uniforms_R2)
        for row, (request, outcome) in enumerate(zip(self.requests, outcomes, strict=True)):
            self.batch.keep(row)
            request.add(outcome)
        self.clear()

    def clear(self) -> None:
        """Removes the rows of requests that need none."""
        for row in reversed(range(len(self.requests))):
            if self.requests[row].gone:
                self.batch.leave(row)
                self.requests[row] = self.requests[-1]
                self.requests.pop()

    def _outcomes(self, rows: slice, uniforms_R2: Tensor) -> list[int | Exception]:
        """The next token of each row, or what went wrong in it. If the rows fail together, each is tried alone."""
        requests = self.requests[rows]
        try:
            logits_RV = self.batch.step([request.last for request in requests], rows)
            return next_tokens(requests, logits_RV, uniforms_R2)
        except Exception as error:  # noqa: BLE001 (whatever fails in one row must not end the others)
            if len(requests) == 1:
                return [error]
        alone = [slice(row, row + 1) for row in range(len(requests))]
        return [self._outcomes(row, uniforms_R2[row])[0] for row in alone]


@torch.inference_mode()
def read_chunk(model: PreTrainedModel, request: Request, chunk: list[int]) -> Tensor | None:
    """Adds a chunk of the prompt to the request's cache. Returns the logits (1, V) after the last chunk, else None."""
    if request.cache is None:
        request.cache = DynamicCache(config=model.config)
    request.read += len(chunk)
    ids_1T = torch.tensor([chunk], device=model.device)
    if request.read < len(request.ids):
        model.get_decoder()(ids_1T, past_key_values=request.cache, use_cache=True)
        return None
    return model(ids_1T, past_key_values=request.cache, use_cache=True, logits_to_keep=1).logits[:, -1]


@torch.inference_mode()
def next_tokens(requests: list[Request], logits_RV: Tensor, uniforms_R2: Tensor) -> list[int | Exception]:
    """One token a row, by its request's temperature and top-p; an error for a row whose logits are not numbers."""
    outcomes: list[int | Exception] = [RuntimeError("the model's logits are not numbers")] * len(requests)
    alike: dict[tuple[float, float], list[int]] = {}
    for row, broken in enumerate(logits_RV.isnan().any(-1).tolist()):
        if not broken:
            alike.setdefault((requests[row].temperature, requests[row].top_p), []).append(row)
    for (temperature, top_p), rows in alike.items():
        uniforms_Q2 = uniforms_R2[rows].to(logits_RV.device)
        tokens_Q = nucleus.sample_tokens(logits_RV[rows].float(), uniforms_Q2, temperature, top_p)
        for row, token in zip(rows, tokens_Q.tolist(), strict=True):
            outcomes[row] = token
    return outcomes
