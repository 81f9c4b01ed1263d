"""Serves the corpus reports of a release beside the chat, so that the links of the model card lead somewhere."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from release.corpus_pages import FOLDER
from release.gallery import Gallery


def add_routes(app: FastAPI, gallery: Gallery) -> None:
    """Adds the pages of the release's bundle at the addresses by which its card links them."""

    def page(request: Request) -> Response:
        folder = gallery.bundle / FOLDER
        pages = {path.name: path for path in folder.glob("*.html")}  # names that are there: no path leads out of it
        path = pages.get(request.path_params["name"])
        return FileResponse(path) if path else PlainTextResponse("The release holds no such report.", 404)

    app.router.add_route(f"/{FOLDER}/{{name}}", page, ["GET"])
