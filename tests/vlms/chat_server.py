"""A server on loopback that speaks the chat completions protocol, and misbehaves on purpose."""

import base64
import hashlib
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

Answer = tuple[int, dict[str, str], bytes]
DRIP: Answer = (-1, {}, b"")
"""A reply that never ends, a byte every tenth of a second."""


def completion(content: Any, usage: bool = True) -> bytes:
    data: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": content}}]}
    if usage:
        data["usage"] = {"prompt_tokens": 100, "completion_tokens": 10}
    return json.dumps(data).encode()


def good(content: Any, **more: Any) -> Answer:
    return 200, {}, completion(content, **more)


def wrong(status: int, text: str = "no", **headers: str) -> Answer:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, text.encode()


def retry_dates() -> Answer:
    return wrong(429, Retry_After=formatdate(time.time() + 1, usegmt=True))


def picture(request: dict[str, Any]) -> Image.Image:
    url = request["messages"][0]["content"][1]["image_url"]["url"]
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def digest(request: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request["messages"]).encode()).hexdigest()


class ChatServer:
    """Answers by ``behave(request, nth)``, where nth counts the requests with the same messages, from 0.

    Attributes:
        requests: all bodies, in order.
        headers: of the last request.
        answered: how often each (image, prompt) was answered with a completion.
        stop: once set, requests hang until the client goes away.
        gather: requests that must have come before any is answered.
    """

    def __init__(self, behave: Callable[[dict[str, Any], int], Answer]) -> None:
        self.behave, self.requests, self.headers = behave, [], {}
        self.seen, self.answered, self.stop = Counter[str](), Counter[str](), threading.Event()
        self.limit: int | None = None
        self.gather = 0
        self.lock, self.closing = threading.Lock(), threading.Event()
        self.http = Server(self)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def close(self) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()


class Server(ThreadingHTTPServer):
    """The sockets of a `ChatServer`."""

    daemon_threads, request_queue_size = True, 64

    def __init__(self, chat: "ChatServer") -> None:
        self.chat = chat
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_: Any) -> None:
        return


class Handler(BaseHTTPRequestHandler):
    """One connection to a `ChatServer`."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.respond(200, {}, b"{}")

    def do_POST(self) -> None:
        chat = self.server.chat
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = digest(request)
        with chat.lock:
            chat.headers = dict(self.headers)
            chat.requests.append(request)
            nth = chat.seen[name]
            chat.seen[name] += 1
            held = chat.limit is not None and chat.answered.total() >= chat.limit
            status, headers, data = chat.behave(request, nth)
            if not held and status == 200 and headers.get("whole", "yes") == "yes":
                chat.answered[name] += 1
        while len(chat.requests) < chat.gather and not chat.closing.wait(0.01):
            pass
        if held:
            chat.stop.set()
            chat.closing.wait(60)
            return
        if status == 0:  # hang
            chat.closing.wait(6)
            return
        if status == -1:
            self.drip()
            return
        self.respond(status, headers, data)

    def drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not self.server.chat.closing.wait(0.1):
            try:
                self.wfile.write(b" ")
            except OSError:
                return

    def respond(self, status: int, headers: dict[str, str], data: bytes) -> None:
        try:
            self.send_response(status)
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            return

    def log_message(self, *_: Any) -> None:
        return
