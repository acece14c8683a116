"""A data set of annotations with Croissant metadata (MLCommons, Croissant format specification 1.0).

A folder: ``data.parquet``, the file of `zerolabel.integrations.hugging_face`, and ``croissant.json``, which says in
JSON-LD what every column is and holds the file's checksum, so that catalogs and loaders that know no column of ours can
read it.
"""

import hashlib
from pathlib import Path
from typing import Any

from zerolabel.annotations import Annotations
from zerolabel.errors import InputError
from zerolabel.files import strict_json, write_text, writing
from zerolabel.files.plain_json import dumps
from zerolabel.integrations import hugging_face
from zerolabel.integrations.joining import unique_names

DATA, METADATA = "data.parquet", "croissant.json"
STANDARD = "http://mlcommons.org/croissant/1.0"
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "recordSet": "cr:recordSet",
    "repeated": "cr:repeated",
    "sc": "https://schema.org/",
    "source": "cr:source",
}
FIELDS = {
    "file_name": ("sc:Text", False, "Name of the image."),
    "candidates": ("sc:Integer", True, "Class ids of the candidate set."),
    "votes": ("sc:Integer", True, "Class id that each annotator ranks first; -1 is an abstention."),
    "scores": ("sc:Float", True, "Probability of each class, in the order of the class names."),
    "label": ("sc:Integer", False, "Class id given by a person; empty where nobody did."),
}
"""Columns of the file: type, True for a list, meaning."""


def metadata(annotations: Annotations, checksum: str) -> dict[str, Any]:
    """JSON-LD of the data set.

    Args:
        annotations: whose classes, annotators and rule are described.
        checksum: SHA-256 of the parquet file, in hexadecimal.
    """
    classes = [{"classes/id": i, "classes/name": name} for i, name in enumerate(annotations.classes)]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": "annotations",
        "conformsTo": STANDARD,
        "description": (
            f"Annotations of {len(annotations)} images with {len(annotations.classes)} classes by "
            f"{', '.join(unique_names(annotations.annotators)) or 'nobody'}; candidate sets by {annotations.rule}."
        ),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "data",
                "name": "data",
                "contentUrl": DATA,
                "encodingFormat": "application/x-parquet",
                "sha256": checksum,
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "key": {"@id": "images/file_name"},
                "field": [field(name, *about) for name, about in FIELDS.items()],
            },
            {
                "@type": "cr:RecordSet",
                "@id": "classes",
                "name": "classes",
                "dataType": "sc:Enumeration",
                "key": {"@id": "classes/id"},
                "field": [
                    {"@type": "cr:Field", "@id": f"classes/{name}", "name": name, "dataType": kind}
                    for name, kind in (("id", "sc:Integer"), ("name", "sc:Text"))
                ],
                "data": classes,
            },
        ],
    }


def field(name: str, kind: str, is_list: bool, meaning: str) -> dict[str, Any]:
    """A column of the file as a field."""
    found: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"images/{name}",
        "name": name,
        "description": meaning,
        "dataType": kind,
        "source": {"fileObject": {"@id": "data"}, "extract": {"column": name}},
    }
    return found | ({"repeated": True} if is_list else {})


def write(annotations: Annotations, path: Path, prefix: str) -> None:
    """Write both files into a folder."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    hugging_face.write(annotations, path / DATA, prefix)
    write_text(path / METADATA, dumps(metadata(annotations, _checksum(path / DATA)), indent=1) + "\n")


def read(annotations: Annotations, path: Path) -> Annotations:
    """Read the data of a folder that `write` made, or of one with the same columns.

    Raises:
        InputError: there is no metadata, it names another file, the checksum is another, or the data does not fit.
    """
    return hugging_face.read(annotations, checked(path))


def checked(path: Path) -> Path:
    """The parquet file that a folder's metadata describes, after its checksum has been compared.

    Raises:
        InputError: there is no metadata, it names another file, or the checksum is another.
    """
    described = path / METADATA
    if not described.is_file():
        raise InputError(f"{path} has no {METADATA}; give the folder of a data set with Croissant metadata.")
    try:
        (entry,) = [
            one
            for one in strict_json.read(described)["distribution"]
            if one.get("encodingFormat") == "application/x-parquet"
        ]
        name, checksum = str(entry["contentUrl"]), str(entry["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError):
        raise InputError(f"{described} does not describe one parquet file; export the data set again.") from None
    if Path(name).name != name or not (path / name).is_file():
        raise InputError(f"{described} names {name}, which is not a file beside it; put it there.")
    if _checksum(path / name) != checksum:
        raise InputError(f"{path / name} is not the file that {METADATA} describes; export the data set again.")
    return path / name


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
