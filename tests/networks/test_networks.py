import json
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from zerolabel.data.views import Pixels, Preprocess
from zerolabel.errors import InputError
from zerolabel.networks import (
    EncodedNetwork,
    ImageEncoder,
    NetworkSpec,
    build,
    count_parameters,
    mean_probabilities,
    rebuild,
    twin,
)

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 32, "width": 32, "heads": 2, "layers": 1},
}
SMALL = [
    ("light", 8),
    ("light", 32),
    ("preact_resnet18", 28),
    ("linear", 24),
    ("mlp", 24),
    ("resnet10t", 32),
    ("vit_tiny_patch16_224", 32),
    ("mobilenetv3_small_050", 32),
]


def inputs(n: int, name: str, size: int) -> torch.Tensor:
    return torch.randn(n, size) if name in ("linear", "mlp") else torch.randn(n, 3, size, size)


@pytest.mark.parametrize(("name", "size"), SMALL)
def test_contract(name: str, size: int):
    torch.manual_seed(0)
    network = build(name, 7, size)
    network.train()
    for n in (4, 1, 0):
        network.zero_grad()
        features = network.features(inputs(n, name, size))
        assert features.shape == (n, network.feature_dim)
        network(inputs(n, name, size)).sum().backward()
    assert all(buffer.isfinite().all() for buffer in network.buffers())
    network.eval()
    x = inputs(3, name, size)
    logits = network(x)
    assert logits.shape == (3, 7) and logits.isfinite().all()
    torch.testing.assert_close(logits, network.head(network.features(x)))
    torch.testing.assert_close(network(x[:1]), logits[:1], atol=1e-5, rtol=1e-4)

    spec = NetworkSpec.from_dict(json.loads(json.dumps(network.spec.to_dict())))
    assert spec == network.spec
    other = rebuild(spec).eval()
    assert not torch.equal(other(x), logits)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(x), logits)


def test_every_weight_gets_a_gradient():
    for name, size in SMALL[:5]:
        network = build(name, 3, size)
        for _ in range(2):
            loss = F.cross_entropy(network(inputs(6, name, size)), torch.tensor([0, 1, 2] * 2))
            network.zero_grad()
            loss.backward()
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter -= 0.1 * parameter.grad
        for key, parameter in network.named_parameters():
            assert parameter.grad.abs().sum() > 0, f"{name}: {key}"


def test_batch_of_one_leaves_sane_statistics():
    network = build("light", 3, 8)  # ends in a map of 1 x 1
    for _ in range(3):
        network(torch.randn(1, 3, 8, 8))
    assert all(buffer.isfinite().all() for buffer in network.buffers())
    before = {key: value.clone() for key, value in network.named_buffers()}
    network(torch.randn(0, 3, 8, 8))
    assert all(torch.equal(value, before[key]) for key, value in network.named_buffers())


def test_sizes_and_strides():
    assert count_parameters(build("preact_resnet18", 10, 32)) == 11_171_274
    assert 0.1e6 < count_parameters(build("light", 10, 32)) < 0.4e6
    for size, side in ((28, 4), (32, 4), (64, 4)):
        maps = build("preact_resnet18", 10, size).eval().backbone[:-2](torch.zeros(1, 3, size, size))
        assert maps.shape == (1, 512, side, side)


def test_count_parameters_counts_shared_weights_once():
    layer = torch.nn.Linear(3, 4)
    assert count_parameters(torch.nn.Sequential(layer, layer)) == 16


def test_twin_begins_elsewhere():
    torch.manual_seed(0)
    network = build("light", 3, 16)
    other = twin(network)
    assert other.spec == network.spec
    assert not torch.equal(other.head.weight, network.head.weight)
    assert not torch.equal(next(other.backbone.parameters()), next(network.backbone.parameters()))


def test_unknown_and_impossible_networks():
    with pytest.raises(InputError, match="'light'"):
        build("ligth", 3, 16)
    with pytest.raises(InputError, match="'resnet18'"):
        build("resnet81", 3, 16)
    with pytest.raises(InputError, match=r"known: light.*timm") as caught:
        build("zzzzzzzzz", 3, 16)
    assert len(str(caught.value)) < 200
    with pytest.raises(InputError, match="20 pixels"):
        build("inception_v4", 3, 20)
    with pytest.raises(InputError, match="at least 1 class"):
        build("light", 0, 16)
    with pytest.raises(InputError, match="depth"):
        NetworkSpec.from_dict({"name": "light", "n_classes": 3, "size": 8, "depth": 3})


def test_pretrained_that_cannot_be_had(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.warns(UserWarning, match="'resnet10t': they are not in the cache") as caught:
        network = build("resnet10t", 3, 32, pretrained=True)
    assert len(caught) == 1 and not network.pretrained
    with pytest.warns(UserWarning, match="no pretrained weights for 'light'"):
        build("light", 3, 16, pretrained=True)


def test_pretrained_from_the_cache(monkeypatch, tmp_path):
    import huggingface_hub
    import timm
    from safetensors.torch import save_file

    weights = timm.create_model("resnet10t", pretrained=False).state_dict()
    save_file(weights, tmp_path / "model.safetensors")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda hub, file: str(tmp_path / file))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = build("resnet10t", 3, 32, pretrained=True)
    assert network.pretrained
    assert all(torch.equal(value, weights[key]) for key, value in network.backbone.state_dict().items())
    other = twin(network)
    assert torch.equal(next(other.backbone.parameters()), next(network.backbone.parameters()))
    assert not torch.equal(other.head.weight, network.head.weight)


def test_encoded_network():
    import open_clip

    torch.manual_seed(0)
    visual = open_clip.CLIP(**CONFIG).visual
    encoder, head = ImageEncoder(visual, CONFIG), build("mlp", 5, 16)
    network = EncodedNetwork(encoder, head)
    x = torch.randn(3, 3, 16, 16)
    network.train()
    assert not encoder.visual.training and head.backbone.training
    features = encoder(x)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(features, F.normalize(visual(x), dim=1))
    network(x).sum().backward()
    assert all(parameter.grad is None for parameter in encoder.parameters())
    network.eval()
    torch.testing.assert_close(network(x), head.eval()(features))
    assert network(x[:0]).shape == (0, 5)

    spec = NetworkSpec.from_dict(json.loads(json.dumps(network.spec.to_dict())))
    assert (spec.name, spec.n_classes, spec.size) == ("mlp", 5, 16)
    assert "text_cfg" not in spec.encoder
    other = rebuild(spec).eval()
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(x), network(x))


def test_encoder_of_timm_without_a_download():
    config = {
        "embed_dim": 24,
        "vision_cfg": {
            "timm_model_name": "vit_tiny_patch16_224",
            "timm_model_pretrained": True,
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 224,
        },
    }
    encoder = ImageEncoder.build(config)
    assert encoder.size == 224 and encoder(torch.randn(2, 3, 224, 224)).shape == (2, 24)


def test_encoder_errors():
    encoder = ImageEncoder.build(CONFIG)
    with pytest.raises(InputError, match="8 features"):
        EncodedNetwork(encoder, build("linear", 3, 8))
    with pytest.raises(InputError, match="open_clip"):
        ImageEncoder.build({**CONFIG, "vision_cfg": {"image_size": 16, "no_such_option": 1}})


def test_light_learns_real_digits():
    torch.manual_seed(0)
    digits = load_digits()
    preprocess = Preprocess(16, (0.5,) * 3, (0.5,) * 3)
    gray = torch.from_numpy((digits.images * 255 / 16).astype(np.uint8))[..., None].expand(-1, 8, 8, 3)
    pixels = np.stack([preprocess.resize(image).round().byte().numpy() for image in gray])
    source, target = Pixels(pixels, preprocess, flip=False), torch.from_numpy(digits.target)
    order = torch.randperm(len(target))
    network = build("light", 10, 16).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=5 * 21)
    for _ in range(5):
        for index in order[:1297].split(64):
            loss = F.cross_entropy(network(source.view("weak", index)), target[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        logits = network.eval()(source.view("eval", order[1297:]))
    assert (logits.argmax(1) == target[order[1297:]]).float().mean() > 0.95


def test_batch_size_stays_free_when_exported():
    network = build("light", 3, 20).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(network, (torch.randn(3, 3, 20, 20),), dynamic_shapes=({0: batch},))
    x = torch.randn(5, 3, 20, 20)
    torch.testing.assert_close(program.module()(x), network(x))


def test_mean_probabilities_of_several_views():
    network = build("mlp", 3, 6).eval()
    views = [torch.randn(4, 6) for _ in range(3)]
    p = mean_probabilities(network, views)
    torch.testing.assert_close(p, sum(network(view).softmax(1) for view in views) / 3)
    assert mean_probabilities(network, [view[:0] for view in views]).shape == (0, 3)


def test_mean_probabilities_never_mix_batch_statistics_of_views():
    network = build("light", 3, 16).train()
    views = [torch.randn(4, 3, 16, 16), 3 + 2 * torch.randn(4, 3, 16, 16)]
    apart = [network(view).softmax(1) for view in views]
    torch.testing.assert_close(mean_probabilities(network, views), sum(apart) / 2)
    together = network(torch.cat(views)).softmax(1).unflatten(0, (2, 4)).mean(0)
    assert (mean_probabilities(network, views) - together).abs().max() > 1e-4
