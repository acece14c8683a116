"""Many jobs in one process leave nothing behind: no memory, no thread, no open file, no process, no folder."""

import gc
import os
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from kill_and_change import NAMES, N, write_data

from zerolabel import Classifier, ZeroLabel

RUNS, SETTLED = 50, 10
"""Runs, and those after which memory is expected to stay as it is."""


def resident() -> float:
    """Memory of this process in MB, after what can be collected was."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def held() -> tuple[int, int, int]:
    """Open files, threads and child processes."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return len(os.listdir("/proc/self/fd")), threading.active_count(), len(children)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process as Linux tells it")
@pytest.mark.filterwarnings("ignore")
def test_fifty_jobs_in_one_process(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    data = tmp_path / "data"
    write_data(data)
    memory, others, answers = [], [], []
    for number in range(RUNS):
        student = "light" if number % 10 == 0 else "linear"
        job = ZeroLabel(
            classes=NAMES, vlm="glyphs", student=student, epochs=1, device="cpu", seed=0, cache=tmp_path / "cache",
            output=tmp_path / "out" if number % 2 else None,
        )  # fmt: skip
        job.fit(data / "pics", few_shot=data / "few.csv", overwrite=True)
        answers.append((student, job.predict_proba(data / "pics")))
        if number % 2:
            assert len(Classifier.load(tmp_path / "out").predict(data / "pics")) == N
        del job
        memory.append(resident())
        others.append(held())
    for student in ("light", "linear"):
        first, *again = [answer for name, answer in answers if name == student]
        assert all(np.array_equal(first, one) for one in again)
    assert others[-1] == others[SETTLED], others
    assert list((tmp_path / "temporary").iterdir()) == []
    half = (RUNS - SETTLED) // 2
    before, after = np.median(memory[SETTLED : SETTLED + half]), np.median(memory[-half:])
    print(f"memory in MB: {memory[0]:.0f} after 1 run, {before:.0f} and {after:.0f} in the halves after {SETTLED}")
    assert after < before * 1.02, memory
