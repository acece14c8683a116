"""Which answers of a chat model are kept, by what, and what is told of its endpoint: against a server on loopback."""

import csv
import json
from pathlib import Path

import pytest
from chat_server import ChatServer, good, wrong
from PIL import Image

from zerolabel.annotations import Annotations
from zerolabel.vlms.chat import Chat
from zerolabel.vlms.chat.client import Client
from zerolabel.vlms.chat.protocol import declared, reply

SECRET = "hunter2secret"
TINY = ["--classes", "cat,dog", "--vlm", "chat:tiny", "--retries", 0]


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(3):
        Image.new("RGB", (40, 40), (i * 40, 0, 0)).save(tmp_path / "images" / f"{i}.png")
    return tmp_path / "images"


@pytest.fixture
def serve(monkeypatch, tmp_path):
    monkeypatch.setenv("ZEROLABEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    servers = []

    def start(behave):
        servers.append(ChatServer(behave))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def finished(text, reason, model=""):
    data = {"model": model, "choices": [{"message": {"content": text}, "finish_reason": reason}]}
    return 200, {}, json.dumps(data).encode()


def reasons(out):
    with (Path(out) / "answers.csv").open(newline="") as file:
        return [row["reason"] for row in csv.DictReader(file)]


CHANGES = {
    "answer tokens": ["--answer-tokens", 99],
    "choices": ["--choices", 2],
    "image side": ["--image-side", 32],
    "prompt": ["--templates", "Which one? {}"],
    "classes": ["--classes", "cat,dog,fox"],
    "order of classes": ["--classes", "dog,cat"],
    "model": ["--vlm", "chat:other"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_an_answer_asks_again(change, images, serve, call, tmp_path):
    server = serve(lambda request, nth: good('{"classes": ["cat"]}'))
    given = ["annotate", images, "--endpoint", server.url]
    assert call(*given, *TINY, "-o", tmp_path / "a")[0] == 0
    assert call(*given, *TINY, "-o", tmp_path / "b")[0] == 0 and len(server.requests) == 3
    option, value = CHANGES[change]
    again = (
        [*TINY, option, value]
        if option not in TINY
        else [value if old == TINY[TINY.index(option) + 1] else old for old in TINY]
    )
    assert call(*given, *again, "-o", tmp_path / "c")[0] == 0
    assert len(server.requests) == 6


def test_another_endpoint_and_another_version_ask_again(images, serve, call, tmp_path):
    versions = ["m-1"]
    servers = [serve(lambda request, nth: finished("cat", "stop", versions[0])) for _ in range(2)]
    for i, server in enumerate((servers[0], servers[1], servers[1])):
        assert call("annotate", images, "--endpoint", server.url, *TINY, "-o", tmp_path / f"{i}")[0] == 0
    assert [len(server.requests) for server in servers] == [3, 3]
    versions[0] = "m-2"
    (images / "new.png").write_bytes((images / "0.png").read_bytes())
    Image.new("RGB", (40, 40), "blue").save(images / "new.png")
    code, _, err = call("annotate", images, "--endpoint", servers[1].url, *TINY, "-o", tmp_path / "x")
    assert code == 0 and len(servers[1].requests) == 4, err
    assert call("annotate", images, "--endpoint", servers[1].url, *TINY, "-o", tmp_path / "y")[0] == 0
    assert len(servers[1].requests) == 7


@pytest.mark.parametrize("word", ["length", "max_tokens", "LENGTH", "model_length", "max_output_tokens"])
def test_an_answer_that_was_cut_off_is_asked_again(word, images, serve, call, tmp_path):
    cut = True
    server = serve(lambda request, nth: finished('{"classes": ["cat"]}', word if cut and nth == 0 else "stop"))
    command = ["annotate", images, "--endpoint", server.url, *TINY, "-o", tmp_path / "a"]
    code, _, err = call(*command)
    assert code == 2 and "raise --answer-tokens" in err and reasons(tmp_path / "a") == ["cut off"] * 3
    assert call(*command, "--resume")[0] == 0 and reasons(tmp_path / "a") == [""] * 3


@pytest.mark.parametrize(
    "entry",
    [{"version": "2"}, {"revision": "abc"}, {"digest": "sha256:1"}, {"root": "/models/x"}, {"fingerprint": "f"}],
)
def test_the_version_that_a_server_declares(entry):
    listed = {"data": [{"id": "other", "version": "9"}, {"id": "m", "created": 12345, **entry}]}
    ((name, value),) = entry.items()
    assert declared(listed, "m") == f"{name}={value}"
    assert all(declared(odd, "m") == "" for odd in ({}, [], None, {"data": None}, {"data": [1, {"id": "m"}]}))


def test_a_reply_says_why_it_ends():
    ends = {"length": (True, False), "stop": (False, False), "content_filter": (False, True), None: (False, False)}
    for word, (is_cut, is_filtered) in ends.items():
        found = reply({"choices": [{"message": {"content": "cat"}, "finish_reason": word}]})
        assert (found.is_cut_off, found.is_filtered) == (is_cut, is_filtered)


SECRETS = {
    "password": lambda url: url.replace("http://", f"http://me:{SECRET}@"),
    "token as user": lambda url: url.replace("http://", f"http://{SECRET}@"),
    "api_key": lambda url: f"{url}?api_key={SECRET}",
    "token": lambda url: f"{url}?version=3&access_token={SECRET}",
    "signature": lambda url: f"{url}?sig={SECRET}",
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("fails", [False, True])
def test_the_secret_of_an_endpoint_is_in_no_file_and_on_no_screen(
    kind, fails, images, serve, call, tmp_path, monkeypatch
):
    server = serve(lambda request, nth: wrong(400, f"bad {SECRET}") if fails else good("cat"))
    command = ["annotate", images, "--endpoint", SECRETS[kind](server.url), *TINY, "-o", tmp_path / "out"]
    monkeypatch.setattr("sys.argv", ["zerolabel", *map(str, command)])
    code, out, err = call(*command)
    assert code == (2 if fails else 0) and len(server.requests) == 3, err
    assert SECRET not in out + err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert (tmp_path / "out" / "config.json") in files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_the_path_of_the_protocol_comes_before_the_query():
    chat = Chat("m", "https://host/openai/?api-version=3#x")
    assert chat.url("chat/completions") == "https://host/openai/chat/completions?api-version=3"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status, images, serve, call, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    other = serve(lambda request, nth: good("cat"))
    server = serve(lambda request, nth: wrong(status, Location=f"{other.url}/chat/completions?key={SECRET}"))
    code, out, err = call("annotate", images, "--endpoint", server.url, *TINY, "-o", tmp_path / "out")
    assert code == 2 and "sends on to" in " ".join(err.split()) and SECRET not in out + err
    assert other.requests == [] and other.headers == {}
    assert Client(Chat("m", server.url)).http.follow_redirects is False


def test_nothing_understood_is_not_trained_on(images, serve, call, tmp_path):
    server = serve(lambda request, nth: good("Sure! It is probably a cat or so."))
    given = [images, "--endpoint", server.url, *TINY, "-o", tmp_path / "out"]
    code, _, err = call("run", *given, "--epochs", 1)
    assert code == 2 and "none of the 3 images has a candidate class" in " ".join(err.split())
    assert not (tmp_path / "out" / "classifier").exists()
    assert not Annotations.load(tmp_path / "out" / "annotations.parquet").candidates.any()
