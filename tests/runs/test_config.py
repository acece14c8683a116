import json
from dataclasses import fields, replace

import pytest

from zerolabel.errors import InputError
from zerolabel.files import write_text
from zerolabel.runs.config import AnnotatingModel, AnnotationConfig, Config, DataConfig, TrainingConfig
from zerolabel.runs.folder import OWN, Folder

CONFIG = Config(
    data=DataConfig("photos", ("cat", "dog"), ((), ("hound",))),
    annotation=AnnotationConfig((AnnotatingModel("glyphs", ("a {}",)),), "union"),
    training=TrainingConfig("coreg", {"prior": [0.5, 0.5]}, {"epochs": 3, "lr": 0.1}, "light", 32),
    created="2026-01-01",
)


def changed(**values):
    """The configuration with other values of its parts."""
    parts = {}
    for name in ("data", "annotation", "training"):
        part = getattr(CONFIG, name)
        own = {f.name: values.pop(f.name) for f in fields(part) if f.name in values}
        parts[name] = replace(part, **own)
    return replace(CONFIG, **parts, **values)


def enter(path, config=CONFIG, *, resume=False, overwrite=False):
    return Folder.open(path, config, resume=resume, overwrite=overwrite)


def begun(path):
    """A run in which something was done."""
    folder = enter(path)
    folder.finish("annotate", {"seconds": 1.0})
    return folder


def test_a_config_is_the_same_after_json():
    assert Config.from_json(CONFIG.to_json()) == CONFIG
    assert json.loads(CONFIG.to_json()) == json.loads(json.dumps(CONFIG.to_dict()))


def test_differences_are_named_as_options():
    other = changed(rule="topk:2", settings={"epochs": 4, "lr": 0.1, "momentum": 0.8}, test_images="held-out")
    assert CONFIG.differences(other) == ["--test", "--candidates", "--epochs", "--set momentum"]
    assert changed(hyper_parameters={"queue": 2}).differences(CONFIG) == ["--set prior", "--set queue"]
    same = changed(created="", zerolabel="9", command=["x"], preset="y", truth="truth.csv")
    assert CONFIG.differences(same) == []
    assert changed(hyper_parameters={"prior": (0.5, 0.5)}).differences(CONFIG) == []


def test_a_new_folder_gets_the_config(tmp_path):
    folder = enter(tmp_path / "a" / "b")
    assert folder.config() == CONFIG
    assert folder.finished() == {}


def test_a_begun_run_is_neither_replaced_nor_mixed(tmp_path):
    begun(tmp_path / "run")
    with pytest.raises(InputError, match="--resume to finish it or --overwrite"):
        enter(tmp_path / "run")
    with pytest.raises(InputError, match="another --size; repeat"):
        enter(tmp_path / "run", changed(size=64), resume=True)
    assert enter(tmp_path / "run", changed(truth="t.csv"), resume=True).config().data.truth == "t.csv"
    assert enter(tmp_path / "run", resume=True).finished() == {"annotate": {"seconds": 1.0}}


def test_a_run_in_which_nothing_was_done_gives_way(tmp_path):
    enter(tmp_path / "run")
    other = changed(models=(AnnotatingModel("hf-hub:a/b", ("a {}",)),))
    assert enter(tmp_path / "run", other).config().annotation.names == ("hf-hub:a/b",)


def test_overwriting_spares_what_is_not_the_runs(tmp_path):
    folder = begun(tmp_path / "run")
    for name in OWN:
        if name != "config.json":
            (folder / name).mkdir(exist_ok=True) if "." not in name else (folder / name).write_text("x")
    (folder / "mine").mkdir()
    (folder / "mine" / "photo.png").write_text("x")
    enter(tmp_path / "run", changed(size=64), overwrite=True)
    assert {path.name for path in folder.path.iterdir()} == {"mine", "config.json"}
    assert (folder / "mine" / "photo.png").is_file()
    assert folder.config().training.size == 64


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["README.md", "photo.png", "config.json"])
def test_files_that_are_no_run_are_never_touched(tmp_path, name, overwrite):
    (tmp_path / name).write_text('{"model_type": "bert"}')
    with pytest.raises(InputError):
        enter(tmp_path, resume=not overwrite, overwrite=overwrite)
    assert (tmp_path / name).read_text() == '{"model_type": "bert"}'
    assert len(list(tmp_path.iterdir())) == 1


def test_a_half_written_config_of_a_killed_run_is_no_hindrance(tmp_path):
    (tmp_path / ".config.json.1.partial").write_text("{")
    assert enter(tmp_path).config() == CONFIG


def test_damaged_files_and_places_that_cannot_be(tmp_path):
    folder = begun(tmp_path / "run")
    (folder / "stages.json").write_text("{")
    with pytest.raises(InputError, match=r"stages.json is damaged"):
        folder.finished()
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file; give -o a folder"):
        enter(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be made"):
        enter(tmp_path / "file" / "run")
    with pytest.raises(InputError, match="holds no run"):
        Folder(tmp_path).config()


def test_text_is_written_whole_or_not_at_all(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(TypeError):
        write_text(tmp_path / "a", b"bytes")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"
    write_text(tmp_path / "a", "half \ud800")
    assert (tmp_path / "a").read_text() == "half \\ud800"
