"""The review as a local server: a page, images by their place, and answers."""

import json
import secrets
import socket
from collections.abc import Callable, Sequence
from importlib.resources import files
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from zerolabel.data.images import Unreadable
from zerolabel.errors import InputError
from zerolabel.review.guard import Guard
from zerolabel.review.page import SERVED, about, index
from zerolabel.review.pictures import LARGE, SMALL, picture
from zerolabel.review.review import Review

if TYPE_CHECKING:
    import uvicorn

HOST = "127.0.0.1"
_MOST = 100_000
"""Bytes of a request."""
_KINDS = ("measure", "compare", "correct")
"""Lists of every review, beside its questions."""
_TYPES = {"review.css": "text/css", **dict.fromkeys(SERVED, "text/javascript")}
NOTHING = Response(status_code=404)


def application(
    review: Review, finish: Callable[[], str], reviewers: dict[str, str], port: int, finishing: str = ""
) -> ASGIApp:
    """The server's application.

    Args:
        review: the review.
        finish: writes what the review came to, and says where.
        reviewers: names, by their tokens.
        port: on which it listens.
        finishing: text of the button that calls ``finish``; the page then waits for the next review at its address.
    """
    pages = _Pages(review, finish, list(reviewers.values()), finishing)
    routes = [
        Route("/{token}/", pages.index),
        Route("/{token}/about", pages.about),
        Route("/{token}/queue/{kind}", pages.queue),
        Route("/{token}/grid/{class_id:int}", pages.grid),
        Route("/{token}/grid/{class_id:int}", pages.mark, methods=["POST"]),
        Route("/{token}/image/{kind}/{place:int}/{size}", pages.image),
        Route("/{token}/answer", pages.answer, methods=["POST"]),
        Route("/{token}/finish", pages.finish, methods=["POST"]),
        Route("/{token}/{name}", pages.file),
    ]
    app = Starlette(routes=routes, exception_handlers={404: _nothing, 405: _nothing})
    return Guard(app, reviewers, frozenset((f"{HOST}:{port}", f"localhost:{port}")))


async def _nothing(request: Request, error: Exception) -> Response:
    return NOTHING


class _Pages:
    """The routes of the server."""

    def __init__(self, review: Review, finish: Callable[[], str], names: Sequence[str], finishing: str) -> None:
        self.review, self.written, self.names, self.finishing = review, finish, names, finishing
        self.kinds = (*_KINDS, *review.questions)

    async def index(self, request: Request) -> Response:
        return Response(index(self.review.subject.title), media_type="text/html")

    async def file(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _TYPES:
            return NOTHING
        return Response(files(__package__).joinpath("page", name).read_bytes(), media_type=_TYPES[name])

    async def about(self, request: Request) -> Response:
        return JSONResponse({**about(self.review, request.state.reviewer), "finishing": self.finishing})

    async def queue(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        turn = self.names.index(request.state.reviewer)
        return JSONResponse(self.review.queue(kind, turn, len(self.names))) if kind in self.kinds else NOTHING

    async def grid(self, request: Request) -> Response:
        return JSONResponse(self.review.grid(request.path_params["class_id"]))

    async def image(self, request: Request) -> Response:
        kind, place = request.path_params["kind"], request.path_params["place"]
        size = {"large": LARGE, "small": SMALL}.get(request.path_params["size"])
        if kind not in (*self.kinds, "grid") or size is None or place >= len(self.review.pool(kind)):
            return NOTHING
        try:
            data, media = await run_in_threadpool(picture, self.review.pool(kind).images, place, size)
        except Unreadable:
            return NOTHING
        return Response(data, media_type=media)

    async def answer(self, request: Request) -> Response:
        def save(given: dict[str, Any]) -> object:
            if given["kind"] not in self.kinds:
                raise ValueError
            return self.review.answer(given["kind"], int(given["place"]), given["choice"], request.state.reviewer)

        return await _saved(request, save)

    async def mark(self, request: Request) -> Response:
        def save(given: dict[str, Any]) -> object:
            class_id = request.path_params["class_id"]
            self.review.mark(class_id, given["items"], given["wrong"], request.state.reviewer)
            return {**self.review.grid(class_id), **self.review.progress()}

        return await _saved(request, save)

    async def finish(self, request: Request) -> Response:
        return await _saved(request, lambda _: {"written": self.written()})


async def _saved(request: Request, save: Callable[[dict[str, Any]], Any]) -> Response:
    """Result of a function of the JSON body of a request; None for an invalid body."""
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _MOST:
            return NOTHING
    try:
        given = json.loads(data)
        done = await run_in_threadpool(save, given)
    except InputError as error:
        return JSONResponse({"error": str(error)}, status_code=507)
    except (ValueError, KeyError, TypeError):
        return NOTHING
    return JSONResponse(done)


def listen(port: int = 0) -> socket.socket:
    """A socket on the loopback interface.

    Args:
        port: 0 takes a free one.

    Raises:
        InputError: the port is taken.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(128)  # so that who opens the address at once waits for the server
    except OSError as error:
        listening.close()
        raise InputError(
            f"--port {port} cannot be used ({error.strerror}); leave it out, and a free one is taken."
        ) from None
    return listening


def addresses(names: Sequence[str], port: int) -> tuple[dict[str, str], list[str]]:
    """A new token for each reviewer, and the address that each opens."""
    reviewers = {secrets.token_urlsafe(24): name for name in names}
    return reviewers, [f"http://{HOST}:{port}/{token}/" for token in reviewers]


def serve(app: ASGIApp, listening: socket.socket, end: Event | None = None) -> None:
    """Answer requests until the process is interrupted, or an event is set."""
    import uvicorn

    config = uvicorn.Config(app, log_level="error", access_log=False, server_header=False, timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    if end is not None:
        Thread(target=_end_with, args=(end, server), daemon=True).start()
    server.run(sockets=[listening])


def _end_with(end: Event, server: "uvicorn.Server") -> None:
    end.wait()
    server.should_exit = True
