"""An ASGI app around gradio's that limits which requests the chat's server answers.

gradio serves more than a chat needs: it accepts files of any size, fetches addresses named in a request, and answers
pages of any host name that resolves to this machine. The guard opens only the routes of the page, only to pages of this
server, and accepts only small requests: on the page text and numbers, on the API (release/openai_api.py) any body.
"""

import ipaddress
import json
import os
import re
import sys
from collections.abc import Mapping

import anyio
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modeling.rlhf.ratings.shared_dialogues import ID as SHARED_ID
from release.users import TooManyTriesError, Users, UsersError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
HOSTS = "CRIA_CHAT_HOSTS"
MAX_BODY_BYTES = 1 << 20
BODY_S = 30.0  # a client that takes longer to send its request holds memory and a connection
USER = "x-cria-user"  # the header in which the page finds who asks; the guard sets it and nobody else
MODELS, COMPLETIONS = "/v1/models", "/v1/chat/completions"
READ = re.compile(
    rf"{MODELS}(/[^/]+)?|/|/config/?|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/(assets|static|svelte)/.+|/corpus/[^/]+|"
    rf"/shared/{SHARED_ID}|"
    r"/gradio_api/(info|startup-events|app_id|theme\.css|queue/status|queue/data|heartbeat/[^/]+)/?"
)
AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:@/\\\s]+))(?::\d+)?", re.IGNORECASE)  # HOST or HOST:PORT
WRITE = re.compile(rf"{COMPLETIONS}|/gradio_api/(queue/join|run/[^/]+|cancel|reset)/?")
# A page may load nothing from other hosts, such as the fonts of the framework.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer"),
           (b"x-content-type-options", b"nosniff")]  # fmt: skip


class Guard:
    """Refuses requests that the chat does not need, and adds HEADERS to every response.

    `host` is the address the server listens on. The page opens under localhost, under the comma-separated names in
    CRIA_CHAT_HOSTS and, if other machines have access, under any IP address. DNS rebinding cannot use
    an IP address. With `users`, only they are let in, and the page learns who they are in the header USER.
    """

    def __init__(self, app: ASGIApp, host: str, users: Users | None = None) -> None:
        self.app, self.by_address, self.users = app, host not in LOOPBACK, users
        named = [host, *os.environ.get(HOSTS, "").split(",")]
        self.named = frozenset(filter(None, (name.strip().lower() for name in named)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *HEADERS]}
            await send(message)

        refused = self.refusal(scope)
        if refused is None:
            scope, refused = await self.named_user(scope)
        if refused is None and scope["method"] == "POST":
            body = None
            with anyio.move_on_after(BODY_S):
                body = await read_body(receive)
            refused = (408, "The request came too slowly.") if body is None else body_refusal(body, scope["path"])
            receive = replayed(body or b"", receive)
        answer = self.app if refused is None else refusal_response(scope["path"], *refused)
        await answer(scope, receive, send_with_headers)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Returns (status, reason) for a request to refuse, judged without its body, or None."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self.serves(host_name(host)):
            return (
                400,
                f"This server does not answer to the name {host!r}. The person who runs it can add it to {HOSTS}.",
            )
        page = "" if origin is None else origin.partition("://")[2]
        if origin is not None and page != host and host_name(page) not in self.named:
            return 403, f"Pages of {origin} may not use this server."
        if scope["type"] != "http":
            return 404, "No websockets here."
        routes = {"GET": READ, "HEAD": READ, "POST": WRITE}.get(scope["method"])
        if routes is None or not routes.fullmatch(scope["path"]):
            return 404, "The chat has no such page."
        return None

    async def named_user(self, scope: Scope) -> tuple[Scope, tuple[int, str] | None]:
        """Returns (the request with its user's name in the header USER, None or why it is refused)."""
        others = [(name, value) for name, value in scope["headers"] if name.lower() != USER.encode()]
        if self.users is None:
            return scope | {"headers": others}, None
        try:
            name = await self.users.named(Headers(scope=scope))
        except TooManyTriesError:
            return scope, (429, "Too many people log in at this moment. Try again in a while.")
        except UsersError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            return scope, (
                503,
                "The users of this server cannot be read. The person who runs it finds why in its output.",
            )
        if name is None:
            return scope, (401, "This server asks for a name and a password.")
        return scope | {"headers": [*others, (USER.encode(), name.encode())]}, None

    def serves(self, name: str) -> bool:
        if name == "localhost" or name in self.named:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.by_address or address.is_loopback


def user_of(headers: Mapping[str, str]) -> str:
    """Returns the name that the guard wrote into the header USER of a request, "" without a login."""
    return headers.get(USER, "").encode("latin-1").decode()  # headers are read as Latin-1; names are UTF-8


def host_name(authority: str) -> str:
    """Returns HOST of HOST or HOST:PORT in lower case, "" if `authority` is neither."""
    found = AUTHORITY.fullmatch(authority)
    return (found[1] or found[2]).lower() if found else ""


async def read_body(receive: Receive) -> bytes:
    """Returns the body of a request. Stops reading once it exceeds MAX_BODY_BYTES."""
    body, more = b"", True
    while more and len(body) <= MAX_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def body_refusal(body: bytes, path: str) -> tuple[int, str] | None:
    """Returns (status, reason) for a body that is too large or no chat event, or None.

    gradio would fetch objects in an event as files. The API checks its bodies itself.
    """
    if len(body) > MAX_BODY_BYTES:
        return 413, f"Requests have at most {MAX_BODY_BYTES:,} bytes."
    if path == COMPLETIONS:
        return None
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return 400, "The body is no JSON."
    inputs = event.get("data", []) if isinstance(event, dict) else None
    if not isinstance(inputs, list) or any(isinstance(value, dict | list) for value in inputs):
        return 400, "The inputs of the chat are text and numbers."
    return None


def refusal_response(path: str, status: int, reason: str) -> Response:
    """Returns the reason as text, or under /v1/ as OpenAI's error object."""
    headers = {"www-authenticate": 'Basic realm="Cria", charset="UTF-8"'} if status == 401 else None
    if path.startswith("/v1/"):
        return JSONResponse(error_body(reason, "invalid_request_error"), status, headers)
    return PlainTextResponse(reason, status, headers)


def error_body(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict:
    """Returns OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def replayed(body: bytes, receive: Receive) -> Receive:
    """Returns a `receive` that first gives the body already read, then the messages after it."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again
