"""A classifier, and the annotations it learned from, on the Hugging Face Hub: pushed and pulled by the hub's client.

A model repository holds the model card, the ONNX file with ``classes.json`` and script, and the classifier; a data set
repository of the same name with ``-annotations`` behind it holds a data set with Croissant metadata. The report, which
shows images, stays here. The token is the one that the client finds (``HF_TOKEN`` or ``hf auth login``).
"""

import filecmp
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token, snapshot_download

from zerolabel.errors import InputError
from zerolabel.errors.redaction import without
from zerolabel.files import replacing, strict_json
from zerolabel.files.downloads import check_hash, reachable
from zerolabel.files.leftovers import sweep
from zerolabel.version import __version__

CARD, SCRIPT = "README.md", "predict.py"
CONFIG, WEIGHTS = "classifier/config.json", "classifier/model.safetensors"
PULLED = (CARD, "classifier.onnx", "classes.json", CONFIG, WEIGHTS)
DATA_SET = "-annotations"
_FRONT = re.compile(r"---\n(.*?\n)---\n", re.DOTALL)


@dataclass(frozen=True)
class Pushed:
    """A commit on the hub.

    Attributes:
        url: of the commit.
        files: names in the repository.
        annotations_url: of the commit in the data set repository; none where annotations were not asked for.
    """

    url: str
    files: tuple[str, ...]
    annotations_url: str | None = None


def push(
    folder: Path,
    repository: str,
    *,
    license: str | None = None,
    datasets: Sequence[str] = (),
    annotations: bool = False,
    public: bool = False,
) -> Pushed:
    """Write a run's classifier into a model repository, in one commit; the repository is made where it is missing.

    Args:
        folder: of a finished run, or one that `pull` made.
        repository: ``ORG/NAME``.
        license: identifier for the card, such as ``apache-2.0``; without one the card names none.
        datasets: names of data sets for the card, beside those it names already.
        annotations: also write ``annotations.parquet`` into the data set repository ``ORG/NAME-annotations``.
        public: make a new repository public; an existing one stays as it is.

    Raises:
        InputError: the folder has no classifier, there is no network or no token, or the hub refuses.
    """
    files = [name for name in (*PULLED, SCRIPT) if (folder / name).is_file()]
    lacking = {CONFIG, WEIGHTS} - set(files)
    if lacking:
        raise InputError(f"{folder} lacks {min(lacking)}; give the folder of a finished run.")
    votes = folder / "annotations.parquet"
    if annotations and not votes.is_file():
        raise InputError(f"{folder} lacks {votes.name}; leave out --annotations, or give the folder of the run.")
    _check_name(repository)
    _check_network("nothing was pushed")
    if get_token() is None:
        raise InputError(
            "pushing needs a token of the hub: run `hf auth login`, or set HF_TOKEN to one that may write."
        )
    text = (folder / CARD).read_text(encoding="utf-8") if CARD in files else ""
    written = with_header(text, {"license": license, "datasets": list(datasets)})
    content: dict[str, Path | bytes] = {name: folder / name for name in files}
    content |= {CARD: written.encode()} if written else {}
    with _in_a_sentence(repository, "pushed"):
        url = _commit(repository, content, "model", public)
        more = None
        if annotations:
            with tempfile.TemporaryDirectory() as made:
                data = {path.name: path for path in _data_set(votes, Path(made), license)}
                more = _commit(repository + DATA_SET, data, "dataset", public)
    return Pushed(url, tuple(sorted(content)), more)


def pull(repository: str, folder: Path, *, annotations: bool = False, revision: str | None = None) -> tuple[Path, ...]:
    """Read what `push` wrote; offline from the cache of the hub's client, where it was pulled before.

    Nothing that runs is taken: ``predict.py`` is written by this package, and other files of the repository stay there.

    Args:
        repository: ``ORG/NAME``.
        folder: new, empty, or of a pull of the same files that was stopped; becomes like that of a run.
        annotations: also read the data set ``ORG/NAME-annotations`` into ``annotations/``.
        revision: branch, tag or commit of the model; by default the newest.

    Returns:
        The files that were written.

    Raises:
        InputError: the folder holds other files, the repository cannot be had, or it holds no classifier of this
            package.
    """
    _check_name(repository)
    _check_folder(folder, lambda path: path.relative_to(folder).parts[0] in (*PULLED, "classifier", "annotations"))
    online = not constants.HF_HUB_OFFLINE and reachable(constants.ENDPOINT)
    source = _snapshot(repository, "model", PULLED, online, revision)
    _check_classifier(repository, source)
    found = {folder / name: source / name for name in PULLED if (source / name).is_file()}
    if annotations:
        from zerolabel.integrations import croissant

        names = (CARD, croissant.DATA, croissant.METADATA)
        data = _snapshot(repository + DATA_SET, "dataset", names, online, None)
        croissant.checked(data)
        found |= {folder / "annotations" / name: data / name for name in names if (data / name).is_file()}
    _check_folder(folder, lambda path: path in found and filecmp.cmp(path, found[path], shallow=False))
    kind = "embeddings" if strict_json.read(source / CONFIG).get("preprocess") is None else "onnx"
    found[folder / SCRIPT] = Path(__file__).with_name(f"predict_{kind}.py")
    sweep(folder, deep=True)
    for target, file in found.items():
        with replacing(target) as partial:
            shutil.copyfile(file, partial)
    return tuple(found)


def with_header(card: str, entries: dict[str, Any]) -> str:
    r"""A card whose YAML header has these entries too: lists grow, other values are replaced, and empty ones left out.

    >>> print(with_header("---\ntags:\n- a\n---\n# Title\n", {"license": "mit", "tags": ["b"], "datasets": []}))
    ---
    license: mit
    tags:
    - a
    - b
    ---
    # Title
    <BLANKLINE>
    """
    front = _FRONT.match(card)
    header: dict[str, Any] = (yaml.safe_load(front[1]) if front else None) or {}
    for name, value in entries.items():
        if isinstance(value, list):
            value = list(dict.fromkeys([*header.get(name, []), *value]))
        if value:
            header = {**header, name: value} if name in header else {name: value, **header}
    if not header:
        return card
    text: str = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---\n{card[front.end() :] if front else card}"


def _commit(repository: str, content: dict[str, Path | bytes] | dict[str, Path], kind: str, public: bool) -> str:
    api = HfApi(library_name="zerolabel", library_version=__version__)
    api.create_repo(repository, repo_type=kind, private=not public, exist_ok=True)
    adds = [CommitOperationAdd(name, str(one) if isinstance(one, Path) else one) for name, one in content.items()]
    done = api.create_commit(repository, adds, commit_message=f"Push by zerolabel {__version__}", repo_type=kind)
    return str(done.commit_url)


def _data_set(votes: Path, folder: Path, license: str | None) -> list[Path]:
    """The files of the data set: parquet, Croissant metadata and card."""
    from zerolabel.annotations import Annotations
    from zerolabel.integrations import croissant

    annotations = Annotations.load(votes)
    croissant.write(annotations, folder, "")
    described = croissant.metadata(annotations, "")["description"]
    body = (
        f"\n# Annotations\n\n{described}\n\nThe images are not included; `file_name` is relative to their folder. "
        "`croissant.json` describes the columns.\n"
    )
    header = {
        "license": license,
        "task_categories": ["image-classification"],
        "tags": ["zerolabel", "weak-supervision", "croissant"],
        "configs": [{"config_name": "default", "data_files": croissant.DATA}],
    }
    text: str = yaml.safe_dump({k: v for k, v in header.items() if v}, sort_keys=False, allow_unicode=True)
    (folder / CARD).write_text(f"---\n{text}---\n{body}", encoding="utf-8")
    return sorted(folder.iterdir())


def _snapshot(repository: str, kind: str, names: Sequence[str], online: bool, revision: str | None) -> Path:
    """The folder in the client's cache, each large file held against its hash when it was fetched."""
    with _in_a_sentence(repository, "pulled"):
        folder = Path(
            snapshot_download(
                repository, repo_type=kind, revision=revision, allow_patterns=list(names), local_files_only=not online
            )
        )
        for name in names if online else ():
            if (folder / name).is_file():
                check_hash(folder / name)
    return folder


def _check_classifier(repository: str, folder: Path) -> None:
    """The classifier's two files are there and belong together; the rest is checked where it is loaded."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"{repository} has no {name}, so zerolabel cannot read it; check its name.")
    try:
        stated = strict_json.read(folder / CONFIG)["weights_sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        stated = None
    with (folder / WEIGHTS).open("rb") as stream:
        if stated != hashlib.file_digest(stream, "sha256").hexdigest():
            raise InputError(f"{repository} is damaged: {WEIGHTS} is not the file that {CONFIG} names; push it again.")


def _check_folder(folder: Path, allowed: Callable[[Path], bool]) -> None:
    """The folder is new or empty, or every file in it is allowed or half written."""
    found = (path for path in folder.rglob("*") if not path.is_dir() and path.suffix != ".partial")
    if folder.exists() and not (folder.is_dir() and all(map(allowed, found))):
        raise InputError(f"{folder} exists and is not empty; give another --output.")


def _check_name(repository: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repository) or re.search(r"--|\.\.", repository):
        raise InputError(f"{repository!r} is not the name of a repository; write ORG/NAME.")


def _check_network(outcome: str) -> None:
    if constants.HF_HUB_OFFLINE:
        raise InputError(f"HF_HUB_OFFLINE is set, so that {outcome}; unset it to use the network.")
    if not reachable(constants.ENDPOINT):
        raise InputError(
            f"the hub at {constants.ENDPOINT} cannot be reached, so that {outcome}; try again where there is a network."
        )


@contextmanager
def _in_a_sentence(repository: str, done: str) -> Iterator[None]:
    """Errors of the hub and its client become one sentence without the token."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # the client of the hub raises those of the library beneath it
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            text = (
                f"the hub refuses {repository} (HTTP {status}); run `hf auth login`, or set HF_TOKEN to a token with "
            )
            raise InputError(text + "access to it.") from None
        if status is not None:
            raise InputError(f"the hub refuses {repository} (HTTP {status}); check its name.") from None
        lines = without(str(error), [get_token() or ""]).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise InputError(f"{repository} could not be {done} ({reason}); check the network and try again.") from None


__all__ = ["Pushed", "pull", "push", "with_header"]
