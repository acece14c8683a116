"""From what a user names to the embeddings in it."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from zerolabel.data.embeddings import own, vectors
from zerolabel.data.embeddings.embeddings import Embeddings
from zerolabel.data.embeddings.vectors import Block
from zerolabel.errors import InputError
from zerolabel.errors.printable import cut
from zerolabel.files import parquet
from zerolabel.files.delimited import FILE_COLUMNS, decoded, find_column, rows

IMAGES, METADATA = "img_emb", "metadata"
"""Folders of clip-retrieval."""
_NAMES = (*FILE_COLUMNS, "url", "key")
_LISTS = (".txt", ".csv", ".tsv", ".parquet")
_MATRICES = (".npy", ".safetensors")
_KINDS = (
    "a folder of `zerolabel embed`, one of clip-retrieval (img_emb and metadata), a .parquet with a column of vectors, "
    "or a .npy or .safetensors with a list of file names of the same name beside it"
)


def split(text: str) -> tuple[str, str | None]:
    """The images' embeddings and, after an ``@``, where text features come from; none where it is not said."""
    source, at, texts = text.rpartition("@")
    if not at or Path(text).expanduser().exists():
        return text, None
    return source, texts


def open_embeddings(source: str) -> Embeddings:
    """Open embeddings; vectors are read when they are asked for.

    Args:
        source: one of

            - a folder that `zerolabel embed` wrote;
            - a folder of clip-retrieval: ``img_emb/*.npy`` and ``metadata/*.parquet``;
            - a .parquet with a column of vectors and one of file names, or a folder of such files;
            - a .npy or .safetensors of N x D, or a folder of such files, each beside a .txt, .csv, .tsv or .parquet of
              the same name with a file name per row.

    Raises:
        InputError: there are none, they cannot be read, or names and vectors do not fit.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise InputError(f"there is no folder or file of embeddings {source}; check the path.")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return _opened(source, path, tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=4)
def _opened(source: str, path: Path, stamp: tuple[tuple[str, int, int], ...]) -> Embeddings:
    if (path / own.RECORD).is_file():
        return own.read(source, path)
    if (path / IMAGES).is_dir():
        return _of_clip_retrieval(source, path)
    files = [path] if path.is_file() else in_order([file for file in path.iterdir() if not file.name.startswith(".")])
    matrices = [file for file in files if file.suffix.lower() in _MATRICES]
    if matrices:
        blocks = [vectors.of_npy(f) if f.suffix.lower() == ".npy" else vectors.of_safetensors(f) for f in matrices]
        names = [_beside(block, alone=len(matrices) == 1) for block in blocks]
    else:
        tables = [file for file in files if file.suffix.lower() == ".parquet"]
        columns = {file: vectors.vector_column(_schema(file)) for file in tables}
        if not tables or None in columns.values():
            raise InputError(f"{source} holds no embeddings; give {_KINDS}.")
        names = [_listed(file) for file in tables]
        blocks = [vectors.of_parquet(file, str(column)) for file, column in columns.items()]
    return Embeddings(source, tuple(name for part in names for name in part), tuple(blocks))


def in_order(files: Sequence[Path]) -> list[Path]:
    """Files by their names, numbers in them by their value: 2 before 10."""
    return sorted(files, key=lambda file: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", file.name)])


def _of_clip_retrieval(source: str, path: Path) -> Embeddings:
    files, tables = in_order([*(path / IMAGES).glob("*.npy")]), in_order([*(path / METADATA).glob("*.parquet")])
    if not files or len(files) != len(tables):
        raise InputError(
            f"{source} has {len(files)} files in {IMAGES} and {len(tables)} in {METADATA}; give a parquet file of "
            "names for each .npy."
        )
    blocks, names = [vectors.of_npy(file) for file in files], [_listed(table) for table in tables]
    for block, table, own_names in zip(blocks, tables, names, strict=True):
        _same_number(block, table, own_names)
    return Embeddings(source, tuple(name for part in names for name in part), tuple(blocks))


def _beside(block: Block, *, alone: bool) -> list[str]:
    """The names in the list beside a file; the only list of the folder where that file is alone."""
    path = block.path
    lists = [file for suffix in _LISTS if (file := path.with_suffix(suffix)).is_file()]
    if not lists and alone:
        lists = [file for file in in_order([*path.parent.iterdir()]) if file.suffix.lower() in _LISTS]
    if len(lists) != 1:
        found = " and ".join(file.name for file in lists) or "none"
        raise InputError(
            f"the embeddings {path} need one list of file names beside them, such as {path.stem}.txt, and there is "
            f"{found}; write a file name per row."
        )
    names = _listed(lists[0], len(block))
    _same_number(block, lists[0], names)
    return names


def _same_number(block: Block, table: Path, names: Sequence[str]) -> None:
    if len(block) != len(names):
        raise InputError(
            f"{block.path} has {len(block):,} rows and {table} {len(names):,} file names; give each row one name."
        )


def _schema(path: Path) -> pa.Schema:
    try:
        return parquet.schema(path)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read ({cut(reason, 200)}); write the file again.") from None


def _listed(path: Path, count: int | None = None) -> list[str]:
    """The file names in a list: a line each, or the column of that meaning, else the first; a first line may be a head.

    Raises:
        InputError: it cannot be read, or has no column of names.
    """
    if path.suffix.lower() == ".parquet":
        texts = [field.name for field in _schema(path) if _is_text(field.type)]
        place = find_column(texts, _NAMES)
        if place is None:
            known = ", ".join(texts) or "none of text"
            raise InputError(f"{path} has no column of file names (its columns: {known}); call one file_name.")
        column = parquet.read(path, [texts[place]])[texts[place]]
        return [str(value or "") for value in column.to_pylist()]
    try:
        text = decoded(path.read_bytes())
    except (OSError, InputError) as error:
        raise InputError(f"the list of file names {path} cannot be read ({error}); write a name per row.") from None
    if path.suffix.lower() == ".txt":
        return text.splitlines()
    table = [row for row in rows(text, path.suffix.lower()) if row]
    place = find_column(table[0], _NAMES) if table else None
    headed = place is not None or (count is not None and len(table) == count + 1)
    return [row[place or 0] if len(row) > (place or 0) else "" for row in table[headed:]]


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


__all__ = ["open_embeddings", "split"]
