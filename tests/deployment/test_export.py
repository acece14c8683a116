import ast
import csv
import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import zerolabel
from zerolabel.data.images import ImageSet
from zerolabel.data.views import Preprocess
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.export import SCRIPT, ExportError, export, write_classes, write_script
from zerolabel.networks import EncodedNetwork, ImageEncoder, build

module = importlib.import_module("zerolabel.deployment.export")
CLASSES = ("zero", "one", 'two, "quoted"', "three", "four", "five", "six", "seven", "eight", "neun ä")


def network(name, size):
    """Random weights whose answers differ from image to image."""
    made = build(name, 10, size)
    torch.nn.init.normal_(made.head.weight, std=2.0)
    for layer in made.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.2, 0.2)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
    return made


def encoded(size):
    config = {"embed_dim": 16, "vision_cfg": {"image_size": size, "layers": 1, "width": 64, "patch_size": 4}}
    return EncodedNetwork(ImageEncoder.build(config), network("mlp", 16))


def classifier(*networks, size=16, **more):
    torch.manual_seed(0)
    preprocess = Preprocess(
        size, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25), more.pop("fit", "squash"), more.pop("kernel", "bilinear")
    )
    return Classifier(networks or (network("light", size),), CLASSES, preprocess, **more)


def run(path, image):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A classifier, its file, and what `export` said, checked on 500 real digits of 8 x 8 pixels."""
    path = tmp_path_factory.mktemp("exported") / "classifier.onnx"
    model = classifier(temperature=0.7, threshold=0.6, provenance={"seed": 3})
    digits = np.repeat((load_digits().images[:500] * 15.9375).astype(np.uint8)[..., None], 3, axis=3)
    return model, path, export(model, path, list(digits), limit=500)


def test_it_agrees_with_torch_on_real_digits(exported):
    _, path, done = exported
    assert done.n_checked == 500
    assert done.max_difference <= 1e-4
    assert done.agreement >= 0.999
    assert done.n_bytes == path.stat().st_size
    digits = (load_digits().images[:500] * 15.9375).astype(np.uint8)
    p = run(path, np.repeat(digits[..., None], 3, axis=3))
    assert len(set(p.argmax(1))) > 1, "the check means nothing where every image is given the same class"
    assert np.allclose(p.sum(1), 1, atol=1e-5)


def test_metadata_is_all_that_a_prediction_needs(exported):
    model, path, done = exported
    stored = onnx.load(path)
    facts = {entry.key: entry.value for entry in stored.metadata_props}
    assert tuple(json.loads(facts["classes"])) == CLASSES
    assert json.loads(facts["threshold"]) == 0.6
    assert json.loads(facts["temperature"]) == 0.7
    assert json.loads(facts["provenance"]) == {"seed": 3}
    assert Preprocess.from_dict(json.loads(facts["preprocess"])) == model.preprocess
    assert facts["zerolabel"] == zerolabel.version.__version__
    assert json.loads(facts["check"]) == {
        name: getattr(done, name) for name in ("max_difference", "agreement", "n_checked")
    }
    assert sorted(p.name for p in path.parent.iterdir()) == ["classifier.onnx"]


def test_nothing_about_the_machine_is_in_the_file(exported):
    content = exported[1].read_bytes()
    for private in (b"site-packages", str(Path(zerolabel.__file__).parent).encode(), b"stack_trace"):
        assert private not in content


@pytest.mark.parametrize(("fit", "kernel"), [("squash", "bicubic"), ("crop", "bilinear"), ("crop", "bicubic")])
def test_any_size_fit_and_kernel(tmp_path, fit, kernel):
    model = classifier(encoded(16), fit=fit, kernel=kernel)
    random = np.random.default_rng(0)
    images = [
        random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for height, width in ((8, 8), (37, 91), (91, 37), (1, 1), (1, 60), (16, 16), (17, 16), (2000, 1501))
    ]
    done = export(model, tmp_path / "x.onnx", images)
    assert (done.n_checked, done.agreement) == (len(images), 1.0)
    assert done.max_difference <= 1e-4


@pytest.mark.parametrize(("name", "size"), [("preact_resnet18", 32), ("vit_tiny_patch16_224", 32)])
def test_other_networks_and_two_at_once(tmp_path, name, size):
    pair = (network(name, size), network("light", size)) if name == "preact_resnet18" else (network(name, size),)
    done = export(classifier(*pair, size=size), tmp_path / "x.onnx")
    assert done.max_difference <= 1e-4
    assert done.agreement == 1.0


def test_the_batch_is_free(exported):
    model, path, _ = exported
    batch = np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3), dtype=np.uint8)
    assert np.allclose(run(path, batch), model.predict_proba(batch).numpy(), atol=1e-4)


def test_it_says_nothing_and_the_classifier_stays_as_it_is(tmp_path, capfd):
    model = classifier()
    model.networks[0].train()
    before = {name: value.clone() for name, value in model.networks[0].state_dict().items()}
    export(model, tmp_path / "x.onnx")
    assert capfd.readouterr() == ("", "")
    assert model.networks[0].training
    assert all(torch.equal(value, before[name]) for name, value in model.networks[0].state_dict().items())


@pytest.mark.parametrize(("fit", "kernel"), [("squash", "bilinear"), ("crop", "bicubic")])
def test_floats_in_channels_first_are_resized_by_the_caller(fit, kernel, tmp_path):
    model = classifier(temperature=0.7, fit=fit, kernel=kernel)
    done = export(model, tmp_path / "c.onnx", layout="nchw")
    assert done.max_difference <= 1e-4 and done.agreement == 1
    session = onnxruntime.InferenceSession(str(tmp_path / "c.onnx"), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape[1:]) == ("images", "tensor(float)", [3, 16, 16])
    facts = session.get_modelmeta().custom_metadata_map
    assert ast.literal_eval(facts["names"]) == dict(enumerate(CLASSES))
    assert (facts["task"], json.loads(facts["imgsz"]), json.loads(facts["classes"])) == (
        "classify",
        [16, 16],
        [*CLASSES],
    )
    image = Image.fromarray((load_digits().images[0] * 15.9375).astype(np.uint8)).convert("RGB").resize((16, 16))
    pixels = (np.asarray(image, np.float32) / 255).transpose(2, 0, 1)[None]
    (p,) = session.run(None, {"images": pixels})
    np.testing.assert_allclose(p, model.predict_proba([image]).numpy(), atol=1e-4)


@pytest.mark.parametrize("layout", ["uint8", "nchw"])
def test_weights_in_half_precision_take_half_the_size_and_hardly_change_an_answer(exported, layout, tmp_path):
    model, whole, _ = exported
    digits = np.repeat((load_digits().images[:100] * 15.9375).astype(np.uint8)[..., None], 3, axis=3)
    done = export(model, tmp_path / "half.onnx", list(digits), layout=layout, precision="float16")
    assert done.n_bytes < 0.6 * whole.stat().st_size
    assert 0 < done.max_difference <= 0.02 and done.agreement >= 0.95
    stored = onnx.load(tmp_path / "half.onnx")
    kinds = {one.data_type for one in stored.graph.initializer if np.prod(one.dims) >= 64}
    assert kinds == {onnx.TensorProto.FLOAT16}
    assert {entry.key: entry.value for entry in stored.metadata_props}["precision"] == '"float16"'


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_openvino_answers_as_torch_does_on_real_digits(precision, call, tmp_path):
    openvino = pytest.importorskip("openvino", reason="the extra [openvino] is not installed")
    model = classifier(temperature=0.7)
    model.save(tmp_path / "c")
    (tmp_path / "digits").mkdir()
    for i, digit in enumerate(load_digits().images[:40]):
        Image.fromarray((digit * 15.9375).astype(np.uint8)).convert("RGB").save(tmp_path / "digits" / f"{i:02}.png")
    code, said, err = call(
        "export", tmp_path / "c", "--format", "openvino", "--precision", precision, "--images", tmp_path / "digits",
        "-o", tmp_path / "x.xml", "--json",
    )  # fmt: skip
    assert code == 0, err
    done = json.loads(said)
    assert done["n_checked"] == 40 and done["max_difference"] <= (1e-4 if precision == "float32" else 0.02)
    compiled = openvino.Core().compile_model(tmp_path / "x.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    image = Image.open(tmp_path / "digits" / "00.png")
    pixels = (np.asarray(image.resize((16, 16)), np.float32) / 255).transpose(2, 0, 1)[None]
    np.testing.assert_allclose(compiled([pixels])[0], model.predict_proba([image]).numpy(), atol=0.02)
    assert (tmp_path / "x.bin").is_file() and (tmp_path / "x.classes.json").is_file()


@pytest.fixture
def digits(tmp_path):
    """A saved classifier and 40 real digits."""
    classifier(temperature=0.7).save(tmp_path / "c")
    (tmp_path / "digits").mkdir()
    for i, digit in enumerate(load_digits().images[:40]):
        Image.fromarray((digit * 15.9375).astype(np.uint8)).convert("RGB").save(tmp_path / "digits" / f"{i:02}.png")
    return tmp_path / "digits"


def test_litert_answers_as_torch_does_on_real_digits(digits, call, tmp_path):
    pytest.importorskip("litert_torch", reason="the extra [litert] is not installed", exc_type=ImportError)
    from ai_edge_litert.interpreter import Interpreter

    code, said, err = call("export", tmp_path / "c", "--format", "litert", "--images", digits, "--json")
    assert code == 0, err
    done = json.loads(said)
    assert done["path"] == str(tmp_path / "c" / "classifier.tflite")
    assert done["n_checked"] == 40 and done["max_difference"] <= 1e-4 and done["agreement"] == 1
    run = Interpreter(done["path"]).get_signature_runner()
    image = Image.open(digits / "00.png")
    pixels = (np.asarray(image.resize((16, 16)), np.float32) / 255).transpose(2, 0, 1)[None]
    np.testing.assert_allclose(
        run(images=pixels)["probabilities"], Classifier.load(tmp_path / "c").predict_proba([image]).numpy(), atol=0.02
    )
    code, _, err = call("export", tmp_path / "c", "--format", "litert", "--precision", "float16")
    assert code == 2 and "--format litert stores float32 alone" in err


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_core_ml_is_written_and_said_to_be_unchecked_where_it_cannot_run(precision, digits, call, tmp_path):
    coremltools = pytest.importorskip("coremltools", reason="the extra [coreml] is not installed")
    words = ["export", tmp_path / "c", "--format", "coreml", "--precision", precision, "--images", digits]
    code, said, err = call(*words, "-o", tmp_path / "x.mlpackage", "--json")
    assert code == 0, err
    done, runs = json.loads(said), sys.platform == "darwin"
    assert done["n_checked"] == (40 if runs else 0) and (done["max_difference"] is not None) == runs
    described = coremltools.models.MLModel(str(tmp_path / "x.mlpackage"), skip_model_load=True).get_spec().description
    assert [one.name for one in described.input] == ["images"]
    assert [one.name for one in described.output] == ["probabilities"]
    assert described.metadata.userDefined["classes"].split("\n") == [*CLASSES]
    code, said, _ = call(*words, "-o", tmp_path / "x.mlpackage")
    assert code == 0 and ("not checked" in said) == (not runs)


@pytest.mark.parametrize(
    ("form", "package"), [("openvino", "openvino"), ("litert", "litert_torch"), ("coreml", "coremltools")]
)
def test_without_a_converter_the_command_says_what_to_install(form, package, call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    classifier().save(tmp_path / "c")
    code, _, err = call("export", tmp_path / "c", "--format", form)
    assert code == 2 and f"pip install 'zerolabel-vision[{form}]'" in err
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["config.json", "model.safetensors"]


def test_without_openvino_the_command_says_what_to_install(call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    classifier().save(tmp_path / "c")
    code, _, err = call("export", tmp_path / "c", "--format", "openvino")
    assert code == 2 and "pip install 'zerolabel-vision[openvino]'" in err
    code, _, err = call("export", tmp_path / "c", "--precision", "float61")
    assert code == 2 and "--precision float61: invalid value; did you mean 'float16' or" in err
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["config.json", "model.safetensors"]


def test_classes_are_beside_the_graph_for_engines_without_metadata(tmp_path):
    model = classifier(threshold=0.6)
    stored = json.loads(write_classes(model, tmp_path / "classes.json").read_text(encoding="utf-8"))
    assert stored["classes"] == [*CLASSES] and stored["threshold"] == 0.6
    assert Preprocess.from_dict(stored["preprocess"]) == model.preprocess


def test_the_command_writes_either_layout(call, tmp_path):
    classifier().save(tmp_path / "c")
    code, said, err = call("export", tmp_path / "c", "--format", "nchw", "--json")
    assert code == 0, err
    assert json.loads(said)["path"] == str(tmp_path / "c" / "classifier.nchw.onnx")
    assert json.loads((tmp_path / "c" / "classes.json").read_text())["classes"] == [*CLASSES]
    assert call("export", tmp_path / "c", "-o", tmp_path / "x.onnx")[0] == 0
    assert (tmp_path / "x.classes.json").is_file()
    code, _, err = call("export", tmp_path / "c", "--format", "nhcw")
    assert code == 2 and "'nhcw'; did you mean 'nchw'?" in err


def test_a_graph_that_differs_is_not_written(exported, tmp_path, monkeypatch):
    model, path, _ = exported
    wrong = onnx.load(path)
    (resize,) = [node for node in wrong.graph.node if node.op_type == "Resize"]
    del resize.attribute[:]
    monkeypatch.setattr(module, "graph", lambda *_: wrong)
    with pytest.raises(ExportError, match="differs from torch"):
        export(model, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


# --- the script

WITHOUT = """
import runpy, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "zerolabel", "onnx", "timm", "pandas", "scipy", "sklearn"}:
            raise ImportError(name + " must not be needed")
sys.meta_path.insert(0, Block())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def script(folder, *arguments, **more):
    path = write_script(folder / "predict.py")
    command = [sys.executable, "-W", "error::UserWarning", "-c", WITHOUT, str(path), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, **more)


@pytest.fixture
def pictures(tmp_path):
    folder, random = tmp_path / "pictures", np.random.default_rng(0)
    (folder / "deep").mkdir(parents=True)
    rgb = Image.fromarray(random.integers(0, 256, (37, 91, 3), dtype=np.uint8))
    exif = rgb.getexif()
    exif[0x0112] = 6
    rgb.save(folder / "rotated.PNG", exif=exif)
    rgb.quantize(8).save(folder / "palette.gif")
    Image.fromarray(random.integers(0, 256, (20, 20, 4), dtype=np.uint8), "RGBA").save(folder / "deep" / "alpha.png")
    Image.fromarray(random.integers(0, 65536, (9, 7), dtype=np.uint16)).save(folder / "deep" / "sixteen.png")
    Image.fromarray(random.random((9, 7), dtype=np.float32)).save(folder / "float.tiff")
    Image.fromarray(random.integers(0, 256, (9, 7), dtype=np.uint8)).save(folder / "gray, with comma.bmp")
    return folder


def test_the_script_is_short_and_needs_no_torch(exported, pictures, tmp_path):
    assert len(SCRIPT.read_text().splitlines()) <= 280
    model, path, _ = exported
    done = script(tmp_path, path, pictures, "--csv")
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = csv.reader(done.stdout.splitlines())
    assert header == ["file", "label", "confidence"]
    expected = model.predict_proba(pictures)
    names = sorted(p for p in pictures.rglob("*") if p.is_file())
    assert [row[0] for row in rows] == [str(name) for name in names]
    found = {str(Path(row[0]).relative_to(pictures).as_posix()): row for row in rows}
    for name, p in zip(ImageSet.open(pictures).file_names, expected, strict=True):
        assert found[name][1] == CLASSES[int(p.argmax())]
        assert float(found[name][2]) == pytest.approx(float(p.max()), abs=2e-4)


def test_the_script_abstains_where_it_is_asked_to(exported, pictures, tmp_path):
    model, path, _ = exported
    sure = (model.predict_proba(pictures).amax(1) >= 0.6).tolist()
    plain, asked = script(tmp_path, path, pictures), script(tmp_path, path, pictures, "--threshold")
    assert "unknown" not in plain.stdout
    assert asked.stdout.count("\tunknown\t") == sure.count(False)


def test_the_script_goes_on_after_a_damaged_file(exported, pictures, tmp_path):
    (pictures / "bad.png").write_bytes(b"\x89PNG broken")
    done = script(tmp_path, exported[1], pictures, tmp_path / "lost.png")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 6
    assert len(done.stderr.splitlines()) == 2
    assert "bad.png cannot be read: not an image that Pillow can read\n" in done.stderr
    assert "lost.png cannot be read" in done.stderr


def test_the_script_refuses_clearly(exported, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.onnx").write_text("no model")
    for arguments, message in (
        ((exported[1], tmp_path / "empty"), "there is no image"),
        ((tmp_path / "text.onnx", tmp_path), "not an exported classifier"),
        ((tmp_path / "lost.onnx", tmp_path), "not an exported classifier"),
        ((exported[1], tmp_path / "lost.txt"), "the list of images cannot be read"),
        ((exported[1], tmp_path, "--classes", tmp_path / "lost.json"), "not an exported classifier"),
    ):
        done = script(tmp_path, *arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_the_script_takes_lists_and_standard_input(exported, pictures, tmp_path):
    names = sorted(p.relative_to(tmp_path).as_posix() for p in pictures.rglob("*") if p.is_file())
    (tmp_path / "some.txt").write_text("\n".join(names[:4]) + "\n\n", encoding="utf-8")
    whole = script(tmp_path, exported[1], "pictures").stdout.splitlines()
    as_list = script(tmp_path, exported[1], tmp_path / "some.txt", names[4])
    assert as_list.returncode == 0, as_list.stderr
    assert [line.split("\t")[1:] for line in as_list.stdout.splitlines()] == [
        line.split("\t")[1:] for line in whole if line.split("\t")[0] in names[:5]
    ]
    piped = script(tmp_path, exported[1], "-", input="\n".join(names))
    assert piped.stdout.splitlines() == whole


def test_the_script_answers_in_batches_and_in_order(exported, tmp_path, capsys, monkeypatch):
    """Images of two sizes in turn, more than a batch of each, and a damaged one between them."""
    random = np.random.default_rng(0)
    for i in range(70):
        side = 8 if i % 2 else 11
        Image.fromarray(random.integers(0, 256, (side, 9, 3), dtype=np.uint8)).save(tmp_path / f"{i:03}.png")
    (tmp_path / "040.png").write_bytes(b"no image")
    sizes = []
    plain = onnxruntime.InferenceSession

    class Counted(plain):
        def run(self, names, given):
            sizes.append(len(given["image"]))
            return super().run(names, given)

    predict = importlib.import_module("zerolabel.deployment.predict_onnx")
    monkeypatch.setattr(onnxruntime, "InferenceSession", Counted)
    monkeypatch.setattr(sys, "argv", ["predict.py", str(exported[1]), str(tmp_path)])
    monkeypatch.setattr(type(sys.stdout), "reconfigure", lambda *_, **__: None, raising=False)
    with pytest.raises(SystemExit) as end:
        predict.main()
    said = capsys.readouterr()
    rows = [line.split("\t") for line in said.out.splitlines()]
    assert end.value.code == 1 and said.err.startswith(str(tmp_path / "040.png"))
    assert [Path(row[0]).name for row in rows] == [f"{i:03}.png" for i in range(70) if i != 40]
    assert len(sizes) == 6 and max(sizes) == 16 and sum(sizes) == 69
    monkeypatch.undo()
    alone = [run(exported[1], np.asarray(Image.open(row[0]))[None])[0] for row in rows]
    assert [row[1] for row in rows] == [CLASSES[p.argmax()] for p in alone]
    np.testing.assert_allclose([float(row[2]) for row in rows], [p.max() for p in alone], atol=1e-4)


def test_the_script_finds_class_names_beside_a_graph_without_metadata(exported, pictures, tmp_path):
    bare = onnx.load(exported[1])
    del bare.metadata_props[:]
    onnx.save(bare, tmp_path / "bare.onnx")
    before = script(tmp_path, exported[1], pictures, "--threshold")
    assert script(tmp_path, tmp_path / "bare.onnx", pictures).returncode == 2
    write_classes(exported[0], tmp_path / "classes.json")
    assert script(tmp_path, tmp_path / "bare.onnx", pictures, "--threshold").stdout == before.stdout
    (tmp_path / "few.json").write_text('{"classes": ["a", "b"]}')
    few = script(tmp_path, exported[1], pictures, "--classes", "few.json")
    assert (few.returncode, few.stdout) == (2, "") and "it has 10 classes, and few.json names 2" in few.stderr


def test_the_script_refuses_floats_in_a_sentence(pictures, tmp_path):
    export(classifier(), tmp_path / "nchw.onnx", layout="nchw")
    done = script(tmp_path, tmp_path / "nchw.onnx", pictures)
    assert done.returncode == 2 and "its input is 'images', not 'image'; export it with the default" in done.stderr


def test_the_script_ends_quietly_where_its_reader_goes_away(exported, pictures, tmp_path):
    (tmp_path / "many.txt").write_text(f"{pictures / 'float.tiff'}\n" * 3000)
    path = write_script(tmp_path / "predict.py")
    command = [sys.executable, str(path), str(exported[1]), str(tmp_path / "many.txt")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert "float.tiff" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
