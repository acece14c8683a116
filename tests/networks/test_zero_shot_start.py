"""Heads on frozen features that start at the zero-shot classifier."""

import pytest
import torch
from torch.nn import functional as F

from zerolabel.networks import build, rebuild, twin
from zerolabel.networks.zero_shot import PromptEnsemble
from zerolabel.networks.zero_shot_start import interpolate


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_before_training_it_answers_as_the_prompts_do(head: str) -> None:
    texts, features = 100 * unit(3, 4, 16), unit(5, 16)
    network = build(head, 4, 16, texts=texts)
    assert torch.allclose(network(features), PromptEnsemble(texts)(features), atol=1e-5)
    assert torch.allclose(network.head(network.features(features)), network(features))


def test_only_what_is_added_is_trained() -> None:
    network = build("mlp", 4, 16, texts=100 * unit(2, 4, 16))
    network(unit(5, 16)).logsumexp(1).sum().backward()
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert "head.start.texts" not in trained and "head.added.weight" in trained


def test_its_twin_starts_there_too_with_other_weights_below() -> None:
    network, features = build("mlp", 4, 16, texts=100 * unit(2, 4, 16)), unit(5, 16)
    other = twin(network)
    assert torch.equal(other(features), network(features))
    assert not torch.equal(other.features(features), network.features(features))


def test_its_description_rebuilds_it() -> None:
    network, features = build("mlp", 4, 16, texts=100 * unit(2, 4, 16)), unit(5, 16)
    other = rebuild(network.spec)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(features), network(features))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_interpolated_logits_lie_between_zero_shot_and_what_was_learned(share: float) -> None:
    network, features = build("mlp", 4, 16, texts=100 * unit(2, 4, 16)), unit(5, 16)
    with torch.no_grad():
        start = network(features)
        network.head.added.weight.normal_()
        network.head.added.bias.normal_()
        learned = network(features)
    interpolate(network, share)
    assert torch.allclose(network(features), (1 - share) * start + share * learned, atol=1e-4)


def test_other_networks_are_not_interpolated() -> None:
    network, features = build("mlp", 4, 16), unit(5, 16)
    before = network(features)
    interpolate(network, 0.5)
    assert torch.equal(network(features), before)
