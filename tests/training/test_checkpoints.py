"""A training's state on disk: whole or not at all, and never of something else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from zerolabel.errors import InputError
from zerolabel.training.checkpoints import Checkpoint

SETTINGS = {"lr": 0.1, "period": None, "optimizer": "sgd"}


def trained(kind: str = "sgd", width: int = 3) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(width)
    model = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Flatten())
    model = model.to(memory_format=torch.channels_last)
    make = {"sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), "adamw": torch.optim.AdamW}[kind]
    optimizer = make(model.parameters())
    for _ in range(3):
        model(torch.randn(4, 1, 5, 5)).square().sum().backward()
        optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_round_trip(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "state.safetensors"
    model, optimizer = trained(kind)
    Checkpoint.of(model, optimizer, 7, SETTINGS).save(file)
    other, other_optimizer = trained(kind)
    with torch.no_grad():
        for value in other.state_dict().values():
            value.zero_()
    assert Checkpoint.load(file).restore(other, other_optimizer, SETTINGS) == 7
    for key, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])
    for place, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            assert torch.equal(value, other_optimizer.state_dict()["state"][place][key])
    assert os.listdir(file.parent) == ["state.safetensors"]


def test_before_the_first_step_there_is_nothing_of_the_optimizer(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    Checkpoint.of(model, optimizer, 0, SETTINGS).save(tmp_path / "state")
    assert Checkpoint.load(tmp_path / "state").restore(model, optimizer, SETTINGS) == 0


def test_a_failed_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state"
    state = Checkpoint.of(*trained(), 1, SETTINGS)
    state.save(file)
    before = file.read_bytes()

    def full(tensors: object, path: Path, meta: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zerolabel.training.checkpoints.save_file", full)
    with pytest.raises(OSError, match="No space"):
        state.save(file)
    assert file.read_bytes() == before and os.listdir(tmp_path) == ["state"]


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from zerolabel.training import checkpoints
def dies(tensors, path, meta):
    Path(path).write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
checkpoints.save_file = dies
checkpoints.Checkpoint({"learner.x": torch.ones(2)}, {"epoch": 2}).save(Path(sys.argv[1]))
"""


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "state"
    Checkpoint.of(*trained(), 1, SETTINGS).save(file)
    before = file.read_bytes()
    source = Path(__file__).parents[2] / "src"
    environment = os.environ | {"PYTHONPATH": str(source)}
    ended = subprocess.run([sys.executable, "-c", KILLED, str(file)], env=environment, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert file.read_bytes() == before
    Checkpoint.of(*trained(), 3, SETTINGS).save(file)
    assert Checkpoint.load(file).meta["epoch"] == 3


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "header", "foreign", "no json"])
def test_damaged_or_foreign(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "state"
    Checkpoint.of(*trained(), 1, SETTINGS).save(file)
    whole = file.read_bytes()
    if damage == "foreign":
        save_file({"x": torch.ones(2)}, file)
    elif damage == "no json":
        save_file({"x": torch.ones(2)}, file, {"zerolabel": "{"})
    else:
        pieces = {
            "cut": whole[: len(whole) // 2],
            "empty": b"",
            "text": b"hello\n",
            "header": b"\xff" * 16 + whole[16:],
        }
        file.write_bytes(pieces[damage])
    with pytest.raises(InputError, match="state is damaged"):
        Checkpoint.load(file)


def test_missing_file_and_folder_are_sentences(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError):
            Checkpoint.load(path)


def test_of_another_learner_or_other_settings() -> None:
    state = Checkpoint.of(*trained(width=3), 1, SETTINGS)
    with pytest.raises(InputError, match="does not fit this learner"):
        state.restore(*trained(width=4), SETTINGS)
    with pytest.raises(InputError, match=r"trained with lr 0\.1, not 0\.2"):
        state.restore(*trained(width=3), SETTINGS | {"lr": 0.2})
    with pytest.raises(InputError, match="trained with optimizer sgd, not adamw"):
        state.restore(*trained("adamw", width=3), SETTINGS | {"optimizer": "adamw"})


def test_other_tensors_with_our_mark_do_not_fit() -> None:
    model, optimizer = trained()
    with pytest.raises(InputError):
        Checkpoint({"weight": torch.ones(2)}, {"format": "classifier"}).restore(model, optimizer, SETTINGS)
    with pytest.raises(InputError):
        Checkpoint({"weight": torch.ones(2)}, {}).restore(model, optimizer, {})
