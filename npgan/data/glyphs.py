"""Letters and digits in the fonts that matplotlib ships: any number, no download, every label known."""

import string
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path as FilePath

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties, get_font
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import IdentityTransform

from npgan.data.convert import LUMA
from npgan.data.images import Images, check_whole
from npgan.data.lazy import DRAWN_BYTES, check_limit
from npgan.errors import DataError

DIGITS = string.digits
UPPERCASE = string.ascii_uppercase
LOWERCASE = string.ascii_lowercase
# The plain text fonts of every matplotlib since 3.9; its other fonts hold mathematical symbols.
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),
)
BOLD = {font for font in FONTS if "Bol" in font or font == "cmb10"}

HEIGHT = (0.55, 0.75)  # of a capital letter, as a part of the image's side
SLANT = 0.15  # at most: sideways shift per unit of height
ROTATION = np.radians(8)  # at most
JITTER = 0.06  # at most: of the centre, as a part of the image's side
CONTRAST = 0.4  # at least: between the luma of foreground and background, of 1


def glyphs(
    count: int,
    *,
    size: int = 28,
    characters: str = DIGITS,
    colour: bool = False,
    seed: int = 0,
    fonts: Sequence[str] = FONTS,
) -> Images:
    """`count` random characters, each in a random font, size, slant, rotation and place.

    Pixels are uint8 (count, size, size, 1), white on black as in MNIST; with `colour` (count, size, size, 3)
    in two random colours of different luma. A character always keeps a pixel of margin.
    Labels: `character` and `font`, indices into `characters` and `fonts`; `weight`, 1 where the font is bold;
    `slant`, the sideways shift per unit of height, of the font and what is drawn together; `height` of a capital
    letter, as a part of the image's side; with `colour` also the RGB rows `foreground` and `background`.
    Image i depends on the seed and the arguments but not on `count`.
    Another version of matplotlib may change a pixel by a shade or two.
    ValueError for a bad argument, DataError if matplotlib's fonts are missing.
    """
    count, size = check_whole("count", count), check_whole("size", size, low=8)
    channels = 3 if colour else 1
    check_limit("glyphs", count * size * size * channels, DRAWN_BYTES)
    outlines = _outlines(characters, tuple(fonts))
    u = np.random.default_rng(seed).random((count, 13))  # one row an image, so that `count` changes no image
    character = (u[:, 0] * len(characters)).astype(int)
    font = (u[:, 1] * len(fonts)).astype(int)
    place = 2 * u[:, 2:7] - 1  # slant, rotation, height, and shift to the right and up, each in [-1, 1]
    labels = {"character": character, "font": font}
    labels["weight"] = np.array([font in BOLD for font in fonts], int)[font]
    labels["slant"] = np.array([_italic(font) for font in fonts])[font] + SLANT * place[:, 0]
    labels["height"] = _height(place[:, 2])
    if colour:
        labels["foreground"], labels["background"] = _colours(u[:, 7:10], u[:, 10:13])

    pixels = np.empty((count, size, size, channels), np.uint8)
    side = max(1, 1024 // size)  # glyphs along the edge of a sheet
    for start in range(0, count, side * side):
        part = slice(start, start + side * side)
        drawn = [outlines[f][c] for f, c in zip(font[part], character[part], strict=True)]
        ink = _draw_sheet(drawn, place[part], size, side)  # (part, size, size, 1)
        if colour:
            fore, back = (labels[key][part, None, None].astype(int) for key in ("foreground", "background"))
            ink = back + (fore - back) * ink.astype(int) // 255
        pixels[part] = ink
    return Images(pixels, labels, name="glyphs")


def _draw_sheet(outlines: list, u: np.ndarray, size: int, side: int) -> np.ndarray:
    """Draw all outlines as one path on one canvas of side x side cells: uint8 (len(outlines), size, size, 1).

    One call of the renderer instead of one a glyph: the same pixels in about half the time.
    """
    vertices, codes = [], []
    for cell, (outline, code) in enumerate(outlines):
        row, column = divmod(cell, side)
        corner = np.array([column, side - 1 - row]) * size  # the renderer's y axis points up
        vertices.append(_place(outline, u[cell], size) + corner)
        codes.append(code)
    renderer = RendererAgg(side * size, side * size, dpi=72)
    pen = renderer.new_gc()
    pen.set_linewidth(0)  # fill only
    pen.set_snap(False)  # else upright strokes jump to whole pixels
    path = Path(np.concatenate(vertices), np.concatenate(codes))
    renderer.draw_path(pen, path, IdentityTransform(), (1.0, 1.0, 1.0, 1.0))
    ink = np.asarray(renderer.buffer_rgba())[..., 3]  # coverage is in alpha
    cells = ink.reshape(side, size, side, size).swapaxes(1, 2).reshape(-1, size, size, 1)
    return cells[: len(outlines)]


def _place(outline: np.ndarray, u: np.ndarray, size: int) -> np.ndarray:
    """Slant, rotate, scale and shift an outline into a cell of `size` pixels by five numbers in [-1, 1]."""
    slant, angle, height = SLANT * u[0], ROTATION * u[1], size * _height(u[2])
    rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = outline @ (height * rotate @ np.array([[1, slant], [0, 1]])).T
    low, high = points.min(axis=0), points.max(axis=0)  # control points enclose their curves
    room = size - 2.0  # a pixel on each side stays free, so nothing leaks into the next cell
    fit = min(1.0, 0.94 * room / (high - low).max())  # only the widest letters have to shrink
    slack = (room - fit * (high - low)) / 2
    shift = np.clip(JITTER * size * u[3:5], -slack, slack)
    return fit * (points - (low + high) / 2) + size / 2 + shift


def _height(u: np.ndarray) -> np.ndarray:
    """The height of a capital letter, as a part of the image's side, of a number in [-1, 1]."""
    return HEIGHT[0] + (HEIGHT[1] - HEIGHT[0]) * (u + 1) / 2


def _colours(foreground: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RGB rows in [0, 1] as uint8, the background mixed with white or black as far as the contrast needs."""
    fore, back = foreground @ LUMA, background @ LUMA
    end = np.where(fore < 0.5, 1.0, 0.0)  # white behind dark letters, black behind light ones
    target = fore + np.where(fore < 0.5, CONTRAST, -CONTRAST)
    mix = np.where(np.abs(fore - back) < CONTRAST, (target - back) / (end - back), 0.0)[:, None]
    background = background + mix * (end[:, None] - background)
    return np.rint(255 * foreground).astype(np.uint8), np.rint(255 * background).astype(np.uint8)


def _outlines(characters: str, fonts: tuple[str, ...]) -> list[list]:
    """outlines[font][character] = (vertices, codes), a capital H being one unit high."""
    if not isinstance(characters, str) or not characters:
        raise ValueError(f"characters: wanted a string of at least one character, got {characters!r}")
    unknown = [font for font in fonts if font not in FONTS]
    if unknown or not fonts:
        raise ValueError(f"fonts: wanted some of {', '.join(FONTS)}, got {fonts!r}")
    table = []
    for font in fonts:
        unit = np.ptp(_outline(font, "H")[0][:, 1])
        table.append([])
        for character in characters:
            vertices, codes = _outline(font, character)
            table[-1].append((vertices / unit, codes))
    return table


def _file(font: str) -> FilePath:
    file = FilePath(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    if not file.is_file():
        raise DataError(
            f"{file}: this matplotlib comes without the font; install it from PyPI, or choose other fonts"
        )
    return file


@lru_cache(maxsize=64)
def _italic(font: str) -> float:
    """How far a font's upright strokes lean to the right, per unit of height."""
    degrees, fraction = get_font(_file(font)).get_sfnt_table("post")["italicAngle"]  # to the left
    return float(np.tan(np.radians(-degrees - fraction / 65536)))


@lru_cache(maxsize=4096)
def _outline(font: str, character: str) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (m, 2) and codes (m,) of one character."""
    file = _file(font)
    if character.isspace() or not get_font(file).get_char_index(ord(character)):
        raise ValueError(f"characters: {font} cannot draw {character!r}")
    path = TextPath((0, 0), character, size=1, prop=FontProperties(fname=file))
    vertices, codes = path.vertices.copy(), path.codes.copy()
    # A closing vertex has no place of its own; on its neighbour it cannot widen the outline's box.
    closing = np.flatnonzero(codes == Path.CLOSEPOLY)
    vertices[closing] = vertices[closing - 1]
    return vertices, codes
