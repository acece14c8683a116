import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images
from torch.nn import functional as F

from zerolabel.data.views import Features, Pixels, Preprocess, augment
from zerolabel.errors import InputError

PLAIN = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)}


def patches(n: int, size: int) -> np.ndarray:
    """Pieces of real photographs."""
    photo = load_sample_images().images[0]
    places = np.random.default_rng(0).integers(0, 427 - size, (n, 2))
    return np.stack([photo[a : a + size, b : b + size].transpose(2, 0, 1) for a, b in places])


def source(size: int = 32, n: int = 40, **options) -> Pixels:
    return Pixels(patches(n, size), Preprocess(size, **PLAIN), **{"flip": True, **options})


def test_preprocess_squash_matches_pillow():
    from PIL import Image

    image = load_sample_images().images[1]
    for interpolation, tolerance in (("bilinear", 1.01), ("bicubic", 6)):
        made = Preprocess(64, **PLAIN, interpolation=interpolation).resize(torch.from_numpy(image.copy()))
        kernel = getattr(Image.Resampling, interpolation.upper())
        wanted = np.asarray(Image.fromarray(image).resize((64, 64), kernel)).transpose(2, 0, 1)
        difference = np.abs(made.numpy() - wanted)
        assert difference.max() <= tolerance  # Pillow rounds, and cuts overshoots, after each of two passes
        assert difference.mean() < 0.4


def test_preprocess_crop_matches_torchvision():
    from torchvision.transforms import v2

    image = torch.from_numpy(load_sample_images().images[1].copy())
    made = Preprocess(64, **PLAIN, fit="crop").resize(image)
    steps = v2.Compose([v2.Resize(64, antialias=True), v2.CenterCrop(64)])
    wanted = steps(image.permute(2, 0, 1).float())
    torch.testing.assert_close(made, wanted, atol=1e-2, rtol=0)


def test_preprocess_enlarges_tiny_images_and_keeps_flat_ones():
    ramp = torch.arange(64, dtype=torch.uint8).view(8, 8, 1).expand(8, 8, 3)
    large = Preprocess(32, **PLAIN).resize(ramp)
    assert large.shape == (3, 32, 32)
    assert (large[0, 0].diff() >= 0).all() and not torch.equal(large, large.round())
    gray = torch.full((5, 3, 3), 128, dtype=torch.uint8)
    made = Preprocess(7, **PLAIN)(gray)
    wanted = (128 / 255 - torch.tensor(PLAIN["mean"])) / torch.tensor(PLAIN["std"])
    torch.testing.assert_close(made, wanted.view(3, 1, 1).expand(3, 7, 7))


def test_bicubic_does_not_leave_the_range():
    stripes = torch.zeros(4, 4, 3, dtype=torch.uint8)
    stripes[:, 2:] = 255
    made = Preprocess(16, **PLAIN, interpolation="bicubic").resize(stripes)
    assert made.min() == 0 and made.max() == 255


def test_preprocess_round_trip_and_bad_input():
    import json

    one = Preprocess(28, **PLAIN, fit="crop")
    assert Preprocess.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    with pytest.raises(InputError, match="'crop'"):
        Preprocess(28, **PLAIN, fit="crops")
    with pytest.raises(InputError, match="at least 1 pixel"):
        Preprocess(0, **PLAIN)
    with pytest.raises(InputError, match="positive"):
        Preprocess(8, (0.0, 0.0, 0.0), (1.0, 0.0, 1.0))
    with pytest.raises(InputError, match="'sizes'"):
        Preprocess.from_dict({**one.to_dict(), "sizes": 3})
    with pytest.raises(InputError, match="'std'"):
        Preprocess.from_dict({"size": 3, "mean": [0, 0, 0]})


def test_eval_view_is_the_preprocessing():
    made = source()
    index = torch.tensor([3, 0, 3])
    views = made.view("eval", index)
    for row, i in zip(views, index.tolist(), strict=True):
        image = torch.from_numpy(made.pixels[i].transpose(1, 2, 0).copy())
        torch.testing.assert_close(row, made.preprocess(image))


@pytest.mark.parametrize("size", [8, 28, 64])
@pytest.mark.parametrize("strong", ["randaugment", "cutout", "cutout:3"])
def test_shapes_finite_and_reproducible(size: int, strong: str):
    made = source(size, strong=strong)
    names = ("weak", "weak", "strong", "eval")
    index = torch.arange(40)
    torch.manual_seed(5)
    first = made.views(names, index)
    torch.manual_seed(5)
    again = made.views(names, index)
    other = made.views(names, index)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b) and a.isfinite().all() and a.shape == (40, 3, size, size)
        assert a.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[2], other[2])
    assert all(view.shape == (0, 3, size, size) for view in made.views(names, index[:0]))


def test_range_of_views_is_that_of_pixels():
    made = source(32, n=300)
    low, high = made.preprocess.normalize(
        torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 32, 32)
    )
    strong = made.view("strong", torch.arange(300))
    assert (strong >= low - 1e-5).all() and (strong <= high + 1e-5).all()


def test_crop_is_a_window_of_the_reflected_image_with_flip():
    pixels = torch.from_numpy(patches(60, 16))
    padded = F.pad(pixels.float(), (2, 2, 2, 2), mode="reflect").byte()
    flips = 0
    for image, whole in zip(augment.crop(pixels, 2, flip=True), padded, strict=True):
        windows = [whole[:, a : a + 16, b : b + 16] for a in range(5) for b in range(5)]
        plain = any(torch.equal(image, window) for window in windows)
        mirrored = any(torch.equal(image, window.flip(2)) for window in windows)
        assert plain or mirrored
        flips += mirrored and not plain
    assert 10 < flips < 50
    for image, whole in zip(augment.crop(pixels, 2, flip=False), padded, strict=True):
        assert any(torch.equal(image, whole[:, a : a + 16, b : b + 16]) for a in range(5) for b in range(5))


def test_crop_padding_wider_than_the_image():
    pixels = torch.arange(3, dtype=torch.uint8).view(1, 3, 1, 1).expand(4, 3, 1, 1)
    assert torch.equal(augment.crop(pixels, 1, flip=True), pixels)


def test_cutout_erases_half_the_side_to_the_mean():
    images = torch.ones(200, 3, 32, 32)
    erased = augment.erase(images, torch.full((200,), 16.0)) == 0
    counts = erased.sum((1, 2, 3)) / 3
    assert counts.max() == 256 and (counts >= 64).all()
    assert torch.equal(erased[:, 0], erased[:, 2])
    none = augment.erase(torch.ones(5, 3, 8, 8), torch.zeros(5))
    assert none.min() == 1


def test_every_distortion_runs_on_its_own_group_and_rows_stay_in_place():
    images = torch.from_numpy(patches(28, 24)).float() / 255
    order, strength = torch.randperm(28), torch.rand(28)
    made = augment._distort(images, order, strength, [2] * 14)
    ops = augment.GEOMETRIC + augment.PHOTOMETRIC
    assert len(ops) == 14
    for k, op in enumerate(ops):
        rows = order[2 * k : 2 * k + 2]
        amount = strength[2 * k : 2 * k + 2]
        wanted = augment.warp(images[rows], op(amount)) if op in augment.GEOMETRIC else op(images[rows], amount)
        torch.testing.assert_close(made[rows], wanted)


@pytest.mark.parametrize("op", augment.PHOTOMETRIC, ids=lambda op: op.__name__)
def test_photometric_matches_pillow(op):
    from PIL import Image, ImageEnhance, ImageOps

    pixels = patches(6, 32)
    strength = torch.linspace(0.05, 0.95, 6)
    made = op(torch.from_numpy(pixels).float() / 255, strength) * 255
    for row, image, s in zip(made, pixels, strength.tolist(), strict=True):
        photo, factor = Image.fromarray(image.transpose(1, 2, 0)), 0.05 + 0.9 * s
        wanted = {
            "identity": lambda photo=photo: photo,
            "auto_contrast": lambda photo=photo: ImageOps.autocontrast(photo),
            "equalize": lambda photo=photo: ImageOps.equalize(photo),
            "brightness": lambda photo=photo, f=factor: ImageEnhance.Brightness(photo).enhance(f),
            "contrast": lambda photo=photo, f=factor: ImageEnhance.Contrast(photo).enhance(f),
            "color": lambda photo=photo, f=factor: ImageEnhance.Color(photo).enhance(f),
            "sharpness": lambda photo=photo, f=factor: ImageEnhance.Sharpness(photo).enhance(f),
            "posterize": lambda photo=photo, s=s: ImageOps.posterize(photo, 8 - int(s * 5)),
            "solarize": lambda photo=photo, s=s: ImageOps.solarize(photo, math.ceil(s * 255)),
        }[op.__name__]()
        difference = np.abs(row.numpy() - np.asarray(wanted).transpose(2, 0, 1))
        assert difference.max() <= 2.0


def test_flat_images_survive_every_distortion():
    flat = torch.full((14, 3, 8, 8), 0.5)
    for op in augment.PHOTOMETRIC:
        assert op(flat, torch.rand(14)).isfinite().all()
    for op in augment.GEOMETRIC:
        torch.testing.assert_close(augment.warp(flat, op(torch.rand(14))), flat)


def test_geometric_maps():
    image = torch.zeros(1, 3, 20, 20)
    image[:, :, 10, 4:16] = 1.0
    half = torch.tensor([0.5])
    for op in augment.GEOMETRIC:  # the middle strength moves nothing
        torch.testing.assert_close(augment.warp(image, op(half)), image, atol=1e-5, rtol=0)
    down = augment.warp(image, augment.translate_y(torch.tensor([0.0])))
    torch.testing.assert_close(down, image.roll(6, 2), atol=1e-4, rtol=0)
    right = augment.warp(image, augment.translate_x(torch.tensor([0.0])))
    torch.testing.assert_close(right[:, :, 10, 10:], image.roll(6, 3)[:, :, 10, 10:], atol=1e-4, rtol=0)
    turned = augment.rotate(torch.tensor([1.0]))[0]
    torch.testing.assert_close(turned[:, :2] @ turned[:, :2].T, torch.eye(2))
    assert math.isclose(math.degrees(math.acos(turned[0, 0].item())), 30, abs_tol=1e-3)


def test_gray_images_stay_gray():
    gray = np.repeat(patches(100, 16)[:, :1], 3, 1)
    made = Pixels(gray, Preprocess(16, (0.5,) * 3, (0.25,) * 3), flip=False)
    strong = made.view("strong", torch.arange(100))
    torch.testing.assert_close(strong[:, 0], strong[:, 2], atol=1e-4, rtol=0)


def test_memory_mapped_pixels_give_the_same_views(tmp_path):
    np.save(tmp_path / "pixels.npy", patches(40, 32))
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    preprocess, index = Preprocess(32, **PLAIN), torch.tensor([7, 1, 1])
    torch.manual_seed(0)
    a = Pixels(mapped, preprocess, flip=True).view("strong", index)
    torch.manual_seed(0)
    b = source().view("strong", index)
    assert torch.equal(a, b)
    assert np.array_equal(mapped, patches(40, 32))


def test_views_never_change_the_pixels():
    made = source()
    before = made.pixels.copy()
    made.views(("strong", "weak"), torch.arange(40))
    assert np.array_equal(before, made.pixels)


def test_bad_names_and_sizes():
    with pytest.raises(InputError, match="'weak'"):
        source().view("week", torch.arange(2))
    with pytest.raises(InputError, match="'strong'"):
        Features(torch.randn(4, 8)).view("stron", torch.arange(2))
    with pytest.raises(InputError, match="size 32"):
        Pixels(patches(2, 32), Preprocess(28, **PLAIN), flip=True)
    with pytest.raises(InputError, match="'cutout'"):
        source(strong="cutouts")
    with pytest.raises(InputError, match="'cutout:0'"):
        source(strong="cutout:0")


@pytest.mark.parametrize(("strong", "side"), [("cutout", 32), ("cutout:16", 16), ("cutout:5", 5)])
def test_cutout_erases_a_square_of_half_the_side_or_of_so_many_pixels(strong: str, side: int):
    pixels = np.full((200, 3, 64, 64), 200, dtype=np.uint8)
    made = Pixels(pixels, Preprocess(64, (0.2,) * 3, (0.25,) * 3), flip=True, strong=strong)
    erased = (made.view("strong", torch.arange(200)) == 0).all(1).flatten(1).sum(1)
    assert int(erased.max()) == side**2


def test_features():
    unit = F.normalize(torch.randn(500, 64), dim=1)
    made = Features(unit)
    index = torch.randperm(500)
    torch.manual_seed(1)
    plain, weak, strong = made.views(("eval", "weak", "strong"), index)
    torch.manual_seed(1)
    assert torch.equal(made.views(("weak",), index)[0], weak)
    assert torch.equal(plain, unit[index])
    for view, low, high in ((weak, 0.98, 0.999), (strong, 0.75, 0.92)):
        torch.testing.assert_close(view.norm(dim=1), torch.ones(500))
        assert low < (view * plain).sum(1).mean() < high
    assert len(made) == 500
    assert made.view("strong", index[:0]).shape == (0, 64)
    assert Features(torch.zeros(3, 4)).view("eval", torch.arange(3)).abs().max() == 0
