"""What every learner must keep, whatever its paper."""

import inspect
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matrix import quick
from sklearn.datasets import load_digits
from torch import Tensor, nn

from zerolabel.annotations import Annotations
from zerolabel.data.views import Features, Pixels, Preprocess
from zerolabel.learners import LEARNERS, Learner
from zerolabel.networks import build
from zerolabel.training import EpochLog, Source, train
from zerolabel.training.settings import Settings

SETTINGS = Settings(epochs=10, batch_size=64, lr=0.05, precision="float32", device="cpu", seed=1)
# Hyper-parameters that are counted in epochs or images, shrunk to this data; the rest keeps its defaults.
SMALL: dict[str, dict[str, object]] = {
    "coreg": {"warm_up": 3, "ramp": 2, "delay": 1, "queue": 64, "embedding": 16, "ema_momentum": 0.9},
    "truncated_gce": {"warm_up": 4, "interval": 2},
    "coteaching": {"ramp": 4},
    "elr_plus": {"ema_momentum": 0.9},
    "dividemix": {"warm_up": 3, "ramp": 2},
    "unicon": {"warm_up": 4, "embedding": 16},
    "promix": {"warm_up": 3},
    "pop": {"warm_up": 3},
    "fredis": {"complement": 0.1},
    "lws": {"view": "weak"},
    "dirk": {"ema_momentum": 0.9},
    "able": {"embedding": 16},
    "papi": {"ramp": 3, "embedding": 16},
    "pico": {"queue": 64, "embedding": 16, "ema_momentum": 0.9},
    "pico_plus": {"warm_up": 3, "queue": 64, "embedding": 16, "ema_momentum": 0.9},
    "solar": {"warm_up": 3, "queue": 128},
    "transductive_clip": {"warm_up_share": 0.2, "queue": 64, "embedding": 16, "ema_momentum": 0.9},
    "irnet": {"warm_up_share": 0.3, "queue": 64, "embedding": 16, "ema_momentum": 0.9},
    "alim": {"warm_up_share": 0.3, "queue": 64, "embedding": 16, "ema_momentum": 0.9},
    "grip": {"rounds": 3},
    "cpl": {"rounds": 3},
    "ueo": {"warm_up": 4},
    "tent": {"warm_up": 7},
    "pouf": {"warm_up": 7, "scale": 1.0},
    "must": {"warm_up": 4, "ema_momentum": 0.9},
    "dpa": {"warm_up": 4, "scale": 10.0},
}

every_learner = pytest.mark.parametrize("name", LEARNERS)
a_learner_of_each_kind = pytest.mark.parametrize(
    "name", quick(("coreg", "cross_entropy", "dividemix", "elr_plus", "fixmatch", "grip", "pico", "promix"), LEARNERS)
)


def make(name: str, annotations: Annotations, size: int, network: str = "mlp", seed: int = 0) -> Learner:
    torch.manual_seed(seed)
    return LEARNERS[name](build(network, len(annotations.classes), size), annotations, **SMALL.get(name, {}))


def settings(**change: object) -> Settings:
    return Settings(**(vars(SETTINGS) | change))


def accuracy(learner: Learner, source: Source, truth: Tensor) -> float:
    (x,) = source.views(("eval",), torch.arange(len(truth)))
    learner.eval()
    with torch.no_grad():
        p = sum(network(x).softmax(1) for network in learner.networks)
    return float((p.argmax(1) == truth).float().mean())


def figures(log: EpochLog) -> tuple[object, ...]:
    """A log without its times."""
    return log.epoch, log.progress, log.losses, log.figures, log.learning_rate


def finite(learner: nn.Module) -> bool:
    return all(bool(value.isfinite().all()) for value in learner.state_dict().values())


@every_learner
def test_ends_above_its_annotators(name: str, world) -> None:  # type: ignore[no-untyped-def]
    annotators, source = world.annotator_accuracy, Features(world.features)
    assert 0.55 < annotators < 0.85
    learner = make(name, world.annotations, world.features.shape[1])
    logs = list(train(learner, source, SETTINGS))
    assert [log.epoch for log in logs] == list(range(10)) and logs[-1].progress == 1
    assert accuracy(learner, source, world.truth) > annotators + 0.05


@every_learner
def test_same_seed_same_log_and_another_seed_another(name: str, world) -> None:  # type: ignore[no-untyped-def]
    runs = []
    for seed in (1, 1, 2):
        learner = make(name, world.annotations, world.features.shape[1])
        logs = list(train(learner, Features(world.features), settings(epochs=5, seed=seed)))
        runs.append([figures(log)[2:4] for log in logs])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@every_learner
@pytest.mark.parametrize(("optimizer", "stop"), [("sgd", 5), pytest.param("adamw", 1, marks=pytest.mark.slow)])
def test_stopped_and_resumed_ends_with_the_same_bits(  # type: ignore[no-untyped-def]
    name: str, optimizer: str, stop: int, world, tmp_path: Path
) -> None:
    source, how, file = (
        Features(world.features),
        settings(epochs=7, optimizer=optimizer),
        tmp_path / "state.safetensors",
    )
    whole = make(name, world.annotations, world.features.shape[1])
    logs = [figures(log) for log in train(whole, source, how)]
    stopped = train(make(name, world.annotations, world.features.shape[1]), source, how, file)
    for _ in range(stop + 1):  # killed in the epoch after
        next(stopped)
    stopped.close()
    resumed = make(name, world.annotations, world.features.shape[1], seed=99)
    torch.rand(7)
    further = [figures(log) for log in train(resumed, source, how, file)]
    assert 0 < len(further) <= 7 - stop
    assert further == logs[-len(further) :]
    state = resumed.state_dict()
    for key, value in whole.state_dict().items():
        assert torch.equal(value, state[key]), key


def stray_tensors(value: object, path: str) -> list[str]:
    if isinstance(value, Tensor):
        return [path]
    if isinstance(value, dict):
        return [found for key, part in value.items() for found in stray_tensors(part, f"{path}[{key!r}]")]
    if isinstance(value, list | tuple | set):
        return [found for i, part in enumerate(value) for found in stray_tensors(part, f"{path}[{i}]")]
    return []


@every_learner
def test_no_tensor_outside_parameters_and_buffers(name: str, world) -> None:  # type: ignore[no-untyped-def]
    learner = make(name, world.annotations, world.features.shape[1])
    list(train(learner, Features(world.features), settings(epochs=5)))
    strays = []
    for path, module in learner.named_modules():
        for key, value in vars(module).items():
            if key not in ("_parameters", "_buffers", "_modules"):
                strays += stray_tensors(value, f"{path}.{key}")
    assert strays == []
    state = learner.state_dict()
    assert {key for key, _ in [*learner.named_parameters(), *learner.named_buffers()]} == set(state)


def rows(kind: str, world) -> Annotations:  # type: ignore[no-untyped-def]
    """Annotations of the same images, changed where a learner might stumble."""
    given, n = world.annotations, len(world.truth)
    scores, candidates = given.scores.clone(), given.candidates.clone()
    votes = given.votes.clone()
    labels = torch.full((n,), -1)
    if kind == "one candidate each":
        candidates = torch.nn.functional.one_hot(scores.argmax(1), 4).bool()
    elif kind == "all candidates":
        candidates[:] = True
    elif kind == "human labels":
        labels[:20] = world.truth[:20]
    else:
        rest = {"a third unlabeled": slice(0, n // 3), "one labeled": slice(1, n), "nobody spoke": slice(0, n)}[kind]
        scores[rest], candidates[rest], votes[rest] = 0, False, -1
    return replace(given, scores=scores, candidates=candidates, votes=votes).with_labels(labels)


@every_learner
@pytest.mark.parametrize(
    "kind",
    ["one candidate each", "all candidates", "a third unlabeled", "one labeled", "nobody spoke", "human labels"],
)
def test_rows_at_the_edge(name: str, kind: str, world) -> None:  # type: ignore[no-untyped-def]
    annotations, source = rows(kind, world), Features(world.features)
    learner = make(name, annotations, world.features.shape[1])
    logs = list(train(learner, source, settings(epochs=6)))
    assert all(math.isfinite(value) for log in logs for value in log.losses.values())
    assert finite(learner)
    if kind in ("one candidate each", "a third unlabeled", "human labels"):
        assert accuracy(learner, source, world.truth) > 0.5


@every_learner
def test_human_labels_are_learned_against_the_annotators(name: str, world) -> None:  # type: ignore[no-untyped-def]
    labels = torch.full((len(world.truth),), -1)
    asked = torch.rand(len(world.truth)) < 0.7
    labels[asked] = (world.truth[asked] + 1) % 4  # few annotators agree with the person
    learner = make(name, world.annotations.with_labels(labels), world.features.shape[1])
    source = Features(world.features)
    list(train(learner, source, settings(epochs=12)))
    assert accuracy(learner, source, (world.truth + 1) % 4) > accuracy(learner, source, world.truth)


@every_learner
@pytest.mark.parametrize(("n", "batch_size"), [(6, 1), (9, 4)])
def test_a_batch_of_one(name: str, n: int, batch_size: int, make_world) -> None:  # type: ignore[no-untyped-def]
    small = make_world(n=n)
    learner = make(name, small.annotations, small.features.shape[1])
    logs = list(train(learner, Features(small.features), settings(epochs=6, batch_size=batch_size)))
    assert len(logs) == 6 and finite(learner)


def permuted(annotations: Annotations, order: Tensor) -> Annotations:
    return replace(
        annotations,
        classes=tuple(annotations.classes[c] for c in order.tolist()),
        votes=order.argsort()[annotations.votes],
        scores=annotations.scores[:, order],
        candidates=annotations.candidates[:, order],
    )


@every_learner
def test_permuting_classes_permutes_nothing_else(name: str, world) -> None:  # type: ignore[no-untyped-def]
    order = torch.tensor([2, 0, 3, 1])
    size, source = world.features.shape[1], Features(world.features)
    plain, other = make(name, world.annotations, size), make(name, permuted(world.annotations, order), size)
    for network in other.networks:
        network.head.weight.data = network.head.weight.data[order].clone()
        network.head.bias.data = network.head.bias.data[order].clone()
    pairs = zip(train(plain, source, settings(epochs=5)), train(other, source, settings(epochs=5)), strict=True)
    for a, b in pairs:
        assert a.losses == pytest.approx(b.losses, rel=2e-3, abs=1e-4)
        torch.rand(1)
    with torch.no_grad():
        for one, two in zip(plain.networks, other.networks, strict=True):
            torch.testing.assert_close(one(world.features)[:, order], two(world.features), rtol=1e-2, atol=1e-2)


@every_learner
def test_truth_is_not_among_its_inputs(name: str) -> None:
    parameters = inspect.signature(LEARNERS[name]).parameters
    assert list(parameters)[:2] == ["network", "annotations"]
    for parameter in list(parameters.values())[2:]:
        assert parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty
        assert not any(word in parameter.name for word in ("truth", "true", "oracle", "label_id", "target"))


@pytest.fixture(scope="module")
def digits() -> tuple[Pixels, Tensor, Tensor]:
    """120 real images of the digits 0 to 3 at 16 pixels, the truth, and votes of which 65% are right."""
    data = load_digits(n_class=4)
    truth = torch.from_numpy(data.target[:120]).long()
    gray = np.kron((data.images[:120] * 255 / 16).astype(np.uint8), np.ones((1, 2, 2), np.uint8))
    pixels = np.ascontiguousarray(np.repeat(gray[:, None], 3, axis=1))
    source = Pixels(pixels, Preprocess(16, (0.5,) * 3, (0.5,) * 3), flip=False)
    generator = torch.Generator().manual_seed(0)
    right = torch.rand(120, 3, generator=generator) < 0.65
    wrong = (truth[:, None] + torch.randint(1, 4, (120, 3), generator=generator)) % 4
    return source, truth, torch.where(right, truth[:, None], wrong)


@a_learner_of_each_kind
def test_pixels_through_a_convolutional_network(name: str, digits, make_annotations) -> None:  # type: ignore[no-untyped-def]
    source, truth, votes = digits
    learner = make(name, make_annotations(votes, 4), 16, network="light")
    logs = list(train(learner, source, settings(epochs=7, batch_size=17, lr=0.03)))
    assert len(logs) == 7 and finite(learner)
    assert accuracy(learner, source, truth) > 0.5


@a_learner_of_each_kind
def test_bfloat16_is_precise_enough(name: str, digits, make_annotations) -> None:  # type: ignore[no-untyped-def]
    source, _, votes = digits
    learner = make(name, make_annotations(votes, 4), 16, network="light")
    types = {key: tensor.dtype for key, tensor in learner.state_dict().items()}
    logs = list(train(learner, source, settings(epochs=6, batch_size=30, precision="bfloat16")))
    assert len(logs) == 6 and finite(learner)
    assert {key: tensor.dtype for key, tensor in learner.state_dict().items()} == types
