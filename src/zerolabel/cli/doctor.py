"""Check what is installed, which devices and models are available, and how to get what is missing."""

import importlib.metadata
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from zerolabel import vlms
from zerolabel.networks.precision import best_precision
from zerolabel.version import __version__
from zerolabel.vlms import glyphs

LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "open_clip_torch",
    "kornia",
    "lightning-fabric",
    "onnxruntime",
    "transformers",
)
NEEDED = {"transformers": "only SigLIP's tokenizers need it: pip install transformers"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: of the thing.
        good: whether it is as it should be.
        text: what was found, and where it is not good, how to fix it.
    """

    name: str
    good: bool
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def examine() -> list[Finding]:
    """Look at everything; nothing is downloaded."""
    return [
        Finding("zerolabel", True, f"{__version__} on Python {platform.python_version()}, {platform.platform()}"),
        *(library(name) for name in LIBRARIES),
        *devices(),
        Finding("glyphs", True, f"built in, {glyphs.WEIGHTS.stat().st_size / 1e6:.1f} MB, reads written characters"),
        photo_model(),
        disk(),
    ]


def library(name: str) -> Finding:
    """Its version."""
    try:
        return Finding(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, name in NEEDED, f"not installed; {NEEDED.get(name, f'pip install {name}')}")


def devices() -> list[Finding]:
    """Processor and accelerators, and the precision that training takes on them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [Finding("cpu", True, f"{cores} cores, trains in {best_precision('cpu')}")]
    for i in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(i).total_memory / 2**30
        found.append(Finding(f"cuda:{i}", True, f"{torch.cuda.get_device_name(i)}, {memory:.0f} GiB"))
    if not torch.cuda.is_available():
        found.append(Finding("cuda", True, "none; everything runs on the processor, only slower"))
    if torch.backends.mps.is_available():
        found.append(Finding("mps", True, "Apple's graphics processor; choose it with --device mps"))
    return found


def photo_model() -> Finding:
    """Checks if the default model for photographs is on this machine."""
    if vlms.is_cached(vlms.DEFAULT_PHOTO_VLM):
        return Finding(vlms.DEFAULT_PHOTO_VLM, True, "downloaded; the default for photographs")
    how = "the default for photographs is downloaded at its first use, about 600 MB; offline choose --vlm glyphs"
    return Finding(vlms.DEFAULT_PHOTO_VLM, False, f"not on this machine: {how} or --vlm open_clip:FOLDER")


def disk() -> Finding:
    """Room in the working folder."""
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Finding("disk", free > 2, f"{free:.0f} GiB free here" + ("" if free > 2 else "; make room before a run"))
