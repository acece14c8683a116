"""Learners from Python: what they are made with where nothing is said, and what is said where that does not fit."""

import warnings
from dataclasses import replace

import pytest
import torch

from zerolabel import LEARNERS, InputError, Settings, prepare, train
from zerolabel.data.views import Features
from zerolabel.learners.coreg import CoReg
from zerolabel.networks import build
from zerolabel.runs import presets


def network(world):  # type: ignore[no-untyped-def]
    return build("mlp", 4, world.features.shape[1])


def test_nothing_said_is_what_the_command_line_would_choose(world) -> None:  # type: ignore[no-untyped-def]
    learner, settings = prepare("coreg", network(world), world.annotations)
    chosen = presets.choose(len(world.annotations))
    assert isinstance(learner, CoReg) and settings == Settings(**chosen.settings)
    assert learner.options_given == set(chosen.hyper_parameters["coreg"])
    assert (learner.warm_up, learner.entropy_weight, learner.square_scale) == (180, 0.1, 1.0)


def test_what_is_said_counts_and_a_momentum_is_that_of_the_training(world) -> None:  # type: ignore[no-untyped-def]
    learner, settings = prepare("coreg", network(world), world.annotations, epochs=10, lr=0.2, momentum=0.5, queue=64)
    assert (settings.epochs, settings.lr, settings.batch_size, settings.momentum) == (10, 0.2, 64, 0.5)
    assert learner.side.momentum.momentum == 0.999 and len(learner.side.queue.keys) == 64 and learner.warm_up == 6
    paper, how = prepare("coreg", network(world), world.annotations, preset="paper", queue=64, epochs=40)
    assert (paper.warm_up, paper.labeling, how.period, how.batch_size) == (10, "separate", 800, 256)
    plain, how = prepare("proden", network(world), world.annotations)
    assert not plain.options_given and how.batch_size == 64
    for wrong, message in (
        ({"epoch": 3}, "coreg has no such option as 'epoch'; did you mean 'epochs'"),
        ({"preset": "papers"}, "did you mean 'paper'"),
        ({"lr": -1.0}, "lr=-1.0 is out of range"),
    ):
        with pytest.raises(InputError, match=message):
            prepare("coreg", network(world), world.annotations, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no learner 'coregg'"):
        prepare("coregg", network(world), world.annotations)


def test_bare_defaults_on_few_images_say_what_they_miss_once(world) -> None:  # type: ignore[no-untyped-def]
    how, source = Settings(epochs=1, precision="float32", device="cpu"), Features(world.features)
    small = replace(how, batch_size=64, lr=0.05)
    coreg, given = LEARNERS["coreg"], {"queue": 16, "embedding": 4}
    both = "240 images are few for the defaults of CoReg and the default batch_size 256 and lr 0.01, which"
    for learner, settings, message in (
        (coreg(network(world), world.annotations), how, both),
        (coreg(network(world), world.annotations), small, "few for the defaults of CoReg, which"),
        (
            coreg(network(world), world.annotations, **given),
            how,
            "few for the default batch_size 256 and lr 0.01, which",
        ),
        (LEARNERS["proden"](network(world), world.annotations), how, "few for the default batch_size"),
    ):
        with pytest.warns(UserWarning, match=message) as said:
            next(train(learner, source, settings))
        assert len(said) == 1 and "zerolabel.prepare" in str(said[0].message)


def test_prepared_learners_and_given_values_are_not_warned_of(world) -> None:  # type: ignore[no-untyped-def]
    source = Features(world.features)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for preset in presets.NAMES:
            learner, settings = prepare("coreg", network(world), world.annotations, preset=preset, queue=16, epochs=2)
            assert len(list(train(learner, source, replace(settings, device="cpu")))) == 2
        learner = LEARNERS["proden"](network(world), world.annotations)
        next(train(learner, source, Settings(epochs=1, batch_size=32, device="cpu")))


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_knows_what_it_was_made_with(name: str, world) -> None:  # type: ignore[no-untyped-def]
    learner = LEARNERS[name](network=network(world), annotations=world.annotations)
    assert learner.options_given == frozenset()
    torch.manual_seed(0)


def test_the_paper_in_python_is_the_default_of_the_learner(world) -> None:  # type: ignore[no-untyped-def]
    bare = CoReg(network(world), world.annotations)
    paper, _ = prepare("coreg", network(world), world.annotations, preset="paper")
    names = [name for name, value in vars(bare).items() if isinstance(value, int | float | str | bool)]
    assert len(names) > 20
    assert {name: getattr(bare, name) for name in names} == {name: getattr(paper, name) for name in names}
