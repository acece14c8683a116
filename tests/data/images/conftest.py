"""Real photographs in small, as files of any format."""

import io
from collections.abc import Callable

import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

PHOTO = Image.fromarray(load_sample_images().images[0]).resize((64, 48))


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def photo() -> Callable[..., bytes]:
    """The content of a file that holds a photograph, turned by ``number`` degrees to be another one each time."""

    def content(form: str = "PNG", number: int = 0, **options: object) -> bytes:
        return encoded(PHOTO.rotate(number), form, **options)

    return content
