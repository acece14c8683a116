"""Export annotations to a file of another tool, and import such a file."""

from dataclasses import replace
from pathlib import Path

import torch

from zerolabel.annotations import Annotations, Annotator
from zerolabel.errors import InputError, nearest
from zerolabel.integrations.joining import add_votes
from zerolabel.integrations.table import INTEGRATIONS, Integration

SAID_BY = ("person", "votes")
"""Sources of the labels in a file."""


def export_labels(annotations: Annotations, kind: str, path: Path, prefix: str = "") -> Path:
    """Write annotations for another tool.

    Args:
        annotations: votes, scores and candidates.
        kind: a name of `INTEGRATIONS`.
        path: the file, or the folder where the kind is one; without an extension it gets the first one of the kind.
        prefix: folder or URL that goes before the file names, for kinds that say where the images are; others have no
            use for it, so that the same options do for all.

    Returns:
        The path that was written.

    Raises:
        InputError: there is no such kind, its file has another extension, or it cannot be written.
    """
    path = with_ending(kind, path)
    integration = find(kind, path)
    integration.write(annotations, path, prefix)
    return path


def import_labels(annotations: Annotations, kind: str, path: Path, said_by: str = "person") -> Annotations:
    """Take what another tool wrote into the annotations of the same images.

    Votes and scores become further annotators, and the candidates are formed again by the same rule. A label
    given by humans becomes a human label: a candidate set of one that nothing overrules.

    Args:
        annotations: of the images that the file speaks of.
        kind: a name of `INTEGRATIONS`.
        path: the file; without an extension, where there is no such file, the first one of the kind is added.
        said_by: "person" for labels that are human labels; "votes" for those of a model, which become the votes of one
            further annotator, called by the name of the file.

    Raises:
        InputError: there is no such kind or file, it is damaged, or it does not fit the images or classes.
    """
    path = path if path.exists() else with_ending(kind, path)
    integration = find(kind, path)
    if said_by not in SAID_BY:
        raise InputError(
            f"--as {said_by}: labels are taken as those of a person or as votes{nearest(said_by, SAID_BY)}"
        )
    if not path.exists():
        raise InputError(f"there is no file {path}; check the path.")
    if said_by == "person":
        return integration.read(annotations, path)
    nothing = torch.full_like(annotations.labels, -1)
    read = integration.read(replace(annotations, labels=nothing), path)
    unlabeled, votes = replace(read, labels=annotations.labels), read.labels[:, None]
    if not bool((votes >= 0).any()):
        return unlabeled.with_labels(annotations.labels)
    return add_votes(unlabeled, votes, [Annotator(kind, "", path.name)])


def with_ending(kind: str, path: Path) -> Path:
    """The path with the first extension of a kind, where it has none."""
    endings = INTEGRATIONS[kind].endings if kind in INTEGRATIONS else ()
    return path.with_name(path.name + endings[0]) if endings and not path.suffix else path


def find(kind: str, path: Path) -> Integration:
    """The integration of that name, for a file with one of its extensions.

    Raises:
        InputError: there is none, or the extension is another.
    """
    if kind not in INTEGRATIONS:
        raise InputError(f"there is no kind '{kind}'{nearest(kind, INTEGRATIONS)}")
    integration = INTEGRATIONS[kind]
    if integration.endings and path.suffix.lower() not in integration.endings:
        raise InputError(f"{path} has no extension of {kind}; name the file {' or '.join(integration.endings)}.")
    return integration


__all__ = ["SAID_BY", "export_labels", "import_labels"]
