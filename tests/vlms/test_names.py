"""The one parser of model names, and what it suggests to those who write them as other tools do."""

import pytest

from zerolabel.errors import InputError
from zerolabel.vlms.names import ModelName, is_chat, is_encoder


@pytest.mark.parametrize(
    ("text", "kind", "rest"),
    [
        ("glyphs", "glyphs", ""),
        ("open_clip:ViT-B-32/openai", "open_clip", "ViT-B-32/openai"),
        ("open_clip:C:/models/clip", "open_clip", "C:/models/clip"),
        ("hf-hub:timm/ViT-B-16-SigLIP", "hf-hub", "timm/ViT-B-16-SigLIP"),
        ("adapted:~/pets", "adapted", "~/pets"),
        ("chat:qwen2.5-vl:7b", "chat", "qwen2.5-vl:7b"),
    ],
)
def test_forms(text: str, kind: str, rest: str) -> None:
    assert ModelName.parse(text) == ModelName(kind, rest)  # type: ignore[arg-type]
    assert is_chat(text) == (kind == "chat") and is_encoder(text) == (kind != "chat")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("ViT-B-32", "open_clip:ViT-B-32/"),
        ("vit-b-16", "open_clip:ViT-B-16/"),
        ("ViT-B-32/openai", "open_clip:ViT-B-32/openai?"),
        ("openai/clip-vit-base-patch32", "open_clip:ViT-B-32/openai?"),
        ("google/siglip-base-patch16-224", "open_clip:ViT-B-16-SigLIP/webli?"),
        ("ViT-B/32", "open_clip:ViT-B-32/"),
        ("CLIP ViT-L/14", "open_clip:ViT-L-14/"),
        ("openclip:ViT-B-32/openai", "open_clip:ViT-B-32/openai?"),
        ("siglip", "open_clip:ViT-B-16-SigLIP/webli?"),
        ("hf:timm/some-clip", "hf-hub:timm/some-clip?"),
        ("timm/some-clip", "hf-hub:timm/some-clip?"),
        ("glyph", "'glyphs'"),
        ("glyphs:", "'glyphs'"),
        ("glyphs:x", "'glyphs'"),
        ("open_clip:", "open_clip:ARCH/PRETRAINED"),
        ("chat:", "chat:MODEL"),
        ("", "known: "),
    ],
)
def test_what_was_meant(text: str, meant: str) -> None:
    with pytest.raises(InputError, match="unknown model") as told:
        ModelName.parse(text)
    assert meant in str(told.value)
    assert not is_chat(text) and not is_encoder(text)


def test_a_folder_is_named_with_its_kind(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_clip").mkdir()
    with pytest.raises(InputError, match="open_clip:my_clip"):
        ModelName.parse("my_clip")
