"""Backbones through torch.compile, for trainings that are long enough to repay it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from zerolabel.errors import InputError
from zerolabel.networks.base import Network


@contextmanager
def compiled(module: nn.Module, wanted: bool = True, backend: str | Callable[..., Any] = "inductor") -> Iterator[None]:
    """Compile in place the backbone of every network in a module; each is compiled when it is first called.

    Names and values of weights stay, a deep copy is not compiled, and a compiled backbone can be exported.

    Args:
        module: a learner with its networks and their momentum copies.
        wanted: whether to compile at all.
        backend: of torch.compile.

    Raises:
        InputError: inside, if a backbone cannot be compiled here, for instance without a C++ compiler.
    """
    if wanted:
        torch.compiler.reset()  # else what earlier trainings compiled counts toward torch's limit of variants
    for part in module.modules() if wanted else ():
        if isinstance(part, Network):
            part.backbone.compile(backend=backend)
    try:
        yield
    except TorchDynamoException as error:
        reason = " ".join(str(error).split("\n", 2)[:2]).rstrip(".: ")
        raise InputError(f"compile=true: torch cannot compile the network here ({reason}); leave it out.") from None
