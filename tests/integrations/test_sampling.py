"""The sampling design of a review in files of other tools: carried out, kept from training, and brought back."""

import json

import pandas as pd
import pytest
import torch
from PIL import Image

from zerolabel.annotations import Annotations
from zerolabel.data.answers import RANDOM, read_answers
from zerolabel.data.classes import Classes
from zerolabel.data.label_files import Labels


@pytest.fixture
def annotated(tmp_path, make_annotations):
    """Thirty images with annotations."""
    made = make_annotations(torch.randint(3, (30, 2)), 3)
    (tmp_path / "photos").mkdir()
    for name in made.file_names:
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name)
    made.save(tmp_path / "annotations.parquet")
    (tmp_path / "config.json").write_text(json.dumps({"images": str(tmp_path / "photos")}))
    return tmp_path


def exported(annotated, call, kind, name):
    out = annotated / name
    code, said, err = call(
        "export-labels", annotated / "annotations.parquet", "--to", kind, "-o", out, "--check", 6, "--json"
    )
    assert code == 0 and json.loads(said)["n_drawn"] == 6, err
    return out


def measured_and_taught(path):
    """Numbers of labels that an evaluation and that a training read from a table."""
    classes = Classes(("class 0", "class 1", "class 2"))
    with pytest.warns(UserWarning, match="are left out"):
        found = [Labels.read(path, classes, use=use).rows for use in ("measure", "train")]
    return tuple(len(rows) for rows in found)


def test_label_studio_tasks_carry_the_design_hide_predictions_and_bring_answers_back(annotated, call):
    tasks = json.loads(exported(annotated, call, "label-studio", "tasks.json").read_text())
    drawn = [task for task in tasks if "why_shown" in task["data"]]
    assert tasks[:6] == drawn and all("predictions" not in task and not task["data"]["candidates"] for task in drawn)
    assert sum(1 / task["data"]["inclusion_probability"] for task in drawn) == pytest.approx(30)
    assert sum("predictions" in task for task in tasks) == 24
    for task in tasks[:8]:  # a person labels the drawn ones and two others
        choice = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["class 1"]}}
        task["annotations"] = [{"result": [choice], "completed_by": 7, "updated_at": "2026-01-02T03:04:05Z"}]
    (annotated / "done.json").write_text(json.dumps(tasks))
    again = ("import-labels", annotated / "done.json", "--from", "label-studio", "-o", annotated / "new.parquet")
    code, _, err = call(*again, "--into", annotated / "annotations.parquet")
    assert code == 0 and "6 images were drawn at random" in err
    assert int(Annotations.load(annotated / "new.parquet").human.sum()) == 2
    code, out, err = call("review", annotated, "-n", 6, "--import", annotated / "done.json")
    assert code == 0 and "6 new answers" in err and "95% interval" in out
    answers = read_answers(annotated / "review" / "answers.csv")
    assert {one.why for one in answers} == {RANDOM} and {one.reviewer for one in answers} == {"person 7"}
    assert measured_and_taught(annotated / "review" / "answers.csv") == (6, 0)


def test_fiftyone_fields_carry_the_design(annotated, call):
    out = exported(annotated, call, "fiftyone", "fields")
    design = json.loads((out / "why_shown.json").read_text())["labels"]
    chances = [one["attributes"]["inclusion_probability"] for one in design.values()]
    assert len(chances) == 6 and sum(1 / chance for chance in chances) == pytest.approx(30)
    shown = json.loads((out / "zero_shot.json").read_text())["labels"]
    assert not design.keys() & shown.keys() and len(shown) == 24
    human = {image: "class 1" for image in [*list(design)[:3], *list(shown)[:2]]}
    (out / "human.json").write_text(json.dumps({"classes": None, "labels": human}))
    again = ("import-labels", out, "--from", "fiftyone", "-o", annotated / "new.parquet")
    code, _, err = call(*again, "--into", annotated / "annotations.parquet")
    assert code == 0 and "3 images were drawn at random" in err
    assert int(Annotations.load(annotated / "new.parquet").human.sum()) == 2
    first = ("review", annotated, "-n", 6, "--import", out)
    code, said, err = call(*first)
    assert code == 0 and "3 new answers" in err and "95% interval" in said
    assert "0 new answers" in call(*first)[2]
    answers = read_answers(annotated / "review" / "answers.csv")
    assert {one.why for one in answers} == {RANDOM} and all(one.file_name.endswith(".png") for one in answers)
    (out / "why_shown.json").write_text("{")
    code, _, err = call(*again, "--into", annotated / "annotations.parquet")
    assert code == 2 and "is damaged" in err


def test_a_spreadsheet_carries_the_design_and_its_columns_are_no_votes(annotated, call):
    table = pd.read_csv(exported(annotated, call, "csv", "sheet.csv"), dtype=str, keep_default_na=False)
    drawn = table["why shown"] == RANDOM
    assert drawn.sum() == 6 and (table.loc[drawn, "best"] == "").all() and (table.loc[~drawn, "best"] != "").all()
    table.loc[drawn | (table.index < 3), "label"] = "class 2"
    table.to_csv(annotated / "filled.csv", index=False)
    again = ("import-labels", annotated / "filled.csv", "--from", "csv", "-o", annotated / "new.parquet")
    code, _, err = call(*again, "--into", annotated / "annotations.parquet")
    made, before = Annotations.load(annotated / "new.parquet"), Annotations.load(annotated / "annotations.parquet")
    assert code == 0 and "drawn at random" in err and made.annotators == before.annotators
    assert int(made.human.sum()) == int(((table.index < 3) & ~drawn).sum())
    assert measured_and_taught(annotated / "filled.csv") == (6, int(((table.index < 3) & ~drawn).sum()))
    code, out, err = call("review", annotated, "-n", 6, "--import", annotated / "filled.csv")
    assert code == 0 and "6 answers" in out and "6 new answers" in err
    assert measured_and_taught(annotated / "review" / "answers.csv") == (6, 0)


def test_without_a_review_nothing_is_marked(annotated, call):
    out = annotated / "tasks.json"
    code, said, _ = call(
        "export-labels", annotated / "annotations.parquet", "--to", "label-studio", "-o", out, "--json"
    )
    assert code == 0 and json.loads(said)["n_drawn"] == 0
    assert not any("why_shown" in task["data"] for task in json.loads(out.read_text()))
