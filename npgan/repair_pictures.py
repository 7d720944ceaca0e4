"""What --repair does: a network that is trained repairs other pictures, which keep their names and sizes."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from npgan import data, masks, show
from npgan.data.folder import SUFFIXES
from npgan.errors import DataError
from npgan.lesson import Lesson
from npgan.networks import Inpainter
from npgan.repair import repair

SHOWN = 60  # pictures in the grid
LONGEST = 200  # bytes of a name


def repair_pictures(lesson: Lesson, network: Inpainter, shape: tuple[int, int, int], kind: str) -> None:
    """Repair the pictures that --repair names: a PNG for each under its name, in its size, and a grid of the first.

    shape: what the network repairs. Of a picture of another size it sees the largest part in the middle of its
    proportions, shrunk; its repair is enlarged again, and goes into the hole alone. Where it repairs grey ones,
    colour pictures become grey. All that is done to a picture, and what cannot be read, is said.
    """
    source, (height, width, channels) = lesson.args.repair, shape
    print(f"{source}: mask {kind}, weights of {lesson.args.resume}")
    folder, taken, shown = _fresh_folder(lesson, "repaired"), set(), []
    resized = greyed = done = 0
    for name, original in named_pictures(source):  # one by one: they may be large
        picture = _in_colours(original, channels)
        box = _middle(*picture.shape[:2], height, width)
        seen = _resized(picture[box], height, width)[None].astype(np.float32)
        seen = seen / np.float32(127.5) - np.float32(1)  # 1, height, width, channels
        hole = masks.make(kind, 1, height, width, lesson.rng)  # 1, height, width, 1
        repaired = repair(network, seen, hole, lesson.rng, lesson.args.device)
        picture[box] = _filled(picture[box], hole[0], repaired[0])
        path = f"{folder.name}/{_free(name, taken)}.png"
        (lesson.args.out / path).parent.mkdir(parents=True, exist_ok=True)
        lesson.save(picture.squeeze(2) if channels == 1 else picture, path)
        if done < SHOWN:
            shown += [seen, masks.damage(seen, hole), repaired]
        resized += original.shape[:2] != (height, width)
        greyed += original.shape[2] > channels
        done += 1
    if done == 0:
        raise DataError(f"{source}: holds no picture that can be read")
    columns = 3 * math.ceil(math.sqrt(len(shown) / 9))
    lesson.picture(
        show.image_grid(np.concatenate(shown), columns, scale=max(1, 56 // height)), f"{folder.name}.png"
    )
    if resized:
        print(
            f"   {resized} of {done} are not {width} x {height}: the middle was repaired at that size and enlarged "
            "again (11_own_picture.py repairs one picture at its own size)"
        )
    if greyed:
        print(f"   {greyed} of {done} are in colour: they became grey, which is what this network repairs")
    print(f"   {done} pictures: {folder}")


def named_pictures(source: str | os.PathLike) -> Iterator[tuple[str, np.ndarray]]:
    """(name without suffix, pixels uint8 (H, W, 1 or 3)) of one picture, of a folder's, or of a data set's images.

    A folder's keep the way to them: "summer/beach". Images of a data set have numbers. What cannot be read is left
    out, and said. Raises DataError where there is no such data.
    """
    path = Path(os.path.expanduser(source))
    paths = _pictures_in(path) if path.is_dir() else [path] if path.suffix.lower() in SUFFIXES else []
    if paths:
        start = path if path.is_dir() else path.parent
        for file in paths:
            try:
                yield file.relative_to(start).with_suffix("").as_posix(), data.read_picture(file)
            except DataError as error:
                if path == file:
                    raise
                print(f"   left out: {error}")
    else:
        images = data.load(source)
        for row in range(len(images)):
            yield f"{row:04d}", show.to_pixels(images[row])


def _pictures_in(folder: Path) -> list[Path]:
    """The picture files below a folder in order of their paths; hidden ones and what is no file are left alone."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES and path.is_file())


def _fresh_folder(lesson: Lesson, name: str) -> Path:
    """A folder with nothing in it: pictures of an earlier run are neither overwritten nor taken for this one's."""
    number, folder = 1, lesson.folder(name)
    while any(folder.iterdir()):
        number += 1
        folder = lesson.folder(f"{name}-{number}")
    return folder


def _free(name: str, taken: set[str]) -> str:
    """`name`, with a number where a.jpg and a.png both want to become a.png; also where capitals do not count.

    One that leaves a file system no room for more letters (255 bytes at most) is cut.
    """
    folder, last = os.path.split(name)
    if len(os.fsencode(last)) > LONGEST:
        name = os.path.join(folder, os.fsencode(last)[:LONGEST].decode(errors="ignore") or "picture")
    wanted, number = name, 1
    while wanted.lower() in taken:
        number += 1
        wanted = f"{name}-{number}"
    taken.add(wanted.lower())
    return wanted


def _in_colours(picture: np.ndarray, channels: int) -> np.ndarray:
    """uint8 (H, W, 1 or 3) -> a copy (H, W, channels)."""
    if picture.shape[2] > channels:
        return np.array(Image.fromarray(picture).convert("L"))[..., None]
    return np.repeat(picture, channels // picture.shape[2], axis=2)


def _middle(height: int, width: int, tall: int, wide: int) -> tuple[slice, slice]:
    """The largest part in the middle of height x width pixels with the proportions tall : wide."""
    h, w = min(height, max(1, width * tall // wide)), min(width, max(1, height * wide // tall))
    top, left = (height - h) // 2, (width - w) // 2
    return slice(top, top + h), slice(left, left + w)


def _resized(picture: np.ndarray, height: int, width: int, how=Image.Resampling.BILINEAR) -> np.ndarray:
    """(h, w, C) -> (height, width, C), plane by plane, in the same dtype."""
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(picture, 2, 0)]
    return np.stack([np.asarray(plane.resize((width, height), how)) for plane in planes], axis=2)


def _filled(part: np.ndarray, hole: np.ndarray, repaired: np.ndarray) -> np.ndarray:
    """Part of a picture (h, w, C), uint8, with the repair of its small form in the hole; the rest bit for bit."""
    h, w = part.shape[:2]
    missing = _resized(hole, h, w, Image.Resampling.NEAREST) > 0.5  # h, w, 1
    return np.where(missing, show.to_pixels(_resized(repaired, h, w)), part)
