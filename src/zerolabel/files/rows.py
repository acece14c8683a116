"""Large tensors with a row per image, in files that the system can page out, so that images are not bounded by memory.

A file has no name and is gone with its tensor, or with the process. Small tensors are in memory as any other.
"""

import errno
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

LARGE = 1 << 26
"""Bytes from which on a tensor is in a file."""
AT_ONCE = 8192
"""Rows of a large tensor that are worked on at once."""


def zeros(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> Tensor:
    """A tensor of zeros; on another device than the processor it is in the memory of that.

    Raises:
        OSError: the disk of temporary files has no space for it.
    """
    size = prod(shape) * dtype.itemsize
    if size < LARGE or (device is not None and device.type != "cpu"):
        return torch.zeros(shape, dtype=dtype, device=device)
    place = tempfile.gettempdir()
    if shutil.disk_usage(place).free < size:  # a full disk would kill the process when it writes to the map
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place)
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        return torch.frombuffer(mmap.mmap(file.fileno(), size), dtype=dtype).view(shape)


def copy(rows: Tensor) -> Tensor:
    """A copy, on the device of its original."""
    return zeros(tuple(rows.shape), rows.dtype).copy_(rows) if is_large(rows) else rows.clone()


def select(rows: Tensor, index: Tensor) -> Tensor:
    """Some of the rows, in the order of their places."""
    size = len(index) * prod(rows.shape[1:]) * rows.dtype.itemsize
    if size < LARGE or rows.device.type != "cpu":
        return rows[index]
    found = zeros((len(index), *rows.shape[1:]), rows.dtype)
    for start in range(0, len(index), AT_ONCE):
        found[start : start + AT_ONCE] = rows[index[start : start + AT_ONCE]]
    return found


def each(function: Callable[..., Tensor], *parts: Tensor) -> Tensor:
    """Apply a function of rows to all rows, of large tensors to some rows at a time.

    Args:
        function: of as many tensors as there are parts, whose result has a row for each of theirs that depends on
            that row alone.
        parts: tensors of N rows.
    """
    if not any(map(is_large, parts)):
        return function(*parts)
    found = torch.zeros(0)
    for start in range(0, len(parts[0]), AT_ONCE):
        made = function(*(part[start : start + AT_ONCE] for part in parts))
        if not start:
            found = zeros((len(parts[0]), *made.shape[1:]), made.dtype)
        found[start : start + AT_ONCE] = made
    return found


def spaced(values: Tensor) -> Tensor:
    """All rows of a small tensor; of a large one every k-th, of which the file would not be needed."""
    size = values.numel() * values.dtype.itemsize
    return values[:: -(-size // LARGE)] if size >= LARGE else values


def is_large(rows: Tensor) -> bool:
    """True for tensors that are kept in files: large ones on the processor."""
    return rows.device.type == "cpu" and rows.numel() * rows.dtype.itemsize >= LARGE


__all__ = ["copy", "each", "is_large", "select", "spaced", "zeros"]
