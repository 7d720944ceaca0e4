"""Makes the pictures of lessons/README.md: the drawing of a GAN, and small copies of what the lessons have drawn.

    python lessons/03_convolution.py          # draws out/03_convolution/edges.png, and so on
    python lessons/pictures/make.py           # gan.png, 03.png, and whatever else is there

A picture whose lesson has not been run stays as it is.
"""

import io
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

from npgan.whole_file import whole_file

HERE = Path(__file__).parent
LIMIT = 60_000  # bytes of a picture
# What each lesson shows in the picture book: its picture in the output folder.
SHOWN = {
    "01": "01_backend/matmul_speed.png",
    "02": "02_dense_layer/eps.png",
    "03": "03_convolution/edges.png",
    "04": "04_transposed_convolution/checkerboard.png",
    "05": "05_batch_normalization/mixed_batches.png",
    "06": "06_activations_and_losses/generator_losses.png",
    "06_optimizers": "06_optimizers/circling.png",
    "07": "07_adversarial_game/push.png",
    "07_whole_game": "07_whole_game/snapshots.png",
    "07_adam_or_not": "07_adam_or_not/fixed_judge.png",
    "live": "live/game.png",  # python tests/live_window.py out/live
    "live_run": "live/run.png",
    "08": "08_dense_gan/samples.png",
    "10": "10_dense_inpainting/repairs.png",
    "12": "12_evaluating_gans/sets.png",
    "13": "13_mode_collapse/dirac.png",
    "13_grid": "13_mode_collapse/grid.png",
    "13_remedies": "13_remedies/remedies.png",
    "13_stacked_glyphs": "13_stacked_glyphs/samples.png",
    "14": "14_sensitivity/rates.png",
    "14_remedies": "14_remedies/costs.png",
    "15": "15_bug_gallery/the_balance.png",
    "16": "16_text_to_image/samples.png",
    "16_twice_the_size": "16_twice_the_size/samples.png",
    "16_ways_of_telling": "16_ways_of_telling/samples.png",
    "17": "17_progressive_growing/stages.png",
    "17_comparison": "17_progressive_growing/comparison.png",
    "18": "18_transfer/seconds.png",
    "18_samples": "18_transfer/samples.png",
    "18_transfer_repair": "18_transfer_repair/repairs.png",
    "19_autoencoders": "19_autoencoders/betas.png",
    "19_clustering": "19_clustering/plane.png",
    "19": "19_other_generators/side_by_side.png",
    "19_other_uses": "19_other_uses/repairs.png",
    "20": "20_many_processes/mistakes.png",
}
D_COLOUR, G_COLOUR = "C0", "C1"


def box(axes, x, text, y=2.0, colour="black", width=1.5, height=0.9):
    corner = (x - width / 2, y - height / 2)
    style = "round,pad=0.02,rounding_size=0.12"
    axes.add_patch(
        FancyBboxPatch(
            corner, width, height, boxstyle=style, facecolor="white", edgecolor=colour, linewidth=2
        )
    )
    axes.text(x, y, text, ha="center", va="center", size=11)


def arrow(axes, start, end, colour="black", line="-", bend=0.0):
    axes.add_patch(
        FancyArrowPatch(
            *(start, end),
            arrowstyle="-|>",
            mutation_scale=16,
            color=colour,
            linestyle=line,
            linewidth=2,
            connectionstyle=f"arc3,rad={bend}",
        )
    )


def draw_gan() -> Figure:
    """G turns noise into an image, D judges it; one gradient teaches D, the other runs through D and teaches G."""
    figure = Figure(figsize=(10.5, 4.6))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 12), ylim=(-0.35, 4.9))
    axes.set_axis_off()
    box(axes, 1.0, "z\nnoise, e.g.\n64 numbers", height=1.1)
    box(axes, 3.6, "G\nthe generator", colour=G_COLOUR, width=1.8)
    box(axes, 6.2, "G(z)\na generated\nimage", height=1.1)
    box(axes, 6.2, "x\na real image", y=4.0)
    box(axes, 8.8, "D\nthe discriminator", colour=D_COLOUR, width=2.0)
    box(axes, 11.1, "logit\nabove 0: real", width=1.4)
    for start, end in ((1.75, 2.7), (4.5, 5.45), (6.95, 7.8), (9.8, 10.4)):
        arrow(axes, (start, 2.15), (end, 2.15))
    arrow(axes, (6.95, 4.0), (8.5, 2.5))
    axes.text(9.95, 4.2, "forward: black", size=11, ha="center")

    arrow(axes, (10.9, 2.5), (9.4, 2.5), D_COLOUR, "--", bend=0.5)
    axes.text(
        9.95, 3.6, "D's step: the loss asks for\nreal above 0, generated below", color=D_COLOUR, ha="center"
    )
    for start, end in ((10.4, 9.8), (7.8, 6.95), (5.45, 4.5)):
        arrow(axes, (start, 1.75), (end, 1.75), G_COLOUR, "--")
    axes.text(
        7.3,
        0.75,
        "G's step: the loss asks for generated above 0. Its gradient runs through D, which stays as it is,\n"
        "to the image (dfake: how each pixel should change to look more real), and on to G's weights",
        color=G_COLOUR,
        ha="center",
        va="center",
    )
    axes.text(
        0.3,
        -0.1,
        "dashed: gradients, backward. G never sees a real image; all it learns comes from D.",
        size=11,
    )
    return figure


def small(image: Image.Image) -> bytes:
    """The image as a PNG of at most LIMIT bytes: fewer colours first, then fewer pixels."""
    image = image.convert("RGB")
    if image.width > 1000:
        image = image.resize((1000, round(1000 * image.height / image.width)), Image.Resampling.LANCZOS)
    keep = {"kmeans": 3, "dither": Image.Dither.NONE}  # else few blue pixels become grey
    while True:
        for colours in (256, 128, 64, 32):
            file = io.BytesIO()
            image.quantize(colours, **keep).save(file, format="PNG", optimize=True)
            if file.tell() <= LIMIT:
                return file.getvalue()
        image = image.resize((image.width * 4 // 5, image.height * 4 // 5), Image.Resampling.LANCZOS)


def write(image: Image.Image, name: str) -> None:
    png = small(image)
    with whole_file(HERE / name) as file:
        file.write(png)
    print(f"{name}: {len(png):,} bytes")


if __name__ == "__main__":
    drawing = io.BytesIO()
    draw_gan().savefig(drawing, format="png", dpi=95)
    write(Image.open(drawing), "gan.png")
    for number, picture in SHOWN.items():
        if (Path("out") / picture).exists():
            write(Image.open(Path("out") / picture), f"{number}.png")
        else:
            print(f"{number}.png: left as it is, for out/{picture} is not there")
