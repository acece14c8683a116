import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from zerolabel.data.images import ImageSet
from zerolabel.data.views import Preprocess
from zerolabel.deployment.classifier import CONFIG, WEIGHTS, Classifier
from zerolabel.errors import InputError
from zerolabel.networks import EncodedNetwork, ImageEncoder, build

CLASSES = tuple(str(i) for i in range(10))
EVAL = Preprocess(12, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def network(name="light", size=12):
    made = build(name, 10, size)
    torch.nn.init.normal_(made.head.weight)
    return made


def classifier(*networks, **more):
    return Classifier(networks or (network(),), CLASSES, EVAL, **more)


@pytest.fixture(scope="module")
def digits() -> list[np.ndarray]:
    images = (load_digits().images[:30] * 15.9375).astype(np.uint8)
    return [np.repeat(image[:, :, None], 3, axis=2) for image in images]


@pytest.fixture
def folder(tmp_path: Path, digits: list[np.ndarray]) -> Path:
    for i, image in enumerate(digits):
        Image.fromarray(image).save(tmp_path / f"{i:02}.png")
    return tmp_path


def test_every_kind_of_input_gives_the_same_probabilities(folder, digits):
    model = classifier()
    expected = torch.stack([EVAL(torch.from_numpy(image)) for image in digits])
    expected = model.networks[0].eval()(expected).softmax(1)
    gray = [image[:, :, 0] for image in digits]
    pillow = [Image.fromarray(image) for image in digits]
    for images in (folder, str(folder), ImageSet.open(folder), digits, np.stack(digits), gray, pillow):
        assert torch.allclose(model.predict_proba(images, batch_size=7), expected, atol=1e-6)
    assert model.predict(folder) == [CLASSES[i] for i in expected.argmax(1)]


def test_prediction_ignores_training_mode(digits):
    model = classifier()
    before = model.predict_proba(digits)
    model.networks[0].train()
    assert torch.equal(model.predict_proba(digits), before)


def test_two_networks_average_their_logits_and_the_temperature_divides_them(digits):
    a, b = network(), network()
    mean = (classifier(a).logits(digits) + classifier(b).logits(digits)) / 2
    both = classifier(a, b, temperature=2.5)
    assert torch.allclose(both.logits(digits), mean, atol=1e-6)
    assert torch.allclose(both.predict_proba(digits), (mean / 2.5).softmax(1), atol=1e-6)
    assert both.n_parameters == 2 * classifier(a).n_parameters
    assert classifier(a, a).n_parameters == classifier(a).n_parameters


def test_pillow_images_are_read_as_files_are(tmp_path):
    random = np.random.default_rng(0)
    images = {
        "alpha.png": Image.fromarray(random.integers(0, 256, (9, 7, 4), dtype=np.uint8), "RGBA"),
        "deep.png": Image.fromarray(random.integers(0, 65536, (9, 7), dtype=np.uint16)),
        "palette.png": Image.fromarray(random.integers(0, 256, (9, 7, 3), dtype=np.uint8)).quantize(8),
        "cmyk.tiff": Image.fromarray(random.integers(0, 256, (9, 7, 4), dtype=np.uint8), "CMYK"),
        "rotated.png": Image.fromarray(random.integers(0, 256, (9, 7, 3), dtype=np.uint8)),
    }
    exif = images["rotated.png"].getexif()
    exif[0x0112] = 6
    for name, image in images.items():
        image.save(tmp_path / name, **({"exif": exif} if name == "rotated.png" else {}))
    opened = [Image.open(tmp_path / name) for name in sorted(images)]
    model = classifier()
    assert torch.equal(model.predict_proba(opened), model.predict_proba(tmp_path))


def test_unreadable_images_keep_their_row(folder):
    (folder / "05.png").write_bytes(b"")
    (folder / "07.png").write_text("no image")
    model = classifier()
    with pytest.warns(UserWarning, match=r"2 of 30 images cannot be read, first 05.png .the file is empty."):
        names = model.predict(folder, batch_size=1)
    assert [i for i, name in enumerate(names) if name is None] == [5, 7]


def test_it_abstains_below_the_threshold_only(digits):
    model = classifier()
    confidence = model.predict_proba(digits).amax(1)
    middle = float(confidence.median())
    names = model.predict(digits, threshold=middle)
    assert [name is None for name in names] == (confidence < middle).tolist()
    assert None not in model.predict(digits)


def test_no_image_gives_no_row():
    assert classifier().predict_proba([]).shape == (0, 10)
    assert classifier().predict([]) == []


@pytest.mark.parametrize("count", [1, 2])
def test_saved_and_loaded_it_predicts_the_same(tmp_path, digits, count):
    given = {"temperature": 1.7, "threshold": 0.25, "provenance": {"vlm": "glyphs", "seed": 3, "α": [1]}}
    model = classifier(*[network() for _ in range(count)], **given)
    model.save(tmp_path / "deep" / "classifier")
    loaded = Classifier.load(tmp_path / "deep" / "classifier")
    assert torch.equal(loaded.predict_proba(digits), model.predict_proba(digits))
    assert (loaded.classes, loaded.preprocess) == (model.classes, model.preprocess)
    assert {name: getattr(loaded, name) for name in given} == given
    assert sorted(p.name for p in (tmp_path / "deep" / "classifier").iterdir()) == [CONFIG, WEIGHTS]
    assert json.loads((tmp_path / "deep" / "classifier" / CONFIG).read_text())["id2label"]["3"] == "3"


def test_heads_over_one_shared_encoder_save_and_load(tmp_path, digits):
    config = {"embed_dim": 16, "vision_cfg": {"image_size": 12, "layers": 1, "width": 64, "patch_size": 4}}
    encoder = ImageEncoder.build(config)
    model = classifier(*[EncodedNetwork(encoder, network(name, 16)) for name in ("linear", "mlp")])
    model.save(tmp_path)
    assert torch.equal(Classifier.load(tmp_path).predict_proba(digits), model.predict_proba(digits))


def test_saving_again_replaces(tmp_path, digits):
    classifier().save(tmp_path)
    model = classifier()
    model.save(tmp_path)
    assert torch.equal(Classifier.load(tmp_path).predict_proba(digits), model.predict_proba(digits))


def cut(folder):
    weights = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(weights[: len(weights) // 2])


def half_of_another(folder):
    other = folder / "other"
    classifier().save(other)
    (other / WEIGHTS).replace(folder / WEIGHTS)


def edit(**changes):
    def damage(folder):
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps(config | changes))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / WEIGHTS).unlink(), "lacks model.safetensors"),
        (lambda folder: (folder / CONFIG).unlink(), "lacks config.json"),
        (lambda folder: (folder / CONFIG).write_text("{"), "damaged"),
        (lambda folder: (folder / CONFIG).write_text("[]"), "damaged"),
        (lambda folder: (folder / CONFIG).write_text("{}"), "damaged"),
        (cut, "damaged"),
        (half_of_another, "not the file that was saved with it"),
        (edit(format=99), "format 99"),
        (edit(id2label={"0": "a", "2": "b"}), "damaged"),
        (edit(networks=[{"name": "light", "n_classes": 10, "size": 12, "hidden": 3}]), "network"),
        (edit(networks=[{"name": "mlp", "n_classes": 10, "size": 12}]), "damaged"),
    ],
)
def test_a_damaged_classifier_is_one_sentence(tmp_path, damage, message):
    classifier().save(tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        Classifier.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="10 classes, but 2 are named"):
        Classifier((network(),), ("a", "b"), EVAL)
    with pytest.raises(InputError, match="at least one network"):
        Classifier((), CLASSES, EVAL)
    with pytest.raises(InputError, match="temperature"):
        classifier(temperature=0.0)
    with pytest.raises(InputError, match="threshold"):
        classifier(threshold=1.5)


@pytest.mark.parametrize("image", [np.zeros(4), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_an_array_that_is_no_image_is_refused(image):
    with pytest.raises(InputError, match=r"image 0 is an array of .*; give height x width"):
        classifier().predict_proba([image])


def test_a_folder_of_a_run_is_one_of_its_classifier(tmp_path, digits):
    model = classifier()
    model.save(tmp_path / "run" / "classifier")
    assert torch.equal(Classifier.load(tmp_path / "run").predict_proba(digits), model.predict_proba(digits))
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "stages.json").write_text("{}")
    with pytest.raises(InputError, match="has no classifier yet; finish it with"):
        Classifier.load(tmp_path / "begun")


def test_no_such_folder():
    with pytest.raises(InputError, match="nowhere"):
        classifier().predict("nowhere")
    with pytest.raises(InputError, match="nowhere"):
        Classifier.load("nowhere")
