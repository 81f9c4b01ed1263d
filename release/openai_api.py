"""An OpenAI-compatible API on the chat's server: POST /v1/chat/completions, GET /v1/models and GET /v1/models/NAME.

Every version that the gallery offers is a model. Requests are answered together with those of the page and wait in the
same line; while that is full, the status is 503 with Retry-After. Generation stops when the client disconnects. Fields
that would change the meaning of a request but are not supported are refused; other unknown fields are ignored. There are
no API keys: an Authorization header is ignored.

With a guard (release/guard.py), an answer comes in one piece, its choice says what the guard said ("guard"), and one that
it withholds ends with the reason "content_filter".
"""

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import anyio
from fastapi import FastAPI
from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from modeling.core import dialog
from modeling.core.continuous_batching import LINE, MOST_ROWS, LineFullError
from release import chat
from release.bundle import Bundle, BundleError, Version
from release.fair_share import OwnShareError
from release.http_guard import COMPLETIONS, MODELS, error_body, user_of
from release.loaded_models import Models

RETRY_AFTER_S = 5
SPARE_THREADS = 16  # for requests that are refused because the line is full
STALLED_S = 30.0  # a client that reads nothing for so long loses its turn
LISTED = BeforeValidator(lambda stop: [] if stop is None else [stop] if isinstance(stop, str) else stop)
# Fields that are not supported, each with the values that ask for nothing.
UNSUPPORTED = {
    "n": (None, 1), "logprobs": (None, False), "logit_bias": (None, {}), "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0), "tool_choice": (None, "none", "auto"), "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}), "modalities": (None, ["text"]),
}  # fmt: skip


class Refused(Exception):
    """A request gets OpenAI's error object instead of an answer."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        kind = "server_error" if status >= 500 else "invalid_request_error"
        headers = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else None
        self.response = JSONResponse(error_body(message, kind, param, code), status, headers)


def text_of(content: object) -> object:
    """Returns the text of a list of text parts, one part a line; anything else as it is. Raises ValueError."""
    if not isinstance(content, list):
        return content
    for part in content:
        if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
            raise ValueError('only parts {"type": "text", "text": "..."} are supported')
    return "\n".join(part["text"] for part in content)


class Turn(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(max_length=chat.MAX_CHARACTERS), BeforeValidator(text_of)]


class Asked(BaseModel):
    """A chat completion request. null stands for the default."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    model: str | None = None
    messages: Annotated[list[Turn], FailFast(), Field(min_length=1, max_length=2048)]
    temperature: float | None = Field(None, ge=0, le=chat.MAX_TEMPERATURE)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)  # the newer name, which wins
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=4), LISTED] = []
    stream: bool | None = None
    stream_options: dict | None = None

    def settings(self, bundle: Bundle, version: Version) -> chat.Settings:
        """Returns how to sample; what the request leaves open is as on the page."""
        sampling = bundle.sampling
        length = self.max_completion_tokens or self.max_tokens or max(sampling.max_new_tokens, chat.ANSWER_TOKENS)
        temperature = bundle.temperature(version.name) if self.temperature is None else self.temperature
        return chat.Settings(temperature, self.top_p or sampling.top_p, length, self.seed)


def read(body: bytes) -> Asked:
    """Returns the request in a body. Raises Refused with one line that says what is wrong."""
    try:
        asked = Asked.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or None
        told = first["msg"].removeprefix("Value error, ")
        raise Refused(400, f"{place or 'The body'}: {told}", place, "invalid_value") from None
    for field, harmless in UNSUPPORTED.items():
        if asked.model_extra.get(field) not in harmless:
            raise Refused(400, f"This value of {field} is not supported.", field, "unsupported_value")
    return asked


def chosen(bundle: Bundle, model: str | None) -> Version:
    """Returns the version of this name; for None, the bundle's name and "current" the first offered. Raises Refused."""
    models = {name: version for version in bundle.offered[:1] for name in (None, bundle.name, "current")}
    models |= {version.name: version for version in bundle.offered}
    if model in models:
        return models[model]
    told = f"The models are {', '.join(filter(None, models))}." if models else "No version is made yet."
    raise Refused(404, f"There is no model {(model or bundle.name)[:100]!r}. {told}", "model", "model_not_found")


def visible(text: str, ended: str | None, stops: Sequence[str]) -> tuple[str, str | None]:
    """Returns (text to show, finish reason or None). What may be the start of a stop string is held until that is known."""
    if found := [place for place in map(text.find, stops) if place >= 0]:
        return text[: min(found)], "stop"
    if ended:
        return text, "stop" if ended == "closed" else "length"
    held = max((n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
    return text[: len(text) - held], None


def until_stop(answers: Iterator[chat.Answer], stops: Sequence[str]) -> Iterator[chat.Answer]:
    """Yields the answers with the text to show; `ended` becomes the finish reason, and a stop string ends them."""
    with contextlib.closing(answers):
        for answer in answers:
            if not answer.waits:
                text, ended = visible(answer.text, answer.ended, stops)
                answer = replace(answer, text=text, ended=ended)
            yield answer
            if answer.ended:
                return


class Events:
    """Writes the server-sent events of one answer, None as the last. Calls `leave` if the client has stopped reading."""

    def __init__(self, send: Send, leave: Callable[[], None]) -> None:
        self._send, self._leave, self.begun = send, leave, False

    async def write(self, event: dict | None) -> None:
        if not self.begun:
            self.begun = True
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        body = f"data: {'[DONE]' if event is None else json.dumps(event)}\n\n".encode()
        with anyio.move_on_after(STALLED_S) as waiting:
            await self._send({"type": "http.response.body", "body": body, "more_body": event is not None})
        if waiting.cancelled_caught:
            self._leave()


class Completions:
    """The ASGI app of POST /v1/chat/completions."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.threads = anyio.CapacityLimiter(MOST_ROWS + LINE + SPARE_THREADS)  # an answer holds one, in line too

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body, user = await request.body(), user_of(request.headers)

        async def leave_with_client() -> None:
            await receive()  # after the body there is only the disconnect
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leave_with_client)
            events = Events(send, tasks.cancel_scope.cancel)
            try:
                response = await self.answer(body, events, user)
            except Refused as refused:
                response = refused.response
            if response and events.begun:
                await events.write(json.loads(response.body))
                await events.write(None)
            elif response:
                await response(scope, receive, send)
            tasks.cancel_scope.cancel()

    async def answer(self, body: bytes, events: Events, user: str) -> JSONResponse | None:
        """Returns the completion, or None once it is written as events. Raises Refused."""
        asked = read(body)
        try:
            bundle = await run_in_threadpool(self.models.gallery.now)
            version = chosen(bundle, asked.model)
            steps = self.steps(asked, version, asked.settings(bundle, version), user)
            try:
                return await self.write(steps, asked, version, events)
            finally:
                steps.close()
        except OwnShareError as error:
            raise Refused(429, f"Not answered: {error}.", None, "rate_limit_exceeded") from error
        except LineFullError as error:
            raise Refused(503, f"Try again later: {error}.", None, "overloaded") from error
        except (ValueError, RuntimeError, OSError, LookupError) as error:  # loading and running a model raise these
            told = next(iter(str(error).strip().splitlines()), "")
            status = 503 if isinstance(error, BundleError) else 500
            raise Refused(status, f"No answer: {type(error).__name__}: {told}") from error

    def steps(self, asked: Asked, version: Version, settings: chat.Settings, user: str) -> Iterator[chat.Answer | None]:
        """Yields the answer as it grows, and None while it waits for the memory of its model.

        Unlike the page it drops no early turns: raises Refused if they do not all fit.
        """
        with self.models.shares.one_more(user), self.models.lease(version.name) as lease:
            while not lease.ready(chat.PATIENCE_S):
                yield None
            (loaded,) = lease.loaded
            messages = [message.model_dump() for message in asked.messages]
            try:
                size = len(dialog.encode_prompt(loaded.tokenizer, messages))
            except ValueError as error:
                raise Refused(400, f"messages: {error}", "messages", "invalid_value") from None
            if size > (limit := chat.prompt_limit(version.context, settings.max_new_tokens)):
                told = f"The messages take {size} tokens; of the {version.context} that {version.name} reads, {limit} are free."
                raise Refused(400, f"{told} Shorten them or lower max_tokens.", "messages", "context_length_exceeded")
            answers = until_stop(chat.stream(loaded, messages, settings), asked.stop)
            yield from chat.guarded(lease.judge, version, messages, answers)

    async def write(
        self, steps: Iterator[chat.Answer | None], asked: Asked, version: Version, events: Events
    ) -> JSONResponse | None:
        """Generates the answer. Returns the completion, or None if the client asked for events, which are then written."""
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion.chunk" if asked.stream else "chat.completion",
                "created": int(time.time()), "model": version.name, "system_fingerprint": version.content[:12]}  # fmt: skip
        counted = (asked.stream_options or {}).get("include_usage") is True

        async def chunk(delta: dict, finish: str | None = None, said: dict | None = None) -> None:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish} | (said or {})
            await events.write(head | {"choices": [choice]} | ({"usage": None} if counted else {}))

        sent, finish = 0, None
        while finish is None:
            answer = await anyio.to_thread.run_sync(next, steps, limiter=self.threads)
            if answer is None or answer.waits:
                continue
            text, finish = answer.text, "content_filter" if answer.ended == chat.WITHHELD else answer.ended
            if asked.stream and (len(text) > sent or not events.begun):
                await chunk(({} if events.begun else {"role": "assistant"}) | {"content": text[sent:]})
                sent = len(text)
        said = {"guard": answer.verdict.as_json()} if answer.verdict else {}
        usage = {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.tokens,
                 "total_tokens": answer.prompt_tokens + answer.tokens}  # fmt: skip
        if not asked.stream:
            message = {"role": "assistant", "content": text, "refusal": None}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish} | said
            return JSONResponse(head | {"choices": [choice], "usage": usage})
        await chunk({}, finish, said)
        if counted:
            await events.write(head | {"choices": [], "usage": usage})
        await events.write(None)
        return None


def add_routes(app: FastAPI, models: Models) -> None:
    """Adds the routes of the API to the app."""
    gallery = models.gallery

    async def described(request: Request) -> JSONResponse:
        """One model, or all of them."""
        try:
            bundle = await run_in_threadpool(gallery.now)
            name = request.path_params.get("name")
            versions = [chosen(bundle, name)] if name else bundle.offered
            common = {"object": "model", "owned_by": bundle.name}
            objects = [common | {"id": one.name, "created": int(one.path.stat().st_mtime)} for one in versions]
        except Refused as refused:
            return refused.response
        except (BundleError, OSError) as error:
            return Refused(503, str(error)).response
        return JSONResponse(objects[0] if name else {"object": "list", "data": objects})

    app.router.add_route(MODELS, described, ["GET"])
    app.router.add_route(MODELS + "/{name}", described, ["GET"])
    app.router.add_route(COMPLETIONS, Completions(models), ["POST"])
