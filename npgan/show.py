"""Pictures: grids of images, curves, animations. Images are NHWC float in [-1, 1]; pixels are uint8."""

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from npgan.backend import Array, to_numpy
from npgan.errors import printable


def to_pixels(images: Array) -> np.ndarray:
    """Images in [-1, 1], any number of axes, to uint8 in 0..255; what lies outside is clipped."""
    return np.clip(np.rint(to_numpy(images) * 127.5 + 127.5), 0, 255).astype(np.uint8)


def image_grid(images: Array, columns: int | None = None, *, scale: int = 1, gap: int = 2) -> np.ndarray:
    """Lay images (N, H, W, 1 or 3) out in rows, `columns` a row (default: about a square).

    Returns uint8 pixels (height, width, 3), each image enlarged `scale` times, with a grey gap between them.
    """
    pixels = to_pixels(images)
    if pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or len(pixels) == 0:
        raise ValueError(f"image_grid: images must have shape (N, H, W, 1 or 3), got {pixels.shape}")
    n, h, w, c = pixels.shape
    columns = min(columns or math.ceil(math.sqrt(n)), n)
    rows = math.ceil(n / columns)
    sheet = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, 3), 96, np.uint8)
    for index, image in enumerate(pixels):
        top = gap + (index // columns) * (h + gap)
        left = gap + (index % columns) * (w + gap)
        sheet[top : top + h, left : left + w] = image  # one channel spreads over three
    return enlarge(sheet, scale)


def enlarge(pixels: np.ndarray, scale: int) -> np.ndarray:
    """Pixels (H, W, 1 or 3) with each of them as a square of `scale` x `scale`, (H * scale, W * scale, 3)."""
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def titled(
    pixels: np.ndarray, title: str, *, rows: Sequence[str] = (), columns: Sequence[str] = ()
) -> Figure:
    """Pixels (H, W, 3), such as `image_grid` makes, under a title; a pixel of them is a pixel of the saved picture.

    rows and columns: names of bands of equal height and width, from the top and from the left. They are shown as they
    are, whatever is in them: names of folders hold dollar signs, which matplotlib would read as formulas, and bytes
    that are no text, for which no font has a sign.
    """
    height, width = pixels.shape[:2]
    title, *names = (printable(text) for text in (title, *rows, *columns))
    rows, columns = names[: len(rows)], names[len(rows) :]
    figure = Figure(figsize=(width / 110, height / 110), dpi=110)  # as Lesson saves it
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(pixels, interpolation="nearest", aspect="auto")
    plain = {"fontsize": 9, "parse_math": False}
    axes.set_yticks((np.arange(len(rows)) + 0.5) * height / max(1, len(rows)) - 0.5, rows, **plain)
    axes.set_xticks((np.arange(len(columns)) + 0.5) * width / max(1, len(columns)) - 0.5, columns, **plain)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)
    return figure


def curves(
    series: dict[str, Sequence[float]], *, title: str = "", ylabel: str = "", window: int = 1
) -> Figure:
    """Draw each series over the training steps, pale as it is and strong as the running mean over `window`."""
    figure = Figure(figsize=(7, 3.2))
    axes = figure.add_subplot(title=title, xlabel="step", ylabel=ylabel)
    for index, (name, values) in enumerate(series.items()):
        values = np.asarray(values, float)
        colour = f"C{index}"
        if 1 < window <= len(values):
            mean = np.convolve(values, np.ones(window) / window, mode="valid")
            axes.plot(values, color=colour, alpha=0.25, linewidth=0.6)
            axes.plot(np.arange(window - 1, len(values)), mean, color=colour, label=name)
        else:
            axes.plot(values, color=colour, label=name)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def animation(frames: Sequence[np.ndarray], *, scale: int = 1, seconds: float = 6.0) -> bytes:
    """Uint8 frames (H, W, 1 or 3) of one size as a GIF that loops; the last frame stays for a second.

    Each is enlarged `scale` times, one after the other: small frames are cheap to gather in a long training.
    """
    if not frames:
        raise ValueError("animation: frames is empty")
    pictures = (Image.fromarray(enlarge(frame, scale)) for frame in frames)
    durations = [max(20, round(1000 * seconds / len(frames)))] * len(frames)
    durations[-1] += 1000
    file = io.BytesIO()
    first = next(pictures)
    first.save(file, format="GIF", save_all=True, append_images=pictures, duration=durations, loop=0)
    return file.getvalue()
