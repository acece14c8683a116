"""A signal at any step of any command: its code, one sentence that says how to go on, and then the same results."""

import os
import shutil
import signal

import pytest
from kill_and_change import COMMANDS, annotated_data, here, same_files, wait_for, zerolabel

MOMENTS = [
    ("annotate", "config.json", signal.SIGINT),
    ("run", "annotations.parquet", signal.SIGTERM),
    ("run", "train.safetensors", signal.SIGINT),
    ("run", "model.safetensors", signal.SIGHUP),  # while it exports
    ("features", "train-on-features", signal.SIGHUP),
    ("train", "log.jsonl", signal.SIGTERM),
    ("compare", "train.safetensors", signal.SIGINT),
    ("compare", "probabilities", signal.SIGTERM),
    ("adapt", "pixels.npy", signal.SIGHUP),
    ("adapt", "checkpoint", signal.SIGTERM),
    ("embed", ".zerolabel.lock", signal.SIGINT),
    ("improve", "train.safetensors", signal.SIGINT),
]
QUICK = [moment for moment in MOMENTS if moment[0] == "annotate"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return annotated_data(tmp_path_factory.mktemp("signals") / "data")


@pytest.mark.parametrize(
    ("kind", "mark", "number"),
    [moment if moment in QUICK else pytest.param(*moment, marks=pytest.mark.slow) for moment in MOMENTS],
)
def test_a_signal_tells_how_to_go_on_and_nothing_is_lost(kind, mark, number, data, tmp_path):
    one, place = COMMANDS[kind], tmp_path / "work"
    shutil.copytree(data, place)
    if one.needs_run:
        assert here(place, *COMMANDS["run"].said, "-o", "run")[0] == 0
    process = zerolabel(place, *one.to(one.said, one.output))
    assert wait_for(process, place / "out", mark, 0.005)
    if number == signal.SIGINT:  # as a terminal sends it
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    told = process.communicate(timeout=120)[1]
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert process.returncode == 128 + number, told
    again = "with --resume continues" if "--resume" in one.again else "the same command"
    assert len(errors) == 1 and "stopped" in errors[0] and again in errors[0] and "Traceback" not in told
    assert here(place, *one.to(one.said, one.output), *one.again)[0] == 0
    assert here(place, *one.to(one.said, one.output.replace("out", "fresh")))[0] == 0
    assert same_files(one, place / "out", place / "fresh")
