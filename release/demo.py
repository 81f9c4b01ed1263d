"""The chat for people, and for programs: `python -m release.demo --bundle store/laptop/bundle --port 7860`.

Serves any version of a release. With --store it also serves the versions of a store that a run is still filling:
`--store store/laptop --versions base_model=Base sft_model=SFT chat_model=Chat`. Needs no network and sends no data to
other hosts.
"""

import argparse
import contextlib
import os
import socket
import sys
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported: it reads this once
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gradio as gr
import uvicorn
from fastapi import FastAPI

from release import (
    corpus_routes,
    guard,
    openai_api,
    page,
    page_texts,
    second_opinions,
    share_controls,
    shared_page,
    theme,
)
from release.bundle import BundleError
from release.gallery import Gallery
from release.http_guard import LOOPBACK, Guard
from release.loaded_models import Models, memory_bound
from release.users import FILE, HEADER, Users, UsersError


def server(gallery: Gallery, host: str, port: int, users: Users | None = None) -> uvicorn.Server:
    """Returns the server of the page and of the API (release/openai_api.py); with `users`, for them alone.

    `Blocks.launch` is not used: it may check through a proxy whether it is up, and it accepts no ASGI wrapper.
    """
    app, models = FastAPI(openapi_url=None), Models(gallery)
    openai_api.add_routes(app, models)
    corpus_routes.add_routes(app, gallery)
    shared_page.add_routes(app)  # all before the page, which is mounted on every path that is left
    gr.mount_gradio_app(
        app, page.build(models), "/", server_name=host, server_port=port, footer_links=[],
        run_history=False, theme=theme.theme(), css=theme.CSS, head=theme.head(), ssr_mode=False, show_error=True,
    )  # fmt: skip
    return uvicorn.Server(
        uvicorn.Config(Guard(app, host, users), host=host, port=port, log_level="warning", timeout_graceful_shutdown=1)
    )


def is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def version(text: str) -> tuple[str, str]:
    """Returns (asset, name) of ASSET=NAME. Raises ValueError, which argparse reports."""
    asset, name = text.split("=")
    return asset, name


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m release.demo", description="Chat with a release.")
    parser.add_argument("--bundle", type=Path, required=True, help="for example store/laptop/bundle")
    parser.add_argument("--store", type=Path, help="a scale's folder of a store, for example store/laptop: serves "
                        "what is finished there too")  # fmt: skip
    parser.add_argument("--versions", type=version, nargs="*", default=[], metavar="ASSET=NAME",
                        help="the models of --store in training order")  # fmt: skip
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="0.0.0.0 lets other machines in, by address or a name in CRIA_CHAT_HOSTS; their users log in",
    )
    given = parser.parse_args(arguments)
    gallery = Gallery(given.bundle, given.store, tuple(given.versions))
    try:
        opened, users = gallery.now(), Users.from_environment()
        memory_bound()
        guard.threshold()
        if given.store is None:
            Models(gallery).guard_now()  # nothing will be made that could guard
        second_opinions.share()
        share_controls.days()
        if given.host not in LOOPBACK and users is None:
            raise UsersError(
                f"--host {given.host} lets other machines in: name the users in {FILE} (python -m release.users NAME), "
                f"or the header of your proxy in {HEADER}"
            )
    except (BundleError, ValueError) as error:  # ValueError: of the settings
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not is_free(given.host, given.port):
        print(f"error: port {given.port} of {given.host} is taken: end the program that holds it, or choose another "
              f"with --port {given.port + 1}", file=sys.stderr)  # fmt: skip
        return 1
    print(f"{page_texts.title(opened)}: http://{given.host}:{given.port}  (Ctrl+C ends it)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server(gallery, given.host, given.port, users).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
