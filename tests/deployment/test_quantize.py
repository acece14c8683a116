"""An int8 file is kept where it agrees with the float32 file and is faster, and only there."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from zerolabel import vlms
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.deployment import quantize as module
from zerolabel.deployment.assembly import zero_shot
from zerolabel.deployment.export import export
from zerolabel.vlms.glyphs import TEMPLATES

N = 120


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The built-in model as a classifier of digits, its file, and a folder of digits."""
    folder = tmp_path_factory.mktemp("quantized")
    (folder / "images").mkdir()
    for i, digit in enumerate(load_digits().images[:N]):
        Image.fromarray((digit * 15.9).astype(np.uint8)).save(folder / "images" / f"{i:03}.png")
    (folder / "images" / "broken.png").write_bytes(b"no image")
    classifier = zero_shot(vlms.load("glyphs"), Classes(tuple("0123456789")), TEMPLATES, 0.5, {})
    classifier.save(folder / "classifier")
    export(classifier, folder / "classifier.onnx")
    return folder


def answers(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    arrays = [np.asarray(images.read(i)) for i in range(N)]
    return [int(session.run(None, {"image": array[None]})[0].argmax()) for array in arrays]


def test_it_agrees_on_real_digits_and_has_int8_weights(made, monkeypatch):
    monkeypatch.setattr(module, "_times", lambda *_: [2.0, 1.0])
    images, path = ImageSet.open(made / "images"), made / "small.onnx"
    done = module.quantize(made / "classifier.onnx", path, images)
    assert done.kept and done.n_checked == N and done.agreement >= 0.99 and done.speedup == 2.0
    assert path.stat().st_size == done.n_bytes < (made / "classifier.onnx").stat().st_size / 2
    same = np.mean(np.equal(answers(path, images), answers(made / "classifier.onnx", images)))
    assert same == pytest.approx(done.agreement)
    weights = onnx.load(str(path)).graph.initializer
    assert any(one.data_type == onnx.TensorProto.INT8 for one in weights)
    facts = {prop.key: prop.value for prop in onnx.load(str(path)).metadata_props}
    assert json.loads(facts["classes"]) == list("0123456789")


@pytest.mark.parametrize(("times", "least"), [([1.0, 2.0], 0.5), ([2.0, 1.0], 1.01)])
def test_it_is_not_kept_where_it_is_slower_or_disagrees(made, monkeypatch, times, least):
    monkeypatch.setattr(module, "_times", lambda *_: times)
    monkeypatch.setattr(module, "LEAST_AGREEMENT", least)
    path = made / "none.onnx"
    assert not module.quantize(made / "classifier.onnx", path, ImageSet.open(made / "images")).kept
    assert not path.exists()


def test_the_command_says_what_was_gained_and_what_it_needs(made, call):
    code, printed, errors = call(
        "export", str(made / "classifier"), "-o", str(made / "out.onnx"), "--images", str(made / "images"),
        "--quantize", "--json",
    )  # fmt: skip
    assert code == 0 and not errors, errors
    facts = json.loads(printed)["int8"]
    assert facts["n_checked"] == N and facts["speedup"] > 0
    assert (made / "out.int8.onnx").exists() == facts["kept"]
    for options in ([], ["--images", str(made / "images"), "--format", "nchw"]):
        code, _, errors = call("export", str(made / "classifier"), "-o", str(made / "no.onnx"), "--quantize", *options)
        assert code == 2 and "--quantize needs --images" in errors and not (made / "no.onnx").exists()
