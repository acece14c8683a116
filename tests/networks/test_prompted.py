"""A vision-language model with learned parts: what moves, what stays, and that it starts as the model is."""

from copy import deepcopy

import open_clip
import pytest
import torch
from torch import Tensor

from zerolabel import vlms
from zerolabel.adaptation.methods import METHODS
from zerolabel.annotate import text_features
from zerolabel.blocks.memory import Momentum
from zerolabel.data.classes import Classes
from zerolabel.data.views import Features, characters
from zerolabel.errors import InputError
from zerolabel.learners import LEARNERS
from zerolabel.learners.base import Batch
from zerolabel.networks import Embedder, projector, twin
from zerolabel.networks.prompted import KINDS, TEXTS, Encoders, PromptedNetwork, kinds
from zerolabel.networks.prompted import encoders as encoders_module
from zerolabel.training import train
from zerolabel.training.loop import recompute_bn_statistics
from zerolabel.training.settings import Settings

CLASSES = Classes(("3", "7", "letter a"), ((), (), ("a",)))
TEXT = {"context_length": 16, "vocab_size": 300, "width": 32, "heads": 2, "layers": 2}
VISION = {
    "vit": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "resnet": {"image_size": 32, "patch_size": None, "width": 8, "layers": [1, 1, 1, 1], "head_width": 16},
}
SIGLIP = {**TEXT, "no_causal_mask": True, "pool_type": "last", "proj_type": "linear"}


def tokenize(texts: list[str]) -> Tensor:
    """A start token, the bytes, an end token, padding."""
    rows = torch.zeros(len(texts), 16, dtype=torch.long)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text) + 2] = torch.tensor([257, *(b + 1 for b in text.encode()), 258])
    return rows


def tokenize_siglip(texts: list[str]) -> Tensor:
    """The bytes, then padding that is the end token, too."""
    rows = torch.ones(len(texts), 16, dtype=torch.long)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = torch.tensor([b + 2 for b in text.encode()], dtype=torch.long)
    return rows


def tiny(tower: str) -> torch.nn.Module:
    torch.manual_seed(0)
    if tower != "siglip":
        return open_clip.CLIP(24, VISION[tower], TEXT).eval().requires_grad_(False)
    vision = {"image_size": 224, "timm_model_name": "vit_tiny_patch16_siglip_gap_224", "timm_proj": "linear"}
    vision["timm_model_name"] = "vit_tiny_patch16_224"
    return open_clip.CustomTextCLIP(24, vision, SIGLIP, init_logit_bias=-10.0).eval().requires_grad_(False)


def make(model: torch.nn.Module, prompt: str, words: str = "", tokenizer=tokenize) -> PromptedNetwork:  # type: ignore[no-untyped-def]
    side = getattr(model.visual, "image_size", 32)
    size = side[0] if isinstance(side, tuple) else side
    return PromptedNetwork.of(model, tokenizer, prompt, words, Classes(("cat", "dog")), ("{}",), size)


@pytest.mark.parametrize(
    ("tower", "prompt"),
    [("vit", kind) for kind in KINDS]
    + [("resnet", kind) for kind in ("text", "classwise", "conditional", "classifier", "norm", "lora", "adapter")]
    + [("siglip", kind) for kind in ("text", "classwise", "conditional", "visual", "deep", "both", "norm", "lora")],
)
def test_only_what_is_learned_gets_a_gradient(tower: str, prompt: str) -> None:
    model = tiny(tower)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    words = "a " if prompt in TEXTS else ""
    network = make(model, prompt, words, tokenize_siglip if tower == "siglip" else tokenize).train()
    logits = network(torch.rand(2, 3, network.spec.size, network.spec.size))
    assert logits.shape == (2, 2) and logits.dtype == torch.float32
    logits.square().sum().backward()
    assert network.learned
    for name, p in network.named_parameters():
        assert (p.grad is not None) == p.requires_grad == (name in network.learned), name
    with torch.no_grad():
        for p in network.parameters():
            if p.requires_grad:
                p.add_(1.0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(module.training for module in network.encoders.model.modules())


@pytest.mark.parametrize("prompt", ["text", "classwise", "conditional", "classifier", "norm", "lora"])
@pytest.mark.parametrize("tower", ["vit", "resnet", "siglip"])
def test_starts_as_the_model_is(tower: str, prompt: str) -> None:
    model, read = tiny(tower), tokenize_siglip if tower == "siglip" else tokenize
    words = "a big " if prompt in TEXTS else ""
    network = make(model, prompt, words, read)
    ids = read(["a big cat", "a big dog"] if words else ["cat", "dog"])
    x = torch.rand(3, 3, network.spec.size, network.spec.size)
    with torch.no_grad():
        image, text = model.encode_image(x, normalize=True), model.encode_text(ids, normalize=True)
    wanted = (model.logit_scale.exp() * image @ text.T).log_softmax(1)
    torch.testing.assert_close(network(x).log_softmax(1), wanted, atol=1e-4, rtol=1e-4)


def test_several_templates_start_as_the_mean_of_the_annotators() -> None:
    encoder, templates = vlms.load("glyphs"), ("a handwritten {}", "{} by hand", "{}")
    encoders = Encoders(encoder.model, encoder.tokenizer, "norm")
    ids = torch.stack([encoder.tokenizer([t.format(w) for w in CLASSES.words]) for t in templates])
    levels = encoder.config["characters"]
    network = PromptedNetwork(encoders, ids, torch.tensor(CLASSES.owners), 32, levels)
    x = torch.rand(4, 3, 32, 32)
    features = encoder.encode_images(characters.read(x, *levels))
    p = torch.stack([encoder.probabilities(features, t) for t in text_features(encoder, CLASSES, templates)]).mean(0)
    torch.testing.assert_close(network(x).softmax(1), p, atol=1e-5, rtol=1e-4)


def test_text_features_follow_what_is_learned() -> None:
    network = make(tiny("vit"), "text", "a ").eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        first = network(x)
        assert torch.equal(network(x), first)
        next(p for p in network.parameters() if p.requires_grad).mul_(-1)
        assert not torch.allclose(network(x), first)
    with_graph = network(x)
    with torch.no_grad():
        torch.testing.assert_close(network(x), with_graph.detach())


def test_each_class_has_tokens_of_its_own() -> None:
    network = make(tiny("vit"), "classwise", "a ").eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        before = network(x)
        next(p for p in network.parameters() if p.requires_grad)[1].mul_(-1)
        after = network(x)
    torch.testing.assert_close(after[:, 0], before[:, 0])
    assert not torch.allclose(after[:, 1], before[:, 1])


def test_an_image_moves_the_texts_it_is_compared_with() -> None:
    network = make(tiny("vit"), "conditional", "a ").eval()
    features, ids = torch.nn.functional.normalize(torch.randn(3, 24), dim=1), network.head.ids
    prompts = network.encoders.text_prompts
    torch.nn.init.normal_(prompts.net[2].weight)
    with torch.no_grad():
        together = network.head(features)
        for row, feature in zip(together, features, strict=True):
            hidden = (prompts.net[0].weight @ feature + prompts.net[0].bias).relu()
            prompts.shift = (prompts.net[2].weight @ hidden + prompts.net[2].bias).expand(2, -1)
            texts = torch.nn.functional.normalize(network.encoders.encode_prepared(ids), dim=1)
            logits = network.encoders.logit_scale.exp() * texts @ feature
            torch.testing.assert_close(row.softmax(0), logits.softmax(0), atol=1e-5, rtol=1e-4)
    prompts.shift = None


def test_every_block_has_tokens_of_its_own() -> None:
    network = make(tiny("vit"), "deep").eval()
    tokens = [p for p in network.parameters() if p.requires_grad]
    assert [tuple(p.shape) for p in tokens] == [(16, 32), (16, 32)]
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        before = network(x)
        tokens[-1].mul_(-1)
        assert not torch.allclose(network(x), before)


def test_activations_that_are_computed_again_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, gradients = torch.rand(2, 3, 32, 32), []
    for large in (10**9, 1):
        monkeypatch.setattr(encoders_module, "LARGE", large)
        torch.manual_seed(0)
        network = make(tiny("vit"), "visual")
        assert bool(network.encoders.model.visual.transformer.grad_checkpointing) == (large == 1)
        network(x).square().sum().backward()
        gradients.append([p.grad for p in network.parameters() if p.requires_grad])
    torch.testing.assert_close(*gradients)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "kind"),
    [("ViT-B-32", kind) for kind in ("text", "conditional", "deep", "both", "norm", "lora")]
    + [("RN50", kind) for kind in ("text", "classifier", "norm", "lora")]
    + [("ViT-B-16-SigLIP", kind) for kind in ("text", "visual", "deep", "norm", "lora")],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_models_of_full_size(architecture: str, kind: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = open_clip.create_model(architecture, pretrained=None, pretrained_text=False).eval()

    def words(texts: list[str]) -> Tensor:
        siglip, length = "SigLIP" in architecture, 64 if "SigLIP" in architecture else 77
        rows = torch.full((len(texts), length), 1 if siglip else 0)
        for row, text in zip(rows, texts, strict=True):
            ids = [b + 2 for b in text.encode()]
            ids = ids if siglip else [49406, *ids, 49407]
            row[: len(ids)] = torch.tensor(ids)
        return rows

    start = "a photo of a " if kind in TEXTS else ""
    network = PromptedNetwork.of(model, words, kind, start, Classes(("cat", "dog")), ("{}",), 224).train()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        logits = network(torch.rand(2, 3, 224, 224))
    assert logits.shape == (2, 2) and bool(logits.isfinite().all())
    logits.float().log_softmax(1)[:, 0].sum().backward()
    learned = [p for p in network.parameters() if p.requires_grad]
    assert learned and all(p.grad is not None and bool(p.grad.isfinite().all()) for p in learned)


def test_random_context_and_a_text_that_is_too_long() -> None:
    network = Encoders(tiny("vit"), tokenize, "text", context=4)
    assert network.context == 4
    with pytest.raises(InputError, match="too long to follow 4 learned tokens"):
        network.encode_text(tokenize(["a long text ab"]))
    with pytest.raises(InputError, match="vision transformer"):
        Encoders(tiny("resnet"), tokenize, "visual")
    with pytest.raises(InputError, match="did you mean"):
        kinds("txt")
    with pytest.raises(InputError, match="named twice"):
        kinds("both+text")


def test_copies_share_what_is_frozen_and_states_hold_what_is_learned() -> None:
    network = make(tiny("vit"), "text+norm", "a ")
    other = twin(network)
    own, its = dict(network.named_parameters()), dict(other.named_parameters())
    for name, p in own.items():
        assert (p is its[name]) == (name not in network.learned)
        assert name not in network.learned or not torch.equal(p, its[name])
    assert set(network.state_dict()) == network.learned
    other.load_state_dict(network.state_dict())
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(other(x), network(x))
    embedder = Embedder(network, projector(network.feature_dim, 4))
    momentum = Momentum(deepcopy(embedder), 0.9)
    frozen = {name: p.clone() for name, p in own.items() if name not in network.learned}
    momentum.follow(embedder)
    momentum.reset(embedder)
    assert all(torch.equal(own[name], value) for name, value in frozen.items())


def test_statistics_of_a_frozen_encoder_stay() -> None:
    from lightning_fabric import Fabric

    network = make(tiny("resnet"), "norm")
    before = network(torch.ones(1, 3, 32, 32))

    class Source:
        def __len__(self) -> int:
            return 4

        def views(self, names: tuple[str, ...], index: Tensor) -> tuple[Tensor, ...]:
            return (torch.rand(len(index), 3, 32, 32),)

    recompute_bn_statistics(network, Source(), Fabric(accelerator="cpu", devices=1), 2)
    assert torch.equal(network(torch.ones(1, 3, 32, 32)), before)


def test_no_image_has_a_gradient_of_zero() -> None:
    network = make(tiny("vit"), "visual").train()
    out = network(torch.rand(0, 3, 32, 32))
    assert out.shape == (0, 2)
    out.sum().backward()


@pytest.mark.parametrize("name", ["coreg", "proden", "dividemix", "grip", "ueo"])
def test_any_learner_trains_prompts_on_features(name: str, world) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    features = torch.nn.functional.normalize(torch.randn(len(world.features), 24), dim=1)
    encoders = Encoders(tiny("vit"), tokenize, "text", "a ")
    ids = tokenize(["cat", "dog", "cow", "hen"])[None]
    network = PromptedNetwork(encoders, ids, torch.arange(4), 32)
    small = {"coreg": {"warm_up": 1, "queue": 16, "embedding": 4}, "dividemix": {"warm_up": 1}, "grip": {"rounds": 2}}
    learner = LEARNERS[name](network, world.annotations, **small.get(name, {}))
    start = {key: value.clone() for key, value in network.state_dict().items()}
    logs = list(train(learner, Features(features), Settings(epochs=2, batch_size=64, device="cpu", lr=0.01)))
    assert len(logs) == 2
    assert all(not torch.equal(value, start[key]) for key, value in network.state_dict().items())


def test_dpa_aligns_prototypes_through_the_classifier(make_annotations) -> None:  # type: ignore[no-untyped-def]
    method = METHODS["dpa"]
    network = make(tiny("vit"), method.tune).train()
    learner = LEARNERS["dpa"](network, make_annotations(torch.zeros(4, 1, dtype=torch.long), 2))
    # no image was seen yet: the prototypes are the texts' directions
    learner.rebuild()
    torch.testing.assert_close(learner.prototypes, torch.nn.functional.normalize(network.head.classifier, dim=1))
    x = torch.rand(2, 4, 3, 32, 32)
    learner.training_step(Batch(torch.arange(4), tuple(x)))["align"].backward()
    assert bool(network.head.classifier.grad.any())
    # besides the image side, only the classifier is tuned
    rest = [parameter for parameter in learner.parameter_groups()[1][1] if parameter.requires_grad]
    assert len(rest) == 1 and rest[0] is network.head.classifier
