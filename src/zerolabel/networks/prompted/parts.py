"""Trainable parts beside frozen encoders: text and image prompts, low-rank updates, a feature adapter."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize


class Prompts(nn.Module):
    """Tokens in front of a text or beside the patches of an image, learned.

    Args:
        start: their values at the start.
    """

    def __init__(self, start: Float[Tensor, "K W"]) -> None:
        super().__init__()
        self.tokens = nn.Parameter(start.detach().clone())

    def forward(self) -> Float[Tensor, "K W"]:
        """The tokens."""
        return self.tokens


class ClasswisePrompts(nn.Module):
    """Tokens of each class's own (CoOp's class-specific context, Zhou et al., arXiv 2109.01134), all from one start.

    Args:
        start: where the tokens of every class start.
        owners: class of each row of the texts that are encoded.
    """

    owners: Int[Tensor, " M"]

    def __init__(self, start: Float[Tensor, "K W"], owners: Int[Tensor, " M"]) -> None:
        super().__init__()
        self.tokens = nn.Parameter(start.detach().repeat(int(owners.max()) + 1, 1, 1))
        self.register_buffer("owners", owners, persistent=False)

    def forward(self) -> Float[Tensor, "M K W"]:
        """The tokens of each row."""
        return self.tokens[self.owners]


class ConditionalPrompts(nn.Module):
    """Tokens that an image moves, all by the same vector (CoCoOp, Zhou et al., CVPR 2022).

    ``v_m + W_2 relu(W_1 r)``, with a sixteenth of the features' width between; r has length 1. Ours: the second layer
    starts at zero, so that training starts from the tokens; in the authors' code (KaiyangZhou/CoOp @ 1fbb1a6) it starts
    at random and moves them by ten times their size.

    Args:
        start: their values at the start.
        width: of the image features.
    """

    def __init__(self, start: Float[Tensor, "K W"], width: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(start.detach().clone())
        hidden = max(1, width // 16)
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, start.shape[1]))
        nn.init.zeros_(cast(nn.Linear, self.net[2]).weight)
        nn.init.zeros_(cast(nn.Linear, self.net[2]).bias)
        self.shift: Float[Tensor, "R W"] | None = None

    def forward(self) -> Float[Tensor, "*R K W"]:
        """The tokens, moved for each row of the texts where `moved` says by what."""
        return self.tokens if self.shift is None else self.tokens + self.shift[:, None]

    @contextmanager
    def moved(self, features: Float[Tensor, "B D"], rows: int) -> Iterator[None]:
        """Meanwhile, the first ``rows`` texts are about the first image, the next about the second, and so on."""
        self.shift = self.net(features).repeat_interleave(rows, 0)
        try:
            yield
        finally:
            self.shift = None


class Coupled(nn.Module):
    """One side of prompts that a small transformer makes of both sides' tokens (UPT, Zang et al., arXiv 2210.07225).

    Both are projected to a common width, pass one block of one head, CLIP's own (normalized before attention and MLP,
    four times the width between, QuickGELU), and are projected back. Ours: the result is added to the tokens and the
    projections back start at zero, so that training starts from the tokens themselves; and every token sees all of
    both sides, where GRIP's code lets it see the one of the other side in the same place.

    Args:
        own: prompts of this side.
        other: prompts of the other.
        mixer: shared by both sides, see `mixer`.
        side: which of its projections is this side's, 0 or 1.
    """

    def __init__(self, own: Prompts, other: Prompts, mixer: nn.ModuleDict, side: int) -> None:
        super().__init__()
        self.own, self.other, self.mixer, self.side = own, other, mixer, side

    def forward(self) -> Float[Tensor, "K W"]:
        """The tokens of this side, changed by those of the other."""
        into, back = cast(nn.ModuleList, self.mixer["into"]), cast(nn.ModuleList, self.mixer["back"])
        own, other = into[self.side](self.own()), into[1 - self.side](self.other())
        mixed = self.mixer["layer"](torch.cat([own, other])[None])[0, : len(own)]
        return cast(Tensor, self.own() + back[self.side](mixed))


def quick_gelu(x: Tensor) -> Tensor:
    """``x sigmoid(1.702 x)``, as in OpenAI's CLIP."""
    return x * (1.702 * x).sigmoid()


def mixer(widths: tuple[int, int], width: int = 128) -> nn.ModuleDict:
    """Shared part of coupled prompts: projections into a common width, a layer, projections back."""
    back = nn.ModuleList(nn.Linear(width, side) for side in widths)
    for projection in back:
        nn.init.zeros_(cast(nn.Linear, projection).weight)
        nn.init.zeros_(cast(nn.Linear, projection).bias)
    layer = nn.TransformerEncoderLayer(
        width, 1, 4 * width, dropout=0.0, activation=quick_gelu, batch_first=True, norm_first=True
    )
    return nn.ModuleDict(
        {"into": nn.ModuleList(nn.Linear(side, width) for side in widths), "layer": layer, "back": back}
    )


class PromptedEmbedding(nn.Module):
    """Token ids -> embeddings, those of K places overwritten by prompts.

    Args:
        embedding: of the text encoder.
        prompts: K tokens, learned.
        place: the first of the places.
    """

    def __init__(self, embedding: nn.Module, prompts: nn.Module, place: int) -> None:
        super().__init__()
        self.embedding, self.prompts, self.place = embedding, prompts, place

    def forward(self, ids: Int[Tensor, "M T"]) -> Float[Tensor, "M T W"]:
        """The first tokens, the prompts, and what comes after the places that they take."""
        x, tokens = self.embedding(ids), self.prompts()
        after = x[:, self.place + tokens.shape[-2] :]
        return torch.cat([x[:, : self.place], tokens.to(x).expand(x.shape[0], -1, -1), after], 1)


class PromptedPatches(nn.Module):
    """Embedded patches with prompts after the class token (VPT-shallow, Jia et al., ECCV 2022).

    Args:
        before: the normalization of patches and, unless they are `normalized`, of prompts.
        prompts: K tokens, learned.
        place: number of class tokens.
        normalized: True if the prompts are stored as outputs of the normalization.
    """

    def __init__(self, before: nn.Module, prompts: nn.Module, place: int, *, normalized: bool = False) -> None:
        super().__init__()
        self.before, self.prompts, self.place, self.normalized = before, prompts, place, normalized

    def forward(self, x: Float[Tensor, "B P W"]) -> Float[Tensor, "B Q W"]:
        """The class tokens, the prompts, the patches."""
        x, tokens = self.before(x), self.tokens()
        return torch.cat([x[:, : self.place], tokens.to(x).expand(x.shape[0], -1, -1), x[:, self.place :]], 1)

    def tokens(self) -> Float[Tensor, "K W"]:
        """The prompts as they join the normalized patches."""
        given = cast(Tensor, self.prompts())
        return given if self.normalized else cast(Tensor, self.before(given))


class PromptedBlock(nn.Module):
    """A block of a vision transformer whose prompts are its own, in place of those that come from the block before.

    Args:
        block: of the transformer.
        prompts: K tokens, learned.
        place: number of class tokens.
    """

    def __init__(self, block: nn.Module, prompts: nn.Module, place: int) -> None:
        super().__init__()
        self.block, self.prompts, self.place = block, prompts, place

    def forward(self, x: Float[Tensor, "B P W"], *args: object, **kwargs: object) -> Float[Tensor, "B P W"]:
        """The block's output."""
        tokens = self.prompts()
        after = x[:, self.place + len(tokens) :]
        x = torch.cat([x[:, : self.place], tokens.to(x).expand(x.shape[0], -1, -1), after], 1)
        return cast(Tensor, self.block(x, *args, **kwargs))


class LowRank(nn.Module):
    """``W + B A / sqrt(rank)`` for each of the blocks that a weight holds one above the other.

    CLIP-LoRA (Zanella, Ben Ayed, CVPR workshops 2024): rank 2 and alpha 1 on queries, keys and values, scaled by
    ``alpha / sqrt(rank)`` as in its code (MaxZanella/CLIP-LoRA @ 68033ea), where LoRA (Hu et al., ICLR 2022) has
    ``alpha / rank``. Starts at W: B is zero, and each A is uniform within one over the root of its columns. Its dropout
    of the inputs of A is left out: a change of the weight itself cannot have it.

    Args:
        weight: W, not changed.
        blocks: 3 where queries, keys and values share one weight.
        rank: of each change.
    """

    def __init__(self, weight: Float[Tensor, "O I"], blocks: int, rank: int = 2) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.down = nn.Parameter(torch.empty(blocks, rank, columns).to(weight))
        self.up = nn.Parameter(torch.zeros(blocks, rows // blocks, rank).to(weight))
        for down in self.down:  # each by itself: of three dimensions the rows would count as inputs
            nn.init.kaiming_uniform_(down, a=math.sqrt(5))

    def forward(self, weight: Float[Tensor, "O I"]) -> Float[Tensor, "O I"]:
        """The changed weight."""
        return weight + (self.up @ self.down).flatten(0, 1) / math.sqrt(self.down.shape[1])


def add_low_rank(tower: nn.Module) -> None:
    """Give the queries, keys and values of every attention in a tower a low-rank change."""
    for module in list(tower.modules()):
        if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            parametrize.register_parametrization(module, "in_proj_weight", LowRank(module.in_proj_weight, 3))
            continue
        for name, blocks in (("qkv", 3), ("q", 1), ("kv", 2), ("q_proj", 1), ("k_proj", 1), ("v_proj", 1)):
            linear: Any = getattr(module, name, None)
            if isinstance(linear, nn.Linear):
                parametrize.register_parametrization(linear, "weight", LowRank(linear.weight, blocks))


class Adapter(nn.Module):
    """``share A(x) + (1 - share) x``; A has two layers without bias, a quarter of the width between, each with ReLU.

    CLIP-Adapter: Gao et al., arXiv 2110.04544.
    """

    def __init__(self, width: int, share: float = 0.2) -> None:
        super().__init__()
        hidden = max(1, width // 4)
        self.layers = nn.Sequential(
            nn.Linear(width, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, width, bias=False), nn.ReLU()
        )
        self.share = share

    def forward(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """Adapted features."""
        return cast(Tensor, self.share * self.layers(x) + (1 - self.share) * x)


class AdaptedTower(nn.Module):
    """An image encoder with an adapter over its features.

    Args:
        visual: the encoder.
        adapter: over features of length 1.
    """

    def __init__(self, visual: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.visual, self.adapter = visual, adapter

    @property
    def image_size(self) -> object:
        """Side of the input in pixels, or both sides."""
        return self.visual.image_size

    def forward(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B D"]:
        """Adapted features, of any length."""
        features = self.visual(x)
        features = features[0] if isinstance(features, tuple) else features
        return cast(Tensor, self.adapter(F.normalize(features.float(), dim=1)))
