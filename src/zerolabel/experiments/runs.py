"""The runs of a comparison, each in a folder and a process of its own."""

import json
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from zerolabel import networks, vlms
from zerolabel.adaptation import Request as Adaptation
from zerolabel.adaptation import adapt
from zerolabel.annotate import annotate
from zerolabel.annotations.candidates import check_enough
from zerolabel.annotations.files import open_annotations
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet, pixels
from zerolabel.data.views import Pixels, Preprocess
from zerolabel.data.views.preprocess import statistics
from zerolabel.errors import InputError
from zerolabel.experiments.plan import Comparison, true_labels
from zerolabel.files import replacing, write_text
from zerolabel.files.plain_json import dumps
from zerolabel.learners import LEARNERS
from zerolabel.training import best_device, predict
from zerolabel.training.fitting import fit
from zerolabel.training.log import LogFile
from zerolabel.training.loop import launch
from zerolabel.training.settings import make_settings


def run_all(comparison: Comparison, folder: Path, jobs: int) -> Iterator[tuple[str, int, bool]]:
    """Do the runs that are not there, in processes of their own; yields learner, seed and whether it was there.

    Raises:
        InputError: the folder holds another comparison, or the truth does not fit the images.
    """
    true_labels(comparison, open_annotations(str(next(iter(comparison.configs.values())).annotations)))
    text, known = comparison.to_json(), folder / "comparison.json"
    if known.is_file():
        there = json.loads(known.read_text(encoding="utf-8"))
        now = json.loads(text)
        other = [
            name
            for name in now["learners"]
            if there["learners"].get(name, now["learners"][name]) != now["learners"][name]
        ]
        if other or any(there[key] != now[key] for key in ("test", "test_annotations")):
            raise InputError(f"{folder} holds a comparison with other options; repeat them, or give -o another folder.")
        now["learners"] = {**there["learners"], **now["learners"]}
        text = dumps(now, indent=1)
    elif folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} holds files that are no comparison; give -o an empty or new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(known, text)
    decode(comparison, folder)
    wanted = [(name, seed) for seed in range(comparison.seeds) for name in comparison.configs]
    yield from ((name, seed, True) for name, seed in wanted if (run_folder(folder, name, seed) / "run.json").is_file())
    todo = [(name, seed) for name, seed in wanted if not (run_folder(folder, name, seed) / "run.json").is_file()]
    threads = max(1, torch.get_num_threads() // jobs)
    devices = max(1, torch.cuda.device_count())
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        asked = {
            pool.submit(run_one, comparison, folder, name, seed, threads, place % devices): (name, seed)
            for place, (name, seed) in enumerate(todo)
        }
        for done in as_completed(asked):
            done.result()
            yield (*asked[done], False)


def run_folder(folder: Path, learner: str, seed: int) -> Path:
    """Where one run lies."""
    return folder / "runs" / f"{learner.replace(':', '-')}-{seed}"


def decode(comparison: Comparison, folder: Path) -> None:
    """Decode all images once; runs map the files."""
    config = next(iter(comparison.configs.values()))
    images = ImageSet.open(config.images).named(open_annotations(str(config.annotations)).file_names)
    pixels(images, config.size, folder / "cache" / "train.npy")
    if comparison.test is not None:
        pixels(ImageSet.open(comparison.test), config.size, folder / "cache" / "test.npy")


def run_one(comparison: Comparison, folder: Path, name: str, seed: int, threads: int, device: int) -> None:
    """One run, from its last whole epoch: ``log.jsonl``, ``probabilities.safetensors`` and, last, ``run.json``."""
    if comparison.configs[name].adapt is not None:
        return adapt_one(comparison, folder, name, seed, threads)
    torch.set_num_threads(threads)
    config, start = comparison.configs[name], time.perf_counter()
    chosen = {"device": f"cuda:{device}"} if torch.cuda.device_count() > 1 else {}
    settings = make_settings({**config.settings, **chosen, "seed": seed})
    rows = np.load(folder / "cache" / "train.npy", mmap_mode="r")
    annotations = open_annotations(str(config.annotations))
    check_enough(annotations)
    torch.manual_seed(seed)
    network = networks.build(config.student, len(config.classes), config.size, pretrained=config.pretrained)
    preprocess = Preprocess(config.size, *statistics(rows))
    where = launch(settings).device
    source = Pixels(rows, preprocess, flip=config.flip, strong=config.strong, device=where)
    place = run_folder(folder, name, seed)
    place.mkdir(parents=True, exist_ok=True)
    learner = LEARNERS[name](network, annotations, **config.hyper_parameters)
    log, checkpoint = LogFile(place / "log.jsonl", "train"), place / "checkpoints" / "train.safetensors"
    trained = fit(learner, annotations, source, settings, preprocess, log, checkpoint)
    kept = {"train": trained.log_probabilities[0].exp()}
    if len(trained.log_probabilities) > 1:
        kept["second"] = trained.log_probabilities[1].exp()
    if comparison.test is not None:
        held_out = Pixels(
            np.load(folder / "cache" / "test.npy", mmap_mode="r"), preprocess, flip=config.flip, device=where
        )
        kept["test"] = predict(trained.networks[0].to(where), held_out, launch(settings), settings.batch_size * 4).cpu()
    spent = sum(json.loads(line)["seconds"] for line in (place / "log.jsonl").read_text().splitlines())
    facts = {
        "seconds": round(spent, 2),
        "wall_seconds": round(time.perf_counter() - start, 2),
        "views": list(learner.views),
        "network_agreement": trained.agreement,
        "parameters": networks.count_parameters(trained.networks[0]),
    }
    finish(place, kept, facts)


def adapt_one(comparison: Comparison, folder: Path, name: str, seed: int, threads: int) -> None:
    """One run of a row that adapts the annotating model: the same files."""
    torch.set_num_threads(threads)
    config, start, place = comparison.configs[name], time.perf_counter(), run_folder(folder, name, seed)
    model = str(config.encoder)
    asked = dict(zip(config.vlm, config.templates, strict=True))[model]
    request = Adaptation(
        model, str(config.adapt), None, config.hyper_parameters, {**config.settings, "seed": seed}, config.flip
    )
    annotations, names = open_annotations(str(config.annotations)), Classes(config.classes, config.aliases)
    human = dict(zip(annotations.sha256, annotations.labels.tolist(), strict=True))
    images = ImageSet.open(config.images).named(annotations.file_names)
    cache, device = folder / "cache" / "features", best_device(config.settings.get("device", "auto"))
    done = adapt(
        images, vlms.load(model, device), names, asked, request, place / "adapted", cache=cache, resume=True,
        labels=lambda a: torch.tensor([human.get(digest, -1) for digest in a.sha256]),
    )  # fmt: skip
    encoder = vlms.load(f"adapted:{done.folder}", device)
    kept = {"train": done.probabilities}
    if comparison.test is not None:
        held_out = ImageSet.open(comparison.test)
        templates = vlms.templates(encoder.name, None)
        kept["test"] = annotate(held_out, encoder, names, templates, cache=cache).annotations.scores
    spent = time.perf_counter() - start
    finish(place, kept, {
        "seconds": round(spent, 2), "wall_seconds": round(spent, 2), "views": ["weak"], "network_agreement": None,
        "parameters": encoder.n_parameters,
    })  # fmt: skip


def finish(place: Path, kept: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write what a run came to."""
    with replacing(place / "probabilities.safetensors") as partial:
        save_file({key: value.contiguous() for key, value in kept.items()}, partial)
    write_text(place / "run.json", dumps({**facts, "peak_memory": peak_memory()}) + "\n")


def peak_memory() -> int:
    """Bytes that this process held at most, on the graphics card where it used one."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
