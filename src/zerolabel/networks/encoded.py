"""A frozen image encoder of a vision-language model with a trained head: learned on features, deployed on pixels."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zerolabel.data.views import characters
from zerolabel.errors import InputError
from zerolabel.networks.architecture import check_vision
from zerolabel.networks.base import Network, NetworkSpec
from zerolabel.networks.joint import VisionTower, joined
from zerolabel.networks.prompted import parts
from zerolabel.networks.prompted.encoders import add_deep_tokens, patches, put_tokens


class ImageEncoder(nn.Module):
    """The image tower of an open_clip model, frozen and always in eval mode: images -> features of length 1.

    Args:
        visual: the tower, `model.visual`.
        config: the model's configuration as open_clip stores it: `embed_dim`, `vision_cfg`, and where it has it
            `quick_gelu`; its text side is ignored and may be left out. `characters`, a mean and a standard
            deviation, says that the model reads images as `zerolabel.data.views.characters` prepares them; `tokens`,
            `deep` and `adapter` say what an adapted model has beside, see `zerolabel.networks.prompted`; `vision` lists
            the encoders beside the tower.
        vision: vision-only encoders, whose features are joined to those of the tower.
    """

    def __init__(self, visual: nn.Module, config: dict[str, Any], vision: Sequence[VisionTower] = ()) -> None:
        super().__init__()
        self.visual = visual.requires_grad_(False).eval()
        known = ("embed_dim", "vision_cfg", "quick_gelu", "characters", "tokens", "deep", "adapter")
        self.config: dict[str, Any] = {name: config[name] for name in known if name in config}
        self.vision = nn.ModuleList(vision) if vision else None
        self._width = int(config["embed_dim"]) + sum(one.feature_dim for one in vision)
        if vision:
            self.config["vision"] = [one.config for one in vision]

    @classmethod
    def build(cls, config: dict[str, Any]) -> "ImageEncoder":
        """An untrained copy of the architecture, whose weights are loaded next; needs no network.

        Raises:
            InputError: the installed open_clip cannot build it, or it names a place to fetch a model from.
        """
        import open_clip

        check_vision(config["vision_cfg"])
        vision = {**config["vision_cfg"], "timm_model_pretrained": False}
        text = {"context_length": 4, "vocab_size": 4, "width": 8, "heads": 1, "layers": 1}
        try:
            whole = open_clip.CLIP(config["embed_dim"], vision, text, quick_gelu=config.get("quick_gelu", False))
        except (TypeError, RuntimeError, AssertionError, ValueError, LookupError, ArithmeticError) as error:
            raise InputError(
                f"open_clip cannot build this image encoder ({error}); install a newer open_clip."
            ) from None
        visual = whole.visual
        if config.get("tokens"):
            put_tokens(visual, parts.Prompts(torch.zeros(config["tokens"], patches(visual)[2])), normalized=True)
        if config.get("deep"):
            add_deep_tokens(visual, config["tokens"])
        if config.get("adapter"):
            visual = parts.AdaptedTower(visual, parts.Adapter(config["embed_dim"]))
        return cls(visual, config, tuple(map(VisionTower.build, config.get("vision", ()))))

    @property
    def feature_dim(self) -> int:
        """Number of features."""
        return self._width

    @property
    def size(self) -> int:
        """Side of the input in pixels."""
        side = self.config["vision_cfg"]["image_size"]
        return int(side[0] if isinstance(side, list | tuple) else side)

    def train(self, mode: bool = True) -> "ImageEncoder":
        """Stay in eval mode: a frozen encoder has no other."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, x: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B D"]:
        """Features of length 1."""
        read = characters.read(x, *self.config["characters"]) if "characters" in self.config else x
        features = self.visual(read)
        own = F.normalize(features[0] if isinstance(features, tuple) else features, dim=1)
        return joined([own, *(one(x) for one in self.vision or ())])


class EncodedNetwork(Network):
    """A head that was trained on frozen features, put on top of their encoder; reads pixels.

    Args:
        encoder: is shared, not copied.
        head: "linear" or "mlp" network over its features; shared too.
    """

    def __init__(self, encoder: ImageEncoder, head: Network) -> None:
        if head.spec.size != encoder.feature_dim:
            raise InputError(
                f"a head over {head.spec.size} features cannot follow an encoder of {encoder.feature_dim}."
            )
        spec = NetworkSpec(head.spec.name, head.spec.n_classes, encoder.size, encoder.config, head.spec.n_prompts)
        super().__init__(nn.Sequential(encoder, head.backbone), head.feature_dim, spec)
        self.head = head.head

    def on_features(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B C"]:
        """Logits from features of length 1 that the encoder gave before."""
        logits: Tensor = self.head(cast(nn.Sequential, self.backbone)[1](features))
        return logits


__all__ = ["EncodedNetwork", "ImageEncoder"]
