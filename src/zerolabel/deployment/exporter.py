"""torch's own exporter to ONNX: quietly, without traces of this machine, and without memory that it would keep."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import onnx
import torch
from torch import nn

from zerolabel.deployment.traces import released

OPSET = 18  # the first with an antialiased Resize


def exported(module: nn.Module, shape: tuple[int, ...], given: str, result: str) -> onnx.ModelProto:
    """A module's graph as torch exports it, of one input and one output; the size of the batch is free.

    Args:
        module: in eval mode, on the processor.
        shape: of the input for one image.
        given: name of the input.
        result: name of the output.
    """
    with quiet(), torch.no_grad(), released() as programs:
        program = torch.onnx.export(
            module,
            (torch.rand(2, *shape),),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("N")},),
            input_names=[given],
            output_names=[result],
            verbose=False,
        )
        assert program is not None
        if program.exported_program is not None:
            programs.append(program.exported_program)
        model: onnx.ModelProto = program.model_proto
    _strip(model)
    return model


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter writes about the machine it ran on: stack traces with the paths of files."""
    model.doc_string = ""
    del model.graph.metadata_props[:], model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's progress and warnings off the screen; its errors are raised all the same."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


__all__ = ["OPSET", "exported", "quiet"]
