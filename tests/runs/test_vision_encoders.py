"""A second encoder without texts: its features in the graph, the head, the ONNX file and the provenance of a run."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional

from tests.runs.test_estimator import CLASSES, write
from zerolabel import vlms
from zerolabel.annotate.embeddings import write_embeddings
from zerolabel.blocks.label_propagation import propagate, propagate_jointly
from zerolabel.data.images import ImageSet
from zerolabel.data.views import Preprocess
from zerolabel.deployment.classifier import Classifier
from zerolabel.errors import InputError
from zerolabel.networks.joint import joined, joined_texts
from zerolabel.runs import pipeline
from zerolabel.runs.config import Config
from zerolabel.runs.folder import Folder
from zerolabel.runs.planning import plan
from zerolabel.runs.request import Request
from zerolabel.runs.workspace import Workspace
from zerolabel.vlms import vision

N = 40


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, a timm network as timm saves it, and embeddings of the digits by it and by glyphs."""
    place = tmp_path_factory.mktemp("vision")
    write(place / "train", 0, N)
    write(place / "test", N, 20)
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=5)
    (place / "timm").mkdir()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, place / "timm" / "model.safetensors")
    known = {"input_size": [3, 160, 160], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    (place / "timm" / "config.json").write_text(json.dumps({"architecture": "test_vit", "pretrained_cfg": known}))
    images = ImageSet.open(place / "train")
    write_embeddings(images, vlms.load_model("glyphs"), place / "own")
    encoder = vision.load(f"timm:{place / 'timm'}")
    assert isinstance(encoder, vision.VisionEncoder)
    write_embeddings(images, encoder, place / "other")
    return place


def done(place: Path, folder: str, images: str, encoder: str, **more: object) -> tuple[Config, Folder]:
    request = Request(
        images, ",".join(CLASSES), encoders=(encoder,), epochs=2, device="cpu", student="features", **more
    )  # fmt: skip
    config, made = plan(request), Folder(place / folder)
    workspace = Workspace(made, lambda stage, steps: steps, place / "cache")
    with pipeline.begun(config, workspace, resume=False, overwrite=True):
        pipeline.run(config, workspace)
    return config, made


def test_a_head_on_both_encoders_is_one_graph_from_pixels(place: Path) -> None:
    config, folder = done(
        place, "run", str(place / "train"), f"timm:{place / 'timm'}", vlm="glyphs", test_images=str(place / "test"),
        truth=str(place / "test.csv"),
    )  # fmt: skip
    assert config.training.propagate and config.annotation.vision_encoders == (f"timm:{place / 'timm'}",)
    classifier = Classifier.load(folder.path)
    images = [np.asarray(Image.open(file).convert("RGB")) for file in sorted((place / "test").iterdir())]
    session = onnxruntime.InferenceSession(folder / "classifier.onnx", providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(None, {"image": image[None]})[0] for image in images])
    np.testing.assert_allclose(found, classifier.predict_proba(images).numpy(), atol=1e-4)
    (named,) = json.loads((folder / "metrics.json").read_text())["vision_encoders"]
    assert named.startswith(f"timm:{place / 'timm'}@")
    assert json.loads((folder / "classifier" / "config.json").read_text())["provenance"]["vision_encoders"] == [named]
    for page in ("README.md", "report.html"):
        assert "Nothing without labels shows" in (folder / page).read_text()


def test_what_the_head_reads_of_pixels_is_what_it_learned_from(place: Path) -> None:
    glyphs = vlms.load_model("glyphs")
    encoder = vision.load(f"timm:{place / 'timm'}", view=glyphs.view)
    assert isinstance(encoder, vision.VisionEncoder) and encoder.view == glyphs.view
    image = ImageSet.open(place / "train").read(3)
    pixels = encoder.pixels(image)[None]
    mean, std = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    side = encoder.tower.size
    shown = functional.interpolate(pixels, (side, side), mode="bilinear") if side != pixels.shape[-1] else pixels
    wanted = functional.normalize(encoder.tower.backbone((shown - mean) / std), dim=1)
    torch.testing.assert_close(encoder.encode_images(pixels), wanted.detach())
    assert encoder.revision != vision.load(f"timm:{place / 'timm'}").revision or side == 160


def test_a_head_on_two_embeddings(place: Path) -> None:
    _, folder = done(place, "both", f"embeddings:{place / 'own'}", f"embeddings:{place / 'other'}")
    classifier = Classifier.load(folder.path)
    own, other = (vision.load(f"embeddings:{place / name}") for name in ("own", "other"))
    assert isinstance(own, vision.EmbeddedVision) and isinstance(other, vision.EmbeddedVision)
    assert classifier.dimensions == own.dimensions + other.dimensions
    both = joined([one.embeddings.rows(np.arange(N)) for one in (own, other)])
    session = onnxruntime.InferenceSession(folder / "classifier.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"embeddings": both.numpy()})
    np.testing.assert_allclose(found, classifier.predict_proba(both).numpy(), atol=1e-4)
    with pytest.raises(InputError, match="dimensions and the classifier reads"):
        classifier.predict_proba(own.embeddings.rows(np.arange(N)))


def test_joined_features_start_where_the_texts_are() -> None:
    x, z = (functional.normalize(torch.randn(5, d), dim=1) for d in (6, 4))
    texts = functional.normalize(torch.randn(2, 3, 6), dim=2)
    both = joined([x, z])
    torch.testing.assert_close(both.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(both @ joined_texts(texts, [6, 4])[1].T, x @ texts[1].T)
    assert joined([x]) is x and torch.equal(joined_texts(texts, [6]), texts)


def test_scores_spread_over_the_mean_of_the_graphs() -> None:
    scores = torch.rand(30, 3).softmax(1)
    spaces = [functional.normalize(torch.randn(30, d), dim=1) for d in (6, 4)]
    wanted = (propagate(scores, spaces[0]) + propagate(scores, spaces[1])) / 2
    assert torch.equal(propagate_jointly(scores, spaces), wanted)
    assert torch.equal(propagate_jointly(scores, spaces[:1]), propagate(scores, spaces[0]))


@pytest.mark.parametrize(
    ("encoder", "vlm", "more", "expected"),
    [
        ("resnet18", "glyphs", {}, "give timm:MODEL"),
        ("timm:no_such_network", "glyphs", {}, "there is no network"),
        ("timm:vit_small_patch14_dinov2", "glyphs", {}, "give timm:FOLDER"),
        ("embeddings:nowhere", "glyphs", {}, "there is no folder or file of embeddings"),
        ("timm:timm", "glyphs", {"student": "light", "propagate": False, "via": "none"}, "nothing reads its features"),
    ],
)
def test_mistakes_are_sentences(
    place: Path, monkeypatch: pytest.MonkeyPatch, encoder: str, vlm: str, more: dict[str, object], expected: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("zerolabel.networks.timm_backbone.reachable", lambda *_, **__: False)
    monkeypatch.chdir(place)
    request = Request("train", ",".join(CLASSES), vlm=vlm, encoders=(encoder,), **{"student": "features", **more})
    with pytest.raises(InputError, match=expected):
        config = plan(request)
        pipeline.prepare(config, Workspace(Folder(place / "x"), lambda stage, steps: steps, place / "cache"))


def test_a_network_of_images_cannot_read_embeddings(place: Path) -> None:
    with pytest.raises(InputError, match="zerolabel embed IMAGES --vlm timm:"):
        done(place, "mixed", f"embeddings:{place / 'own'}", f"timm:{place / 'timm'}")


def test_its_own_preprocessing_where_it_is_alone(place: Path) -> None:
    alone = vision.load(f"timm:{place / 'timm'}")
    assert isinstance(alone, vision.VisionEncoder)
    assert alone.view == Preprocess(160, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), "crop", "bicubic")
