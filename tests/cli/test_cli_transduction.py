"""`zerolabel transduce` on handwritten digits: ordinary annotations, which other commands take."""

import json

import pytest
import tiny_clip
import torch
from PIL import Image
from sklearn.datasets import load_digits

from zerolabel.adaptation.transduction import SOLVERS
from zerolabel.annotations import Annotations

CLASSES = ["--classes", "0,1,2,3,4,5,6,7,8,9", "--vlm", "glyphs", "--cache", "cache"]
N = 80


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("transduction")
    (root / "images").mkdir()
    for i in range(N):
        Image.fromarray((load_digits().images[i] * 15.9).astype("uint8")).save(root / "images" / f"{i:02d}.png")
    (root / "images" / "broken.png").write_bytes(b"no image")
    return root


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.fixture
def made(call, folder):
    """Annotations by the prompts, and by a solver."""
    if not (folder / "together").exists():
        assert call("annotate", "images", *CLASSES, "-o", "alone")[0] == 0
        options = ["--set", "prior=estimated", "--set", "neighbors=4"]
        code, printed, said = call("transduce", "images", *CLASSES, *options, "-o", "together", "--json")
        assert code == 0, said
        (folder / "said.json").write_text(printed)
    return Annotations.load(folder / "alone"), Annotations.load(folder / "together")


def test_scores_are_the_solver_s_and_votes_the_prompts(made, folder):
    alone, together = made
    assert torch.equal(alone.votes, together.votes) and alone.annotators == together.annotators
    assert not torch.allclose(alone.scores, together.scores)
    torch.testing.assert_close(together.scores.sum(1), torch.ones(N))
    truth = torch.from_numpy(load_digits().target[:N])
    right = [float((one.scores.argmax(1) == truth).float().mean()) for one in made]
    assert min(right) > 0.85
    assert together.candidates.any(1).all()
    assert together.rule == (
        "mass:0.9 of stata(prior=estimated, anchor=1.0, neighbors=4, temperature=50.0, iterations=10, sweeps=5)"
    )
    facts = json.loads((folder / "said.json").read_text())
    changed = int((alone.scores.argmax(1) != together.scores.argmax(1)).sum())
    assert (facts["n_images"], facts["n_skipped"], facts["n_changed"]) == (N, 1, changed)
    assert "broken.png" in (folder / "together" / "skipped.csv").read_text()


def test_other_commands_take_them(made, call, folder):
    assert call("candidates", "together", "--candidates", "topk:2", "-o", "two.parquet")[0] == 0
    assert (Annotations.load(folder / "two.parquet").candidates.sum(1) == 2).all()
    code, printed, said = call("inspect", "together", "--json")
    assert code == 0, said
    json.loads(printed)
    options = ["--student", "features", "--epochs", "1", "--cache", "cache"]
    code, _, said = call("train", "images", "together", *options, "-o", "trained")
    assert code == 0, said


@pytest.mark.parametrize("method", sorted(set(SOLVERS) - {"stata"}))
def test_every_method_annotates(method, call, folder):
    command = ["transduce", "images", *CLASSES, "--method", method, "-o", f"by-{method}.parquet"]
    if method in ("moon", "em_dirichlet"):
        code, _, said = call(*command)
        assert code == 2 and "of the 10 classes are among these" in said and "take --method stata" in said
        command += ["--set", "present=1"]
    code, _, said = call(*command)
    assert code == 0, said
    assert f" of {method}(" in Annotations.load(folder / f"by-{method}.parquet").rule


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (["--method", "statta"], "did you mean 'stata'"),
        (["--set", "anchr=2"], "did you mean 'anchor'"),
        (["--set", "anchor"], "write it as NAME=VALUE"),
        (["--set", "anchor=much"], "anchor is a number"),
        (["--set", "neighbors=0"], "give a whole number from 1 to 1,000"),
        (["--candidates", "mas:0.9"], "did you mean 'mass'"),
        (["--device", "gpu"], "there is no such device"),
        (["--set", "prior=1,2"], "prior needs 10 positive weights"),
    ],
)
def test_mistakes_are_one_sentence(wrong, sentence, call):
    code, _, said = call("transduce", "images", *CLASSES, *wrong, "-o", "nowhere")
    assert code == 2 and sentence in " ".join(said.split())


def test_what_is_there_is_not_replaced_unasked(made, call):
    code, _, said = call("transduce", "images", *CLASSES, "-o", "together")
    assert code == 2 and "give --overwrite" in said


def test_methods_are_listed_with_their_options(call):
    code, printed, _ = call("methods", "--json")
    entries = [entry for entry in json.loads(printed) if "transduce" in entry["commands"]]
    assert code == 0 and [entry["name"] for entry in entries] == list(SOLVERS)
    for entry in entries:
        assert len(entry["paper"]) > 20 and entry["summary"].endswith(".")
        assert all(one["meaning"].endswith(".") and one["kind"] for one in entry["arguments"])
    (prior,) = [one for one in entries[0]["arguments"] if one["name"] == "prior"]
    assert prior["default"] == "estimated" and prior["meaning"].endswith("In transduce: uniform.")
    assert call("methods", "stat")[0] == 2


def test_the_solver_reads_the_weighted_prompts_unless_uniform_ones_are_asked_for(call, folder):
    model = tiny_clip.write(folder / "model")
    asked = ["images", "--classes", "cat,dog", "--vlm", model, "--templates", "openai", "--method", "transclip"]
    made = {}
    for weights in ("estimated", "uniform"):
        out = folder / f"weights-{weights}"
        code, _, said = call("transduce", *asked, "--prompt-weights", weights, "--cache", "cache", "-o", str(out))
        assert code == 0, said
        made[weights] = Annotations.load(out)
    assert all(one.weights is not None for one in made["estimated"].annotators)
    assert all(one.weights is None for one in made["uniform"].annotators)
    assert not torch.allclose(made["estimated"].scores, made["uniform"].scores)
    code, _, said = call("transduce", *asked, "--prompt-weights", "best", "-o", str(folder / "none"))
    assert code == 2 and "--prompt-weights" in said and not (folder / "none").exists()


@pytest.mark.parametrize("place", ["images/00.png", "images/00.png/deep", "/proc/cache", "images/01.png/a/b"])
@pytest.mark.parametrize("model", ["glyphs", "embeddings:vectors"])
def test_a_cache_that_cannot_be_written_stops_nothing(place, model, call, made, folder, tmp_path):
    if not (folder / "vectors").exists():
        assert call("embed", "images", "--vlm", "glyphs", "-o", "vectors", "--cache", "cache")[0] == 0
    options = ["--set", "prior=estimated", "--set", "neighbors=4", "--vlm", model, "--cache", place]
    code, _, said = call("transduce", "images", *CLASSES[:2], *options, "-o", tmp_path / "out")
    assert code == 0 and said.count("give a --cache that can be written") <= 1, said
    found = Annotations.load(tmp_path / "out")
    assert found.file_names == made[1].file_names and torch.allclose(found.scores, made[1].scores, atol=1e-5)
