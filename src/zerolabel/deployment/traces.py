"""Gives back the memory that torch keeps of every export.

An export describes its shapes in a `ShapeEnv`, which three things keep for as long as the process lives, about 1 MB for
a small network, so that a service that trains one classifier after another grows without end:

- a cycle through the sizes of a fake tensor, which C++ holds, so that Python's collector cannot see it;
- caches of methods of `ShapeEnv`, without a limit, keyed by the object itself;
- the source of every graph that was compiled to a module, for tracebacks.

Clearing costs other traces in this process only the time to fill the caches again.
"""

import linecache
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.export import ExportedProgram
from torch.fx import graph_module
from torch.fx.experimental.symbolic_shapes import ShapeEnv


@contextmanager
def released() -> Iterator[list[ExportedProgram]]:
    """A list for the programs that are exported inside; what torch keeps of them is gone afterward."""
    sources: dict[str, str] = getattr(getattr(graph_module, "_loader", None), "eval_cache", {})
    before, programs = set(sources), list[ExportedProgram]()
    try:
        yield programs
    finally:
        for shapes in (shapes for program in programs for shapes in _shapes(program)):
            if shapes.tracked_fakes is not None:
                shapes.tracked_fakes.clear()
        for method in vars(ShapeEnv).values():
            if hasattr(method, "cache_clear"):
                method.cache_clear()
        for name in set(sources) - before:
            sources.pop(name, None)
            linecache.cache.pop(name, None)


def _shapes(program: ExportedProgram) -> Iterator[ShapeEnv]:
    """The descriptions of shapes that the values of a program refer to."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        mode = getattr(value, "fake_mode", None) if isinstance(value, torch.Tensor) else None
        if mode is not None and mode.shape_env is not None:
            yield mode.shape_env


__all__ = ["released"]
