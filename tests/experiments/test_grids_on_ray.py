"""Comparisons, simulations and figures of papers by a real Ray on this machine, with two workers."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from benchmarks.papers import __main__ as papers
from benchmarks.papers import protocols, tables
from benchmarks.papers.data_sets import Unpacked, write
from benchmarks.papers.smoke import CLASSES, Smoke, made_up, shortened
from tests.local_ray import two_workers
from zerolabel import cli
from zerolabel.annotate import cluster
from zerolabel.annotations import Annotations
from zerolabel.errors import InputError
from zerolabel.experiments import runs, simulation

ray = pytest.importorskip("ray", reason="needs zerolabel-vision[ray]")
VARY = ["seconds", "peak_memory", "seconds spread", "peak_memory spread"]


@pytest.fixture(scope="module")
def workers():
    with two_workers(sys.modules[__name__]):
        yield


@pytest.fixture
def digits(tmp_path, annotated_digits, monkeypatch):
    """Files of 90 real digits with their annotations and labels, relative to where the process is."""
    some = annotated_digits.annotations.select(torch.arange(90))
    some.save(tmp_path / "given.parquet")
    (tmp_path / "images").mkdir()
    for name in some.file_names:
        Image.open(annotated_digits.folder / name).save(tmp_path / "images" / name)
    truth = pd.read_csv(annotated_digits.truth_file, dtype=str)
    truth[truth["file_name"].isin(some.file_names)].to_csv(tmp_path / "truth.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compare(out, *more):
    given = ["compare", "images", "given.parquet", "-o", out, "--methods", "proden,cross_entropy", "--seeds", "1"]
    cli.main([*given, "--epochs", "6", "--no-flip", "--truth", "truth.csv", "--json", *more])


def same(one, other):
    left, right = (pd.read_parquet(Path(folder) / "results.parquet") for folder in (one, other))
    pd.testing.assert_frame_equal(left.drop(columns=VARY, errors="ignore"), right.drop(columns=VARY, errors="ignore"))
    files = sorted(path.relative_to(one) for path in Path(one).glob("runs/*/probabilities.safetensors"))
    assert files and all(
        torch.equal(load_file(Path(one) / file)["train"], load_file(Path(other) / file)["train"]) for file in files
    )


def die_once(comparison, folder, name, seed, threads, device):
    """A run whose process is killed after its first checkpoint, once in a folder."""
    mark, checkpoint = folder / "killed", runs.run_folder(folder, name, seed) / "checkpoints" / "train.safetensors"

    def kill():
        while not checkpoint.exists():
            time.sleep(0.002)
        if (name, seed) == ("proden", 0) and not mark.exists():
            mark.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    runs.run_one(comparison, folder, name, seed, threads, device)  # of the worker, where it is not patched


def test_workers_give_the_results_of_local_processes_also_where_one_is_killed(workers, digits, monkeypatch):
    compare("here")
    compare("there", "--engine", "ray")
    same("here", "there")
    monkeypatch.setattr(runs, "run_one", die_once)
    (digits / "there" / "runs" / "cross_entropy-0" / "run.json").rename("kept.json")
    shutil.rmtree("there/runs/proden-0")
    compare("there", "--engine", "ray")
    assert (digits / "there" / "killed").exists(), "no worker was killed, so this test shows little"
    same("here", "there")
    assert len((digits / "there" / "runs" / "proden-0" / "log.jsonl").read_text().splitlines()) == 6
    made = (
        json.loads(Path("kept.json").read_text()),
        json.loads(Path("there/runs/cross_entropy-0/run.json").read_text()),
    )
    assert made[0]["seconds"] == made[1]["seconds"], "its epochs were there, so that none is trained again"


def simulate(out, *more):
    given = ["simulate", "images", "-c", ",".join("0123456789"), "--truth", "truth.csv", "-o", out]
    cli.main([*given, "--kind", "instance", "--annotators", "3", "--labeled", "2", "--epochs", "2", *more])


@pytest.mark.slow
def test_simulated_networks_are_the_same_and_kept_until_all_are_there(workers, digits, monkeypatch):
    simulate("here.parquet")
    simulate("there.parquet", "--engine", "ray")
    one, other = Annotations.load("here.parquet"), Annotations.load("there.parquet")
    assert torch.equal(one.scores, other.scores) and torch.equal(one.votes, other.votes)
    trained, plain = [], simulation.vote_by_network

    def third_fails(number, *rest):
        if number == 2 and not trained:
            raise KeyboardInterrupt
        trained.append(number)
        return plain(number, *rest)

    monkeypatch.setattr(simulation, "vote_by_network", lambda n, *rest: plain(n, *rest) if n < 2 else third_fails(n))
    with pytest.raises(SystemExit):
        simulate("cut.parquet")
    assert len(list(digits.glob("cut.networks/*.safetensors"))) == 2
    monkeypatch.setattr(simulation, "vote_by_network", third_fails)
    trained.append(-1)
    simulate("cut.parquet")
    assert trained == [-1, 2] and torch.equal(Annotations.load("cut.parquet").scores, one.scores)
    assert not (digits / "cut.networks").exists()


@pytest.mark.slow
def test_figures_of_papers_are_the_same(workers, tmp_path):
    """A solver and a student of Co-Reg, shortened, on made-up images that lie where a data set is unpacked to."""
    model = Smoke(tmp_path / "smoke").vlm
    cells = [tables.select("stata")[0], tables.select("coreg", "cifar10", 43)[0]]
    asked = [replace(shortened(protocols.plans(cell)[0]), data="cifar10") for cell in cells]
    here, there = (papers.Bench(tmp_path / name, vlm=model, device="cpu") for name in ("here", "there"))
    for bench in (here, there):
        write(Unpacked(bench.work / "data" / "cifar10"), CLASSES, dict(made_up()), None)
    for plan in asked:
        here.run(plan)
    there.run_on_ray([*asked, asked[0]], 1, None)
    for plan in asked:
        left, right = here.finished(plan), there.finished(plan)
        assert left["figure"] == right["figure"] and left.keys() == right.keys()
    assert len(list((tmp_path / "there" / "finished").glob("*.json"))) == 2


def refuse(number):
    if number:
        raise InputError(f"--n {number} is too many; give 0.")
    return np.float64(load_digits().target[number])


def test_a_sentence_of_a_worker_is_a_sentence_here(workers):
    assert [*cluster.calls(refuse, [(0,)], cluster.Share(), None)] == [(0, 0.0)]
    with pytest.raises(InputError, match=r"^--n 1 is too many; give 0\.$"):
        [*cluster.calls(refuse, [(1,), (0,)], cluster.Share(), None)]


def test_a_share_that_no_machine_has_is_told_at_once(workers):
    with pytest.raises(InputError, match="no machine of the Ray cluster has more than 2; give larger --jobs"):
        next(cluster.calls(refuse, [(0,)], cluster.Share(threads=3), None))
    with pytest.raises(InputError, match="has a graphics card; give --device cpu"):
        next(cluster.calls(refuse, [(0,)], cluster.Share(cards=1.0), None))


def always_dies(_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_call_that_always_kills_its_worker_ends_in_a_sentence(workers):
    with pytest.raises(InputError, match="a worker of Ray died 4 times in the same call"):
        next(cluster.calls(always_dies, [(0,)], cluster.Share(), None))
