"""`zerolabel inspect` as it is typed, on real digits."""

import json
from pathlib import Path
from typing import Any

import pytest

from zerolabel.cli import main


@pytest.fixture
def annotated(annotated_digits: Any, tmp_path: Path) -> Path:
    annotated_digits.annotations.save(tmp_path / "annotations.parquet")
    return tmp_path


def test_table_and_page(annotated: Path, annotated_digits: Any, capsys: pytest.CaptureFixture[str]) -> None:
    page = annotated / "page" / "inspect.html"
    main(["inspect", str(annotated), "--truth", str(annotated_digits.truth_file), "--html", str(page)])
    shown = capsys.readouterr().out
    for words in (
        "1797, 10 classes, 8 prompts",
        "right class among the candidates",
        "measured",
        "T8",
        "agreement of two",
    ):
        assert words in shown
    html = page.read_text()
    for words in (
        "How good are they?",
        "Estimated without labels",
        "Agreement between prompts",
        "Candidates per class",
    ):
        assert words in html
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_json_without_truth(annotated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["inspect", str(annotated / "annotations.parquet"), "--json", "--label-model", "dawid_skene"])
    found = json.loads(capsys.readouterr().out)
    assert found["n_images"] == 1797 and found["n_known"] is None and found["label_model"] == "dawid_skene"
    assert found["coverage"]["low"] <= found["coverage"]["estimate"] <= found["coverage"]["high"]
    assert found["coverage"]["true"] is None and found["annotators"][0]["accuracy"] is None
    assert len(found["agreement"]) == 8


def test_truth_in_class_folders(annotated: Path, annotated_digits: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name, label in list(zip(annotated_digits.annotations.file_names, annotated_digits.truth.tolist(), strict=True))[
        :20
    ]:
        folder = annotated / "truth" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((annotated_digits.folder / name).read_bytes())
    main(["inspect", str(annotated), "--truth", str(annotated / "truth"), "--json"])
    assert json.loads(capsys.readouterr().out)["n_known"] == 20


def test_truth_of_other_images_is_refused(annotated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = annotated / "truth.csv"
    truth.write_text("file_name,label\nelsewhere.png,3\n")
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(annotated), "--truth", str(truth)])
    assert ended.value.code == 2
    assert "give the class of no image" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("more", "told"),
    [(["--label-model", "dawid"], "no label model 'dawid'"), (["--truth", "nowhere.csv"], "there are no labels")],
)
def test_mistakes_are_one_sentence(
    annotated: Path, more: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(annotated), *more])
    assert ended.value.code == 2 and told in " ".join(capsys.readouterr().err.split())


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(tmp_path)])
    assert ended.value.code == 2 and "there is no annotations file" in " ".join(capsys.readouterr().err.split())
