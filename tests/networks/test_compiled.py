"""Compiled backbones: the same networks, calculated by another program."""

import copy
from functools import partial

import pytest
import torch

from zerolabel.data.views import Features
from zerolabel.errors import InputError
from zerolabel.networks import build
from zerolabel.networks.compiled import compiled
from zerolabel.training import loop, train
from zerolabel.training.settings import Settings


def test_a_compiled_network_says_the_same_keeps_its_names_and_can_be_exported():
    torch.manual_seed(0)
    network, x = build("light", 10, 32).eval(), torch.randn(4, 3, 32, 32)
    before, names = network(x), list(network.state_dict())
    seen = []

    def noting(graph, inputs):
        seen.append(graph)
        return graph.forward

    with compiled(network, backend=noting):
        torch.testing.assert_close(network(x), before)
    assert seen, "the backbone was not compiled"
    assert list(network.state_dict()) == names
    assert copy.deepcopy(network).backbone._compiled_call_impl is None
    exported = torch.export.export(torch.nn.Sequential(network.backbone, network.head), (x,)).module()
    torch.testing.assert_close(exported(x), before)


def test_nothing_is_compiled_unasked():
    network = build("light", 10, 32)
    with compiled(network, wanted=False):
        assert network.backbone._compiled_call_impl is None


def test_a_network_that_cannot_be_compiled_gets_a_sentence():
    def failing(graph, inputs):
        raise OSError("no compiler")

    network = build("light", 10, 32)
    told = r"compile=true: .*no compiler.*leave it out"
    with pytest.raises(InputError, match=told), compiled(network, backend=failing):
        network(torch.randn(2, 3, 32, 32))


def test_a_training_with_compiled_networks_ends_where_one_without_does(world, monkeypatch):
    from zerolabel.learners.coreg import CoReg

    monkeypatch.setattr(loop, "compiled", partial(compiled, backend="eager"))

    def trained(compile: bool):
        torch.manual_seed(0)
        learner = CoReg(build("mlp", 4, world.features.shape[1]), world.annotations, warm_up=1)
        how = Settings(epochs=2, batch_size=32, precision="float32", device="cpu", compile=compile)
        list(train(learner, Features(world.features), how))
        assert (learner.network.backbone._compiled_call_impl is not None) == compile
        return learner.network(world.features).detach()

    torch.testing.assert_close(trained(True), trained(False), rtol=1e-4, atol=1e-5)
