from dataclasses import fields
from typing import Literal

import pytest
import torch

from zerolabel.adaptation.few_shot import FEW_SHOT
from zerolabel.adaptation.transduction import SOLVERS
from zerolabel.errors import InputError
from zerolabel.learners import LEARNERS
from zerolabel.networks import build
from zerolabel.options import Epochs, Positive, Range, Share, convert, defaults, describe, fits, keyword_types
from zerolabel.training.settings import Settings, check_device, find_learner, make_settings, parse

METHODS = {**LEARNERS, **SOLVERS, **FEW_SHOT}


def test_options_are_told_apart_and_typed():
    found = parse("coreg", ["warm_up=3", "lr = 0.2", "prior=0.5,0.25,0.25", "co_pseudo_labels=off", "period=none"])
    assert found.learner == {"warm_up": 3, "prior": (0.5, 0.25, 0.25), "co_pseudo_labels": False}
    assert found.settings == {"lr": 0.2, "period": None}
    assert parse("coreg", ["prior=estimated"]).learner == {"prior": "estimated"}
    assert parse("coreg", ["lr=1", "lr=2"]).settings == {"lr": 2.0}
    assert parse("cross_entropy", []).learner == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("warm_up", "NAME=VALUE"),
        ("warmup=3", "did you mean 'warm_up'"),
        ("learning_rate=3", "coreg has no such option"),
        ("warm_up=2.5", "warm_up is a whole number"),
        ("lr=fast", "lr is a number"),
        ("co_pseudo_labels=maybe", "true or false"),
        ("optimizer=adam", "'sgd' or 'adamw'"),
        ("period=", "a whole number from 1 to 100,000 or none"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(InputError, match=message) as error:
        parse("coreg", [text])
    assert "\n" not in str(error.value)


def test_types_in_words():
    assert describe(tuple[float, ...]) == "numbers separated by commas"
    assert describe(str | tuple[float, ...] | None) == "a word or numbers separated by commas or none"
    assert convert("x", "b", Literal["a", "b"]) == "b"
    assert convert("x", "True", bool) is True


def test_every_hyper_parameter_has_a_type_that_can_be_set():
    for name, learner in LEARNERS.items():
        assert find_learner(name) is learner
        assert all(describe(kind) for kind in keyword_types(learner).values())
    with pytest.raises(InputError, match="did you mean 'coreg'"):
        find_learner("corge")


@pytest.mark.parametrize("name", METHODS)
def test_every_number_has_a_range_that_holds_its_default(name):
    for argument, kind in keyword_types(METHODS[name]).items():
        assert fits(defaults(METHODS[name])[argument], kind), argument
        beyond = [value for value in (-2, 1e12) if fits(value, kind)]
        assert not beyond, f"{argument} takes {beyond}"


def test_ranges_in_words():
    assert str(Range(0, 1)) == "from 0 to 1" and str(Range(1e-3, 2**20)) == "from 0.001 to 1,048,576"
    assert describe(tuple[Positive, ...]) == "numbers above 0 and at most 1,000,000,000 separated by commas"
    assert describe(Share | None) == "a number from 0 to 1 or none"


def test_values_out_of_range_are_named():
    for text in ("1.5", "-0.1", "nan", "inf"):
        with pytest.raises(InputError, match=f"--set x={text} is out of range; give a number from 0 to 1"):
            convert("x", text, Share)
    with pytest.raises(InputError, match="--set x=1,0 is out of range; give numbers above 0"):
        convert("x", "1,0", tuple[Positive, ...])
    assert fits((1, 2.5), tuple[Positive, ...]) and not fits((1, 0), tuple[Positive, ...])
    assert not fits(True, Share) and not fits(0.5, Epochs) and fits(5, Epochs)


def test_learners_refuse_values_out_of_range(make_annotations):
    annotations = make_annotations(torch.zeros(4, 1, dtype=torch.long), 2)
    with pytest.raises(InputError, match=r"temperature=0 is out of range; give a number from 0\.001"):
        LEARNERS["coreg"](build("linear", 2, 3), annotations, temperature=0)
    with pytest.raises(InputError, match=r"warm_up=0\.5 is out of range; give a whole number from 0"):
        LEARNERS["coreg"](build("linear", 2, 3), annotations, warm_up=0.5)


@pytest.mark.parametrize("name", LEARNERS)
def test_no_argument_of_a_learner_is_named_as_a_training_setting(name):
    assert not set(defaults(LEARNERS[name])) & {field.name for field in fields(Settings)}


@pytest.mark.parametrize("name", LEARNERS)
def test_each_kind_of_argument_has_one_unit(name):
    for argument, default in defaults(LEARNERS[name]).items():
        if argument in ("warm_up", "ramp", "delay", "interval"):
            assert type(default) is int, f"{argument} is a number of epochs"
        if argument.endswith("share"):
            assert isinstance(default, float) and 0 <= default <= 1, f"{argument} is a share"


def test_settings_stay_in_their_ranges():
    assert make_settings({"epochs": 1, "batch_size": 1, "period": None}) == Settings(epochs=1, batch_size=1)
    for name, value in {"epochs": 0, "batch_size": -1, "lr": float("nan"), "momentum": 1.0, "seed": -1}.items():
        with pytest.raises(InputError, match=f"{name}=.* is out of range"):
            make_settings({name: value})


def test_devices_that_are_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check_device("cpu")
    check_device("auto")
    with pytest.raises(InputError, match="this machine has none; give --device auto"):
        check_device("cuda")
    for name in ("gpu", "cpu:1", "cuda:x", ""):
        with pytest.raises(InputError, match="no such device"):
            check_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_device("cuda:1")
    with pytest.raises(InputError, match="has none"):
        check_device("cuda:2")
