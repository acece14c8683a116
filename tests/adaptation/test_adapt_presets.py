"""`--preset paper`: the training values of the authors' code reach the training."""

import json
import math

import pytest
import torch

from zerolabel import vlms
from zerolabel.adaptation.fitting import Training
from zerolabel.adaptation.request import Request
from zerolabel.adaptation.task import Task
from zerolabel.annotate import annotate
from zerolabel.cli.demo_data import write_digits
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.data.views import augment
from zerolabel.errors import InputError
from zerolabel.training.settings import Settings


def test_ueo_s_values():
    request = Request.parse("glyphs", "ueo", preset="paper")
    how = request.training()
    assert (how.optimizer, how.lr, how.momentum, how.weight_decay, how.batch_size) == ("sgd", 1e-4, 0.0, 0.0, 64)
    assert (how.epochs, how.final_lr, how.lr_per_step) == (50, 0.0, True)
    assert request.options() == {"image_rate": 1.0} and request.parts == ("text", "norm")
    assert (request.crop, request.start, request.propagate) == ("resized", "words", False)


@pytest.mark.parametrize(("method", "rounds"), [("grip", 10), ("ifpl", 10), ("fpl", 1)])
def test_grip_s_values(method, rounds):
    request = Request.parse("glyphs", method, preset="paper")
    how = request.training()
    assert (how.optimizer, how.lr, how.momentum, how.weight_decay, how.batch_size) == ("sgd", 0.1, 0.9, 0.1, 16)
    assert (how.epochs, how.cycles, how.lr_warm_up, how.lr_per_step) == (150 * rounds, rounds, 5, False)
    assert request.options()["prior"] == "uniform" and request.options()["boards"] is True
    assert (request.start, request.propagate) == ("random", False)
    for t in range(rounds):
        assert [how.lr_at(150 * t + e) for e in (0, 1, 4)] == pytest.approx([0, 0.02, 0.08])
        assert how.lr_at(150 * t + 5) == pytest.approx(0.1)
        assert how.lr_at(150 * t + 100) == pytest.approx(0.05 * (1 + math.cos(math.pi * 95 / 145)))


@pytest.mark.parametrize(
    ("method", "epochs", "size", "start"),
    [("coop", 200, 32, "random"), ("cocoop", 10, 1, "words"), ("upl", 50, 32, "random")],
)
def test_values_of_coop_s_code(method, epochs, size, start):
    request = Request.parse("glyphs", method, preset="paper")
    how = request.training()
    assert (how.optimizer, how.lr, how.momentum, how.weight_decay) == ("sgd", 0.002, 0.9, 5e-4)
    assert (how.epochs, how.batch_size, how.lr_per_step) == (epochs, size, False)
    assert (request.start, request.crop, request.propagate) == (start, "resized", False)
    assert method == "upl" or request.options()["view"] == "weak"
    # the first epoch is a warm-up, in the code at 1e-5; then a cosine to 0
    assert [how.lr_at(e) for e in (0, 1)] == [0, 0.002] and how.lr_at(epochs) < 1e-9


def test_tent_s_values_are_one_step_on_each_batch():
    request = Request.parse("glyphs", "tent", preset="paper")
    how = request.training()
    assert (how.optimizer, how.lr, how.weight_decay, how.batch_size, how.epochs) == ("adamw", 1e-3, 0, 200, 1)
    assert how.lr_at(0) == how.lr_at(1) == 1e-3 and request.parts == ("norm",)
    assert request.options().get("spread", 0) == 0


def test_what_the_user_says_goes_over_the_preset():
    request = Request.parse(
        "glyphs", "grip", ["lr=0.3", "rounds=4"], preset="paper", common={"epochs": 8}, start="words"
    )
    assert (request.training().lr, request.training().epochs, request.options()["rounds"]) == (0.3, 8, 4)
    assert request.start == "words"
    with pytest.raises(InputError, match=r"--preset paper is there for grip, .*, cocoop, not for --method pouf"):
        Request.parse("glyphs", "pouf", preset="paper")
    with pytest.raises(InputError, match="--preset papr: invalid value; did you mean 'paper'"):
        Request.parse("glyphs", "grip", preset="papr")
    with pytest.raises(InputError, match="--crop resize: invalid value"):
        Request.parse("glyphs", "ueo", crop="resize")
    with pytest.raises(InputError, match="has no --preset"):
        Request.parse("glyphs", "stata", preset="paper")


@pytest.mark.parametrize("method", ["ueo", "grip"])
def test_the_preset_trains(method, call, tmp_path):
    write_digits(tmp_path)
    names = sorted(path.name for path in (tmp_path / "train").glob("*.png"))[:40]
    (tmp_path / "pool.txt").write_text("".join(f"train/{name}\n" for name in names))
    out, options = tmp_path / "out", ["--preset", "paper", "--epochs", 10, "--cache", tmp_path / "cache"]
    code, _, err = call(
        "adapt", tmp_path / "pool.txt", "--classes", "0,1,2,3,4,5,6,7,8,9", "--vlm", "glyphs", "--method", method,
        *options, "-o", out,
    )  # fmt: skip
    assert code == 0, err
    record = json.loads((out / "adapted.json").read_text())
    assert record["settings"]["lr"] == {"ueo": 1e-4, "grip": 0.1}[method]
    assert (record["words"] == "") == (method == "grip")


def test_random_tokens_and_visual_tokens_start_as_in_the_code(tmp_path):
    encoder, names = vlms.load("glyphs"), Classes(("0", "1"))
    write_digits(tmp_path)
    images = ImageSet.open(str(tmp_path / "train"))
    images = images.select(list(range(4)))
    done = annotate(images, encoder, names, ("a handwritten {}",), cache=tmp_path / "features")
    for prompt, place in (("text", "token_embedding"), ("visual", "visual")):
        request = Request.parse("glyphs", "grip", preset="paper", tune=prompt)
        network = Training(Task(request, encoder, names, ("a handwritten {}",), done)).learner.network
        ((name, tokens),) = [(n, p) for n, p in network.named_parameters() if p.requires_grad and "tokens" in n]
        assert place in name and len(tokens) == 16
        wanted = 0.02 if prompt == "text" else tokens.shape[1] ** -0.5
        assert float(tokens.detach().std()) == pytest.approx(wanted, rel=0.15)


def test_a_resized_crop_is_a_window_of_half_the_area_or_more():
    x = torch.linspace(-1, 1, 64)
    ramps = torch.stack([x.expand(64, 64), x[:, None].expand(64, 64), x.expand(64, 64) * 0]).expand(200, 3, 64, 64)
    seen = augment.resized_crop(ramps.contiguous(), 0.5, flip=True)
    wide = (seen[:, 0, 32, -1] - seen[:, 0, 32, 0]) / 2
    high = (seen[:, 1, -1, 32] - seen[:, 1, 0, 32]) / 2
    assert 0.3 < float((wide < 0).float().mean()) < 0.7 and bool((high > 0).all())
    area = wide.abs() * high
    assert float(area.min()) > 0.45 and float(area.max()) <= 1.01 and float(area.std()) > 0.05
    assert bool((wide.abs() / high < 1.4).all()) and bool((high / wide.abs() < 1.4).all())


def test_the_learning_rate_falls_within_an_epoch(world):
    from zerolabel.data.views import Features
    from zerolabel.learners import LEARNERS
    from zerolabel.networks import build
    from zerolabel.training import train

    ends = []
    for per_step in (False, True):
        torch.manual_seed(0)
        learner = LEARNERS["cc"](build("linear", 4, 12), world.annotations)
        how = Settings(epochs=1, batch_size=24, lr=0.5, device="cpu", precision="float32", lr_per_step=per_step)
        list(train(learner, Features(world.features), how))
        ends.append(learner.network.head.weight.detach().clone())
    assert 0 < float(ends[1].norm()) < float(ends[0].norm())
