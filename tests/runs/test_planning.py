import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from tools import learner_facts
from zerolabel import networks
from zerolabel.annotations import Annotator
from zerolabel.cli.planned import annotators, student
from zerolabel.data import views
from zerolabel.data.images import ImageSet
from zerolabel.diagnostics import open_set
from zerolabel.errors import InputError
from zerolabel.learners import hyper_parameters
from zerolabel.learners.coreg import CoReg
from zerolabel.runs import presets
from zerolabel.runs.config import HEADS, OWN_STUDENTS, Config
from zerolabel.runs.cost import is_timed, table
from zerolabel.runs.planning import SIZES, choose_size, fit_to_epochs, plan
from zerolabel.runs.planning.annotation import WEIGHTS
from zerolabel.runs.planning.checks import UNKNOWN
from zerolabel.runs.planning.learner import facts
from zerolabel.runs.planning.training import STRONG
from zerolabel.runs.request import Request
from zerolabel.training.settings import Settings
from zerolabel.vlms import prompts
from zerolabel.vlms.glyphs import TEMPLATES as GLYPHS_TEMPLATES


def write(folder, sides):
    random = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for i, (height, width) in enumerate(sides):
        Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / f"{i:03d}.png")
    return str(folder)


@pytest.fixture
def images(tmp_path):
    return write(tmp_path / "images", [(20, 30)] * 9)


def glyphs(images, **more):
    return Request(images, "0,1,2", vlm="glyphs", **more)


def test_what_is_not_said_is_chosen(images):
    config = plan(glyphs(images))
    preset = presets.for_head(presets.choose(9), 9, 3)
    assert (config.data.classes, config.annotation.rule, config.training.learner) == (("0", "1", "2"), "union", "coreg")
    chosen = config.training
    assert (chosen.student, chosen.size, chosen.flip, chosen.pretrained) == ("mlp", 24, False, False)
    assert chosen.propagate
    assert chosen.settings.items() >= preset.settings.items()
    assert chosen.hyper_parameters == preset.hyper_parameters["coreg"]
    assert config.preset.startswith("small: 9 images")


def test_few_images_of_a_class_are_not_enough_for_a_network_from_scratch(images, monkeypatch):
    assert "fewer than 100 a class" in plan(glyphs(images)).preset
    assert plan(glyphs(images, student="light")).training.student == "light"
    assert plan(glyphs(images, via="features")).training.student == "light"
    assert plan(glyphs(images, student="mlp", propagate=False)).training.propagate is False
    assert plan(glyphs(images, size=128)).training.student == "mlp"
    assert plan(glyphs(images, size=128, via="none")).training.student == "resnet18"
    monkeypatch.setattr(presets, "FEW", 3)
    config = plan(glyphs(images))
    assert (config.training.student, config.training.propagate) == ("light", False) and "a class" not in config.preset
    assert plan(glyphs(images, propagate=True)).training.propagate


def test_photographs_go_through_frozen_features(images, monkeypatch):
    photographs = Request(images, "0,1,2", vlm="open_clip:a", size=128)
    assert (plan(photographs).training.student, plan(photographs).training.via) == ("mlp", None)  # few of a class
    monkeypatch.setattr(presets, "FEW", 3)
    config = plan(photographs)
    assert (config.training.student, config.training.via) == ("resnet18", "features")
    assert "frozen features first" in config.preset
    for more in ({"via": "none"}, {"student": "resnet18"}, {"preset": "paper"}):
        config = plan(replace(photographs, **more))
        assert config.training.via is None and "frozen features" not in config.preset
    assert plan(replace(photographs, vlm="glyphs")).training.via is None


def test_what_is_said_counts(images):
    config = plan(glyphs(images, options=["lr=0.5", "queue=64"], epochs=7, seed=5, size=16, flip=True, learner="coreg"))
    assert (config.training.settings["lr"], config.training.settings["epochs"], config.training.settings["seed"]) == (
        0.5,
        7,
        5,
    )
    assert (config.training.hyper_parameters["queue"], config.training.size, config.training.flip) == (64, 16, True)
    assert plan(glyphs(images, student="features")).training.student == "mlp"
    assert plan(glyphs(images, student="resnet10t", size=32)).training.pretrained
    assert not plan(glyphs(images, student="resnet10t", size=32, pretrained=False)).training.pretrained
    assert plan(glyphs(images, templates="a {}")).annotation.templates == {"glyphs": ("a {}",)}
    assert (plan(glyphs(images)).training.strong, plan(glyphs(images, strong="cutout")).training.strong) == (
        "randaugment",
        "cutout",
    )
    with pytest.raises(InputError, match="--strong cutouts: invalid value"):
        plan(glyphs(images, strong="cutouts"))
    with pytest.raises(InputError, match="--strong cutout:x: x is no number of pixels; write for example cutout:16"):
        plan(glyphs(images, strong="cutout:x"))


PAPERS = {  # what the released code of Co-Reg has, by hand
    "warm_up": 50, "entropy_weight": 1, "evidence": "sets", "full_sets": False, "floor": 1e-5, "temperature": 0.5,
    "threshold": 0.5, "history": 5, "mixup": 4, "unlabeled_weight": 1, "squared_error": "mean", "ramp": 16,
    "ramp_by": "batch", "restart": True, "repeats": False, "labeling": "separate", "prototype_weight": 0.1,
    "contrast_weight": 0.1, "delay": 10, "embedding": 128, "queue": 8192, "ema_momentum": 0.999, "balance": 0,
    "prototype_momentum": 0.999, "prototype_temperature": 0.3, "contrast_temperature": 0.07, "prior": "uniform",
    "alignment": "running", "alignment_batch": 256, "align_batches": False, "co_pseudo_labels": True,
    "contrast": "noisy", "unlabeled_split": True,
}  # fmt: skip


def test_the_preset_of_the_paper_is_the_released_code(images):
    config = plan(Request(images, "0,1,2", preset="paper", strong="cutout"))
    assert config.training.hyper_parameters == PAPERS == hyper_parameters(CoReg)
    assert (
        config.annotation.names == ("open_clip:ViT-B-32/openai",) and len(config.annotation.models[0].templates) == 27
    )
    assert [one.templates for one in config.annotation.models] == [
        prompts.TEMPLATES["small"]
    ] and config.annotation.rule == "union"
    assert (config.training.student, config.training.pretrained, config.training.size) == ("preact_resnet18", False, 28)
    assert (config.deployment.deploy, config.training.propagate, config.training.via, config.training.strong) == (
        "both",
        False,
        None,
        "cutout:16",
    )
    settings = {"epochs": 800, "batch_size": 256, "optimizer": "sgd", "lr": 0.01, "final_lr": 1e-3, "period": 800}
    assert config.training.settings.items() >= (settings | {"momentum": 0.9, "weight_decay": 5e-4}).items()
    assert (config.training.settings["precision"], config.training.settings["statistics"]) == ("float32", "running")
    assert config.preset.startswith("paper: ") and "both networks deployed" in student(config)
    assert "cutout of 16 pixels alone" in student(config)


def test_what_is_said_counts_beside_a_preset(images, tmp_path, make_annotations):
    said = {"templates": "a {}", "student": "light", "deploy": "one", "size": 32, "candidates": "topk:2", "epochs": 100}
    config = plan(glyphs(images, preset="paper", options=["warm_up=7", "lr=0.5"], strong="cutout:9", **said))
    assert (config.annotation.templates, config.annotation.rule) == ({"glyphs": ("a {}",)}, "topk:2")
    assert (config.training.student, config.deployment.deploy, config.training.size, config.training.strong) == (
        "light",
        "one",
        32,
        "cutout:9",
    )
    assert config.training.settings.items() >= {"epochs": 100, "period": 800, "lr": 0.5}.items()
    assert config.training.hyper_parameters == PAPERS | {"warm_up": 7}
    make_annotations(torch.tensor([[0, 1], [1, 1]]), 2).save(tmp_path / "annotations.parquet")
    config = plan(Request(images, annotations=str(tmp_path), preset="paper"))
    assert (config.annotation.names, config.annotation.rule, config.training.student) == (
        ("synthetic",),
        "union",
        "preact_resnet18",
    )
    own = presets.Preset("mine", "I say so", {"epochs": 3}, {}, choices={"student": "linear"})
    config = plan(glyphs(images, preset=own))
    assert (config.training.student, config.training.settings["epochs"], config.preset) == (
        "linear",
        3,
        "mine: I say so",
    )


def test_presets_by_name_and_by_the_number_of_images(images):
    assert presets.find("auto", 9) == presets.find("small", 9) == presets.small(9)
    assert presets.find("auto", presets.SMALL).name == "large" and presets.find("small", 10**6).name == "small"
    assert presets.find("paper", 9) is presets.find("paper", 10**6) is presets.PAPER
    pixels = plan(glyphs(images, preset="small", student="light")).training
    assert pixels.hyper_parameters == presets.small(9).hyper_parameters["coreg"] and pixels.settings["lr"] == 0.05
    head = plan(glyphs(images, preset="small")).training.settings  # nine images of three classes
    assert head["epochs"] == presets.HEAD_EPOCHS and head["lr"] == 0.05 / 2**5
    assert plan(glyphs(images, preset="small", epochs=90)).training.settings["epochs"] == 90
    with pytest.raises(InputError, match="--preset papr: there is no such preset; did you mean 'paper'"):
        plan(glyphs(images, preset="papr"))


@pytest.mark.parametrize(("sides", "size"), [((28, 28), 28), ((32, 32), 32), ((48, 48), 64), ((300, 400), 64)])
def test_the_paper_has_three_sizes(tmp_path, sides, size):
    assert plan(glyphs(write(tmp_path / "images", [sides] * 3), preset="paper")).training.size == size


def test_a_warm_up_leaves_room_for_training(images):
    default = hyper_parameters(CoReg)["warm_up"]
    assert fit_to_epochs({}, "coreg", default + 1) == {}
    assert fit_to_epochs({}, "coreg", default) == {"warm_up": default // 4}
    assert fit_to_epochs({"warm_up": 3}, "coreg", 2) == {"warm_up": 1}
    assert fit_to_epochs({}, "cross_entropy", 2) == {}
    assert plan(glyphs(images, epochs=2, options=["warm_up=5"])).training.hyper_parameters["warm_up"] == 5


@pytest.mark.parametrize(("sides", "size"), [((8, 8), 24), ((32, 90), 32), ((33, 33), 64), ((900, 800), SIZES[-1])])
def test_the_size_follows_the_shorter_side(tmp_path, sides, size):
    assert choose_size(ImageSet.open(write(tmp_path / "images", [sides] * 3))) == size


def test_the_size_where_images_cannot_be_read(tmp_path):
    folder = write(tmp_path / "images", [(16, 16)] * 3)
    (tmp_path / "images" / "000.png").write_bytes(b"torn")
    assert choose_size(ImageSet.open(folder)) == 24
    for path in (tmp_path / "images").iterdir():
        path.write_bytes(b"torn")
    assert choose_size(ImageSet.open(folder)) == SIZES[-1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"classes": None}, "give --classes"),
        ({"vlm": "ViT-B-32"}, "unknown model"),
        ({"candidates": "best"}, "no rule"),
        ({"student": "resnet1"}, "no network"),
        ({"size": 4}, "between 8 and 2048"),
        ({"via": "head"}, "invalid value"),
        ({"deploy": "all"}, "invalid value"),
        ({"options": ["prior=0.1,0.2"]}, "3 positive weights"),
        ({"truth": "none.csv"}, "no labels none.csv"),
        ({"student": "mlp", "via": "features"}, "--student mlp reads features"),
    ],
)
def test_mistakes_are_found_before_anything_is_done(images, more, message):
    with pytest.raises(InputError, match=message):
        plan(replace(glyphs(images), **more))


def test_annotations_bring_their_own_classes_and_prompts(images, tmp_path, make_annotations):
    annotations = make_annotations(torch.tensor([[0, 1], [1, 1]]), 2)
    annotations.save(tmp_path / "annotations.parquet")
    for path in (tmp_path / "annotations.parquet", tmp_path):
        config = plan(Request(images, annotations=str(path)))
        assert (config.data.classes, config.annotation.names, config.annotation.encoder) == (
            annotations.classes,
            ("synthetic",),
            None,
        )
        assert config.annotation.templates == {"synthetic": ("template 0 of {}", "template 1 of {}")}
        assert (config.training.student, config.training.propagate) == (
            "light",
            False,
        )  # nobody's features could be read


def save_models(annotations, path, *models):
    """The same votes as those of a prompt of each model."""
    annotators = tuple(Annotator(model, "", f"{model} {{}}") for model in models)
    votes = torch.zeros(len(annotations), len(models), dtype=torch.long)
    replace(annotations, annotators=annotators, votes=votes).save(path)
    return str(path)


def test_training_on_several_models_reads_the_features_of_one(images, tmp_path, make_annotations):
    annotations = make_annotations(torch.tensor([[0, 1], [1, 1]]), 2)
    path = save_models(annotations, tmp_path / "a.parquet", "chat:x", "open_clip:a", "glyphs")
    request = Request(images, annotations=path, student="features")
    config = plan(request)
    assert config.annotation.names == ("chat:x", "open_clip:a", "glyphs")
    assert all(one.templates == (f"{one.name} {{}}",) for one in config.annotation.models)
    assert (config.annotation.encoder, config.training.flip) == ("open_clip:a", False)
    assert "mlp on frozen features of open_clip:a" in student(config)
    assert plan(replace(request, vlm="glyphs")).annotation.encoder == "glyphs"
    assert plan(replace(request, student="light", vlm=["glyphs"], propagate=True)).training.propagate
    assert "by features of open_clip:a" in student(plan(replace(request, student="light", propagate=True)))
    assert "features" not in student(plan(replace(request, student="light")))
    for wanted, message in (
        ("chat:x", "has no image features to read; known: glyphs, open_clip:a"),
        ("glyph", "did you mean 'glyphs'"),
        (["glyphs", "open_clip:a"], "features of one model; give one"),
    ):
        with pytest.raises(InputError, match=message):
            plan(replace(request, vlm=wanted))


def test_without_a_model_of_features_a_pixel_student_trains_all_the_same(images, tmp_path, make_annotations):
    annotations = make_annotations(torch.tensor([[0, 1], [1, 1]]), 2)
    path = save_models(annotations, tmp_path / "a.parquet", "chat:x")
    for more, option in (({"student": "mlp"}, "--student features"), ({"via": "features"}, "--via features")):
        with pytest.raises(InputError, match=f"{option} reads the image features of an annotating model"):
            plan(Request(images, annotations=path, **more))
    people = save_models(annotations.with_labels(torch.tensor([0, 1])), tmp_path / "b.parquet")
    assert plan(Request(images, annotations=people)).annotation.names == ()
    assert plan(Request(images, annotations=people, test_images=images)).data.test_images == images
    assert plan(Request(images, annotations=people, student="mlp", vlm="glyphs")).annotation.encoder == "glyphs"


def test_several_models_annotate_each_with_its_own_prompts(images):
    models = ["open_clip:a/b", "glyphs", "glyphs"]
    config = plan(Request(images, "0,1", vlm=models))
    assert config.annotation.names == ("open_clip:a/b", "glyphs")
    assert list(config.annotation.templates.values()) == [prompts.TEMPLATES["generic"], GLYPHS_TEMPLATES]
    assert (config.annotation.encoder, config.training.flip) == ("open_clip:a/b", False)
    assert set(plan(Request(images, "0,1", vlm=models, templates="a {}")).annotation.templates.values()) == {("a {}",)}
    assert Config.from_json(config.to_json()) == config
    assert "open_clip:a/b x 8 prompts + glyphs x 8 prompts" in annotators(config.annotation)
    assert "--vlm" in config.differences(plan(Request(images, "0,1", vlm=models[:1])))


def test_classes_and_rule_of_annotations_that_are_appended_to(images, tmp_path, make_annotations):
    before = make_annotations(torch.tensor([[0, 1], [1, 1]]), 2)
    replace(before, rule="topk:1").save(tmp_path / "annotations.parquet")
    config = plan(Request(images, vlm="glyphs", append=str(tmp_path)))
    assert (config.data.classes, config.annotation.rule) == (before.classes, "topk:1")
    request = Request(images, "class 1,class 0", vlm="glyphs", append=str(tmp_path), candidates="union")
    assert (plan(request).data.classes, plan(request).annotation.rule) == (("class 1", "class 0"), "union")
    with pytest.raises(InputError, match=f"--classes has the class 'cat', {tmp_path} does not"):
        plan(replace(request, classes="class 0,class 1,cat"))


def test_plans_need_no_torch(images, tmp_path):
    jobs = [
        "", "--method proden", "--method pico --epochs 20", "--student resnet18.a1_in1k --size 64", "--time 20m",
        "--student mobilenetv3_small_100 --no-pretrained --via features --size 128",
        "--via none --student light --size 32",
        "--student features --test {images}", "--student vit_tiny_patch16_224 --size 224 --preset small",
    ]  # fmt: skip
    code = f"""
import sys
from zerolabel.cli import main
for options in {jobs!r}:
    images = {images!r}
    main(["run", images, "--classes", "cat,dog", "-o", {str(tmp_path / "out")!r}, "--dry-run",
          *options.format(images=images).split()])
    loaded = {{"torch", "open_clip", "timm"}} & set(sys.modules)
    assert not loaded, (options, loaded)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("9 in") == len(jobs) and "coreg on frozen features" in done.stdout


def test_checks_of_a_plan_need_neither_lightning_nor_timm(images, tmp_path):
    options = ["--set", "warm_up=3", "--set", "lr=0.1", "--candidates", "union"]
    code = f"""
import sys
from zerolabel.cli import main
main(["run", {images!r}, "--classes", "cat,dog", "-o", {str(tmp_path / "out")!r}, "--dry-run", *{options!r}])
print({{"torch", "lightning_fabric", "sklearn", "timm", "open_clip"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout.splitlines()[-1]) == (0, "", "{'torch'}")


def test_what_a_plan_knows_without_torch_is_what_the_code_has():
    assert (HEADS, STRONG, WEIGHTS) == (networks.base.HEADS, views.STRONG, ("estimated", "uniform"))
    assert set(OWN_STUDENTS) == set(networks.NAMES)
    assert Settings().epochs == presets.EPOCHS and open_set.NAME == UNKNOWN
    assert hyper_parameters(CoReg)["warm_up"] == presets.choose(presets.SMALL).hyper_parameters["coreg"]["warm_up"]
    assert facts() == learner_facts.facts(), "run `python -m tools.learner_facts`"


def test_networks_with_measured_speed_are_timms(images):
    weights = table()["weights"]
    assert all(f"{name}.{one}" in timm.list_pretrained() for name, known in weights.items() for one in known)
    assert is_timed("resnet18.a1_in1k") and not is_timed("resnet18.a1") and not is_timed("resnet")
    for name in ("resnet18.a1", "resnet"):
        with pytest.raises(InputError, match=name):
            plan(Request(images, "cat,dog", vlm="open_clip:a/b", student=name, size=64))


@pytest.mark.slow
@pytest.mark.parametrize("size", [32, 96, 224])
def test_networks_with_measured_speed_read_all_usual_sizes(size):
    for name in table()["weights"]:
        assert networks.build(name, 2, size)(torch.zeros(2, 3, size, size)).shape == (2, 2)


def test_the_default_student_goes_by_size_and_number():
    assert presets.student(8, 100) == presets.student(32, 19_999) == "light"
    assert presets.student(32, 20_000) == presets.student(33, 10) == presets.student(96, 10) == "preact_resnet18"
    for n in (100, 5_000):
        assert networks.count_parameters(networks.build(presets.student(224, n), 2, 64)) > 1e6
