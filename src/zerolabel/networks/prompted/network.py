"""A vision-language model with learned prompts, as a network that any learner can train."""

from collections.abc import Sequence
from copy import deepcopy
from math import log
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from zerolabel.data.classes import Classes, prompts
from zerolabel.data.views import characters
from zerolabel.networks.base import Network, NetworkSpec
from zerolabel.networks.prompted.encoders import TEXTS, Encoders, Tokenizer
from zerolabel.networks.prompted.parts import ConditionalPrompts

NAME = "prompted"
JITTER, LEAST = 0.1, 0.02
ROWS = 1024
"""Texts that are encoded at once where each image has texts of its own."""


class ImageSide(nn.Module):
    """Images, or features of images, -> features of length 1.

    Args:
        encoders: hold the image encoder and the adapter; shared with the head.
        levels: mean and standard deviation where the model reads images as `zerolabel.data.views.characters` prepares
            them.
    """

    def __init__(self, encoders: Encoders, levels: tuple[float, float] | None) -> None:
        super().__init__()
        self.encoders, self.levels = encoders, levels

    def forward(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B D"]:
        """Features of pixels; a row of numbers is taken as the frozen encoder's features and only adapted."""
        if x.dim() == 2:
            return F.normalize(self.encoders.adapt(x).float(), dim=1)
        if self.levels is not None:
            x = characters.read(x, *self.levels)
        return F.normalize(self.encoders.encode_image(x).float(), dim=1)


class TextSide(nn.Module):
    """Features of length 1 -> logits: the scaled cosines to the classes; of several templates the log of mean softmax.

    Text features are computed again only where a parameter that they rest on has changed since. In their place there
    may be learned weights of the classes (``classifier``); or an image moves the texts that it is compared with
    (``conditional``).

    Args:
        encoders: hold the text encoder; shared with the image side.
        ids: tokens of every word under every template.
        owners: class that each word names; the features of a class's words are averaged.
    """

    ids: Int[Tensor, "AM T"]
    owners: Int[Tensor, " M"]
    texts: Float[Tensor, "A C D"]

    def __init__(self, encoders: Encoders, ids: Int[Tensor, "A M T"], owners: Int[Tensor, " M"]) -> None:
        super().__init__()
        self.encoders, self.n_templates, self.n_classes = encoders, len(ids), int(owners.max()) + 1
        self.register_buffer("ids", encoders.prepare(ids.flatten(0, 1)), persistent=False)
        self.register_buffer("owners", owners, persistent=False)
        self.register_buffer("texts", torch.zeros(0), persistent=False)
        self.seen: tuple[tuple[int, int], ...] = ()
        self.classifier: nn.Parameter | None = None
        if "classifier" in encoders.tune.split("+"):
            self.classifier = nn.Parameter(self.blended())

    def text_features(self) -> Float[Tensor, "A C D"]:
        """Of length 1, times the model's scale."""
        learned = [p for p in self.encoders.parameters() if p.requires_grad]
        seen = tuple((id(p), p._version) for p in learned) if self._moves else ((0, len(self.owners)),)
        if torch.is_grad_enabled() and self._moves:
            return self._encode()
        if seen != self.seen or self.texts.device != self.ids.device:
            with torch.no_grad():
                self.texts, self.seen = self._encode(), seen
        return self.texts

    def blended(self) -> Float[Tensor, "C D"]:
        """One row of each class: its learned weights, or the mean direction of its texts times the model's scale."""
        if self.classifier is not None:
            return self.classifier.detach()
        texts = self.text_features().detach()
        scaled: Tensor = texts[0].norm(dim=1).mean() * F.normalize(texts.mean(0), dim=1)
        return scaled

    @property
    def _moves(self) -> bool:
        return bool((TEXTS | {"lora"}) & set(self.encoders.tune.split("+")))

    def _encode(self, images: int = 1) -> Float[Tensor, "A C D"]:
        """Of several images, for each of which all texts are encoded: (B A C D), with B and A as one."""
        words = F.normalize(self.encoders.encode_prepared(self.ids.repeat(images, 1)).float(), dim=1)
        words = words.unflatten(0, (images * self.n_templates, -1))
        total = words.new_zeros(len(words), self.n_classes, words.shape[2]).index_add(1, self.owners, words)
        return self.encoders.logit_scale.exp() * F.normalize(total, dim=2)

    def _conditional(self, prompts: ConditionalPrompts, features: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        rows, logits = len(self.ids), []
        for some in features.split(max(1, ROWS // rows)):
            with prompts.moved(some, rows):
                texts = self._encode(len(some)).unflatten(0, (len(some), self.n_templates))
            each = torch.einsum("bd,bacd->bac", some, texts)
            logits.append(each.log_softmax(2).logsumexp(1) - log(self.n_templates))
        return torch.cat(logits)

    def forward(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """Logits."""
        if self.classifier is not None:
            return features @ self.classifier.T
        prompts = self.encoders.text_prompts
        if isinstance(prompts, ConditionalPrompts) and len(features):
            return self._conditional(prompts, features)
        texts = self.text_features()
        if self.n_templates == 1:
            return features @ texts[0].T
        logits = torch.einsum("bd,acd->bac", features, texts)
        return logits.log_softmax(2).logsumexp(1) - log(self.n_templates)


class PromptedNetwork(Network):
    """Two frozen encoders with learned parts; its head are the classes' text features.

    Its state is what was learned, and nothing of the frozen model; copies share the frozen weights.

    Args:
        encoders: with their learned parts.
        ids: tokens of M words under A templates.
        owners: class that each word names.
        size: side of the input in pixels.
        levels: see `ImageSide`.
    """

    head: TextSide

    def __init__(
        self,
        encoders: Encoders,
        ids: Int[Tensor, "A M T"],
        owners: Int[Tensor, " M"],
        size: int,
        levels: tuple[float, float] | None = None,
    ) -> None:
        device = encoders.logit_scale.device
        head = TextSide(encoders, ids.to(device), owners.to(device))
        with torch.no_grad():
            width = head.text_features().shape[2]
        super().__init__(ImageSide(encoders, levels), width, NetworkSpec(NAME, head.n_classes, size), pretrained=True)
        self.head = head
        self.learned = frozenset(name for name, p in self.named_parameters() if p.requires_grad)

    @classmethod
    def of(
        cls,
        model: Any,
        tokenizer: Tokenizer,
        tune: str,
        words: str,
        classes: Classes,
        templates: Sequence[str],
        size: int,
        levels: tuple[float, float] | None = None,
    ) -> "PromptedNetwork":
        """The network of a model and class names.

        Args:
            model: of open_clip.
            tokenizer: from texts to token ids.
            tune: trainable parts, see `Encoders`.
            words: that its tokens before a text start from.
            classes: C names with aliases.
            templates: A prompts, without those words.
            size: side of the input in pixels.
            levels: see `ImageSide`.

        Raises:
            InputError: the model has no place for what is to be learned, or a class name none for the tokens.
        """
        owners = torch.tensor(classes.owners)
        encoders = Encoders(model, tokenizer, tune, words, owners=owners.repeat(len(templates)))
        ids = torch.stack([tokenizer(prompts(template, classes.words)) for template in templates])
        return cls(encoders, ids, owners, size, levels)

    @property
    def encoders(self) -> Encoders:
        """The model with what it has learned."""
        return cast(ImageSide, self.backbone).encoders

    def features(self, x: Float[Tensor, "B ..."]) -> Float[Tensor, "B D"]:
        """Of length 1; of no image, none, with a gradient that is zero."""
        if x.shape[0] == 0:
            return cast(Tensor, self.backbone(x.new_zeros(1, *x.shape[1:])))[:0]
        return cast(Tensor, self.backbone(x))

    @torch.no_grad()
    def reset_head(self) -> None:
        """Move what is learned a little: by noise of a tenth of each part's own size, or of `LEAST` if that is more."""
        for name, p in self.named_parameters():
            if name in getattr(self, "learned", ()):
                p.add_(JITTER * (p.norm() / p.numel() ** 0.5).clamp_min(LEAST) * torch.randn_like(p))

    def class_vectors(self) -> Float[Tensor, "C D"]:
        """The learned weights of each class, or the mean direction of its texts times the model's scale."""
        return self.head.blended()

    def image_parameters(self) -> list[nn.Parameter]:
        """Trainable parameters of the image side: normalizations, tokens, low-rank updates, the adapter."""
        named = self.encoders.named_parameters()
        return [p for name, p in named if p.requires_grad and name.startswith(("model.visual.", "adapter."))]

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The trained parameters."""
        prefix = kwargs.get("prefix", "")
        state = super().state_dict(*args, **kwargs)
        for name in [name for name in state if name.startswith(prefix) and name[len(prefix) :] not in self.learned]:
            del state[name]
        return cast(dict[str, Any], state)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Fill in what is frozen, so that a strict load misses nothing."""
        whole = super().state_dict(prefix=prefix)
        known = {id(p): state_dict[prefix + n] for n, p in self.named_parameters() if prefix + n in state_dict}
        live = dict(self.named_parameters(remove_duplicate=False))
        for name, value in whole.items():
            p = live.get(name[len(prefix) :])
            if name not in state_dict and name[len(prefix) :] not in self.learned:
                state_dict[name] = known.get(id(p), value)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> "PromptedNetwork":
        for p in self.encoders.parameters():
            if not p.requires_grad:
                memo[id(p)] = p
        other = memo[id(self)] = self.__class__.__new__(self.__class__)
        other.__dict__ = deepcopy(self.__dict__, memo)
        return other


__all__ = ["NAME", "ImageSide", "PromptedNetwork", "TextSide"]
