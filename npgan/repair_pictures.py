"""What --repair does: a network that is trained repairs other pictures, which keep their names and sizes."""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from npgan import data, masks, show
from npgan.data.folder import SUFFIXES
from npgan.errors import DataError
from npgan.lesson import Lesson
from npgan.networks import Inpainter
from npgan.repair import repair

SHOWN = 60  # repairs in the grid
LONGEST = 200  # bytes of a name


def repair_pictures(lesson: Lesson, network: Inpainter, shape: tuple[int, int, int], kind: str) -> None:
    """Repair the pictures that --repair names: a PNG for each under its name, in its size, and a grid of the first.

    shape: what the network repairs. Of a picture of another size it sees the largest part in the middle of its
    proportions, shrunk; its repair is enlarged again, and goes into the hole alone. Where it repairs grey ones,
    colour pictures become grey. All that is done to a picture, and what cannot be read, is said.

    kind: what is missing. A kind of `masks.KINDS` or a mask of the network's size damages each picture. Pictures
    that are damaged already have masks of their own, at their own size: a folder with a mask for each, under the
    same name; the mask of the one picture; or the colour of what was painted over (see `masks.of_picture`). Then
    several such parts cover a picture, so that no hole is left out.
    """
    source, (height, width, channels) = lesson.args.repair, shape
    mask_of = _own_masks(kind, source)
    print(f"{source}: mask {kind}, weights of {lesson.args.resume}")
    folder, taken, shown = _fresh_folder(lesson, "repaired"), set(), []
    resized = greyed = done = 0
    for name, original in named_pictures(source):  # one by one: they may be large
        picture = _in_colours(original, channels)
        try:
            mask = mask_of(name, original)[0] if mask_of else None  # H, W, 1
        except DataError as error:
            if _is_one(source):
                raise
            print(f"   left out: {name}: {error}")
            continue
        if mask is None:
            hole = masks.make(kind, 1, height, width, lesson.rng)  # 1, height, width, 1
            parts = [_drawn(picture, hole[0])]
        else:
            parts = _damaged(picture, mask > 0.5, height, width)
        for box, missing, seen, hole in parts:
            seen = seen[None].astype(np.float32) / np.float32(127.5) - np.float32(1)
            repaired = repair(network, seen, hole[None], lesson.rng, lesson.args.device)
            enlarged = show.to_pixels(_resized(repaired[0], *missing.shape[:2]))
            picture[box] = np.where(missing, enlarged, picture[box])
            if len(shown) < 3 * SHOWN:
                shown += [seen, masks.damage(seen, hole[None]), repaired]
        path = f"{folder.name}/{_free(name, taken)}.png"
        (lesson.args.out / path).parent.mkdir(parents=True, exist_ok=True)
        lesson.save(picture.squeeze(2) if channels == 1 else picture, path)
        resized += original.shape[:2] != (height, width)
        greyed += original.shape[2] > channels
        done += 1
    if done == 0:
        raise DataError(f"{source}: holds no picture that can be {'repaired' if mask_of else 'read'}")
    columns = 3 * math.ceil(math.sqrt(len(shown) / 9))
    lesson.picture(
        show.image_grid(np.concatenate(shown), columns, scale=max(1, 56 // height)), f"{folder.name}.png"
    )
    if resized:
        part = "parts with holes were" if mask_of else "the middle was"
        print(
            f"   {resized} of {done} are not {width} x {height}: {part} repaired at that size and enlarged "
            "again (11_own_picture.py repairs one picture at its own size)"
        )
    if greyed:
        print(f"   {greyed} of {done} are in colour: they became grey, which is what this network repairs")
    print(f"   {done} pictures: {folder}")


# Where it lies in a picture; what is missing of it (h, w, 1); itself at the network's size, and its hole there.
Part = tuple[tuple[slice, slice], np.ndarray, np.ndarray, np.ndarray]


def _drawn(picture: np.ndarray, hole: np.ndarray) -> Part:
    """The middle of an undamaged picture (H, W, C), and a hole at the network's size that is to be cut into it."""
    height, width = hole.shape[:2]
    box = _middle(*picture.shape[:2], height, width)
    missing = _resized(hole, *picture[box].shape[:2], Image.Resampling.NEAREST) > 0.5
    return box, missing, _resized(picture[box], height, width), hole


def _damaged(picture: np.ndarray, missing: np.ndarray, height: int, width: int) -> Iterator[Part]:
    """The parts of a damaged picture (H, W, C), uint8, in which something is missing (H, W, 1), shrunk.

    A pixel of a shrunk part is the mean of the known ones that it stands for; where they are less than half of it,
    it is missing.
    """
    for box in _covering(*picture.shape[:2], height, width):
        hole, part = missing[box], picture[box]
        if hole.any():
            known = _resized((~hole).astype(np.float32), height, width)  # height, width, 1
            colours = _resized(np.where(hole, 0, part).astype(np.float32), height, width)
            yield box, hole, colours / np.maximum(known, 1e-3), (known < 0.5).astype(np.float32)


MaskOf = Callable[[str, np.ndarray], np.ndarray]


def _own_masks(kind: str, source: str) -> MaskOf | None:
    """What finds a picture's own mask (1, H, W, 1) by name and pixels; None where `kind` damages all of them alike.

    Raises DataError where `kind` is nothing of all that, or a folder has two masks for one picture.
    """
    path = Path(os.path.expanduser(kind))
    if kind in masks.KINDS:
        return None
    if path.is_dir():
        return _masks_in(path)
    if path.suffix and not _is_one(source):
        return None
    if path.suffix or masks.is_colour(kind):
        return lambda name, picture: masks.of_picture(kind, picture)
    raise DataError(
        f"--mask {kind}: wanted {', '.join(masks.KINDS)}, a mask file, a folder with a mask for each picture, "
        "or a colour, such as white or #ff0000"
    )


def _is_one(source: str) -> bool:
    """Whether --repair names one picture, whose mask is then of its size, and whose faults end the lesson."""
    path = Path(os.path.expanduser(source))
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _masks_in(folder: Path) -> MaskOf:
    found: dict[str, Path] = {}
    for path in _pictures_in(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise DataError(
                f"{folder}: holds two masks for {name}, {found[name].name} and {path.name}; keep one"
            )
        found[name] = path

    def mask_of(name: str, picture: np.ndarray) -> np.ndarray:
        if name not in found:
            raise DataError(f"{folder} holds no mask of this name")
        return masks.load_mask(found[name], picture.shape[:2])

    return mask_of


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


def _covering(height: int, width: int, tall: int, wide: int) -> list[tuple[slice, slice]]:
    """The fewest parts of that size (see `_middle`) that cover height x width pixels, evenly spread."""
    h, w = (part.stop - part.start for part in _middle(height, width, tall, wide))
    rows, columns = (
        np.linspace(0, whole - part, -(-whole // part)).round().astype(int)
        for whole, part in ((height, h), (width, w))
    )
    return [(slice(y, y + h), slice(x, x + w)) for y in rows for x in columns]
