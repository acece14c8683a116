"""A training's state on disk: one safetensors file, written atomically, no pickle."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from zerolabel.annotations.digest import Digest, differing
from zerolabel.errors import InputError
from zerolabel.files import atomic
from zerolabel.files.plain_json import dumps


@dataclass(frozen=True)
class Checkpoint:
    """All that continues after an epoch: weights, per-image memory and the optimizer's running averages.

    Attributes:
        tensors: the learner's state under ``learner.``, the optimizer's under ``optimizer.<parameter>.``.
        meta: the epoch that is done, the settings, what it was made of, and what of the optimizer's state is no tensor.
    """

    tensors: dict[str, Tensor]
    meta: dict[str, Any]

    @classmethod
    def of(
        cls,
        learner: nn.Module,
        optimizer: torch.optim.Optimizer,
        epoch: int,
        settings: dict[str, Any],
        made_of: Digest | None = None,
        pace: dict[str, Any] | None = None,
    ) -> "Checkpoint":
        """The state after an epoch of training on what ``made_of`` tells, with what is left under a limit of time."""
        tensors = {f"learner.{name}": value for name, value in learner.state_dict().items()}
        state: dict[str, dict[str, Any]] = {}
        for place, values in optimizer.state_dict()["state"].items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{place}.{name}"] = value
                else:
                    state.setdefault(str(place), {})[name] = value
        meta = {"epoch": epoch, "settings": settings, "made_of": made_of, "optimizer": state}
        return cls(tensors, meta if pace is None else {**meta, "pace": pace})

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.tensors.items()}
        with atomic(path) as partial:
            save_file(tensors, partial, {"zerolabel": dumps(self.meta)})

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read what `save` wrote.

        Raises:
            InputError: the file is damaged.
        """
        try:
            with safe_open(path, "pt") as file:
                meta = json.loads((file.metadata() or {})["zerolabel"])
                return cls({name: file.get_tensor(name) for name in file.keys()}, meta)  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
            raise InputError(
                f"the checkpoint {path} is damaged ({error}); remove it to train from the start."
            ) from None

    def stale(self, made_of: Digest | None) -> list[str]:
        """Inputs that changed since the checkpoint was written; all of them for old files without hashes."""
        then = self.meta.get("made_of")
        if made_of is None or then == made_of:
            return []
        return differing(then or {}, made_of)

    def restore(self, learner: nn.Module, optimizer: torch.optim.Optimizer, settings: dict[str, Any]) -> int:
        """Put the state back and return the epoch that was done.

        Raises:
            InputError: the state is of another learner or other settings.
        """
        saved: dict[str, Any] = self.meta.get("settings", {})
        other = [name for name, value in settings.items() if name in saved and saved[name] != value]
        if other:
            now, then = settings[other[0]], saved.get(other[0])
            raise InputError(f"the checkpoint was trained with {other[0]} {then}, not {now}; train with --overwrite.")
        weights = {name.removeprefix("learner."): t for name, t in self.tensors.items() if name.startswith("learner.")}
        try:
            learner.load_state_dict(weights)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise InputError(f"the checkpoint does not fit this learner ({reason}); train with --overwrite.") from None
        state: dict[int, dict[str, Any]] = {int(k): dict(v) for k, v in self.meta["optimizer"].items()}
        for name, value in self.tensors.items():
            if name.startswith("optimizer."):
                _, place, key = name.split(".", 2)
                state.setdefault(int(place), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        return int(self.meta["epoch"])
