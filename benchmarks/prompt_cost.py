"""What a step of each kind of prompt costs on a ViT-B/32 of random weights: ``python -m benchmarks.prompt_cost KIND``.

A step learns from 32 images and 100 classes. Its unit is a forward pass of the same images; memory is the peak of the
process, so that every kind has one of its own. `benchmarks.adaptation` keeps the figures.
"""

import json
import resource
import subprocess
import sys
import time
from typing import Any

import open_clip
import torch
from torch.nn import functional

from zerolabel.data.classes import Classes
from zerolabel.networks.prompted import PromptedNetwork

KINDS = ("text", "classifier", "adapter", "visual", "deep", "both", "norm", "lora", "text+norm")
WORDED = {"text", "both"}
"""Kinds that learn tokens of the prompt."""
ON_FEATURES = {"text", "adapter", "classifier"}
"""Kinds that leave the image encoder as it is."""
IMAGES, CLASSES, STEPS = 32, 100, 4


def apart(kind: str) -> dict[str, Any]:
    """The cost of one kind, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.prompt_cost", kind]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(told.splitlines()[-1]))


def cost(kind: str) -> dict[str, Any]:
    """Forward passes in the time of the fastest step but the first, peak memory in bytes, number of weights learned."""
    torch.manual_seed(0)
    model, parts = open_clip.create_model("ViT-B-32", pretrained=None).eval(), set(kind.split("+"))
    classes = Classes(tuple(f"class number {i}" for i in range(CLASSES)))
    words = "a photo of a " if WORDED & parts else ""
    network = PromptedNetwork.of(model, open_clip.get_tokenizer("ViT-B-32"), kind, words, classes, ("{}",), 224)
    pixels = torch.rand(IMAGES, 3, 224, 224)
    x = functional.normalize(torch.randn(IMAGES, 512), dim=1) if parts <= ON_FEATURES else pixels
    learned = [p for p in network.parameters() if p.requires_grad]
    optimizer, times = torch.optim.SGD(learned, 1e-6), []
    for _ in range(STEPS):
        start = time.perf_counter()
        network(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start = time.perf_counter()
    with torch.no_grad():
        model.encode_image(pixels)
    forwards = round(min(times[1:]) / (time.perf_counter() - start), 2)
    return {"prompt": kind, "forwards": forwards, "memory": memory, "learnt": sum(p.numel() for p in learned)}


if __name__ == "__main__":
    print(json.dumps(cost(sys.argv[1])))
