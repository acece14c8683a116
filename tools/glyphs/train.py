"""Train the embedded model: ``python -m tools.glyphs.train --minutes 33``.

Contrastive learning with several true captions per image. Every batch is drawn from one alphabet, so that its other
characters are the negatives; characters that share a shape are never each other's negatives.
"""

import argparse
import copy
import datetime
import json
import math
import platform
import sys
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save
from torch import Tensor, multiprocessing

from tools.glyphs import augment, captions, evaluate
from tools.glyphs.render import Bank, load_or_build
from tools.glyphs.strokes import CHARACTERS
from zerolabel.vlms import glyphs

ALPHABET_SHARES = {"digits": 0.4, "capitals": 0.12, "small letters": 0.12, "letters": 0.16, "everything": 0.2}
PEN_GLYPHS = 300  # pen drawings of each letter; digits get three times as many
LOOKALIKES = captions.lookalike_table()


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=33.0, help="time to train for; the schedule follows the clock")
    parser.add_argument("--batch", type=int, default=128, help="images per step, over all workers")
    parser.add_argument("--captions", type=int, default=40, help="captions per worker")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread, each with a part of the batch")
    parser.add_argument("--cache", type=Path, default=evaluate.CACHE, help="where glyphs are kept")
    parser.add_argument("--weights", type=Path, default=glyphs.WEIGHTS)
    parser.add_argument("--results", type=Path, default=evaluate.RESULTS)
    return parser.parse_args()


def targets(character: Tensor, style: Tensor, texts: list[captions.Caption]) -> tuple[Tensor, Tensor]:
    """(B M) how true each caption is of each image, and which pairs to leave out of the comparison."""
    truth, claimed = captions.truth_table(texts)
    true = truth[character]
    has_style = torch.where(claimed >= 0, style[:, claimed.clamp(min=0)].float(), 1.0)
    lookalike = (LOOKALIKES.float() @ (truth > 0.9).float())[character] > 0
    return true * has_style, lookalike & (true == 0)


def one_way(logits: Tensor, true: Tensor, ignored: Tensor) -> Tensor:
    """Cross-entropy from each row to the columns that are true of it."""
    mass = true.sum(1)
    log_p = logits.masked_fill(ignored, -1e4).log_softmax(1)
    rows = mass > 0
    return -((true * log_p).sum(1)[rows] / mass[rows]).mean()


def contrast(logits: Tensor, true: Tensor, ignored: Tensor) -> Tensor:
    """The mean of both directions: image to captions and caption to images."""
    return (one_way(logits, true, ignored) + one_way(logits.T, true.T, ignored.T)) / 2


def draw_images(bank: Bank, rows: dict[str, Tensor], alphabet: str, count: int) -> Tensor:
    """Rows of the bank: characters of the alphabet equally often, within each by weight."""
    letters = torch.randperm(len(alphabet)).repeat(count // len(alphabet) + 1)[:count]
    chosen = torch.empty(count, dtype=torch.long)
    for place in letters.unique().tolist():
        members = rows[alphabet[place]]
        wanted = letters == place
        chosen[wanted] = members[torch.multinomial(bank.weight[members], int(wanted.sum()), replacement=True)]
    return chosen


def rate_at(progress: float, peak: float) -> float:
    """Warm-up over the first 2%, then a half cosine."""
    return peak * min(progress / 0.02, 0.5 * (1 + math.cos(math.pi * progress)))


def bare_at(progress: float) -> float:
    """The share of captions that are a bare name: all at first, a tenth from one eighth of the training on."""
    return max(0.1, 1 - 8 * progress)


def optimizers_of(model: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the transformers, AdamW for everything else."""
    named = dict(model.named_parameters())
    inner = [p for name, p in named.items() if "resblocks" in name and p.ndim == 2]
    outer = [p for name, p in named.items() if "resblocks" not in name or p.ndim != 2]
    muon = torch.optim.Muon(inner, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(outer, betas=(0.9, 0.98), weight_decay=0.0)]


@torch.no_grad()
def follow(average: torch.nn.Module, model: torch.nn.Module, step: int) -> None:
    """Move the running average of the weights toward the model."""
    weight = 1 - min(0.998, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)


def agree(tensors: list[Tensor]) -> None:
    """Replace the tensors by their mean over the workers."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def progress_line(step: int, progress: float, loss: float, hits: dict[str, float]) -> str:
    """How far, the last loss, and per alphabet the running share of images that find a true caption."""
    return f"{step:6d} {progress:5.1%} loss {loss:.3f} " + ", ".join(
        f"{name} {hits[name]:.0%}" for name in sorted(hits)
    )


def train(bank: Bank, options: argparse.Namespace, worker: int) -> tuple[open_clip.CLIP, int]:
    """Train for the given time; the averaged model and the number of steps."""
    torch.manual_seed(options.seed)
    model = glyphs.build().train()
    torch.manual_seed(1000 * options.seed + worker)
    rng = np.random.default_rng(options.seed)
    average, optimizers = copy.deepcopy(model), optimizers_of(model)
    rows = {c: (bank.character == place).nonzero()[:, 0] for place, c in enumerate(CHARACTERS)}
    hits: dict[str, float] = {}
    start, step, progress = time.monotonic(), 0, 0.0
    while progress < 1:
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = rate_at(progress, options.rate)
        called = str(rng.choice(list(ALPHABET_SHARES), p=list(ALPHABET_SHARES.values())))
        alphabet = captions.ALPHABETS[called]
        drawn = draw_images(bank, rows, alphabet, options.batch // options.workers)
        texts = captions.draw(alphabet, options.captions, bare_at(progress), rng)
        loss, right = training_loss(model, bank, drawn, texts)
        model.zero_grad()
        loss.backward()
        agree([p.grad for p in model.parameters() if p.grad is not None])
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(100))
        follow(average, model, step)
        hits[called] = 0.9 * hits.get(called, right) + 0.1 * right
        if step % 50 == 0 and worker == 0:
            print(progress_line(step, progress, loss.item(), hits), flush=True)
        if step % 250 == 249 and worker == 0:
            store(average, options.weights)
        clock = torch.tensor([(time.monotonic() - start) / 60 / options.minutes])
        agree([clock])
        step, progress = step + 1, clock.item()
    return average, step


def training_loss(
    model: open_clip.CLIP, bank: Bank, drawn: Tensor, texts: list[captions.Caption]
) -> tuple[Tensor, float]:
    """Render a batch and contrast it with the captions; the loss, and how many images find a true caption."""
    size = glyphs.CONFIG["vision_cfg"]["image_size"]
    pictures, style = augment.render(bank.images[drawn], bank.kind[drawn], size)
    text = model.encode_text(glyphs.tokenize([caption.text for caption in texts]), normalize=True)
    logits = model.logit_scale.exp() * model.encode_image(pictures, normalize=True) @ text.T
    true, ignored = targets(bank.character[drawn], style, texts)
    right = true.gather(1, logits.masked_fill(ignored, -1e4).argmax(1, keepdim=True)) > 0
    return contrast(logits, true, ignored), right.float().mean().item()


def hardware() -> str:
    """The processor and the number of cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names) or 'unknown'} cores, {names[0] if names else platform.processor()}"


def store(model: torch.nn.Module, path: Path) -> None:
    """Write the weights as 16-bit floats, all at once."""
    state = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(save(state))
    unfinished.replace(path)


def work(worker: int, options: argparse.Namespace) -> None:
    """One worker; the first one stores the weights as 16-bit floats, evaluates what was stored, and records it."""
    torch.set_num_threads(1)
    meeting = f"file://{(options.cache / 'meeting').resolve()}"
    dist.init_process_group("gloo", init_method=meeting, rank=worker, world_size=options.workers)
    bank = load_or_build(options.cache, held_out=False, per_character=PEN_GLYPHS, seed=options.seed)
    model, steps = train(bank, options, worker)
    if worker == 0:
        store(model, options.weights)
        model.load_state_dict({name: value.float() for name, value in load_file(options.weights).items()})
        record(model, steps, len(bank.images), options)
    dist.destroy_process_group()


def record(model: open_clip.CLIP, steps: int, glyph_count: int, options: argparse.Namespace) -> None:
    """Evaluate, and write every figure that the documentation states."""
    held_out = load_or_build(options.cache, held_out=True, per_character=evaluate.PEN_GLYPHS, seed=options.seed + 1)
    facts = {
        "command": "python -m tools.glyphs.train " + " ".join(sys.argv[1:]),
        "date": datetime.date.today().isoformat(),
        "hardware": hardware(),
        "torch": torch.__version__,
        "seed": options.seed,
        "minutes": options.minutes,
        "steps": steps,
        "images seen": steps * options.batch,
        "clean glyphs": glyph_count,
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": options.weights.stat().st_size,
        "revision": glyphs.revision(options.weights),
        "accuracy in per cent": evaluate.figures(model, held_out, options.seed),
    }
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=2))


def main() -> None:
    """Draw the glyphs once, then train."""
    options = parse_arguments()
    load_or_build(options.cache, held_out=False, per_character=PEN_GLYPHS, seed=options.seed)
    (options.cache / "meeting").unlink(missing_ok=True)
    multiprocessing.spawn(work, args=(options,), nprocs=options.workers)


if __name__ == "__main__":
    main()
