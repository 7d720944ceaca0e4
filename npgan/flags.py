"""The flags that lessons share: what each is called, takes and says of itself."""

from pathlib import Path

# The flags that shape a run, and their types: in checkpoints, and from there with --resume.
SETTINGS = {"data": str, "size": int, "channels": int, "seed": int, "steps": int, "quick": bool}
SIZE_LIMIT = 1024  # pixels: --generate builds no network for larger images, whatever a file says
AT_LEAST_ONE = ("steps", "size", "generate")
OF_A_CHECKPOINT = ("generate", "repair", "draw")  # ask it for pictures, in place of a training

ALWAYS = {
    "step": dict(action="store_true", help="wait for Enter at each step"),
    "quick": dict(action="store_true", help="the whole lesson in seconds, to see that it runs"),
    "seed": dict(type=int, default=0, help="seed of all random numbers (default 0)"),
    "out": dict(type=Path, help="folder for what is written (default %(default)s)"),
}
# What a lesson may ask for by a keyword; {} is the keyword's value.
GROUPS = {
    "steps": {"steps": dict(type=int, help="training steps (default {})")},
    "data": {
        "data": dict(help="glyphs, photo, mnist, fashion-mnist or a path (default {})"),
        "size": dict(type=int, help="height and width of the images in pixels"),
        "channels": dict(type=int, choices=(1, 3), help="1: grey, 3: colour (default: as the data are)"),
    },
    "device": {
        "device": dict(choices=("numpy", "cupy", "auto"), default="auto", help="default %(default)s"),
    },
    "live": {
        "live": dict(
            action="store_true", help="open a window: watch, pause, stop (--step waits at the terminal)"
        ),
    },
    "resume": {
        "resume": dict(
            nargs="?",
            const="",
            metavar="FILE",
            help="go on from a checkpoint (without FILE: the last in the output folder)",
        ),
    },
    "generate": {
        "generate": dict(
            type=int,
            metavar="N",
            help="do not train: draw N samples with the weights of the checkpoint of --resume",
        ),
    },
    "repair": {
        "repair": dict(
            metavar="PICTURES",
            help="do not train: repair these (what --data takes) with the weights of the checkpoint of --resume",
        ),
    },
    "draw": {
        "draw": dict(
            nargs="+",
            metavar="CAPTION",
            help="do not train: draw these, or those in a file, one a line, with the weights of the checkpoint of "
            "--resume",
        ),
    },
    "ranks": {},  # no flag: mpiexec may start the lesson as several processes
}
