"""Pictures with the statistics of photos, drawn from a seed, and copies of them."""

import io

import numpy as np
from PIL import Image, ImageOps


def scene(seed, size=(200, 150)):
    """Noise whose spectrum falls like that of photos, in colour."""
    draw = np.random.default_rng(seed)
    width, height = size
    across, down = np.meshgrid(np.fft.rfftfreq(width) * width, np.fft.fftfreq(height) * height)
    falling = 1 / np.maximum(np.hypot(across, down), 1) ** 1.2
    planes = []
    for _ in range(3):
        waves = draw.normal(size=falling.shape) + 1j * draw.normal(size=falling.shape)
        plane = np.fft.irfft2(waves * falling, s=(height, width))
        planes.append(plane / plane.std())
    planes = [0.8 * planes[0] + 0.4 * plane for plane in planes]
    pixels = np.clip(128 + 45 * np.stack(planes, axis=2), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def encoded(picture, kind="JPEG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def scaled(picture, factor):
    return picture.resize(tuple(round(side * factor) for side in picture.size))


COPIES = {
    "jpeg 30": lambda p: encoded(p, quality=30),
    "jpeg 95": lambda p: encoded(p, quality=95),
    "png": lambda p: encoded(p, "PNG"),
    "webp": lambda p: encoded(p, "WEBP", quality=50),
    "0.4 times": lambda p: encoded(scaled(p, 0.4)),
    "twice": lambda p: encoded(scaled(p, 2)),
    "square": lambda p: encoded(p.resize((224, 224))),
    "mirrored": lambda p: encoded(ImageOps.mirror(p), quality=60),
    "grey": lambda p: encoded(p.convert("L")),
    "mirrored, 0.5 times": lambda p: encoded(scaled(ImageOps.mirror(p), 0.5), quality=50),
    "1 % cropped": lambda p: encoded(ImageOps.crop(p, 2)),
}
