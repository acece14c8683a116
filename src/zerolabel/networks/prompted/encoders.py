"""Two frozen encoders with the parts that are learned put into them."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from zerolabel.errors import InputError, nearest
from zerolabel.networks.prompted import parts

KINDS = ("text", "classwise", "conditional", "classifier", "visual", "deep", "both", "norm", "lora", "adapter")
TEXTS = frozenset(("text", "classwise", "conditional", "both"))
"""Kinds that put tokens before a text."""
OF_CLASSES = frozenset(("classwise", "conditional", "classifier"))
"""Kinds that know the classes they were learned with, and no other."""
N_VISUAL, N_COUPLED = 16, 4
SPREAD = 0.02
LARGE = 200_000_000
"""Weights of an image encoder from which its activations are computed again in the backward pass."""

Tokenizer = Callable[[list[str]], Int[Tensor, "M T"]]


def kinds(text: str) -> tuple[str, ...]:
    """Parse trainable parts joined by a plus, such as ``"text+norm"``.

    Raises:
        InputError: a word is unknown or comes with one that holds it.
    """
    words = tuple(text.split("+"))
    for word in words:
        if word not in KINDS:
            raise InputError(f"--tune {text}: there is no part '{word}'{nearest(word, KINDS)}")
    sides = (TEXTS | {"classifier"}, {"visual", "deep", "both"})
    if len(set(words)) < len(words) or any(len(side & set(words)) > 1 for side in sides):
        raise InputError(f"--tune {text}: a part is named twice; name one of the text and one of the image.")
    return words


def copy_shared(module: nn.Module) -> Any:
    """A copy of a model whose frozen tensors are the same tensors; what wants a gradient is copied."""
    frozen = [p for p in module.parameters() if not p.requires_grad]
    return deepcopy(module, {id(tensor): tensor for tensor in (*frozen, *module.buffers())})


class Encoders(nn.Module):
    """An open_clip model with learned parts; encodes images and texts as the model itself does.

    Frozen and in eval mode but for those parts. The model that is given stays as it is; frozen weights are shared.

    Args:
        model: CLIP or CustomTextCLIP of open_clip.
        tokenizer: from M texts to token ids.
        tune: trainable parts, see `kinds`: ``text``, tokens before a text; ``classwise``, the same with tokens of
            each class's own; ``conditional``, tokens that an image moves; ``classifier``, a weight of each class in
            place of its text; ``visual``, 16 tokens beside the patches; ``deep``, such tokens before every block;
            ``both``, 4 of each side, coupled; ``norm``, scales and shifts of the image encoder's normalizations;
            ``lora``, low-rank changes of both encoders' attention; ``adapter``, two layers over the image features.
        words: the text whose embeddings the tokens before a text start from (CoOp); empty draws `context` at random.
        context: number of random tokens.
        owners: class of each row of the texts that will be encoded, for ``classwise``.

    Raises:
        InputError: the model has no place for such a part.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        tune: str,
        words: str = "",
        context: int = 16,
        owners: Int[Tensor, " M"] | None = None,
    ) -> None:
        super().__init__()
        chosen, device = set(kinds(tune)), next(model.parameters()).device
        model.requires_grad_(False)
        self.tune, self.model = tune, copy_shared(model)
        self.adapter: nn.Module = nn.Identity()
        self.place, self.context, self.pad = 0, 0, 0
        text = self._text_prompts(tokenizer, words, N_COUPLED if "both" in chosen else context, chosen)
        visual = self._visual_prompts(chosen)
        width = (
            0 if not {"conditional", "adapter"} & chosen else model.encode_text(tokenizer(["a"]).to(device)).shape[1]
        )
        if text is not None and "classwise" in chosen and owners is not None:
            text = parts.ClasswisePrompts(text.tokens, owners.cpu())
        if text is not None and "conditional" in chosen:
            text = parts.ConditionalPrompts(text.tokens, width)
        if isinstance(text, parts.Prompts) and visual is not None and "both" in chosen:
            mixer = parts.mixer((text.tokens.shape[1], visual.tokens.shape[1]))
            self._insert(parts.Coupled(text, visual, mixer, 0), parts.Coupled(visual, text, mixer, 1))
        else:
            self._insert(text, visual)
        if "deep" in chosen:
            add_deep_tokens(self.model.visual, N_VISUAL)
        if "norm" in chosen:  # copies, since the frozen ones are the given model's
            for module in self.model.visual.modules():
                if isinstance(module, nn.LayerNorm | nn.modules.batchnorm._BatchNorm):
                    for name, p in list(module.named_parameters(recurse=False)):
                        setattr(module, name, nn.Parameter(p.detach().clone()))
        if "lora" in chosen:
            for tower in (self.model.visual, text_side(self.model)):
                parts.add_low_rank(tower if tower is not self.model else self.model.transformer)
        if "adapter" in chosen:
            self.adapter = parts.Adapter(width)
        if sum(p.numel() for p in self.model.visual.parameters()) >= LARGE and hasattr(model, "set_grad_checkpointing"):
            self.model.set_grad_checkpointing(True)
        self.to(device)
        self.train(False)

    @property
    def visual(self) -> nn.Module:
        """The image encoder with its trained parts."""
        if isinstance(self.adapter, nn.Identity):
            return cast(nn.Module, self.model.visual)
        return parts.AdaptedTower(self.model.visual, self.adapter)

    @torch.no_grad()
    def fold_parametrizations(self) -> dict[str, Any]:
        """Fold parametrizations and prompt generators into plain weights after training, and freeze them.

        Returns:
            Additions to the architecture of the image encoder: the number of ``tokens``, ``deep`` and ``adapter``.
        """
        for module in self.model.modules():
            for name in list(getattr(module, "parametrizations", ())):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        beside: dict[str, Any] = {} if isinstance(self.adapter, nn.Identity) else {"adapter": True}
        if "deep" in self.tune.split("+"):
            beside["deep"] = True
        modules = [m for m in self.model.modules() if isinstance(m, parts.PromptedPatches | parts.PromptedEmbedding)]
        prompted = [m for m in modules if not isinstance(m.prompts, parts.ClasswisePrompts | parts.ConditionalPrompts)]
        both = [m.tokens() if isinstance(m, parts.PromptedPatches) else m.prompts() for m in prompted]
        for module, tokens in zip(prompted, both, strict=True):
            module.prompts = parts.Prompts(tokens)
            if isinstance(module, parts.PromptedPatches):
                module.normalized, beside["tokens"] = True, len(tokens)
        self.requires_grad_(False)
        return beside

    @property
    def text_prompts(self) -> nn.Module | None:
        """The module that generates the text tokens; None if text prompts are not trained."""
        embedding = getattr(getattr(self.model, "text", self.model), "token_embedding", None)
        return embedding.prompts if isinstance(embedding, parts.PromptedEmbedding) else None

    @property
    def logit_scale(self) -> Tensor:
        """Logarithm of the logit scale."""
        return cast(Tensor, self.model.logit_scale)

    def train(self, mode: bool = True) -> "Encoders":
        """Stay in eval mode: statistics and dropout of the frozen encoders do not move."""
        return super().train(False)

    def encode_image(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B D"]:
        """Features of images."""
        features = self.model.visual(x)
        return self.adapt(features[0] if isinstance(features, tuple) else features)

    def adapt(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """The adapter where there is one, over features of length 1 (up to a length that does not matter)."""
        if isinstance(self.adapter, nn.Identity):
            return features
        return cast(Tensor, self.adapter(F.normalize(features.float(), dim=1)))

    def encode_text(self, ids: Int[Tensor, "M T"]) -> Float[Tensor, "M D"]:
        """Features of texts, with the learned tokens before them.

        Raises:
            InputError: a text is too long for the tokens before it.
        """
        return self.encode_prepared(self.prepare(ids))

    def encode_prepared(self, ids: Int[Tensor, "M T"]) -> Float[Tensor, "M D"]:
        """Encode texts that have room for the prompt tokens."""
        model = self.model
        if not reads_to_the_end(model):
            return cast(Tensor, model.encode_text(ids))
        ends = ids.argmax(1)
        length = int(ends.max()) + 1
        x = model.token_embedding(ids[:, :length]) + model.positional_embedding[:length]
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
        x, projection = x[torch.arange(len(x), device=x.device), ends], model.text_projection
        if projection is None:
            return cast(Tensor, x)
        return cast(Tensor, projection(x) if isinstance(projection, nn.Linear) else x @ projection)

    def prepare(self, ids: Int[Tensor, "M T"]) -> Int[Tensor, "M T"]:
        """Make room for the learned tokens; what falls off at the end must be padding.

        Raises:
            InputError: it is not.
        """
        if not self.context:
            return ids
        if bool((ids[:, -self.context :] != self.pad).any()):
            raise InputError(f"a class name is too long to follow {self.context} learned tokens; shorten it.")
        room = ids.new_ones(len(ids), self.context)
        return torch.cat([ids[:, : self.place], room, ids[:, self.place : -self.context]], 1)

    def _text_prompts(self, tokenizer: Tokenizer, words: str, context: int, chosen: set[str]) -> Any:
        """Tokens that start from words, or at random where there are none."""
        if not chosen & TEXTS:
            return None
        embedding = text_side(self.model).token_embedding
        empty, one, other, given = tokenizer(["", "a", "b", words])
        self.pad, self.place = int(empty[-1]), int(one[0] == other[0])
        length = int((given != self.pad).sum() - (empty != self.pad).sum())
        if length:
            start = embedding(given[self.place : self.place + length].to(embedding.weight.device))
        else:
            start = SPREAD * torch.randn(context, embedding.weight.shape[1])
        self.context = len(start)
        return parts.Prompts(start)

    def _visual_prompts(self, chosen: set[str]) -> parts.Prompts | None:
        if not chosen & {"visual", "deep", "both"}:
            return None
        width = patches(self.model.visual)[2]
        return parts.Prompts(torch.randn(N_COUPLED if "both" in chosen else N_VISUAL, width) / width**0.5)

    def _insert(self, text: nn.Module | None, visual: nn.Module | None) -> None:
        side = text_side(self.model)
        if text is not None:
            side.token_embedding = parts.PromptedEmbedding(side.token_embedding, text, self.place)
        if visual is not None:
            put_tokens(self.model.visual, visual)


def text_side(model: Any) -> Any:
    """The module that embeds tokens.

    Raises:
        InputError: the text encoder is of another library.
    """
    side = getattr(model, "text", model)
    if not hasattr(side, "token_embedding"):
        raise InputError("--tune: this model's text encoder is not open_clip's own; choose norm, visual or adapter.")
    return side


def patches(visual: Any) -> tuple[Any, str, int, int]:
    """The insertion point of tokens beside patches: a module, the name of the part before, the width, the first place.

    Raises:
        InputError: the image encoder is no vision transformer.
    """
    if hasattr(visual, "ln_pre") and hasattr(visual, "class_embedding"):
        return visual, "ln_pre", len(visual.class_embedding), 1
    trunk = getattr(visual, "trunk", None)
    if trunk is not None and hasattr(trunk, "norm_pre") and hasattr(trunk, "num_prefix_tokens"):
        return trunk, "norm_pre", int(trunk.embed_dim), int(trunk.num_prefix_tokens)
    raise InputError("--tune: tokens beside patches need a vision transformer; choose text, norm, lora or adapter.")


def put_tokens(visual: Any, prompts: nn.Module, *, normalized: bool = False) -> None:
    """Put prompts beside the patches; see `parts.PromptedPatches`."""
    owner, name, _, place = patches(visual)
    setattr(owner, name, parts.PromptedPatches(getattr(owner, name), prompts, place, normalized=normalized))


def add_deep_tokens(visual: Any, count: int) -> None:
    """Give every block but the first tokens of its own, in the places of those beside the patches (VPT-deep)."""
    owner, _, width, place = patches(visual)
    blocks = owner.transformer.resblocks if hasattr(owner, "transformer") else owner.blocks
    for i in range(1, len(blocks)):
        start = SPREAD * torch.randn(count, width)
        blocks[i] = parts.PromptedBlock(blocks[i], parts.Prompts(start), place)


def reads_to_the_end(model: Any) -> bool:
    """True if the feature of a text is that of its end token, and no token attends to later ones, as in CLIP."""
    known = hasattr(model, "token_embedding") and getattr(model, "text_pool_type", None) == "argmax"
    return known and isinstance(getattr(model, "attn_mask", None), Tensor)


__all__ = [
    "KINDS",
    "OF_CLASSES",
    "TEXTS",
    "Encoders",
    "Tokenizer",
    "add_deep_tokens",
    "kinds",
    "patches",
    "put_tokens",
    "text_side",
]
