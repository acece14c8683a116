"""Vision-language models, by name.

torch and open_clip take seconds to import, so that only the functions that need them do: a name is understood at once.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open

from zerolabel.errors import InputError, nearest
from zerolabel.files import strict_json
from zerolabel.files.downloads import check_hash, reachable
from zerolabel.vlms import prompts
from zerolabel.vlms.names import ModelName, is_encoder, of_open_clip

if TYPE_CHECKING:
    import torch

    from zerolabel.data.images import ImageSet
    from zerolabel.data.views.preprocess import Preprocess
    from zerolabel.vlms.clip import DualEncoder
    from zerolabel.vlms.encoder import Encoder

DEFAULT_PHOTO_VLM = "open_clip:ViT-B-32-256/datacomp_s34b_b86k"
"""For photographs: weights under the MIT license, which may be used in products and passed on.

151 M parameters (about 600 MB), 64 patches per image. In open_clip's table of zero-shot accuracy it has 72.8% on
ImageNet and 96.5% on CIFAR-10, where ViT-B-32/laion2b_s34b_b79k has 66.6% and 93.6% at nearly the same cost, and
ViT-B-16/datacomp_xl_s13b_b90k 73.5% and 96.2% at three times the time per image. SigLIP B/16 (Apache-2.0) costs as
much as the latter and needs the package transformers; the weights of MobileCLIP are licensed for research alone.
"""

_CONFIG, _WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
_TOKENIZER = ["tokenizer*", "special_tokens_map.json", "vocab*", "merges.txt", "*.model"]


def load(
    spec: str, device: "str | torch.device" = "cpu", precision: str = "auto", feature_precision: str = "float32"
) -> "Encoder":
    """Load a model, in eval mode and frozen. Weights are read from safetensors alone; no pickle is ever loaded.

    Args:
        spec: one of

            - ``"glyphs"``: the small one inside this package, which reads written characters;
            - ``"open_clip:ARCH/PRETRAINED"``: a model of open_clip's list, downloaded once;
            - ``"open_clip:FOLDER"``: a folder with ``open_clip_config.json`` and weights, or the weights file in it;
            - ``"hf-hub:ORG/NAME"``: an open_clip model on the Hugging Face hub, downloaded once;
            - ``"embeddings:FOLDER"``: image embeddings in the place of an encoder, see
              `zerolabel.data.embeddings.open_embeddings`; behind an ``@`` the model, one of these, that encodes texts,
              or a file of class embeddings, where the folder does not say what made it;
            - ``"adapted:FOLDER"``: one of these with what `zerolabel adapt` learned of it.
        device: where to put it.
        precision: in which images are encoded: "float32", "bfloat16", or "auto" for what is fastest on the device.
        feature_precision: in which features are stored: "float32", or "float16" to halve the space.

    Raises:
        InputError: there is no such model, it has no safetensors weights, or it cannot be downloaded.
    """
    from zerolabel.vlms.clip import DualEncoder

    found = _load(spec, device)
    return found.with_precision(precision, feature_precision) if isinstance(found, DualEncoder) else found


def _load(spec: str, device: "str | torch.device") -> "Encoder":
    name = ModelName.parse(spec)
    if name.kind == "glyphs":
        return _glyphs(device)
    if name.kind == "open_clip":
        return _open_clip(spec, name.rest, device)
    if name.kind == "hf-hub":
        return _from_folder(spec, _download(name.rest, spec), device)
    if name.kind == "embeddings":
        from zerolabel.vlms import embedded

        return embedded.load(spec, name.rest, lambda base: load_model(base, device))
    if name.kind == "adapted":
        from zerolabel.vlms import adapted

        return adapted.load(spec, name.path, lambda base: _load(base, device))
    raise InputError(f"--vlm {spec}: a chat model has no image encoder; it can only annotate.")


def default_name(images: "ImageSet") -> str:
    """The model that annotates where none is named: the images' own embeddings where they have no pixels."""
    return DEFAULT_PHOTO_VLM if images.embeddings is None else str(images.root)


def load_model(spec: str, device: "str | torch.device" = "cpu") -> "DualEncoder":
    """As `load`, a model that encodes images.

    Raises:
        InputError: as `load`, or the images of this one are embeddings.
    """
    from zerolabel.vlms.clip import DualEncoder

    found = load(spec, device)
    if isinstance(found, DualEncoder):
        return found
    raise InputError(
        f"--vlm {spec} has embeddings and encodes no image; name the model itself, such as open_clip:MODEL."
    )


def templates(spec: str, source: str | None) -> tuple[str, ...]:
    """The prompt templates that a user asked for, or the model's own where nothing was asked.

    Args:
        spec: how the model is named.
        source: what `zerolabel.vlms.prompts.load_templates` takes, ``"glyphs"`` for that model's; None or
            ``"default"`` for the model's own.
    """
    source = None if source == "default" else source
    if source == "glyphs" or (source is None and spec == "glyphs"):
        return prompts.CHARACTERS
    name = ModelName.parse(spec)
    if name.kind == "adapted" and source is None:
        from zerolabel.vlms import adapted

        return adapted.templates(name.path)
    if name.kind == "embeddings":
        return _templates_of_embeddings(spec, name.rest, source)
    if name.kind == "chat":
        from zerolabel.vlms import chat

        return chat.TEMPLATES if source is None else prompts.load_templates(source)
    return prompts.TEMPLATES["generic"] if source is None else prompts.load_templates(source)


def is_cached(spec: str) -> bool:
    """True if a model can be loaded without a download."""
    name = ModelName.parse(spec)
    if name.kind == "glyphs" or (name.kind == "open_clip" and name.path.exists()):
        return True
    if name.kind == "chat":
        return False
    if name.kind == "embeddings":
        from zerolabel.vlms import embedded

        texts = embedded.texts_of(spec, name.rest)
        return not is_encoder(texts) or is_cached(texts)
    if name.kind == "adapted":
        from zerolabel.vlms import adapted

        return (name.path / adapted.RECORD).is_file() and is_cached(str(adapted.record(name.path)["base"]))
    hub = name.rest if name.kind == "hf-hub" else _repository(name.rest)
    return hub is not None and all(isinstance(try_to_load_from_cache(hub, f), str) for f in (_CONFIG, _WEIGHTS))


def _templates_of_embeddings(spec: str, rest: str, source: str | None) -> tuple[str, ...]:
    """Those of the model that encodes the texts, or names of the prompts in a file of class embeddings."""
    from zerolabel.data.embeddings.texts import ClassTexts
    from zerolabel.vlms import embedded

    texts = embedded.texts_of(spec, rest)
    if is_encoder(texts):
        return templates(texts, source)
    if source is not None:
        raise InputError(f"--templates {source}: the class embeddings {texts} have their prompts; leave it out.")
    return ClassTexts.open(texts).prompts


def hub_repository(spec: str) -> str | None:
    """The hub repository that holds the weights of a model; None of one that is not on the hub."""
    if not is_encoder(spec):
        return None
    name = ModelName.parse(spec)
    if name.kind == "hf-hub":
        return name.rest
    is_local = name.kind != "open_clip" or "/" not in name.rest or name.path.exists()
    return None if is_local else _repository(name.rest)


def _repository(model: str) -> str | None:
    """Hub repository of the weights that open_clip calls ``ARCH/PRETRAINED``; None if it has only pickles."""
    import open_clip

    architecture, _, tag = model.rpartition("/")
    name, _, pickle = open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", "").rpartition("/")
    return name if name and not pickle else None


def _glyphs(device: "str | torch.device") -> "DualEncoder":
    from zerolabel.data.views.preprocess import Preprocess
    from zerolabel.vlms import glyphs
    from zerolabel.vlms.clip import DualEncoder

    model, preprocess, tokenizer = glyphs.load()
    levels = glyphs.CONFIG["preprocess_cfg"]
    config = {**glyphs.CONFIG, "characters": (levels["mean"][0], levels["std"][0])}
    view = Preprocess(config["vision_cfg"]["image_size"], (0.0,) * 3, (1.0,) * 3, interpolation="bicubic")
    return DualEncoder("glyphs", _frozen(model, device), preprocess, tokenizer, config, view)


def _open_clip(spec: str, rest: str, device: "str | torch.device") -> "DualEncoder":
    import open_clip

    path = Path(rest).expanduser()
    if path.exists():
        return _from_folder(spec, path, device)
    architecture, _, tag = rest.rpartition("/")
    known = open_clip.list_models()
    if architecture not in known:
        if rest.startswith((".", "/", "~")) or path.suffix:
            raise InputError(f"--vlm {spec}: there is no folder or file {path}; check the path.")
        like = of_open_clip(rest)
        hint = nearest(architecture or rest, known) if like is None else f"; did you mean {like}?"
        hint = hint if "did you mean" in hint else "; open_clip.list_pretrained() in Python lists them."
        raise InputError(f"--vlm {spec}: open_clip has no model {architecture or rest!r}{hint}")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags:
        raise InputError(f"--vlm {spec}: open_clip has no weights {tag!r} for {architecture}{nearest(tag, tags)}")
    repository = _repository(rest)
    if repository is None:
        raise InputError(
            f"--vlm {spec}: these weights exist only as pickle, which is never loaded; choose other weights."
        )
    return _from_folder(spec, _download(repository, spec), device)


def _download(repository: str, spec: str) -> Path:
    """The folder of a hub repository in the local cache, fetched where it is not there yet."""
    patterns = [_CONFIG, _WEIGHTS, *_TOKENIZER]
    try:
        folder = Path(snapshot_download(repository, allow_patterns=patterns, local_files_only=True))
        if (folder / _CONFIG).is_file() and (folder / _WEIGHTS).is_file():
            return folder
    except LocalEntryNotFoundError:
        pass
    except ValueError:
        raise InputError(f"--vlm {spec}: {repository!r} is not a repository name; write hf-hub:ORG/NAME.") from None
    if constants.HF_HUB_OFFLINE or not reachable(constants.ENDPOINT):
        raise InputError(
            f"--vlm {spec} is not on this machine and the network cannot be reached; {_carried(repository)}."
        )
    try:
        folder = Path(snapshot_download(repository, allow_patterns=patterns))
        if (folder / _WEIGHTS).is_file():
            check_hash(folder / _WEIGHTS)
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise InputError(f"--vlm {spec}: the hub refuses {repository} (HTTP {status}); check its name.") from None
    except Exception as error:  # the client of the hub raises those of the library beneath it
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"--vlm {spec} could not be downloaded ({reason}); {_carried(repository)}.") from None
    for name in (_CONFIG, _WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"--vlm {spec}: {repository} has no {name}, and no pickle is ever loaded; choose another.")
    return folder


def _carried(repository: str) -> str:
    """Instructions for copying a model from a machine with access to the hub."""
    return (
        f"where it can, run `pip install huggingface_hub` and `hf download {repository} --exclude '*.bin' --local-dir "
        f"model`, copy the folder model ({_CONFIG}, {_WEIGHTS}, the tokenizer's files) to this machine, and give --vlm "
        "open_clip:model, the path of the copy"
    )


def _from_folder(spec: str, path: Path, device: "str | torch.device") -> "DualEncoder":
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    from zerolabel.networks.architecture import check_vision
    from zerolabel.vlms.clip import DualEncoder

    folder, weights = (path.parent, path) if path.is_file() else (path, _weights(spec, path))
    if weights.suffix != ".safetensors":
        raise InputError(f"--vlm {spec}: {weights.name} is not .safetensors, and no pickle is ever loaded; convert it.")
    source = f"local-dir:{folder}"
    try:
        architecture = strict_json.read(folder / _CONFIG)["model_cfg"]
        check_vision(architecture.get("vision_cfg"))
        with safe_open(weights, "pt"):
            pass
        with _quiet():
            model = open_clip.create_model(source, load_weights=False, pretrained_text=False)
        open_clip.load_checkpoint(model, str(weights))
        tokenizer = open_clip.get_tokenizer(source)
    except FileNotFoundError:
        raise InputError(f"--vlm {spec}: {folder} lacks {_CONFIG}, which describes the model; add it.") from None
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError, OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"--vlm {spec}: {folder} holds no usable open_clip model ({reason}); download it again."
        ) from None
    except ImportError:
        raise InputError(f"--vlm {spec}: its tokenizer needs another package; run: pip install transformers") from None
    config = PreprocessCfg(**model.visual.preprocess_cfg)
    preprocess = image_transform_v2(config, is_train=False)
    return DualEncoder(spec, _frozen(model, device), preprocess, tokenizer, architecture, _view(config))


def _view(config: Any) -> "Preprocess":
    """The preprocessing of an open_clip model as an eval view, for a student that keeps its image encoder."""
    from zerolabel.data.views.preprocess import Preprocess

    side = config.size if isinstance(config.size, int) else config.size[0]
    fit = "crop" if config.resize_mode == "shortest" else "squash"
    kernel = "bilinear" if config.interpolation == "bilinear" else "bicubic"
    (red, green, blue), (red_spread, green_spread, blue_spread) = config.mean, config.std
    mean, std = (float(red), float(green), float(blue)), (float(red_spread), float(green_spread), float(blue_spread))
    return Preprocess(side, mean, std, fit, kernel)


def _frozen(model: Any, device: "str | torch.device") -> Any:
    return model.to(device).eval().requires_grad_(False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence open_clip's warning that a model starts with random weights; they are loaded right after."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _weights(spec: str, folder: Path) -> Path:
    if (folder / _WEIGHTS).is_file():
        return folder / _WEIGHTS
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return found[0]
    problem = (
        "several .safetensors files; name one" if found else f"no {_WEIGHTS}, and no pickle is ever loaded; add it"
    )
    raise InputError(f"--vlm {spec}: {folder} holds {problem}.")
