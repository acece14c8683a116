"""Annotators that answer in words, against a real server on loopback that misbehaves on purpose."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from chat_server import DRIP, ChatServer, completion, good, picture, retry_dates, wrong
from PIL import Image
from sklearn.datasets import load_digits

from zerolabel.annotations import Annotations
from zerolabel.data.classes import Classes
from zerolabel.errors import InputError
from zerolabel.vlms.chat import MOST_CLASSES, Chat
from zerolabel.vlms.chat.answers import Answer, Vocabulary, schema
from zerolabel.vlms.chat.client import LONGEST_WAIT, retry_after
from zerolabel.vlms.chat.protocol import Dialect, Reply, data_url, tokens_in
from zerolabel.vlms.chat.reply_cache import AnswerStore

KEY = "sk-secret-0123456789"
NAMES = "cat,dog,swivel chair"


def write_images(folder: Path, n: int) -> Path:
    """Distinct pictures: real digits, each with its number in its first pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    data = load_digits().images
    for i in range(n):
        picture = (data[i % len(data)] * 15.9).astype(np.uint8)
        picture[0, :2] = (i % 256, i // 256)
        Image.fromarray(picture).resize((64, 64)).save(folder / f"{i:04}.png")
    return folder


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images", 6)


@pytest.fixture
def serve():
    servers = []

    def start(behave):
        servers.append(ChatServer(behave))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv("ZEROLABEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(images, out, server, *more):
    chat = ["--vlm", "chat:tiny", "--endpoint", server.url, "--retries", 3]
    return ["annotate", images, "--classes", NAMES, "-o", out, *chat, *more]


def answers(out):
    with (Path(out) / "answers.csv").open(newline="") as file:
        return {row["file_name"]: row for row in csv.DictReader(file)}


# --- what an answer means

VOCABULARY = Vocabulary(
    Classes(("cat", "Dog", "swivel_chair", "a", "A", "lamp, desk"), (("kitty", "tom cat"), (), (), (), (), ()))
)


@pytest.mark.parametrize(
    ("text", "ids", "reason"),
    [
        ('{"classes": ["cat"]}', (0,), ""),
        ('{"classes": ["Dog", "cat", "Dog"]}', (1, 0), ""),
        ('```json\n{"classes": ["Swivel Chair"]}\n```', (2,), ""),
        ('{"class": "kitty"}', (0,), ""),
        ('["TOM-CAT"]', (0,), ""),
        ("swivel chair.", (2,), ""),
        ("cat, dog", (0, 1), ""),
        ('{"classes": ["A"]}', (4,), ""),
        ('{"classes": ["none"]}', (), "none"),
        ("None", (), "none"),
        ('{"classes": ["horse"]}', (), "unknown class"),
        ('{"classes": ["horse", "cat"]}', (0,), ""),
        ('{"classes": []}', (), "empty"),
        ("", (), "empty"),
        (None, (), "empty"),
        ('{"label": "cat"}', (), "unparsable"),
        ('{"classes": [{"name": "cat"}]}', (), "unparsable"),
        ('{"classes": ["cat"', (), "unparsable"),
        ("true", (), "unparsable"),
        ("I think that this picture probably shows a cat that sleeps", (), "unparsable"),
        ("It is a cat", (), "unknown class"),
        ("catalogue", (), "unknown class"),
        ("no, cat", (), "unknown class"),
        ("none, cat", (0,), ""),
        ("lamp, desk", (5,), ""),
        ('<think>\nA dog? No.\n</think>\n\n["cat"]', (0,), ""),
        ("[" * 100_000, (), "unparsable"),
        ("9" * 10_000, (), "unknown class"),
        ('{"classes": [NaN, 1e999]}', (), "unknown class"),
        ("\ud800", (), "unknown class"),
    ],
)
def test_an_answer_is_a_vote_or_an_abstention_with_a_reason(text, ids, reason):
    assert VOCABULARY.read(text, 3) == Answer(ids, reason)


def test_a_class_called_none_is_a_class_and_further_choices_are_left_out():
    vocabulary = Vocabulary(Classes(("none", "cat", "dog")))
    assert vocabulary.read("none", 1) == Answer((0,))
    assert vocabulary.read('["dog", "cat", "none"]', 2) == Answer((2, 1))
    assert schema(vocabulary.classes.names, 2)["properties"]["classes"]["items"]["enum"] == ["none", "cat", "dog"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7),
        ("0.5", 0.5),
        ("86400", LONGEST_WAIT),
        ("-3", 0),
        ("soon", None),
        ("nan", None),
        ("inf", LONGEST_WAIT),
    ],
)
def test_retry_after_in_seconds(header, seconds):
    assert retry_after(header) == seconds


def test_retry_after_as_a_date():
    assert retry_after("Mon, 01 Jan 2001 00:00:00 GMT") == 0
    assert retry_after("Fri, 01 Jan 2100 00:00:00 GMT") == LONGEST_WAIT


def test_images_are_sent_small_and_their_tokens_estimated():
    large = Image.new("RGBA", (4000, 1000), "red")
    request = {"messages": [{"content": [{}, {"image_url": {"url": data_url(large, 512)}}]}]}
    assert picture(request).size == (512, 128)
    assert tokens_in("x" * 40, 4000, 1000, 512) == 10 + 85 + 170
    assert tokens_in("", 4000, 4000, 1024) == 85 + 4 * 170


def test_what_a_server_refuses_is_left_out():
    assert Dialect().after(400, "unsupported: use max_completion_tokens").max_tokens == "max_completion_tokens"
    assert Dialect().after(422, "temperature must be 1").temperature is False
    assert Dialect().after(400, "response_format is not supported").schema is False
    assert Dialect().after(500, "cannot turn this schema into a grammar").schema is False
    assert Dialect().after(400, "the image is too large") is None
    assert Dialect(schema=False).after(400, "response_format is not supported") is None
    assert Dialect().after(200, "temperature") is None and Dialect().after(503, "schema") is None


def test_the_store_keeps_answers_and_refuses_what_is_none(tmp_path):
    file = tmp_path / "answers.sqlite"
    store = AnswerStore(file)
    store.add("a", Reply("yes", 3, 4))
    again = AnswerStore(file)
    assert again.get("a") == Reply("yes", 3, 4) and again.get("b") is None
    (tmp_path / "torn").write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="cannot be read"):
        AnswerStore(tmp_path / "torn")


# --- the command


def test_votes_choices_and_abstentions(images, serve, call, tmp_path):
    def behave(request, nth):
        i = server.requests.index(request)
        return (
            good('{"classes": ["dog", "cat"]}'),
            good([{"type": "text", "text": '{"classes": ["Swivel_Chair"]}'}]),
            good('{"classes": ["none"]}', usage=False),
            good("What a nice picture!\nIt may be a cat."),
            good(None),
            wrong(400, "content policy"),
        )[i]

    server = serve(behave)
    code, _, err = call(*ask(images, tmp_path / "out", server, "--concurrency", 1))
    assert code == 0, err
    found = Annotations.load(tmp_path / "out" / "annotations.parquet")
    assert found.votes.tolist() == [[1, 0, -1], [2, -1, -1], *[[-1, -1, -1]] * 4]
    assert [(one.model, one.choice) for one in found.annotators] == [("chat:tiny", c) for c in (1, 2, 3)]
    assert found.scores[0].tolist() == [0.5, 0.5, 0] and not found.scores[2:].any()
    assert found.candidates.sum(1).tolist() == [2, 1, 0, 0, 0, 0]
    said = answers(tmp_path / "out")
    assert [row["reason"] for row in said.values()] == ["", "", "none", "unparsable", "empty", "refused"]
    assert said["0000.png"]["classes"] == "dog;cat" and "content policy" in said["0005.png"]["answer"]
    assert server.headers["Authorization"] == f"Bearer {KEY}"
    first = server.requests[0]
    assert first["model"] == "tiny" and first["temperature"] == 0
    enum = first["response_format"]["json_schema"]["schema"]["properties"]["classes"]["items"]["enum"]
    assert enum == ["cat", "dog", "swivel chair", "none"]
    assert all(name in first["messages"][0]["content"][0]["text"] for name in enum)


FAILURES = {
    "too many, in seconds": lambda: wrong(429, Retry_After="0"),
    "too many, as a date": retry_dates,
    "server error": lambda: wrong(500),
    "torn body": lambda: (200, {"whole": "no"}, completion('{"classes": ["cat"]}')[:40]),
    "no completion": lambda: (200, {"whole": "no"}, b'{"object": "list"}'),
    "hanging": lambda: (0, {}, b""),
}


def test_failures_that_pass_are_tried_again(images, serve, call, tmp_path):
    kinds = list(FAILURES.values())

    def behave(request, nth):
        first = [one["messages"] for one in server.requests].index(request["messages"])
        return kinds[first % len(kinds)]() if nth == 0 else good('{"classes": ["cat"]}')

    server = serve(behave)
    code, _, err = call(*ask(images, tmp_path / "out", server, "--timeout", 3, "--concurrency", 6))
    assert code == 0, err
    assert all(row["classes"] == "cat" for row in answers(tmp_path / "out").values())
    assert set(server.seen.values()) == {2} and set(server.answered.values()) == {1}


def test_a_failure_that_stays_is_an_abstention_and_is_asked_again_later(images, serve, call, tmp_path):
    broken = True

    def behave(request, nth):
        return wrong(503, Retry_After="0") if broken and picture(request).getpixel((0, 0))[0] < 3 else good("cat")

    server = serve(behave)
    command = ask(images, tmp_path / "out", server)
    assert call(*command)[0] == 0
    reasons = Counter(row["reason"] for row in answers(tmp_path / "out").values())
    assert reasons["failed"] > 0 and reasons[""] > 0
    broken = False
    assert call(*command, "--resume")[0] == 0
    assert all(row["classes"] == "cat" for row in answers(tmp_path / "out").values())
    assert set(server.answered.values()) == {1}


def test_a_server_without_schema_is_asked_without(images, serve, call, tmp_path):
    def behave(request, nth):
        return wrong(400, "response_format: not supported") if "response_format" in request else good("dog")

    server = serve(behave)
    assert call(*ask(images, tmp_path / "out", server, "--concurrency", 1))[0] == 0
    assert {row["classes"] for row in answers(tmp_path / "out").values()} == {"dog"}
    assert ["response_format" in request for request in server.requests] == [True] + [False] * 6


def test_an_answer_is_paid_once_whatever_is_asked_next(images, serve, call, tmp_path):
    server = serve(lambda request, nth: good('{"classes": ["cat"]}'))
    (images / "copy.png").write_bytes((images / "0000.png").read_bytes())
    assert call(*ask(images, tmp_path / "out", server))[0] == 0
    assert len(server.requests) == 6 and len(answers(tmp_path / "out")) == 7
    assert call(*ask(images, tmp_path / "other", server, "--candidates", "topk:2"))[0] == 0
    assert len(server.requests) == 6
    assert call(*ask(images, tmp_path / "third", server, "--templates", "Is it one of {}?"))[0] == 0
    assert len(server.requests) == 12


def test_cost_is_told_before_and_kept_to(images, serve, call, tmp_path):
    server = serve(lambda request, nth: good("cat"))
    prices = ["--price-in", 1000, "--price-out", 1000, "--concurrency", 1]  # an answer costs 0.11
    code, out, _ = call(*ask(images, tmp_path / "out", server, *prices, "--dry-run", "--json"))
    plan = json.loads(out)["questions"]["chat:tiny"]
    assert (code, plan["requests"], plan["cached"], server.requests) == (0, 6, 0, [])
    assert plan["cost"] == pytest.approx((plan["tokens_in"] + plan["tokens_out"]) / 1000)
    code, _, err = call(*ask(images, tmp_path / "out", server, *prices, "--budget", 0.75))
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(told) == 1 and "the budget of 0.75 is spent after" in told[0]
    paid = len(server.requests)
    assert 0 < paid < 6 and paid * 0.11 <= 0.75
    code, out, _ = call(*ask(images, tmp_path / "out", server, *prices, "--dry-run", "--resume"))
    assert f"{6 - paid} requests" in " ".join(out.split()) and f"{paid} are answered already" in " ".join(out.split())
    assert call(*ask(images, tmp_path / "out", server, *prices, "--budget", 5, "--resume"))[0] == 0
    assert set(server.answered.values()) == {1} and len(answers(tmp_path / "out")) == 6


def test_the_key_is_in_no_file_and_on_no_screen(images, serve, call, tmp_path):
    server = serve(lambda request, nth: wrong(400, f"bad key {KEY}"))
    code, out, err = call(*ask(images, tmp_path / "out", server))
    assert code == 2 and "answered no question" in err and KEY not in out + err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "answers.csv" for path in files)
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_with_another_model_and_held_out_images_a_student_is_trained(serve, call, tmp_path):
    digits = write_images(tmp_path / "digits", 30)
    server = serve(lambda request, nth: good('{"classes": ["3", "8"]}' if nth % 2 else "0"))
    models = ["--vlm", "glyphs", "--vlm", "chat:tiny", "--endpoint", server.url]
    names = ["--classes", ",".join("0123456789"), "-o", tmp_path / "out"]
    train = ["--epochs", 1, "--method", "cross_entropy", "--student", "light", "--test", digits]
    code, _, err = call("run", digits, *names, *models, *train)
    assert code == 0, err
    found = Annotations.load(tmp_path / "out" / "annotations.parquet")
    assert found.votes.shape == (30, 8 + 3) and len(server.requests) == 30
    assert (tmp_path / "out" / "classifier.onnx").is_file() and (tmp_path / "out" / "answers.csv").is_file()


def test_of_many_classes_those_are_asked_about_that_another_model_likes(serve, call, tmp_path, images):
    names = tmp_path / "names.txt"
    names.write_text("\n".join([*"0123456789", *(f"thing {i}" for i in range(MOST_CLASSES))]))
    server = serve(lambda request, nth: good("none"))
    chat = ["--vlm", "chat:tiny", "--endpoint", server.url]
    code, _, err = call("annotate", images, "--classes", names, "-o", tmp_path / "alone", *chat)
    assert code == 2 and "more than a question can list" in err
    code, _, err = call("annotate", images, "--classes", names, "-o", tmp_path / "out", "--vlm", "glyphs", *chat)
    assert code == 0, err
    enum = server.requests[0]["response_format"]["json_schema"]["schema"]["properties"]["classes"]["items"]["enum"]
    assert len(enum) == 21 and enum[-1] == "none"


WRONG = {
    "--vlm chat:tiny": "needs --endpoint",
    "--vlm chat:tiny --endpoint localhost:8000": "is no URL",
    "--vlm chat:tiny --endpoint http://127.0.0.1:9/v1": "nothing answers at --endpoint",
    "--vlm chat:tiny --endpoint http://": "is no URL",
    "--vlm chat:tiny --endpoint http://127.0.0.1:99999/v1": "is no URL",
    "--vlm chat:tiny --endpoint URL --timeout nan": "--timeout nan is not above 0",
    "--vlm chat:tiny --endpoint URL --budget inf --price-in 1 --price-out 1": "--budget inf is no amount",
    "--vlm chat:tiny --endpoint URL --image-side 99999": "--image-side 99999 is above 8192",
    "--vlm chat:tiny --endpoint URL --answer-tokens 0": "--answer-tokens 0 is below 1",
    "--vlm chat:tiny --endpoint URL --budget 3": "--budget needs --price-in and --price-out",
    "--vlm chat:tiny --endpoint URL --concurrency 0": "--concurrency 0 is below 1",
    "--vlm chat:tiny --endpoint URL --templates what": "--templates what: there is no such file",
    "--vlm glyphs --endpoint URL": "add --vlm chat:MODEL",
    "--vlm chat: --endpoint URL": "unknown model",
}


@pytest.mark.parametrize("options", WRONG)
def test_mistakes_are_one_sentence(options, images, serve, call, tmp_path):
    server = serve(lambda request, nth: good("cat"))
    given = options.replace("URL", server.url).split()
    code, _, err = call("annotate", images, "--classes", NAMES, "-o", tmp_path / "out", *given)
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(told) == 1 and WRONG[options] in told[0]


ENDS = {
    "refuses the key in $OPENAI_API_KEY": wrong(401),
    "(HTTP 403); set another": wrong(403),
    "has no model 'tiny'": wrong(404),
    "sends on to https://elsewhere/v1": wrong(308, Location="https://elsewhere/v1"),
    "wants to be paid first (HTTP 402)": wrong(402),
    "wants to be paid first (HTTP 429)": wrong(429, '{"error": {"code": "insufficient_quota"}}'),
}


@pytest.mark.parametrize("said", ENDS)
def test_what_no_further_try_can_mend_ends_the_command(said, images, serve, call, tmp_path):
    server = serve(lambda request, nth: ENDS[said])
    code, _, err = call(*ask(images, tmp_path / "out", server))
    assert code == 2 and said in " ".join(err.split()) and len(server.requests) <= 8


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_after_an_answer_is_about_one_image(status, images, serve, call, tmp_path):
    server = serve(lambda request, nth: good("cat") if len(server.requests) != 3 else wrong(status, "flagged"))
    assert call(*ask(images, tmp_path / "out", server, "--concurrency", 1))[0] == 0
    assert Counter(row["reason"] for row in answers(tmp_path / "out").values()) == {"": 5, "refused": 1}


def test_a_server_that_goes_away_ends_the_command_and_what_it_said_is_kept(serve, call, tmp_path):
    images = write_images(tmp_path / "many", 60)
    server = serve(lambda request, nth: good("cat") if len(server.requests) <= 10 or back else wrong(500, "gone"))
    back = False
    command = ask(images, tmp_path / "out", server, "--retries", 0, "--concurrency", 2)
    code, _, err = call(*command)
    said = " ".join(err.split())
    assert code == 2 and "stopped answering (HTTP 500) after" in said and "continue with --resume" in said
    assert len(server.requests) < 60
    back = True
    assert call(*command, "--resume")[0] == 0
    assert set(server.answered.values()) == {1} and len(answers(tmp_path / "out")) == 60


def test_replies_that_no_server_should_send_lose_nothing(images, serve, call, tmp_path):
    odd = [
        good("\ud800 \x00"),
        (200, {}, b"[" * 100_000),
        (200, {}, b'{"choices": [{"message": {"refusal": "no"}}], "usage": {"prompt_tokens": 1e999}}'),
        (200, {}, b'{"choices": [{"message": {"content": "cat"}}], "usage": {"prompt_tokens": 123456789012345678901}}'),
        (200, {}, b'{"choices": [{"message": {"content": "cat"}}], "usage": {"prompt_tokens": -5}}'),
        (200, {}, completion("cat") + b" " * 2**20),
    ]
    server = serve(lambda request, nth: odd[len(server.seen) - 1])
    code, _, err = call(*ask(images, tmp_path / "out", server, "--concurrency", 1, "--retries", 0))
    assert code == 0, err
    reasons = Counter(row["reason"] for row in answers(tmp_path / "out").values())
    assert reasons == {"unknown class": 1, "failed": 2, "empty": 1, "": 2}


def test_a_server_that_drips_is_given_up_in_time(images, serve, call, tmp_path):
    server = serve(lambda request, nth: DRIP if nth == 0 else good("cat"))
    code, _, err = call(*ask(images, tmp_path / "out", server, "--timeout", 1, "--concurrency", 6))
    assert code == 0, err
    assert all(row["classes"] == "cat" for row in answers(tmp_path / "out").values())


def test_a_fatal_answer_does_not_wait_for_the_tries_of_others(images, serve, call, tmp_path):
    server = serve(lambda request, nth: wrong(401) if len(server.requests) == 6 else wrong(503, Retry_After="600"))
    server.gather = 6
    code, _, err = call(*ask(images, tmp_path / "out", server, "--concurrency", 6))
    assert code == 2 and "refuses the key" in err


def test_a_key_that_no_header_can_hold_is_named_by_its_variable(images, serve, call, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-\u2026secret")
    server = serve(lambda request, nth: good("cat"))
    code, _, err = call(*ask(images, tmp_path / "out", server, "--api-key-env", "MY_KEY"))
    assert code == 2 and "$MY_KEY" in err and "secret" not in err
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    assert call(*ask(images, tmp_path / "other", server, "--api-key-env", "MY_KEY"))[0] == 0
    assert server.headers["Authorization"] == f"Bearer {KEY}"


def test_a_full_disk_ends_the_questions(images, serve, tmp_path, monkeypatch):
    store = AnswerStore(tmp_path / "answers.sqlite")
    store.file.execute("PRAGMA max_page_count = 3")
    with pytest.raises(InputError, match=r"cannot be read or kept .*full"):
        store.add("b", Reply("x" * 100_000))


def test_a_rate_is_kept(monkeypatch):
    from zerolabel.vlms.chat import client

    now, waits = [100.0], []
    monkeypatch.setattr(client.time, "monotonic", lambda: now[0])
    slow = client.Client(Chat("m", "http://localhost/v1", per_minute=30.0))
    monkeypatch.setattr(slow.stopped, "wait", waits.append)
    for _ in range(3):
        slow.turn()
    now[0] += 60
    slow.turn()
    assert waits == pytest.approx([0, 2, 4, 0])


# --- killed


def misbehaving(request, nth):
    """Every image's first try fails in one of many ways; what is said at last is good, bad or none."""
    kind = int(picture(request).getpixel((0, 0))[0]) % 11
    first = {
        0: wrong(429, Retry_After="0"),
        1: wrong(500),
        2: (200, {"whole": "no"}, b'{"choices": ['),
        3: (0, {}, b""),
    }
    last = {4: good("I cannot say what it is.\nSorry."), 5: good('{"classes": ["whale"]}'), 6: good(""),
            7: good('{"label": 3}'), 8: good('{"classes": ["none"]}')}  # fmt: skip
    if nth == 0 and kind in first:
        return first[kind]
    return last.get(kind, good('{"classes": ["cat", "dog"]}'))


def killed_three_times(serve, tmp_path, n):
    """Kill -9 while requests are under way and every answer that was sent has been stored, three times."""
    images, out = write_images(tmp_path / "images", n), tmp_path / "out"
    server = serve(misbehaving)
    environment = {**os.environ, "ZEROLABEL_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "zerolabel", *map(str, ask(images, out, server, "--timeout", 4, "--resume"))]
    for quarter in (1, 2, 3):
        server.stop.clear()
        server.limit = n * quarter // 4
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        assert server.stop.wait(120)
        (file,) = (tmp_path / "cache").rglob("answers.sqlite")
        store = AnswerStore(file)
        for _ in range(500):
            stored = store.file.execute("SELECT COUNT(*) FROM replies").fetchone()[0]
            if stored == server.answered.total():
                break
            time.sleep(0.02)
        assert stored == server.answered.total()
        process.send_signal(signal.SIGKILL)
        process.wait()
        server.closing.set(), time.sleep(0.1), server.closing.clear()
    server.limit = None
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return server, out


def check_killed(server, out, n):
    said = answers(out)
    assert len(said) == n and len(Annotations.load(out / "annotations.parquet")) == n
    assert all(bool(row["classes"]) != bool(row["reason"]) for row in said.values())
    reasons = Counter(row["reason"] for row in said.values())
    assert set(reasons) == {"", "none", "unparsable", "unknown class", "empty"}
    assert len(server.answered) == n and set(server.answered.values()) == {1}


def test_killed_three_times_every_image_is_answered_once(serve, tmp_path):
    check_killed(*killed_three_times(serve, tmp_path, 120), 120)


@pytest.mark.slow
def test_a_thousand_images_killed_three_times(serve, tmp_path):
    check_killed(*killed_three_times(serve, tmp_path, 1000), 1000)
