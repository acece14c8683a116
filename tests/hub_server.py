"""A server of the Hugging Face Hub's protocol on loopback, as far as its client needs it to push, pull and download.

Repositories are made, files are committed (small ones in the commit, large ones through the LFS batch API), listed, and
served with ETag, size and ranges. It can cut connections and serve damaged bytes.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".onnx", ".parquet")
TOKEN = "hf_loopbackSecret0123456789"


@dataclass
class Repository:
    """Its files at one commit, which is named by their content."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        digest = hashlib.sha1()
        for name, content in sorted(self.files.items()):
            digest.update(name.encode() + hashlib.sha1(content).digest())
        return digest.hexdigest()


@dataclass
class Hub:
    """State of the server; tests write and read it.

    Attributes:
        repositories: by ``models/ORG/NAME`` or ``datasets/ORG/NAME``.
        cut: number of bytes of a file after which the connection ends, once each time it is set.
        damaged: files that are served with their last byte changed.
        requests: method, path and range of every request.
        tokens: that were sent.
    """

    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)

    def add(self, name: str, files: dict[str, bytes]) -> Repository:
        """A model repository with these files."""
        return self.repositories.setdefault(f"models/{name}", Repository(files=files))


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve an empty hub on a free port."""
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def answer(self) -> None:
        self.path = urlsplit(self.path).path
        self.state.requests.append((self.command, self.path, self.headers.get("Range")))
        self.state.tokens.add(self.headers.get("Authorization"))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for pattern, action in self.routes():
            found = re.fullmatch(pattern, unquote(self.path))
            if found:
                action(body, **found.groupdict())
                return
        self.reply(404, {"error": "no such page"}, {"X-Error-Code": "EntryNotFound"})

    def routes(self) -> list[tuple[str, Any]]:
        name = r"(?P<repository>(?:models|datasets)/[^/]+/[^/]+)"
        if self.command in ("GET", "HEAD"):
            return [
                ("/", lambda _: self.reply(200, {})),
                (rf"/api/{name}(?:/revision/(?P<revision>[^/]+))?", self.info),
                (rf"/api/{name}/tree/(?P<revision>[^/]+)", self.tree),
                (
                    r"/(?P<kind>datasets/)?(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)",
                    self.file,
                ),
            ]
        return [
            ("/api/repos/create", self.create),
            ("/api/validate-yaml", lambda _: self.reply(200, {"errors": [], "warnings": []})),
            (rf"/api/{name}/preupload/main", self.preupload),
            (r"/(?P<kind>datasets/)?(?P<repository>[^/]+/[^/]+)\.git/info/lfs/objects/batch", self.batch),
            ("/lfs/(?P<oid>[0-9a-f]{64})", self.upload),
            ("/lfs/verify", lambda _: self.reply(200, {})),
            (rf"/api/{name}/commit/main", self.commit),
        ]

    def reply(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def may(self, *, write: bool, repository: Repository | None) -> bool:
        """True with the token, and where nothing needs it; else the request is answered."""
        if self.headers.get("Authorization") == f"Bearer {TOKEN}" or (
            not write and repository is not None and not repository.private
        ):
            return True
        self.reply(401, {"error": "Invalid username or password."})
        return False

    def info(self, _: bytes, repository: str, revision: str | None = None) -> None:
        found = self.state.repositories.get(repository)
        if self.may(write=False, repository=found):
            if found is None:
                self.reply(404, {"error": "no such repository"}, {"X-Error-Code": "RepoNotFound"})
                return
            files = [{"rfilename": name} for name in found.files]
            name = repository.partition("/")[2]
            self.reply(200, {"id": name, "sha": found.commit, "siblings": files, "private": found.private, "tags": []})

    def tree(self, _: bytes, repository: str, revision: str) -> None:
        found = self.state.repositories[repository]
        entries = []
        for name, content in found.files.items():
            entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": _blob(content)}
            if name.endswith(LARGE):
                oid = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 130}
            entries.append(entry)
        self.reply(200, entries)

    def file(self, _: bytes, repository: str, revision: str, file: str, kind: str | None = None) -> None:
        found = self.state.repositories.get((kind or "models/") + repository)
        if not self.may(write=False, repository=found):
            return
        if found is None or file not in found.files:
            code = "RepoNotFound" if found is None else "EntryNotFound"
            self.reply(404, {"error": "not there"}, {"X-Error-Code": code})
            return
        content = found.files[file]
        etag = hashlib.sha256(content).hexdigest() if file.endswith(LARGE) else _blob(content)
        sent = content[:-1] + bytes([content[-1] ^ 1]) if file in self.state.damaged else content
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(sent) - 1}/{len(sent)}")
        for name, value in {"ETag": f'"{etag}"', "X-Repo-Commit": found.commit, "Accept-Ranges": "bytes"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(sent) - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        end = self.state.cut.pop(file, None)
        self.wfile.write(sent[start:end])
        if end is not None:
            self.wfile.flush()
            self.close_connection = True

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        if self.may(write=True, repository=None):
            name = f"{asked['organization']}/{asked['name']}"
            key = f"{asked.get('type') or 'model'}s/{name}"
            status = 409 if key in self.state.repositories else 200
            private = bool(asked.get("private")) or asked.get("visibility") == "private"
            self.state.repositories.setdefault(key, Repository(private))
            prefix = "datasets/" if key.startswith("datasets") else ""
            self.reply(status, {"url": f"{self.state.address}/{prefix}{name}", "name": name})

    def preupload(self, body: bytes, repository: str) -> None:
        if self.may(write=True, repository=None):
            names = [one["path"] for one in json.loads(body)["files"]]
            modes = [
                {"path": name, "uploadMode": "lfs" if name.endswith(LARGE) else "regular", "shouldIgnore": False}
                for name in names
            ]
            self.reply(200, {"files": modes})

    def batch(self, body: bytes, repository: str, kind: str | None = None) -> None:
        if self.may(write=True, repository=None):
            verify = {"href": f"{self.state.address}/lfs/verify"}
            objects = [
                {**one, "actions": {"upload": {"href": f"{self.state.address}/lfs/{one['oid']}"}, "verify": verify}}
                for one in json.loads(body)["objects"]
            ]
            self.reply(200, {"transfer": "basic", "objects": objects})

    def upload(self, body: bytes, oid: str) -> None:
        right = hashlib.sha256(body).hexdigest() == oid
        if right:
            self.state.objects[oid] = body
        self.reply(200 if right else 400, {})

    def commit(self, body: bytes, repository: str) -> None:
        if not self.may(write=True, repository=None):
            return
        found = self.state.repositories[repository]
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                found.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                found.files[value["path"]] = self.state.objects[value["oid"]]
        url = f"{self.state.address}/{repository.removeprefix('models/')}/commit/{found.commit}"
        self.reply(200, {"success": True, "commitOid": found.commit, "commitUrl": url, "hookOutput": ""})


def _blob(content: bytes) -> str:
    """The id that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
