"""The scikit-learn shaped front, on real handwritten digits and the embedded model."""

import csv
import inspect
import re
import tempfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from zerolabel import Classifier, InputError, ZeroLabel
from zerolabel.cli import run
from zerolabel.errors.python_words import python_words

DOCS = Path(__file__).parents[2] / "docs"
CLASSES = tuple("0123456789")


def write(folder: Path, start: int, count: int) -> Path:
    """Some digits as PNGs, and beside the folder their truth."""
    folder.mkdir()
    pixels, targets = load_digits(return_X_y=True)
    with folder.with_name(f"{folder.name}.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "label"])
        for i in range(start, start + count):
            gray = (pixels[i].reshape(8, 8) / 16 * 255).round().astype(np.uint8)
            Image.fromarray(gray).save(folder / f"{i:04d}.png")
            rows.writerow([f"{i:04d}.png", CLASSES[targets[i]]])
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("digits")
    write(place / "train", 0, 60)
    write(place / "test", 60, 20)
    return place


def estimator(place: Path, **changed: Any) -> ZeroLabel:
    options = {"classes": CLASSES, "vlm": "glyphs", "epochs": 3, "method": "cross_entropy", "device": "cpu"}
    return ZeroLabel(**{**options, "cache": place / "cache", "student": "light", **changed})


@pytest.fixture(scope="module")
def fitted(place: Path) -> ZeroLabel:
    return estimator(place, output=place / "run").fit(place / "train")


def truth(place: Path) -> list[str]:
    with (place / "test.csv").open() as file:
        return [row["label"] for row in csv.DictReader(file)]


def test_arguments_are_those_of_the_command() -> None:
    only_the_command = {"images", "truth", "test", "few_shot", "resume", "overwrite", "dry_run", "as_json", "track"}
    only_the_command |= {"endpoint", "api_key_env", "image_side", "choices", "answer_tokens"}
    only_the_command |= {"concurrency", "rate", "timeout", "retries", "price_in", "price_out", "budget"}
    command = {p.name: p.default for p in inspect.signature(run.run).parameters.values()}
    own = {p.name: p.default for p in inspect.signature(ZeroLabel).parameters.values()}
    assert own.pop("verbose") is False and own.pop("output") is None
    command.pop("output")
    assert own == {name: value for name, value in command.items() if name not in only_the_command}


def test_get_set_and_clone() -> None:
    model = ZeroLabel(classes=["cat", "dog"], options={"warm_up": 3})
    assert model.get_params()["classes"] == ["cat", "dog"] and model.get_params()["method"] == "coreg"
    model.set_params(method="distillation", seed=4)
    copy = clone(model)
    assert copy is not model and copy.get_params() == model.get_params() and copy.seed == 4
    with pytest.raises(ValueError, match="Invalid parameter 'learnr'"):
        model.set_params(learnr="coreg")


def test_fit_leaves_its_attributes(fitted: ZeroLabel, place: Path) -> None:
    assert fitted.classes_.tolist() == list(CLASSES)
    assert len(fitted.annotations_) == fitted.metrics_["n_images"] == 60
    assert isinstance(fitted.classifier_, Classifier) and fitted.classifier_.classes == CLASSES
    assert [entry["epoch"] for entry in fitted.log_] == [0, 1, 2]
    told = [name for name in fitted.metrics_ if "accuracy" in name]
    assert told == ["estimated_accuracy"], "no truth was given"
    for name in ("report.html", "classifier.onnx", "metrics.json", "README.md"):
        assert (place / "run" / name).is_file()


def test_the_page_of_files_names_them_all(fitted: ZeroLabel, place: Path) -> None:
    page = (DOCS / "files.md").read_text()
    for path in (place / "run").iterdir():
        assert f"`{path.name}{'/' if path.is_dir() else ''}`" in page
    for name in (*fitted.metrics_, *fitted.log_[0]):
        assert f"`{name}`" in page


def test_predictions(fitted: ZeroLabel, place: Path) -> None:
    p, names = fitted.predict_proba(place / "test"), fitted.predict(place / "test")
    assert p.shape == (20, 10) and np.allclose(p.sum(1), 1, atol=1e-5)
    assert names.tolist() == fitted.classes_[p.argmax(1)].tolist()
    assert len(set(p[:, 0].tolist())) > 1, "different images, different answers"


def test_pictures_in_memory_are_answered_like_files(fitted: ZeroLabel, place: Path) -> None:
    pictures = [Image.open(path) for path in sorted((place / "test").iterdir())]
    expected = fitted.predict_proba(place / "test")
    assert np.array_equal(fitted.predict_proba(pictures), expected)
    assert np.array_equal(fitted.predict_proba([np.asarray(picture) for picture in pictures]), expected)


def test_everything_that_holds_images_is_answered_alike(fitted: ZeroLabel, place: Path) -> None:
    folder = place / "test"
    paths = sorted(folder.iterdir())
    expected = fitted.predict_proba(folder)
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
    table = pd.DataFrame({"path": [str(path) for path in paths], "y": truth(place)}, index=range(100, 120))
    several: tuple[Any, ...] = (
        *(paths, tuple(map(str, paths)), np.array(table["path"]), table["path"], table[["path"]]),
        *(pixels, pixels[..., None], np.repeat(pixels[..., None], 3, 3), list(pixels), torch.from_numpy(pixels)),
        *([path.read_bytes() for path in paths], [paths[0], pixels[1], *map(Image.open, paths[2:])], iter(paths)),
    )
    for images in several:
        assert np.array_equal(fitted.predict_proba(images), expected), type(images)
    for one in (paths[3], str(paths[3]), Image.open(paths[3]), [paths[3]], np.repeat(pixels[3][..., None], 3, 2)):
        assert fitted.predict(one).tolist() == [fitted.classes_[expected[3].argmax()]]
        assert fitted.classifier_.predict(one) == [fitted.classes_[expected[3].argmax()]]
    assert fitted.score(table["path"], table["y"]) == fitted.score(folder, place / "test.csv")
    assert fitted.score(paths, [int(name) for name in truth(place)]) == fitted.score(folder, place / "test.csv")


def test_fit_learns_the_same_from_paths_and_pixels(fitted: ZeroLabel, place: Path) -> None:
    paths = sorted((place / "train").iterdir())
    sources: tuple[Any, ...] = (paths, pd.Series(map(str, paths)), [np.asarray(Image.open(path)) for path in paths])
    expected = fitted.predict_proba(place / "test")
    for images in sources:
        assert np.array_equal(estimator(place).fit(images).predict_proba(place / "test"), expected)
    output = place / "of pixels"
    estimator(place, output=output).fit(sources[2])
    with pytest.raises(InputError, match="`resume=True` to finish it or `overwrite=True`"):
        estimator(place, output=output).fit(sources[2])
    assert estimator(place, output=output).fit(sources[2], resume=True).metrics_["n_images"] == 60
    with pytest.raises(InputError, match="another `images`"):
        estimator(place, output=output).fit(sources[2][1:], resume=True)


@pytest.mark.filterwarnings("ignore:fit does not train on y")
def test_cross_validation_and_grid_search(place: Path) -> None:
    paths = np.array([str(path) for path in sorted((place / "train").iterdir())], dtype=object)
    with (place / "train.csv").open() as file:
        y = np.array([row["label"] for row in csv.DictReader(file)])
    model = estimator(place, epochs=1)
    scores = cross_val_score(model, paths, y, cv=KFold(2))
    halves = [estimator(place, epochs=1).fit(paths[i]).score(paths[j], y[j]) for i, j in KFold(2).split(paths)]
    assert scores.tolist() == halves
    search = GridSearchCV(model, {"method": ["cross_entropy", "gce"]}, cv=KFold(2), scoring="accuracy").fit(paths, y)
    assert search.best_estimator_.method in ("cross_entropy", "gce") and len(search.predict(paths[:3])) == 3


def test_labels_given_to_fit_are_not_read(place: Path) -> None:
    with pytest.warns(UserWarning, match="fit does not train on y"):
        model = estimator(place, epochs=1).fit(place / "train", ["nonsense"])
    assert int(model.annotations_.human.sum()) == 0


def test_score_is_the_share_of_right_names(fitted: ZeroLabel, place: Path) -> None:
    names = truth(place)
    share = float((fitted.predict(place / "test") == np.array(names)).mean())
    assert fitted.score(place / "test", place / "test.csv") == pytest.approx(share)
    assert fitted.score(place / "test", names) == pytest.approx(share)
    assert fitted.score(place / "test", np.array(names)) == pytest.approx(share)
    assert fitted.score(place / "test", [None] * 19 + [fitted.predict(place / "test")[19]]) == 1.0


def test_an_unreadable_image_is_none_and_does_not_count(fitted: ZeroLabel, place: Path, tmp_path: Path) -> None:
    mixed = write(tmp_path / "mixed", 80, 4)
    (mixed / "0080.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="1 of 4 images cannot be read"):
        names = fitted.predict(mixed)
    assert names[0] is None and None not in names[1:]
    with pytest.warns(UserWarning, match="cannot be read"):
        assert fitted.score(mixed, ["0", *names[1:]]) == 1.0
    only = tmp_path / "only"
    only.mkdir()
    (only / "a.png").write_bytes(b"no image")
    with pytest.warns(UserWarning), pytest.raises(InputError, match="of none of these images"):
        fitted.score(only, ["0"])


def test_resume_and_overwrite(fitted: ZeroLabel, place: Path) -> None:
    again = clone(fitted)
    with pytest.raises(InputError, match="holds another run"):
        again.fit(place / "train")
    again.fit(place / "train", resume=True)
    assert again.metrics_ == fitted.metrics_
    assert np.array_equal(again.predict_proba(place / "test"), fitted.predict_proba(place / "test"))
    with pytest.raises(InputError, match=r"epochs|settings"):
        clone(fitted).set_params(epochs=4).fit(place / "train", resume=True)
    again.set_params(seed=1).fit(place / "train", overwrite=True)
    assert [line["losses"] for line in again.log_] != [line["losses"] for line in fitted.log_]


def test_without_output_no_file_stays(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few.csv"
    few.write_text("file_name,label\n0000.png,0\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    model = estimator(place, classes={"zero": ["0"], "a,b": []}, templates=["{}", "a printed {}"], epochs=1)
    model.fit(place / "train", few_shot=few)
    assert list(scratch.iterdir()) == []
    assert capsys.readouterr().err == "", "progress is shown only where asked"
    assert model.classes_.tolist() == ["zero", "a,b"]
    assert [one.template for one in model.annotations_.annotators] == ["{}", "a printed {}"]
    assert model.annotations_.labels[0] == 0 and not model.annotations_.human[1:].any()
    assert set(model.predict(place / "test")) <= {"zero", "a,b"}
    assert 0 <= model.score(place / "test", ["0"] * 20) <= 1, "an alias is a name of its class"


def test_options_are_typed_as_on_the_command_line(place: Path) -> None:
    options = {"warm_up": 1, "prior": (1.0,) * 10, "co_pseudo_labels": False, "batch_size": 16, "period": None}
    config = estimator(place, method="coreg", options=options)._plan(str(place / "train"), None)
    assert config.training.hyper_parameters["prior"] == (1.0,) * 10
    assert (
        config.training.hyper_parameters["co_pseudo_labels"] is False
        and config.training.hyper_parameters["warm_up"] == 1
    )
    assert config.training.settings["batch_size"] == 16 and config.training.settings["period"] is None


@pytest.mark.parametrize(
    ("changed", "arguments", "sentence"),
    [
        ({}, {"images": np.zeros((5, 64))}, "reshape it to N x height x width"),
        ({}, {"images": ["no.png", "nor/this.png"]}, "none of 2 files exists, such as no.png"),
        ({"vlm": "chat:qwen"}, {}, "chat models are asked by the command `zerolabel run`"),
        ({"vlm": "ViT-B-32"}, {}, "`vlm` ViT-B-32: unknown model; did you mean open_clip:ViT-B-32/"),
        ({"student": "linear", "via": "features"}, {}, "`via` features ends in a network that reads pixels"),
        ({"adapt": "lp++"}, {}, "give `few_shot` a CSV"),
        ({}, {"images": "no/such/folder"}, "there is no image, folder or list of images"),
        ({}, {"resume": True}, "needs the folder of the run"),
        ({"classes": ["one"]}, {}, "only the class"),
        ({"options": {"warmup": 1}, "method": "coreg"}, {}, "did you mean 'warm_up'"),
        ({"method": "coregg"}, {}, "did you mean 'coreg'"),
        ({"templates": ["a photo"]}, {}, "lacks {}"),
    ],
)
def test_mistakes_are_one_sentence(
    place: Path, changed: dict[str, Any], arguments: dict[str, Any], sentence: str
) -> None:
    given = {"images": place / "train", **arguments}
    with pytest.raises(InputError, match=re.escape(sentence)) as error:
        estimator(place, **changed).fit(**given)
    assert "\n" not in str(error.value) and not re.search(r"(?<!\w)--?[a-z]", str(error.value))


def test_every_option_of_the_command_is_an_argument_in_its_errors() -> None:
    parameters = inspect.signature(run.run).parameters
    arguments = {*inspect.signature(ZeroLabel).parameters, *inspect.signature(ZeroLabel.fit).parameters}
    for name in set(parameters) & arguments:
        options = [
            word for kind in get_args(parameters[name].annotation) for word in getattr(kind, "param_decls", None) or ()
        ]
        for option in [word for word in options if word.startswith("--")] or [f"--{name.replace('_', '-')}"]:
            assert re.match(rf"`{name}(=(True|False))?`", python_words(option)), option


def test_mistakes_in_the_truth(fitted: ZeroLabel, place: Path) -> None:
    with pytest.raises(InputError, match="19 true labels for 20 images"):
        fitted.score(place / "test", ["0"] * 19)
    with pytest.raises(InputError, match="unknown class 'cat'"):
        fitted.score(place / "test", ["cat"] * 20)
    with pytest.warns(UserWarning, match="left out"), pytest.raises(InputError, match="of none of these images"):
        fitted.score([np.zeros((8, 8), np.uint8)], place / "test.csv")


def test_before_fit() -> None:
    model = ZeroLabel(classes="cat,dog")
    for call in (lambda: model.predict([]), lambda: model.predict_proba([]), lambda: model.score([], [])):
        with pytest.raises(NotFittedError):
            call()


def test_the_examples_in_the_documentation_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "scans", 0, 60)
    write(tmp_path / "new", 60, 10).with_name("new.csv").rename(tmp_path / "truth.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZEROLABEL_CACHE", str(tmp_path / "cache"))
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), {})
    assert (tmp_path / "run" / "report.html").is_file()
    assert "(10, 10)" in capsys.readouterr().out
    assert torch.is_grad_enabled()
