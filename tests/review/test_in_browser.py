"""The page in a real browser, driven by its keyboard."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zerolabel.audit import anytime, count, draw, interval
from zerolabel.audit.anytime import evaluations
from zerolabel.data.answers import NONE, UNSURE, read_answers
from zerolabel.data.images import ImageSet
from zerolabel.review import Pool, Review, Subject, finish, open_subject
from zerolabel.review.sampling import FIXED
from zerolabel.review.static import write_static

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")
ASKED = "#ask:not([hidden])"
DONE = "#done:not([hidden])"
Truth = Callable[[str], int]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    pytest.importorskip("uvicorn", reason="needs zerolabel-vision[review]")
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 900, "height": 800})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    yield page
    assert page.wrong == []
    context.close()


@contextmanager
def served(review: Review, names: tuple[str, ...] = ("anna",)) -> Iterator[list[str]]:
    """The page of a review, in a thread; gives its addresses."""
    import uvicorn

    from zerolabel.review.server import addresses, application, listen

    listening = listen()
    reviewers, urls = addresses(names, listening.getsockname()[1])
    app = application(review, lambda: finish(review), reviewers, listening.getsockname()[1])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield urls
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def started(run: Path, n: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and the address that it prints."""
    command = [sys.executable, "-m", "zerolabel", "review", str(run), "-n", str(n), "--reviewer", "anna"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[-1]
    finally:
        process.kill()
        process.communicate()


def wait_for(page: Any, text: str) -> None:
    page.wait_for_selector(f'#status:has-text("{text}")')


def test_fifty_answers_by_keyboard_outlive_a_killed_server_and_end_in_the_report(
    run: Path, truth: Truth, page: Any
) -> None:
    review = Review(open_subject(run), n=50)
    names = [review.subject.measured.images.file_names[place] for place in review.sampled.first(50)]
    keys = [str(truth(name)) for name in names]
    with started(run, 50) as (process, url):
        page.goto(url)
        page.wait_for_selector(ASKED)
        for key in keys[:20]:
            page.keyboard.press(key)
        wait_for(page, "20 of 50")
        process.send_signal(signal.SIGKILL)
        process.wait()
        page.keyboard.press(keys[20])
        page.wait_for_selector("#trouble:not([hidden])")
        assert "what was saved is there" in page.inner_text("#trouble")
        assert page.inner_text("#status").startswith("20 of 50")
    assert [one.file_name for one in read_answers(review.ledger.path) or ()] == names[:20]
    with started(run, 50) as (process, url):
        page.goto(url)
        wait_for(page, "20 of 50")
        for key in keys[20:]:
            page.keyboard.press(key)
        page.wait_for_selector(DONE)
        page.keyboard.press("Enter")
        page.wait_for_selector('#written:has-text("report.html")')
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    found = json.loads((run / "metrics.json").read_text())["review"]
    right = sum(int(name[:3]) % 7 != 0 for name in names)
    assert (found["n_answers"], found["n_right"]) == (50, right)
    assert f"{100 * found['low']:.1f} to {100 * found['high']:.1f}%" in page.inner_text("#result")
    assert (run / "report.html").is_file() and (run / "README.md").is_file()
    assert all(address.startswith(("http://127.0.0.1:", "data:")) for address in page.asked)


def test_undo_back_none_and_unsure(run: Path, page: Any) -> None:
    review = Review(open_subject(run), n=20)
    first = review.sampled.first(4)
    with served(review) as urls:
        page.goto(urls[0])
        page.wait_for_selector(ASKED)
        assert page.inner_text("#shown") == "" and page.get_attribute("#image", "alt") == "Image 1 of 20"
        for key in ("3", "-", "?"):
            page.keyboard.press(key)
        wait_for(page, "3 of 20")
        page.keyboard.press("Backspace")
        wait_for(page, "2 of 20")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector('#choices [data-choice="3"][aria-pressed="true"]')
        page.keyboard.press("4")
        page.wait_for_selector('#shown:has-text("Last answer: 4.")')
        page.keyboard.press("?")
        wait_for(page, "3 of 20")
    answers = review.queue("measure")["answers"]
    assert answers == {first[0]: 4, first[1]: "none", first[2]: "unsure"}


def test_the_grid_and_the_naming_of_wrong_ones(run: Path, truth: Truth, page: Any) -> None:
    review = Review(open_subject(run), n=20)
    names = review.subject.learned.images.file_names
    items = review.grid(2)["items"]
    wrong = [place for place in items if truth(names[place]) != 2]
    with served(review) as urls:
        page.goto(urls[0])
        page.get_by_role("button", name="Find wrong ones").click()
        page.get_by_label("Predicted to be").select_option("2")
        page.wait_for_selector(f'#tiles [data-tile="{items[0]}"]:focus')
        for place in items:
            if place in wrong:
                page.keyboard.press("Space")
            page.keyboard.press("ArrowRight")
        assert f"{len(items) - len(wrong)} right, {len(wrong)} wrong" in page.inner_text("#save")
        page.keyboard.press("Enter")
        page.wait_for_selector("#save:disabled")
        page.get_by_role("button", name=f"Name wrong ones ({len(wrong)})").click()
        page.wait_for_selector('#shown:has-text("Predicted: 2")')
        for place in wrong:
            page.keyboard.press(str(truth(names[place])))
        page.wait_for_selector(DONE)
    answers = {one.file_name: one.label for one in review.ledger.answers}
    assert {name: int(label) for name, label in answers.items()} == {names[p]: truth(names[p]) for p in items}


def test_two_classifiers_are_compared_until_it_is_decided(run: Path, truth: Truth, page: Any) -> None:
    review = Review(open_subject(run), n=20)
    names = review.subject.measured.images.file_names
    with served(review) as urls:
        page.goto(urls[0])
        page.wait_for_selector(ASKED)
        page.get_by_role("button", name="Compare").click()
        page.wait_for_selector('#status:has-text("differ checked")')
        for place in review.sampled.differing:
            page.keyboard.press(str(truth(names[place])))
        page.wait_for_selector('#result:has-text("Student is better")')
    assert review.verdict is not None and len(review.ledger.answers) == review.verdict.answers


def test_a_thousand_classes_by_their_first_letters(run: Path, page: Any) -> None:
    images = ImageSet.open(run.parent / "train")
    n, kinds = len(images), ("cat", "wild dog")
    classes = ("hotdog 49", *(f"{kind} {i}" for i in range(500) for kind in kinds))
    pool = Pool("images", images, np.arange(n), np.linspace(0, 1, n), None, None, np.zeros(n, bool))
    review = Review(Subject(run, run / "review", "many", classes, pool, pool, None), n=10)
    with served(review) as urls:
        page.goto(urls[0])
        page.wait_for_selector("#search:focus")
        assert page.inner_text("#choices") == "1001 classes: type a part of a name."
        page.keyboard.type("cat 123")
        page.keyboard.press("Enter")
        wait_for(page, "1 of 10")
        page.keyboard.type("dog 49")
        page.keyboard.press("ArrowDown")
        assert page.inner_text('#choices [aria-selected="true"]') == "wild dog 490"
        page.keyboard.press("Enter")
        wait_for(page, "2 of 10")
        page.keyboard.press("-")
        wait_for(page, "3 of 10")
        page.keyboard.type("wil 321")
        page.keyboard.press("Enter")
        wait_for(page, "4 of 10")
    said = [one.label for one in review.ledger.answers]
    assert said == ["cat 123", "wild dog 490", "none of these", "wild dog 321"]


def test_a_second_browser_and_a_wrong_token_get_nothing_and_two_reviewers_share(
    run: Path, page: Any, chromium: Any
) -> None:
    review = Review(open_subject(run), n=10)
    with served(review, ("anna", "ben")) as urls:
        page.goto(urls[0])
        page.wait_for_selector(ASKED)
        context = chromium.new_context()
        for address in (urls[0], urls[0][:-2] + "/", urls[0] + "about"):
            other = context.new_page()
            with pytest.raises(Exception, match="ERR_HTTP_RESPONSE_CODE_FAILURE"):  # an empty page
                other.goto(address)
        other = context.new_page()
        other.goto(urls[1])
        other.wait_for_selector(ASKED)
        for _ in range(5):
            page.keyboard.press("1")
        wait_for(page, "5 of 10")
        for _ in range(5):
            other.keyboard.press("2")
        other.wait_for_selector(DONE)
        context.close()
    labels = [one.label for one in review.ledger.answers]
    assert review.remaining == 0 and labels.count("1") == labels.count("2") == 5


def test_the_static_page_keeps_and_downloads_its_answers(run: Path, truth: Truth, page: Any, tmp_path: Path) -> None:
    review = Review(open_subject(run), n=12)
    names = [review.subject.measured.images.file_names[place] for place in review.sampled.first(12)]
    write_static(review, tmp_path / "review.html", "ben")
    page.goto((tmp_path / "review.html").as_uri())
    page.wait_for_selector(ASKED)
    for name in names[:5]:
        page.keyboard.press(str(truth(name)))
    wait_for(page, "5 of 12")
    page.reload()
    wait_for(page, "5 of 12")
    for name in names[5:]:
        page.keyboard.press(str(truth(name)))
    page.wait_for_selector(DONE)
    shown = page.inner_text("#result"), page.inner_text("#meaning")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    download.value.save_as(tmp_path / "down.csv")
    assert review.ledger.take_in(tmp_path / "down.csv") == 12 and review.remaining == 0
    m = review.measured
    assert m is not None and m.accuracy is not None and (m.reviewers, m.design) == (("ben",), FIXED)
    told = [float(number) for number in re.findall(r"\d+\.\d", shown[0])]
    assert told == pytest.approx([100 * m.accuracy, 100 * m.low, 100 * m.high], abs=0.051)
    meant = "12 of 80 held-out images were drawn at random. Stratified random sample of a number that was fixed before"
    assert shown[1].startswith(meant)
    assert all(address.startswith(("file:", "data:", "blob:")) for address in page.asked)


def test_the_static_page_computes_the_interval_of_the_audit_after_each_answer(
    run: Path, page: Any, tmp_path: Path
) -> None:
    review, random = Review(open_subject(run), n=24), np.random.default_rng(0)
    sampled, predicted = review.sampled, review.subject.measured.predicted
    classes = review.subject.classes
    write_static(review, tmp_path / "review.html", "ben")
    page.goto((tmp_path / "review.html").as_uri())
    page.wait_for_selector(ASKED)
    labels: dict[str, str] = {}
    outcomes = random.choice(["right", "right", "right", "wrong", "none", "unsure"], 40).tolist()
    for n, (place, outcome) in enumerate(zip(sampled.first(24), outcomes, strict=False), 1):
        own = int(predicted[place])
        named = {"right": classes[own], "wrong": classes[(own + 1) % 10], "none": NONE, "unsure": UNSURE}
        labels[sampled.pool.images.file_names[place]] = named[outcome]
        expected = sampled.measure(labels, review.ids, 24, 24, ("ben",))
        assert expected is not None
        found = page.evaluate("(outcomes) => audit(DATA.design)(outcomes)", outcomes[:n])
        wanted = expected.to_dict()
        assert found == pytest.approx({name: wanted[name] for name in found}, abs=1e-9), n
    for sizes in ((60, 200, 1000), (350,), (40, 40, 40, 40, 41)):
        strata = np.repeat(np.arange(len(sizes)), sizes)
        drawn = draw(strata, 40)
        design = page.evaluate("() => DATA.design") | {
            "sizes": list(sizes),
            "strata": strata[drawn].tolist(),
            "planned": 40,
            "evaluations": evaluations(len(strata)),
        }
        right = np.array([one == "right" for one in outcomes])
        both = (interval(count(strata, drawn, right)), anytime(strata, drawn[:39], right[:39]))
        for n, one in zip((40, 39), both, strict=True):
            said = ["right" if yes else "wrong" for yes in right[:n]]
            found = page.evaluate("([design, outcomes]) => audit(design)(outcomes)", [design, said])
            assert (found["low"], found["high"]) == pytest.approx((one.low, one.high), abs=1e-9)
            assert found["accuracy"] == pytest.approx(one.estimate)


def test_nothing_sticks_out_at_400_pixels_and_both_colors_are_drawn(run: Path, page: Any) -> None:
    review = Review(open_subject(run), n=10)
    means = []
    with served(review) as urls:
        page.goto(urls[0])
        page.wait_for_selector(ASKED)
        for width, scheme in ((400, "light"), (1600, "dark")):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            means.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        for button in page.get_by_role("button").all():
            assert button.inner_text() or button.get_attribute("aria-label")
        assert page.get_by_role("status").first.get_attribute("aria-live") == "polite"
    assert means == ["rgb(247, 247, 245)", "rgb(18, 20, 24)"]


def test_a_learner_is_chosen_by_keyboard(comparison: Path, truth: Truth, page: Any) -> None:
    review = Review(open_subject(comparison), n=8)
    names = review.subject.measured.images.file_names
    with served(review) as urls:
        page.goto(urls[0])
        page.wait_for_selector('#status:has-text("0 of 8 checked")')
        for done in range(8):
            place = review.following("choose")
            assert place is not None
            page.keyboard.press(str(truth(names[place])))
            page.wait_for_selector(
                f'#status:has-text("{done + 1} of 8 checked")' if done < 7 else DONE, state="attached"
            )
        best = review.findings()["choice"]["learner"]
        assert page.inner_text("#result") == f"{best} is best"
        page.keyboard.press("Enter")
        page.wait_for_selector('#written:has-text("choice.json")')
    assert json.loads((comparison / "choice.json").read_text())["n_answers"] == 8


def test_a_guarantee_goes_on_to_the_doubtful_images(run_without_test: Path, truth: Truth, page: Any) -> None:
    review = Review(open_subject(run_without_test), n=30, max_error=0.15)
    names = review.subject.learned.images.file_names
    with served(review) as urls:
        page.goto(urls[0])
        page.wait_for_selector(ASKED)
        page.get_by_role("button", name="Guarantee").click()
        page.wait_for_selector('#status:has-text("0 of 30 drawn images checked")')
        done = 0
        while (place := review.following("guarantee")) is not None:
            page.keyboard.press(str(truth(names[place])))
            done += 1
            while len(review.ledger.answers) < done:
                page.wait_for_timeout(5)
        page.wait_for_selector('#result:has-text("At most 15.0% of the finished labels are wrong")')
        page.keyboard.press("Backspace")
        page.wait_for_selector(ASKED)
        assert review.following("guarantee") is not None
    assert done > 30 and review.findings() == {}
