"""Annotators with two encoders: CLIP, SigLIP and similar models, through open_clip."""

import hashlib
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor
from torch.nn import functional

from zerolabel.data.views.preprocess import Preprocess, middle
from zerolabel.errors import InputError, nearest
from zerolabel.networks.precision import Precision, best_precision
from zerolabel.vlms.encoder import Encoder

FeaturePrecision = Literal["float32", "float16"]
LARGE = 10_000_000
"""Weights of an image tower from which bfloat16 is faster on a CPU."""

_PROBE = Image.fromarray((np.arange(61 * 47 * 3) * 37 % 256).astype(np.uint8).reshape(61, 47, 3))


@dataclass(frozen=True, eq=False)
class DualEncoder(Encoder):
    """A frozen image encoder and text encoder that share one space of D dimensions.

    Attributes:
        model: the open_clip module (CLIP or CustomTextCLIP), in eval mode, on its device.
        preprocess: from a PIL image to a tensor (3 H W), as the model was trained.
        tokenizer: from M texts to token ids (M T).
        config: the architecture as open_clip stores it: ``embed_dim``, ``vision_cfg`` and so on.
        view: the preprocessing as tensor operations, for a student that keeps the image encoder.
        precision: precision in which images are encoded.
        feature_precision: precision to which features, always returned as float32, are rounded, and of their cache.
    """

    model: Any
    preprocess: Callable[[Image.Image], Tensor]
    tokenizer: Callable[[list[str]], Int[Tensor, "M T"]]
    config: dict[str, Any]
    view: Preprocess
    precision: Precision = "float32"
    feature_precision: FeaturePrecision = "float32"

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return torch.device(next(self.model.parameters()).device)

    @property
    def logit_scale(self) -> float:
        """The factor of the cosine inside the softmax (CLIP, 100 once trained) or the sigmoid (SigLIP)."""
        return float(self.model.logit_scale.exp())

    @property
    def logit_bias(self) -> float | None:
        """The bias inside the sigmoid of a SigLIP-type model; None for a CLIP-type model."""
        bias = getattr(self.model, "logit_bias", None)
        return None if bias is None else float(bias)

    @property
    def precisions(self) -> tuple[str, str]:
        """See `Encoder.precisions`."""
        return self.precision, self.feature_precision

    @property
    def image_size(self) -> int:
        """Side of the square image that the model sees, in pixels."""
        size = self.model.visual.image_size
        return int(size if isinstance(size, int) else size[0])

    @property
    def n_parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @cached_property
    def revision(self) -> str:
        """Hash of the architecture and the weights, 16 hexadecimal digits."""
        digest = hashlib.sha256(repr(self.model).encode())
        learned = {} if self.head is None else self.head.state_dict()
        for name, tensor in sorted({**self.model.state_dict(), **learned}.items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()[:16]

    @cached_property
    def preprocessing(self) -> str:
        """Hash of what the preprocessing makes of a fixed picture, 16 hexadecimal digits."""
        return hashlib.sha256(self.preprocess(_PROBE).contiguous().numpy().tobytes()).hexdigest()[:16]

    @cached_property
    def dimensions(self) -> int:
        """D, the length of a feature."""
        return self.encode_texts(["a"]).shape[1]

    @cached_property
    def _steps(self) -> tuple[Sequence[Any], Sequence[Any]]:
        """Steps of the preprocessing on a PIL image, and those on 8-bit values, which may wait for the batch."""
        from torchvision.transforms import Normalize, ToTensor

        steps: Sequence[Any] = getattr(self.preprocess, "transforms", ())
        if len(steps) > 1 and isinstance(steps[-2], ToTensor) and type(steps[-1]) is Normalize:
            return steps[:-2], steps[-2:]
        return (self.preprocess,), ()

    def pixels(self, image: Image.Image) -> Tensor:
        """The part of the preprocessing that goes by the image; 8-bit values where `normalize` does the rest."""
        alone, together = self._steps
        done: Any = image
        if self.view.fit == "crop":
            top, left, height, width = middle(image.height, image.width)
            if (height, width) != (image.height, image.width):
                done = image.crop((left, top, left + width, top + height))
        for step in alone:
            done = step(done)
        return torch.from_numpy(np.array(done)).permute(2, 0, 1) if together else cast(Tensor, done)

    def normalize(self, pixels: Tensor) -> Float[Tensor, "B 3 H W"]:
        """The rest of the preprocessing, for a batch of `pixels`; both give bit for bit what ``preprocess`` does."""
        together = self._steps[1]
        if not together:
            return pixels
        scaled = pixels.to(self.device, non_blocking=True).float().div_(255)
        return cast(Tensor, together[1](scaled.contiguous()))

    @torch.inference_mode()
    def encode_images(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Features of preprocessed images, of length 1, on the CPU."""
        features = functional.normalize(self._tower(pixels.to(self.device, non_blocking=True)).float(), dim=-1)
        return features.to(getattr(torch, self.feature_precision)).float().cpu()

    @cached_property
    def _tower(self) -> Callable[[Tensor], Tensor]:
        """The image encoder in its precision.

        On a CPU, autocast rounds the weights again in every call, which takes longer than it saves; a rounded copy of
        the tower is used where the model is nothing but two towers.
        """
        if self.precision == "float32":
            return cast(Callable[[Tensor], Tensor], self.model.encode_image)
        if self.device.type == "cpu" and self.is_plain:
            tower = deepcopy(self.model.visual).to(torch.bfloat16)
            return lambda pixels: cast(Tensor, tower(pixels.to(torch.bfloat16)))
        return self._autocast

    def _autocast(self, pixels: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16):
            return cast(Tensor, self.model.encode_image(pixels))

    @property
    def is_plain(self) -> bool:
        """True if the model is open_clip's own, whose image features are those of its tower."""
        return type(self.model).__name__ in ("CLIP", "CustomTextCLIP")

    def with_precision(self, precision: str, feature_precision: str = "float32") -> "DualEncoder":
        """A model of the same weights that encodes images in another precision.

        Args:
            precision: "float32", "bfloat16", or "auto" for the one that is fastest on the device. A small model or an
                adapted one gains nothing from bfloat16 on a CPU.
            feature_precision: "float32" or "float16".

        Raises:
            InputError: there is no such precision.
        """
        for option, asked, known in (
            ("--precision", precision, ("auto", *get_args(Precision))),
            ("--store-features", feature_precision, get_args(FeaturePrecision)),
        ):
            if asked not in known:
                raise InputError(f"{option} {asked}: invalid value{nearest(asked, known)}")
        if precision == "auto":
            precision = best_precision(self.device.type)
            if self.device.type == "cpu" and not (self.is_plain and self.n_image_parameters >= LARGE):
                precision = "float32"
        return replace(
            self,
            precision=cast(Precision, precision),
            feature_precision=cast(FeaturePrecision, feature_precision),
        )

    @property
    def n_image_parameters(self) -> int:
        """Number of weights of the image tower."""
        return sum(parameter.numel() for parameter in self.model.visual.parameters())

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], batch_size: int = 256) -> Float[Tensor, "M D"]:
        """Features of texts, of length 1, on the CPU."""
        parts = [self._encode_tokens(texts[i : i + batch_size]) for i in range(0, len(texts), batch_size)]
        return torch.cat(parts)

    def _encode_tokens(self, texts: Sequence[str]) -> Float[Tensor, "M D"]:
        tokens = self.tokenizer(list(texts)).to(self.device)
        features = self._encode_short(tokens) if self._reads_to_the_end else self.model.encode_text(tokens)
        return functional.normalize(features.float(), dim=-1).cpu()

    @property
    def _reads_to_the_end(self) -> bool:
        """True if the feature of a text is that of its end token, and no token attends to later ones, as in CLIP."""
        known = hasattr(self.model, "token_embedding") and getattr(self.model, "text_pool_type", None) == "argmax"
        return known and isinstance(getattr(self.model, "attn_mask", None), Tensor)

    def _encode_short(self, tokens: Int[Tensor, "M T"]) -> Float[Tensor, "M D"]:
        """Output of ``encode_text``, computed without the padding after the longest text."""
        model, ends = self.model, tokens.argmax(dim=1)
        length = int(ends.max()) + 1
        x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
        x = x[torch.arange(len(x), device=x.device), ends]
        projection = model.text_projection
        if projection is None:
            return cast(Tensor, x)
        return cast(Tensor, projection(x) if isinstance(projection, torch.nn.Linear) else x @ projection)
