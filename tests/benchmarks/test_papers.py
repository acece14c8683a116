"""Every published figure has its source, and every cell that can be run runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.papers import __main__ as command
from benchmarks.papers import cells, measures, plans, pools, protocols, tables
from benchmarks.papers.class_names import FER2013, GTSRB
from benchmarks.papers.data_sets import DATA_SETS, Unpacked, unpack, write
from benchmarks.papers.numpy_files import Raw
from benchmarks.papers.plans import Plan, Pool, Tasks
from benchmarks.papers.smoke import Smoke, shortened
from zerolabel.errors import InputError

CELLS = [cell for paper in tables.papers() for cell in tables.read(paper)]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    return Smoke(tmp_path_factory.mktemp("papers"))


@pytest.mark.parametrize("paper", tables.papers())
def test_every_cell_runs_through_its_own_configuration(paper: str, smoke: Smoke) -> None:
    for cell in tables.read(paper):
        found = smoke.cell(cell)
        assert len(found) == len(protocols.plans(cell)) and (found or protocols.missing(cell))
        assert all(0 <= row["figure"] <= 100 for row in found), cell


def test_tables_hold_what_was_published() -> None:
    known = {
        ("coreg", "Co-Reg", "cifar100", ""): 71.04,
        ("coreg", "Co-Reg", "cifar100", "q=0.05 eta=0.3"): 73.45,
        ("coreg", "truth missing", "svhn", ""): 61.61,
        ("coreg", "CoOp 16-shot", "gtsrb", ""): 25.55,
        ("grip", "GRIP", "eurosat", "TRZSL"): 92.3,
        ("mars", "UEO", "pets", ""): 87.94,
        ("gta", "TransCLIP", "mean12", ""): 65.59,
        ("stata", "StatA", "mean11", "classes 25-50 batch 1000"): 69.8,
        ("few_shot", "LP++", "resisc45", ""): 80.9,
        ("promix", "ProMix", "cifar100", "symmetric 0.9"): 42.74,
    }
    found: dict[tuple[str, str, str, str], list[float]] = {}
    for cell in CELLS:
        found.setdefault((cell.paper, cell.method, cell.data, cell.setting), []).append(cell.figure)
    assert {key: found[key][0] for key in known} == known
    assert len(CELLS) == 894


def test_every_cell_has_source_data_and_protocol() -> None:
    for cell in CELLS:
        assert cell.source and cell.protocol in protocols.PROTOCOLS, cell
        assert cell.data in DATA_SETS or cell.data in tables.MEANS, cell
    assert set(protocols.PROTOCOLS) == {cell.protocol for cell in CELLS}


def test_a_method_is_selected_in_all_papers() -> None:
    assert {cell.paper for cell in tables.select("transclip")} == {"gta", "stata"}
    assert {cell.method for cell in tables.select("ueo")} == {"UEO"}
    assert [cell.figure for cell in tables.select("coreg", "svhn", 94)] == [46.57]
    with pytest.raises(InputError, match="did you mean"):
        tables.select("transclipp")
    with pytest.raises(InputError, match="--data mnist"):
        tables.select("coreg", "mnist")


def test_coreg_has_the_schedule_of_its_code() -> None:
    (svhn,) = protocols.plans(tables.select("coreg", "svhn", 94)[0])
    words = " ".join(svhn.options)
    assert "--size 32" in words and "--no-flip" in words and "--epochs 800" in words and "warm_up=50" in words
    assert "period=800" in words and "lr=0.01" in words and svhn.templates == "small" and "B-32" in svhn.vlm
    (noisy,) = protocols.plans(next(c for c in CELLS if c.method == "Co-Reg" and c.setting == "q=0.03 eta=0.2"))
    assert "warm_up=200" in noisy.options and noisy.simulate == ("--kind", "uniform", "--q", "0.03", "--eta", "0.2")


def test_the_paper_preset_is_asked_for_where_there_is_one() -> None:
    def with_preset(preset: str = "") -> None: ...
    def without() -> None: ...

    assert plans.published(with_preset) == ("--preset", "paper") and plans.published(without) == ()


def test_shortened_plans_share_what_runs() -> None:
    data = [protocols.plans(c)[0] for c in CELLS if c.method == "Co-Reg" and c.protocol == "clip labels"]
    assert len(data) == 7 and len({shortened(plan) for plan in data}) == 1
    ablation = next(c for c in CELLS if c.method == "Co-Reg with plain SupCon")
    assert shortened(protocols.plans(ablation)[0]) != shortened(data[0])


@pytest.fixture
def place(tmp_path: Path) -> Unpacked:
    labels = np.arange(60) % 3
    rows = {split: Raw(np.full((60, 8, 8, 3), 7, np.uint8), labels) for split in ("train", "test")}
    write(Unpacked(tmp_path / "made"), ("a", "b", "c"), rows, None)
    return Unpacked(tmp_path / "made")


def test_pools_are_capped_and_uneven(place: Unpacked) -> None:
    listed = pools.images(place, Pool(most=16, ratio=4), 0).read_text().split()
    of_class = {name: label for name, label in place.labels("train")}
    counts = [sum(of_class[Path(name).name] == c for name in listed) for c in "abc"]
    assert counts == [16, 8, 4]


def test_labels_are_so_many_a_class_or_all_of_the_seen(place: Unpacked) -> None:
    shots = pools.labels(place, Pool(shots=2), 0)
    assert shots is not None and len(shots.read_text().splitlines()) == 1 + 3 * 2
    seen = pools.labels(place, Pool(seen=0.62), 0)
    assert seen is not None and len(seen.read_text().splitlines()) == 1 + 20
    assert pools.labels(place, Pool(), 0) is None


def test_batches_hold_as_many_classes_as_asked() -> None:
    truth, generator = torch.arange(100) % 10, torch.Generator().manual_seed(0)
    drawn = [cells.drawn(truth, Tasks(2, 3, 16), generator) for _ in range(20)]
    assert {len(truth[own].unique()) for own in drawn} == {2, 3} and all(len(own) == 16 for own in drawn)


def test_measures_by_hand() -> None:
    p = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    truth, candidates = torch.tensor([0, 1, 1, 2]), p > 0.25
    groups = ([0, 1], [2])
    assert measures.score("accuracy", p, truth, candidates) == pytest.approx(75)
    assert measures.score("mean candidates per image", p, truth, candidates) == pytest.approx(1.25)
    assert measures.score("truth missing", p, truth, candidates) == 0
    assert measures.score("head classes", p, truth, candidates, groups) == pytest.approx(75)
    assert measures.score("harmonic mean", p, truth, candidates, groups) == pytest.approx(2 * 0.75 / 1.75 * 100)


def test_annotations_that_are_not_the_papers_are_told() -> None:
    plan = Plan("cifar100", "student", options=plans.coreg("cifar100", {}))
    right = {"mean candidates per image": 2.37, "truth missing": 21.4}
    assert measures.differences(plan, right, 100) == []
    assert measures.differences(plan, {**right, "truth missing": 24.0}, 100) == ["truth missing 24.00 instead of 21.50"]
    made = Plan("cifar10", "simulated", simulate=("--kind", "uniform", "--q", "0.3", "--eta", "0.1"))
    assert measures.expected(made, 10) == pytest.approx({"mean candidates per image": 3.7, "truth missing": 10})


def test_cached_files_are_read_in_every_layout(tmp_path: Path) -> None:
    root, pixels = tmp_path / "root", np.zeros((4, 8, 8), np.uint8)
    for split in ("train", "test"):
        for name in ("river_bank", "sea"):
            (root / "resisc45" / split / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(root / "resisc45" / split / name / "1.png")
    by_hand = unpack("resisc45", root, tmp_path / "work")
    assert by_hand.classes.read_text().split("\n")[:2] == ["river bank", "sea"]
    assert by_hand.labels("test") == [("test-000000.png", "river bank"), ("test-000001.png", "sea")]
    y = np.array([0, 1, 0, 1])
    arrays = {"x_train": pixels, "y_train": y, "x_test": pixels[:2], "y_test": y[:2], "classes": np.array(["x", "y"])}
    np.savez(root / "fashion_mnist_few.npz", **arrays)
    assert len(unpack("fashion_mnist", root, tmp_path / "work").labels("train")) == 4
    assert len(unpack("fashion_mnist", root, tmp_path / "work", 2).labels("train")) == 2


def test_encoded_images_in_one_file_keep_the_official_order(tmp_path: Path) -> None:
    contents = []
    for level in (10, 200, 90):
        Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / "one.png")
        contents.append(np.frombuffer((tmp_path / "one.png").read_bytes(), np.uint8))
    np.savez(
        tmp_path / "cifar10_some.npz", data=np.concatenate(contents),
        offsets=np.cumsum([0, *map(len, contents)]), label=np.array([1, 0, 1]), split=np.array([0, 0, 2]),
        official_index=np.array([5, 2, 0]), classes=np.array(["cat", "dog"]),
    )  # fmt: skip
    made = unpack("cifar10", tmp_path, tmp_path / "work")
    assert made.labels("train") == [("train-000000.png", "cat"), ("train-000001.png", "dog")]
    assert Image.open(made.images("train") / "train-000000.png").getpixel((0, 0)) == (200, 200, 200)


def test_a_data_set_that_cannot_be_had_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(["mars", "--data", "cub", "--cell", "1", "--root", str(tmp_path), "--work", str(tmp_path / "w")])
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2 and f"{tmp_path}/cub/train/CLASS" in said and "vision.caltech.edu" in said


def test_finished_runs_are_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[Plan] = []

    def run(plan: Plan, place: cells.Place) -> dict[str, object]:
        ran.append(plan)
        return {"figure": 88.0, "differences": ["truth missing 9.00 instead of 4.79"]}

    monkeypatch.setattr(command, "unpack", lambda *_: Unpacked(tmp_path))
    monkeypatch.setattr(cells, "run", run)
    asked = ["coreg", "--data", "cifar10", "--cell", "43", "--work", str(tmp_path)]
    command.main(asked)
    command.main(asked)
    command.main([*asked, "--list"])
    said = capsys.readouterr().out
    assert len(ran) == 1 and said.count("88.00") == 3 and "87.39" in said and "instead" in said
    assert json.loads(next((tmp_path / "finished").glob("*.json")).read_text())["figure"] == 88.0
    command.main([*asked, "--limit", "50"])
    assert len(ran) == 2


def test_names_are_as_many_as_classes() -> None:
    assert len(GTSRB) == len(set(GTSRB)) == 43 and len(FER2013) == 7


def test_smoke_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["stata", "--cell", "35", "--smoke"])
    said = capsys.readouterr().out
    assert "StatA" in said and "69.90" in said and "no figure to" in said and "CVPR 2025" in said
