"""The runs of a comparison, each in a folder and a process of its own, on this machine or by workers of Ray."""

import json
import os
import resource
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from zerolabel import networks, vlms
from zerolabel.adaptation.adapt import adapt
from zerolabel.adaptation.request import Request as Adaptation
from zerolabel.annotate import annotate, cluster
from zerolabel.annotations import Annotations
from zerolabel.annotations.candidates import check_enough
from zerolabel.annotations.digest import Digest, differing, in_words, of_annotations, of_data, of_images
from zerolabel.annotations.files import open_annotations
from zerolabel.annotations.image_check import unchanged
from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError
from zerolabel.experiments import sources
from zerolabel.experiments.plan import KEPT, Comparison, annotations_of, true_labels
from zerolabel.files import LOCK, alone, replacing, write_text, writing
from zerolabel.files.json_lines import read_log
from zerolabel.files.plain_json import dumps
from zerolabel.learners import LEARNERS
from zerolabel.training import best_device, predict
from zerolabel.training.fitting import fit
from zerolabel.training.log import LogFile
from zerolabel.training.loop import make_fabric
from zerolabel.training.ranks import end_with_parent
from zerolabel.training.settings import make_settings

COMPARISON = "comparison.json"


def run_all(comparison: Comparison, folder: Path, jobs: int, engine: str = "local") -> Iterator[tuple[str, int, bool]]:
    """Do the runs that are not there, in processes of their own; yields learner, seed and whether it was there.

    Args:
        comparison: what is asked for.
        folder: of all runs; with Ray, on storage that all machines share.
        jobs: runs that share the cores and devices of a machine.
        engine: "local" for this machine, "ray" for workers of Ray on it, "ray:ADDRESS" for those of a cluster.

    Raises:
        InputError: the folder holds another comparison, or one of other data, or another command is running in it; or
            the annotations or the truth do not fit the images.
    """
    name, address = cluster.parse_engine(engine)
    if name == "ray":
        cluster.connect(address)
    config = next(iter(comparison.configs.values()))
    path, allow_changed = str(config.annotation.annotations), config.annotation.allow_changed
    given = open_annotations(path)
    annotations = unchanged(given, ImageSet.open(config.data.images), path, allow_changed=allow_changed)
    true_labels(comparison, annotations)
    made_of = data(comparison, annotations)
    look(comparison, folder, made_of)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        write_text(folder / COMPARISON, look(comparison, folder, made_of))
        if len(annotations) < len(given):
            annotations.save(folder / KEPT)
        decode(comparison, folder)
        wanted = [(name, seed) for seed in range(comparison.seeds) for name in comparison.configs]
        there = [one for one in wanted if (run_folder(folder, *one) / "run.json").is_file()]
        yield from ((*one, True) for one in there)
        todo = [one for one in wanted if one not in there]
        done = (
            work(comparison, folder, todo, jobs) if name == "local" else on_ray(comparison, folder, todo, jobs, address)
        )
        yield from ((*one, False) for one in done)


def look(comparison: Comparison, folder: Path, made_of: Digest) -> str:
    """Check that a folder is free or contains runs of the same data and options; writes nothing.

    Returns:
        What the folder says of itself with the runs that are asked for.

    Raises:
        InputError: it holds another comparison, or files that are none.
    """
    known, now = folder / COMPARISON, {**json.loads(comparison.to_json()), "data": made_of}
    if not known.is_file():
        if folder.is_file() or (folder.is_dir() and set(os.listdir(folder)) - {LOCK}):
            raise InputError(f"{folder} holds files that are no comparison; give -o an empty or new folder.")
        return dumps(now, indent=1)
    there = json.loads(known.read_text(encoding="utf-8"))
    learners = there["learners"]
    other = [name for name, config in now["learners"].items() if learners.get(name, config) != config]
    if other or any(there[key] != now[key] for key in ("test", "test_annotations")):
        raise InputError(f"{folder} holds a comparison with other options; repeat them, or give -o another folder.")
    changed = differing(there.get("data", {}), made_of)
    if changed:
        raise InputError(
            f"the {in_words(changed)} changed since the comparison in {folder} began; put back what it was made of, or "
            "give -o another folder."
        )
    return dumps({**now, "learners": {**learners, **now["learners"]}}, indent=1)


def data(comparison: Comparison, annotations: Annotations) -> Digest:
    """Hashes of what the runs read: annotations, which hold those of their images, and held-out images."""
    found = of_annotations(annotations)
    if comparison.test is not None:
        found |= {f"held-out {name}": value for name, value in of_images(ImageSet.open(comparison.test)).items()}
    if comparison.test_annotations is not None:
        found["annotations of held-out images"] = of_data(of_annotations(open_annotations(comparison.test_annotations)))
    asked = [config.annotation for config in comparison.configs.values()]
    for name in sorted({str(one.encoder) for one in asked if one.adapt is not None}):
        found[f"model {name}"] = vlms.load(name).revision
    return found


def work(comparison: Comparison, folder: Path, todo: Sequence[tuple[str, int]], jobs: int) -> Iterator[tuple[str, int]]:
    """Do runs, in processes that end with this one; yields learner and seed as they are done."""
    threads = max(1, torch.get_num_threads() // jobs)
    devices, others = max(1, torch.cuda.device_count()), set(active_children())
    pool = ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), max_tasks_per_child=1, initializer=end_with_parent
    )
    try:
        left, asked = deque(enumerate(todo)), dict[Future[None], tuple[str, int]]()
        while left or asked:
            while left and len(asked) < jobs:  # one that waited without a process would keep a stopped pool forever
                place, (name, seed) = left.popleft()
                call = pool.submit(run_one, comparison, folder, name, seed, threads, place % devices)
                asked[call] = (name, seed)
            for done in wait(asked, return_when=FIRST_COMPLETED).done:
                done.result()
                yield asked.pop(done)
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(active_children()) - others:
            child.terminate()
        raise


def on_ray(
    comparison: Comparison, folder: Path, todo: Sequence[tuple[str, int]], jobs: int, address: str | None
) -> Iterator[tuple[str, int]]:
    """Do runs as calls of Ray, each with the threads of a local one; yields learner and seed as they are done."""
    config = next(iter(comparison.configs.values()))
    share = cluster.Share.of(best_device(config.training.device).type, jobs)
    asked = [(comparison, folder.absolute(), name, seed, share.threads, 0) for name, seed in todo]
    for place, _ in cluster.calls(run_one, asked, share, address):
        yield todo[place]


def run_folder(folder: Path, learner: str, seed: int) -> Path:
    """Folder of one run."""
    return folder / "runs" / f"{learner.replace(':', '-')}-{seed}"


def decode(comparison: Comparison, folder: Path) -> None:
    """Decode or encode all images once; runs map the files."""
    config, annotations = next(iter(comparison.configs.values())), annotations_of(comparison, folder)
    images = ImageSet.open(config.data.images).named(annotations.file_names)
    held_out = None if comparison.test is None else ImageSet.open(comparison.test)
    sources.prepare(config, folder / "cache", images, held_out, annotations)


def run_one(comparison: Comparison, folder: Path, name: str, seed: int, threads: int, device: int) -> None:
    """One run, from its last whole epoch: ``log.jsonl``, ``probabilities.safetensors`` and, last, ``run.json``."""
    if comparison.configs[name].annotation.adapt is not None:
        return adapt_one(comparison, folder, name, seed, threads)
    torch.set_num_threads(threads)
    config, start = comparison.configs[name], time.perf_counter()
    training = config.training
    chosen = {"device": f"cuda:{device}"} if torch.cuda.device_count() > 1 else {}
    settings = make_settings({**training.settings, **chosen, "seed": seed})
    annotations = annotations_of(comparison, folder)
    check_enough(annotations)
    torch.manual_seed(seed)
    network, preprocess = sources.network_of(config, folder / "cache")
    where = make_fabric(settings).device
    source = sources.source_of(config, folder / "cache", "train", preprocess, where)
    place = run_folder(folder, name, seed)
    place.mkdir(parents=True, exist_ok=True)
    learner = LEARNERS[name](network, annotations, **training.hyper_parameters)
    log, checkpoint = LogFile(place / "log.jsonl", "train"), place / "checkpoints" / "train.safetensors"
    trained = fit(learner, annotations, source, settings, preprocess, log, checkpoint)
    kept = {"train": trained.log_probabilities[0].exp()}
    if len(trained.log_probabilities) > 1:
        kept["second"] = trained.log_probabilities[1].exp()
    if comparison.test is not None:
        held_out = sources.source_of(config, folder / "cache", "test", preprocess, where)
        kept["test"] = predict(
            trained.networks[0].to(where), held_out, make_fabric(settings), settings.batch_size * 4
        ).cpu()
    spent = sum(line["seconds"] for line in read_log(place / "log.jsonl"))
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
    training = config.training
    model = str(config.annotation.encoder)
    asked = config.annotation.templates[model]
    request = Adaptation(
        model,
        str(config.annotation.adapt),
        None,
        training.hyper_parameters,
        {**training.settings, "seed": seed},
        training.flip,
    )
    annotations, names = annotations_of(comparison, folder), config.data.names
    human = dict(zip(annotations.sha256, annotations.labels.tolist(), strict=True))
    images = ImageSet.open(config.data.images).named(annotations.file_names)
    cache, device = folder / "cache" / "features", best_device(training.settings.get("device", "auto"))
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
