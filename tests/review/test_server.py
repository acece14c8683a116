import pytest

pytest.importorskip("starlette", reason="needs zerolabel-vision[review]")

from starlette.testclient import TestClient

from zerolabel.review import Review, finish, open_subject
from zerolabel.review.guard import COOKIE
from zerolabel.review.server import addresses, application

PORT = 4321
HOME = f"http://127.0.0.1:{PORT}"
FROM = {"origin": HOME, "sec-fetch-site": "same-origin"}


@pytest.fixture
def review(run):
    return Review(open_subject(run), n=10)


@pytest.fixture
def served(review):
    reviewers, urls = addresses(["anna"], PORT)
    return application(review, lambda: finish(review), reviewers, PORT), urls[0].removeprefix(HOME)


def browser(app):
    return TestClient(app, base_url=HOME, raise_server_exceptions=False)


def nothing(answer):
    return answer.status_code == 404 and answer.content == b"" and COOKIE not in answer.headers.get("set-cookie", "")


def test_the_page_its_files_and_its_images(served, review):
    app, path = served
    page = browser(app)
    first = page.get(path)
    assert first.status_code == 200 and "zerolabel review" in first.text
    assert "HttpOnly" in first.headers["set-cookie"] and "SameSite=Strict" in first.headers["set-cookie"]
    assert "default-src 'none'" in first.headers["content-security-policy"]
    for name in ("review.js", "server.js", "review.css"):
        assert page.get(path + name).status_code == 200
    told = page.get(path + "about").json()
    assert told["classes"] == list("0123456789") and told["n"] == 10 and told["measured"] is None
    place = review.queue("measure")["items"][0]
    picture = page.get(f"{path}image/measure/{place}/large")
    assert picture.headers["content-type"] == "image/png" and picture.content[:4] == b"\x89PNG"


def test_predictions_are_not_told_before_the_answer(served, review):
    app, path = served
    page = browser(app)
    page.get(path)
    queue = page.get(path + "queue/measure")
    assert set(queue.json()) == {"items", "answers", "shown"} and queue.json()["shown"] == {}
    place = queue.json()["items"][0]
    sent = {"kind": "measure", "place": place, "choice": 4}
    told = page.post(path + "answer", json=sent, headers=FROM).json()
    assert told["about"]["predicted"] == int(review.subject.measured.predicted[place]) and told["done"] == 1
    assert len(review.ledger.path.read_text().splitlines()) == 2


def test_a_second_browser_gets_nothing(served):
    app, path = served
    assert browser(app).get(path).status_code == 200
    other = browser(app)
    for address in ("", "about", "queue/measure", "review.js", "image/measure/0/large"):
        assert nothing(other.get(path + address))
    other.cookies.set(COOKIE, "guessed")
    assert nothing(other.get(path + "about"))


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "example.org"},
        {"host": f"127.0.0.1.example.org:{PORT}"},
        {"host": f"127.0.0.1:{PORT + 1}"},
        {"origin": "http://example.org"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_host_or_origin_gets_nothing(served, headers):
    app, path = served
    page = browser(app)
    assert nothing(page.get(path, headers=headers))
    page.get(path)
    assert nothing(page.get(path + "about", headers=headers))
    assert nothing(page.post(path + "answer", json={}, headers={**FROM, **headers}))


def test_a_wrong_token_and_no_token_get_nothing(served):
    app, path = served
    page = browser(app)
    page.get(path)
    for address in ("/", "", "/about", path[:-2] + "/", path[:-2] + "/about", path.upper()):
        assert nothing(page.get(address)), address
    for hidden in ("about", "queue/measure", "image/measure/0/large"):
        assert nothing(browser(app).get(path + hidden))


def test_only_images_of_the_set_are_sent(served, run):
    app, path = served
    page = browser(app)
    page.get(path)
    for address in (
        *("image/measure/80/large", "image/measure/-1/large", "image/measure/0/huge", "image/other/0/large"),
        *("image/measure/..%2f..%2fmetrics.json/large", "../run/metrics.json", "%2e%2e%2fmetrics.json"),
        *("index.html", "__init__.py", "metrics.json"),
    ):
        assert nothing(page.get(path + address)), address
    (run.parent / "test" / "060.png").write_text("a secret that is no image")
    assert nothing(page.get(path + "image/measure/0/large"))


def test_what_the_page_does_not_send_changes_nothing(served, review):
    app, path = served
    page = browser(app)
    page.get(path)
    place = review.queue("measure")["items"][0]
    good = {"kind": "measure", "place": place, "choice": 1}
    for sent in (
        {},
        [],
        {**good, "choice": 11},
        {**good, "choice": None},
        {**good, "kind": "x"},
        {**good, "place": -1},
    ):
        assert nothing(page.post(path + "answer", json=sent, headers=FROM)), sent
    assert nothing(page.post(path + "answer", content=b"{" * 200_000, headers=FROM))
    assert nothing(page.post(path + "answer", json=good))
    assert nothing(page.post(path + "grid/3", json={"items": [10**9], "wrong": []}, headers=FROM))
    assert not review.ledger.path.exists()


def test_a_full_disk_is_told(served, review, monkeypatch):
    import errno
    import os

    app, path = served
    page = browser(app)
    page.get(path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    place = review.queue("measure")["items"][0]
    told = page.post(path + "answer", json={"kind": "measure", "place": place, "choice": 1}, headers=FROM)
    assert told.status_code == 507 and "the disk is full" in told.json()["error"]
    assert review.measured is None
