"""The renderer draws legible, varied and repeatable characters."""

import pytest

pytest.importorskip("cv2", reason="rendering needs OpenCV")
pytest.importorskip("matplotlib", reason="rendering needs matplotlib's fonts")

import numpy as np
import torch

from tools.glyphs import augment, captions, render, strokes


def test_every_character_has_variants_to_train_on_and_to_hold_out() -> None:
    assert len(strokes.CHARACTERS) == 62
    for character in strokes.CHARACTERS:
        assert strokes.variants(character, held_out=False)
        assert strokes.variants(character, held_out=True)
        assert not set(strokes.variants(character, True)) & set(strokes.variants(character, False))


def test_every_skeleton_can_be_drawn() -> None:
    rng = np.random.default_rng(0)
    for character in strokes.CHARACTERS:
        for variant in strokes.variants(character, False) + strokes.variants(character, True):
            image = render.frame(render.draw_pen(variant, rng))
            assert image is not None
            assert image.shape == (render.SIDE, render.SIDE)
            assert 0.005 < (image > 128).mean() < 0.7


def test_the_pen_is_repeatable_and_varied() -> None:
    way = strokes.variants("7", False)[0]
    first, again = (render.draw_pen(way, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, render.draw_pen(way, np.random.default_rng(4)))


def test_held_out_fonts_are_not_trained_on() -> None:
    assert not set(render.font_files(True)) & set(render.font_files(False))
    assert not any(render.matches(path, render.HELD_OUT) for path in render.font_files(False))


def test_pictures_fill_the_models_input() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    drawn = [render.frame(render.draw_pen(way, rng)) for way in strokes.variants("4", False) * 20]
    clean = torch.from_numpy(np.stack(drawn))
    pictures, styles = augment.render(clean, torch.zeros(len(clean), dtype=torch.long), 32)
    assert pictures.shape == (len(clean), 3, 32, 32)
    assert pictures.isfinite().all()
    assert styles.shape == (len(clean), len(captions.STYLES))
    assert styles[:, captions.STYLES.index("hand")].all()


def test_captions_name_every_character_of_the_alphabet() -> None:
    drawn = captions.draw("0123456789", 60, 0.1, np.random.default_rng(0))
    truth, _ = captions.truth_table(drawn)
    assert (truth[:10].sum(1) > 0).all()
    assert truth[10:].sum() == 0
    assert len({caption.text for caption in drawn}) == len(drawn)


def test_case_is_said_or_left_open() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        called, truth = captions.name("B", rng)
        assert truth["B"] == 1.0
        if called.startswith(("capital", "upper")):
            assert "b" not in truth
