import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from zerolabel.annotations import Annotations, Annotator
from zerolabel.errors import InputError
from zerolabel.report import build

VOID = {"meta", "img", "line", "circle", "rect", "polyline", "polygon", "br"}
OPTIONAL = (
    "log.jsonl",
    "metrics.json",
    "annotations.parquet",
    "test_annotations.parquet",
    "skipped.csv",
    "predictions.parquet",
    "evaluation.json",
    "classifier.onnx",
)


class Page(HTMLParser):
    """What a page holds: its tags, their attributes, and whether they close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.headings: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open and self.open.pop() == tag, f"{tag} closes nothing"

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text.append(data)
        if self.open and self.open[-1] in ("h1", "h2", "figcaption", "th", "dt"):
            self.headings.append(data)

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]


def words(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def test_it_needs_nothing_from_outside(run_with_truth: Path) -> None:
    html = build(run_with_truth)
    page = Page(html)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed"}
    assert all(src.startswith("data:image/") for src in page.values("src"))
    assert all(href.startswith("#") for href in page.values("href"))
    assert "url(" not in html and "@import" not in html


def test_every_link_has_its_target(run_with_truth: Path, run_without_truth: Path) -> None:
    for run in (run_with_truth, run_without_truth):
        page = Page(build(run))
        links, anchors = page.values("href"), page.values("id")
        assert {href[1:] for href in links} <= set(anchors)
        assert len(anchors) == len(set(anchors))


def test_it_can_be_read_aloud(run_with_truth: Path) -> None:
    page = Page(build(run_with_truth))
    for tag, attrs in page.tags:
        if tag == "img":
            assert attrs.get("alt")
        if tag == "svg":
            assert attrs.get("role") == "img" and attrs.get("aria-label")
        if tag == "th":
            assert attrs.get("scope") in ("col", "row")
    assert [tag for tag, _ in page.tags].count("table") == [tag for tag, _ in page.tags].count("caption")


def test_with_truth_it_says_how_good_the_student_is(run_with_truth: Path) -> None:
    metrics = json.loads((run_with_truth / "metrics.json").read_text())
    text = words(Page(build(run_with_truth)))
    for key in ("student_accuracy", "zero_shot_accuracy", "candidate_coverage"):
        assert f"{100 * metrics[key]:.1f}%" in text
    assert "Accuracy of the student on 500 held-out images:" in text
    assert "difference is statistically significant" in text
    for share in metrics["zero_shot_accuracy_per_template"].values():
        assert f"{100 * share:.1f}%" in text
    assert "Measure the accuracy by hand" not in text


def test_without_truth_no_accuracy_is_shown_anywhere(run_without_truth: Path) -> None:
    page = Page(build(run_without_truth))
    measured = [heading for heading in page.headings if not heading.startswith("Estimated ")]
    assert not [heading for heading in measured if "accuracy" in heading.lower() or "correct" in heading.lower()]
    text = words(page)
    assert "No true labels were given" in text
    assert "calibration error" not in text and "rows are true classes" not in text and "Confusion matrix" not in text
    assert not {"truth"} & set(page.values("id"))


def test_without_truth_it_leads_to_the_static_review(run_without_truth: Path) -> None:
    assert "audit" not in Page(build(run_without_truth)).values("id")  # a run before its page is written
    (run_without_truth / "review.html").write_text("")
    page = Page(build(run_without_truth))
    assert "audit" in page.values("id") and page.values("href").count("review.html") == 1
    assert "--import answers.csv" in words(page)
    assert "78.6 to 95.7%" in words(page)  # Wilson, 45 of 50


def test_a_worse_student_is_called_worse(run_copy: Path) -> None:
    path = run_copy / "metrics.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps({**metrics, "student_accuracy": 0.70, "zero_shot_accuracy": 0.80}))
    text = words(Page(build(run_copy)))
    assert "Training did not help here" in text
    assert "150%" in text  # errors left: 30 against 20
    path.write_text(json.dumps({**metrics, "student_accuracy": 0.81, "zero_shot_accuracy": 0.80}))
    assert "is not statistically significant" in words(Page(build(run_copy)))


def test_it_says_whom_the_student_helps(run_copy: Path) -> None:
    path = run_copy / "evaluation.json"
    told = json.loads(path.read_text())
    names = told["classes"]
    before = {name: i / len(names) for i, name in enumerate(names)}
    after = {name: share + (0.05 if share < 0.5 else -0.02) for name, share in before.items()}
    path.write_text(json.dumps({**told, "zero_shot_per_class": before, "per_class": after}))
    text = words(Page(build(run_copy)))
    assert re.search(
        r"\+5\.0 for the half of the classes on which zero-shot is weakest, .2\.0 for the other half", text
    )
    path.write_text(json.dumps({**told, "zero_shot_per_class": {}}))
    assert "is weakest" not in words(Page(build(run_copy)))


def test_names_that_are_markup_stay_text(run_of_odd_names: Path) -> None:
    page = Page(build(run_of_odd_names))
    text = " ".join(page.text)
    for name in ("<b>&", '"quoted"', "{curly}", "</style>", "日本", "<img src=x>.png"):
        assert name in text
    assert all(src.startswith("data:") for src in page.values("src"))


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_missing_file_is_left_out(run_copy: Path, name: str) -> None:
    (run_copy / name).unlink()
    assert Page(build(run_copy)).values("id")


def test_a_run_that_was_killed_says_so(run_copy: Path) -> None:
    for name in OPTIONAL:
        (run_copy / name).unlink()
    text = words(Page(build(run_copy)))
    assert "has not finished" in text
    assert "10 classes" in text


def test_half_a_line_of_the_log_does_not_count(run_copy: Path) -> None:
    log = run_copy / "log.jsonl"
    whole = "".join(line + "\n" for line in log.read_text().splitlines()[:3])
    log.write_text(whole)
    expected = build(run_copy)
    log.write_text(whole + '{"epoch": 3, "losses": {"warm')
    assert build(run_copy) == expected


def test_one_epoch_makes_a_chart(run_copy: Path) -> None:
    record = {"epoch": 0, "progress": 0.0, "losses": {"supervised": 1.5, "broken": float("nan")}, "figures": {}}
    (run_copy / "log.jsonl").write_text(json.dumps(record) + "\n")
    page = Page(build(run_copy))
    assert "Supervised" in page.headings


def test_no_run_and_damaged_files_are_named(tmp_path: Path, run_copy: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        build(tmp_path)
    for name in ("metrics.json", "config.json", "predictions.parquet"):
        kept = (run_copy / name).read_bytes()
        (run_copy / name).write_bytes(b"{broken")
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            build(run_copy)
        (run_copy / name).write_bytes(kept)


def test_thumbnails_are_the_images_most_confidently_changed(run_with_truth: Path) -> None:
    config = json.loads((run_with_truth / "config.json").read_text())
    frame = pd.read_parquet(run_with_truth / "predictions.parquet")
    changed = frame[frame["zero_shot"] != frame["student"]].sort_values("student_confidence", ascending=False)
    assert len(changed) > 48
    images = [attrs for tag, attrs in Page(build(run_with_truth)).tags if tag == "img"]
    assert len(images) == 48
    first, row = images[0], changed.iloc[0]
    assert first["alt"] == f"{row['file_name']}: {row['zero_shot']} became {row['student']}"
    assert "pixelated" in (first["class"] or "")
    shown = Image.open(io.BytesIO(base64.b64decode((first["src"] or "").partition(",")[2])))
    original = Image.open(Path(config["images" if row["set"] == "train" else "test_images"]) / row["file_name"])
    assert np.array_equal(np.asarray(shown), np.asarray(original.convert("RGB")))


def test_an_image_that_is_gone_leaves_a_gap(run_copy: Path, tmp_path: Path) -> None:
    path = run_copy / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "images": str(tmp_path / "gone"), "test_images": None}))
    page = Page(build(run_copy))
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert "file not found" in " ".join(page.values("aria-label"))


def test_collapse_is_pointed_out(run_copy: Path) -> None:
    path = run_copy / "predictions.parquet"
    frame = pd.read_parquet(path)
    frame.assign(student="3").to_parquet(path)
    text = words(Page(build(run_copy)))
    assert "never answers 9 of 10 classes" in text
    assert "100% of all answers are one class, “3”" in text


def test_no_collapse_no_warning(run_with_truth: Path) -> None:
    assert "never answers" not in words(Page(build(run_with_truth)))


def test_a_learner_without_zero_shot_answers(run_copy: Path) -> None:
    path = run_copy / "predictions.parquet"
    frame = pd.read_parquet(path)
    frame.assign(zero_shot=None, zero_shot_confidence=None).to_parquet(path)
    page = Page(build(run_copy))
    assert "changes" not in page.values("id") and "predictions" in page.values("id")


@pytest.mark.parametrize("n_classes", [2, 1000])
def test_two_classes_and_a_thousand(run_copy: Path, n_classes: int) -> None:
    (run_copy / "evaluation.json").unlink()
    names = [f"class {i}" for i in range(n_classes)]
    generator = torch.Generator().manual_seed(0)
    n, a = 200, 30
    votes = torch.randint(-1, n_classes, (n, a), generator=generator)
    votes[0] = -1
    candidates = torch.zeros(n, n_classes, dtype=torch.bool)
    for i, row in enumerate(votes):
        candidates[i, row[row >= 0]] = True
    Annotations(
        classes=tuple(names),
        file_names=tuple(f"{i}.png" for i in range(n)),
        sha256=("0" * 64,) * n,
        sizes=torch.full((n, 2), 8),
        votes=votes,
        scores=torch.full((n, n_classes), 1 / n_classes),
        candidates=candidates,
        labels=torch.tensor(
            [-1, 1] + [-1] * (n - 2)
        ),  # a label is a candidate set of one, so another image than the first
        annotators=tuple(Annotator("open_clip:ViT-B-32/openai", "", f"view {i} of a {{}}") for i in range(a)),
        rule="union",
    ).save(run_copy / "annotations.parquet")
    ids = torch.randint(0, n_classes, (2, n), generator=generator).tolist()
    frame = pd.DataFrame({"file_name": [f"{i}.png" for i in range(n)], "set": "train", "student_confidence": 0.5})
    frame = frame.assign(
        zero_shot_confidence=0.4, zero_shot=[names[i] for i in ids[0]], student=[names[i] for i in ids[1]]
    )
    frame.to_parquet(run_copy / "predictions.parquet")
    html = build(run_copy)
    text = words(Page(html))
    assert len(html) < 3_000_000
    assert "1 image got none because no prompt voted" in text
    assert "Images with a human label: 1." in text
    if n_classes == 1000:
        assert "980 more" in text


def test_a_file_is_read_once_and_never_changed(run_with_truth: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_with_truth.rglob("*")}
    assert build(run_with_truth) == build(run_with_truth)
    assert {path: path.stat().st_mtime_ns for path in run_with_truth.rglob("*")} == before


def test_the_command_is_quoted_for_a_shell(run_copy: Path) -> None:
    path = run_copy / "config.json"
    command = ["zerolabel", "run", "my images", "--classes", "a,b"]
    path.write_text(json.dumps({**json.loads(path.read_text()), "command": command}))
    assert re.search(r"zerolabel run 'my images' --classes a,b", words(Page(build(run_copy))))
