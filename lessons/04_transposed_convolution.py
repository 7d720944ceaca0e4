# %% [markdown]
# # 4. Transposed convolution: the adjoint
#
# A discriminator makes images smaller, with strided convolutions. A generator has to make them larger. The layer
# for that is the convolution's own backward pass, used forward. The lesson writes a small convolution as an
# explicit matrix and transposes it, shows which sizes come out, and then looks at the layer's well-known flaw: a
# checkerboard, where the kernel size is not divisible by the stride. It is seen in pixels and in the spectrum.
#
# Sources: Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", chapter 4; Odena,
# Dumoulin and Olah 2016, "Deconvolution and checkerboard artifacts", Distill.

# %%
import inspect
import time

import numpy as np
from matplotlib.figure import Figure

from npgan.gradcheck import check_layer
from npgan.layers import Conv2D, Conv2DTranspose
from npgan.layers.conv import correlate_adjoint, output_size, patches_adjoint, transposed_output_size
from npgan.lesson import Lesson

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson(
    "04_transposed_convolution", "The adjoint; output sizes; checkerboards and their spectrum", FLAGS
)

# %% [markdown]
# ## A convolution is a matrix
#
# Without its bias a convolution is linear, so it is a matrix A: y = A x. Image and output are flattened to columns
# here, one image at a time. Column q of A is what the layer makes of an image that is 1 at pixel q and 0 elsewhere.
# 5 x 5 pixels and a 3 x 3 kernel with stride 2 give a 4 x 25 matrix: each row is the window at one place.
#
# Lesson 2 had images as the rows of a batch, y = x @ weight, and dx = dy @ weight.T. A row x @ weight is the column
# weight.T x, so A is weight.T, and dx as a column is weight dy:
#
#     y = A x             forward, (25) -> (4)
#     dx = A.T dy         backward, (4) -> (25)
#
# The backward pass is a map from 2 x 2 pixels to 5 x 5. The transpose of a matrix is also called its *adjoint*. As
# a layer of its own it is a transposed convolution. It holds the very same weight array.

# %%
lesson.step("The matrix and its transpose")


def matrix_of(layer, height, width):
    """The matrix of a layer with one channel: one column for each unit image."""
    pixels = height * width
    units = np.eye(pixels).reshape(pixels, height, width, 1)  # pixel q of image q is 1
    return layer.forward(units, train=False).reshape(pixels, -1).T  # outputs, inputs


down = Conv2D(1, 1, 3, stride=2, bias=False, rng=lesson.rng).astype("float64")
up = Conv2DTranspose(1, 1, 3, stride=2, bias=False, rng=lesson.rng).astype("float64")
down.weight.value[...] = np.arange(1.0, 10.0).reshape(3, 3, 1, 1)
up.weight.value[...] = down.weight.value
a_down = matrix_of(down, 5, 5)  # (4, 25)
a_up = matrix_of(up, 2, 2)  # (25, 4)

figure = Figure(figsize=(10, 4))
left, right = figure.subplots(1, 2, width_ratios=[25, 8])
for axes, matrix, title in (
    (left, a_down, "Conv2D, 5 x 5 to 2 x 2: matrix 4 x 25"),
    (right, a_up, "Conv2DTranspose,\n2 x 2 to 5 x 5: matrix 25 x 4"),
):
    axes.imshow(matrix, cmap="Blues", vmin=0, vmax=12, aspect="auto" if axes is right else "equal")
    for (row, column), number in np.ndenumerate(matrix):
        if number:
            axes.text(column, row, f"{number:.0f}", ha="center", va="center", size=8)
    axes.set(title=title, xlabel="input pixel", ylabel="output pixel")
lesson.picture(figure, "matrices.png")
print("the second matrix is the transpose of the first:", np.array_equal(a_up, a_down.T))
there_and_back = (a_up @ (a_down @ np.ones(25))).reshape(5, 5)  # of an image of ones
print("it is no inverse: of ones, up(down(x)) makes", there_and_back.min(), "to", there_and_back.max())

# %% [markdown]
# ## The adjoint identity
#
# For a matrix, `<A x, y> = <x, A.T y>`, for every x and y. This is a test that needs no reference: two random
# images, two layers, one number each. npgan's tests run it over hundreds of drawn shapes.

# %%
lesson.step("<conv x, y> = <x, conv_transpose y>")

identity_error = 0.0
for kernel, stride, padding in ((3, 1, 1), (4, 2, 1), (5, 2, 2), (3, 3, 0)):
    conv = Conv2D(3, 6, kernel, stride=stride, padding=padding, bias=False, rng=lesson.rng).astype("float64")
    size = (11, 9)
    small = output_size(size, conv.kernel_size, conv.stride, conv.padding)
    smallest = transposed_output_size(small, conv.kernel_size, conv.stride, conv.padding, (0, 0))
    extra = (size[0] - smallest[0], size[1] - smallest[1])
    transpose = Conv2DTranspose(
        6, 3, kernel, stride=stride, padding=padding, output_padding=extra, bias=False, rng=lesson.rng
    ).astype("float64")
    transpose.weight.value[...] = conv.weight.value  # (kh, kw, 3, 6) in both
    x = lesson.rng.standard_normal((2, *size, 3))
    y = lesson.rng.standard_normal((2, *small, 6))
    one, other = float((conv.forward(x) * y).sum()), float((x * transpose.forward(y)).sum())
    identity_error = max(identity_error, abs(one - other) / np.linalg.norm(x) / np.linalg.norm(y))
    print(f"kernel {kernel}, stride {stride}, padding {padding}: {one:+.12f} and {other:+.12f}")

errors = check_layer(
    Conv2DTranspose(2, 3, 4, stride=2, padding=1, rng=lesson.rng).astype("float64"),
    lesson.rng.standard_normal((2, 3, 4, 2)),
    rng=lesson.rng,
)
print("gradients against finite differences:", ", ".join(f"{name} {e:.0e}" for name, e in errors.items()))

# %% [markdown]
# ## The adjoint in code
#
# Lesson 3 computes y in two steps: copy every window into a row, multiply the rows with the weight. The transpose
# of two steps is the transpose of each, in the opposite order. So multiply with the transposed weight: that gives
# for every output pixel a window full of numbers. Then undo the copying: *add* each window to the place that it
# was copied from. A pixel that lay in many windows gets a number from each. These two functions are the package's
# own.

# %%
lesson.step("The adjoint in code")

print(inspect.getsource(correlate_adjoint.plain))
print(inspect.getsource(patches_adjoint))

stamps = np.ones((1, 2, 2, 3, 3, 1))  # four windows of 3 x 3, all ones, at stride 2
overlap = patches_adjoint(stamps, (2, 2), (0, 0), (5, 5))[0, :, :, 0]
print("four windows of ones, added up where they belong:")
print(overlap.astype(int))

dy = lesson.rng.standard_normal((1, 2, 2, 1))
by_function = correlate_adjoint.plain(dy, down.weight.value, (2, 2), (0, 0), (5, 5)).ravel()
by_matrix = a_down.T @ dy.ravel()
adjoint_error = float(np.abs(by_function - by_matrix).max())
print(f"the function and the matrix A.T: largest difference {adjoint_error:.0e}")

# %% [markdown]
# As in lesson 3 the fast form computes the same with fewer copies: a row of windows is a row of the image, so
# whole rows are added up at once (`npgan/fast/convolution.py`).

# %%
lesson.step("The plain form beside the fast one")

n = 4 if lesson.args.quick else 64
dy = lesson.rng.standard_normal((n, 32, 32, 64), dtype=np.float32)
weight = lesson.rng.standard_normal((4, 4, 3, 64), dtype=np.float32)
forms = {}
for name, form in (("plain", correlate_adjoint.plain), ("fast", correlate_adjoint.fast)):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        dx = form(dy, weight, (2, 2), (1, 1), (64, 64))
        times.append(time.perf_counter() - start)
    forms[name] = dx
    print(f"{name}: {n} images of 32 x 32 x 64 to 64 x 64 x 3 in {1e3 * min(times):.1f} ms")
forms_differ = float(np.abs(forms["plain"] - forms["fast"]).max() / np.abs(forms["plain"]).max())

# %% [markdown]
# ## Output sizes
#
#     Conv2D            OH = floor((H + 2 padding - kernel) / stride) + 1
#     Conv2DTranspose   OH = (H - 1) stride - 2 padding + kernel + output_padding
#
# The floor makes several sizes equal: kernel 3, stride 2, padding 1 leads from 7 and from 8 pixels to 4. So the way
# back must be told which one is meant. That is `output_padding`; with 0 it is the smallest. Kernel 4, stride 2,
# padding 1 doubles exactly, H to 2H, and needs none.

# %%
lesson.step("Output sizes")

print("kernel stride padding | Conv2D of 7, 8, 28, 64 pixels | Conv2DTranspose of 1, 4, 7, 32 pixels")
for kernel, stride, padding in ((3, 1, 1), (2, 2, 0), (3, 2, 1), (4, 2, 1), (5, 2, 2), (4, 1, 0)):
    k, s, p = (kernel, kernel), (stride, stride), (padding, padding)
    smaller = [output_size((h, h), k, s, p)[0] for h in (7, 8, 28, 64)]
    larger = [transposed_output_size((h, h), k, s, p, (0, 0))[0] for h in (1, 4, 7, 32)]
    print(f"{kernel:6} {stride:6} {padding:7} | {str(smaller):29} | {larger}")

# %% [markdown]
# ## Stamps that overlap
#
# Forward, a transposed convolution *stamps*: every input pixel multiplies the kernel and adds it to the output, the
# stamps `stride` pixels apart. Set all inputs and all kernel numbers to 1. Then the output counts how many stamps
# fall on each pixel. In one dimension with stride 2, a kernel of 3 gives 2, 1, 2, 1, ...; a kernel of 4 gives 2
# everywhere. In two dimensions the counts multiply: 4, 2, 2, 1.
#
# A third way is to enlarge first, by repeating every pixel, and to convolve with stride 1 after that. There every
# output pixel is treated alike.
#
# The lower row is the spectrum (the size of the discrete Fourier transform, mean removed). Slow waves stand at the
# top left. The fastest wave there is, one pixel up and one pixel down, stands at the right and lower edges. There a
# checkerboard shows as bright spots: the number 0.75 there is a wave that swings by 0.75 up and down. In a picture
# of fine detail the eye may miss it; in the spectrum it stands out.

# %%
lesson.step("Overlap and its spectrum")


def enlarge_and_convolve(image, kernel):
    """Repeat every pixel 2 x 2 times, then convolve; the kernel (kh, kw, 1, 1) is odd."""
    conv = Conv2D(1, 1, len(kernel), padding=len(kernel) // 2, bias=False, rng=lesson.rng)
    conv.weight.value[...] = kernel
    return conv.forward(image.repeat(2, axis=1).repeat(2, axis=2), train=False)


def stamp(image, kernel):
    """Conv2DTranspose with stride 2 and the given kernel."""
    layer = Conv2DTranspose(1, 1, len(kernel), stride=2, padding=1, bias=False, rng=lesson.rng)
    layer.weight.value[...] = kernel
    return layer.forward(image, train=False)


def inner(images):
    """The middle 16 x 16 pixels, away from the border: (N, H, W, 1) -> (N, 16, 16)."""
    return images[:, 16:32, 16:32, 0]


def spectrum(image):
    """Size of each wave in an image of 16 x 16, mean removed: (9, 9), from 0 to 8 waves down and across."""
    return np.abs(np.fft.fft2(image - image.mean()))[:9, :9] / image.size


ways = {
    "kernel 3, stride 2": (stamp, 3),
    "kernel 4, stride 2": (stamp, 4),
    "repeat, then kernel 3": (enlarge_and_convolve, 3),
}
flat = np.ones((1, 28, 28, 1), np.float32)
counts = {name: inner(way(flat, np.ones((k, k, 1, 1), np.float32)))[0] for name, (way, k) in ways.items()}

figure = Figure(figsize=(12, 6.8), layout="constrained")
axes = figure.subplots(2, 3)
for column, (name, count) in enumerate(counts.items()):
    print(f"{name}: every pixel is hit {sorted(set(count.ravel().tolist()))} times")
    counted = axes[0, column].imshow(count[:8, :8], cmap="Blues", vmin=0, vmax=16)
    for (i, j), number in np.ndenumerate(count[:8, :8]):
        axes[0, column].text(j, i, f"{number:.0f}", ha="center", va="center")
    axes[0, column].set_title(f"{name}:\nkernel numbers on each pixel")
    axes[0, column].set_axis_off()
    waves = axes[1, column].imshow(spectrum(count), cmap="magma", vmin=0, vmax=0.75)
    axes[1, column].set_title("its spectrum, mean removed")
    ticks = {
        "xticks": [0, 4, 8],
        "xticklabels": [0, 0.25, 0.5],
        "yticks": [0, 4, 8],
        "yticklabels": [0, 0.25, 0.5],
    }
    axes[1, column].set(xlabel="waves a pixel, across", ylabel="waves a pixel, down", **ticks)
figure.colorbar(counted, ax=axes[0], label="kernel numbers on a pixel")
figure.colorbar(waves, ax=axes[1], label="size of the wave")
lesson.picture(figure, "checkerboard.png")

# %% [markdown]
# ## What a kernel of 4 does not cure
#
# First along one line. With stride 2 the stamps of kernel a b c (d) lie two pixels apart, so the even pixels and
# the odd ones get different kernel numbers. On a flat image, all ones, each pixel is the sum of the numbers that it
# gets:
#
#     kernel      even pixels   odd pixels     flat if          so flat is         and not flat
#     a b c       b             a + c          b = a + c        1 2 1              1 1 1
#     a b c d     b + d         a + c          b + d = a + c    1 1 1 1, 1 3 3 1   1 2 2 2
#
# In an image there are four such kinds of pixels, the phases (even or odd row, even or odd column). Kernel 4 gives
# each phase four numbers, kernel 3 gives one phase 4, two phases 2 and one phase 1. The image stays flat exactly if
# the four sums agree. Equal numbers stay flat with kernel 4 only; with kernel 3 only uneven ones such as 1 2 1 do.
# A *random* kernel has unequal sums either way: an untrained layer draws checkerboards whatever its size, and has
# to learn them away. Odena et al. say the same of trained networks: a divisible kernel helps and is no cure.
# Repeating pixels first cannot draw a checkerboard on a flat image at all.
#
# Measured: the share of the output's power on a flat image that is not its mean.

# %%
lesson.step("Which kernels draw checkerboards?")


def checkerboard_share(way, kernel):
    """Variance over mean square of the answer to a flat image: 0 for a flat answer."""
    answer = inner(way(flat, kernel))[0].astype(float)
    return answer.var() / (answer**2).mean()


def product_kernel(*numbers):
    """The outer product of a row of numbers with itself, as (k, k, 1, 1)."""
    return np.outer(numbers, numbers).astype(np.float32)[:, :, None, None]


def mean_over_random_kernels(way, size, draws=200):
    kernels = lesson.rng.standard_normal((draws, size, size, 1, 1)).astype(np.float32)
    return np.mean([checkerboard_share(way, kernel) for kernel in kernels])


shares = {
    "kernel 3, all 1": checkerboard_share(stamp, product_kernel(1, 1, 1)),
    "kernel 4, all 1": checkerboard_share(stamp, product_kernel(1, 1, 1, 1)),
    "kernel 3, bilinear 1 2 1": checkerboard_share(stamp, product_kernel(1, 2, 1)),
    "kernel 4, bilinear 1 3 3 1": checkerboard_share(stamp, product_kernel(1, 3, 3, 1)),
    "kernel 3, random": mean_over_random_kernels(stamp, 3),
    "kernel 4, random": mean_over_random_kernels(stamp, 4),
    "repeat, then kernel 3, random": mean_over_random_kernels(enlarge_and_convolve, 3),
}
for name, share in shares.items():
    print(f"{name:30} {share:.3f}")

figure = Figure(figsize=(8, 3.2))
axes = figure.add_subplot(title="Checkerboard on a flat image", xlabel="share of the output's power")
bars = axes.barh(list(shares), list(shares.values()), color=["C0", "C1", "C0", "C1", "C0", "C1", "C2"])
axes.bar_label(bars, fmt="%.2f", padding=3)
axes.set_xlim(0, 1)
axes.invert_yaxis()
lesson.picture(figure, "shares.png")

# %%
lesson.step("Checks")

# Beside each bound stands what was measured with seeds 0 to 4; what is exact has no figure.
assert np.array_equal(a_up, a_down.T)  # the same numbers, not nearly the same
assert identity_error < 1e-12  # 3e-17, float64
assert adjoint_error < 1e-12  # 4e-15, float64: sums of a few products
assert forms_differ < 1e-5  # 5e-7: float32, and 256 products added in another order
assert overlap.tolist() == [
    [1, 1, 2, 1, 1],
    [1, 1, 2, 1, 1],
    [2, 2, 4, 2, 2],
    [1, 1, 2, 1, 1],
    [1, 1, 2, 1, 1],
]
assert max(errors.values()) < 1e-6  # 3e-10; a gradient that is 0.1% wrong gives 1e-3
assert matrix_of(up, 2, 2).shape == (25, 4) and up.forward(np.ones((1, 2, 2, 1))).shape == (1, 5, 5, 1)
assert set(counts["kernel 3, stride 2"].ravel()) == {1, 2, 4}
assert set(counts["kernel 4, stride 2"].ravel()) == {4}
spots = spectrum(counts["kernel 3, stride 2"])[[0, 8, 8], [8, 0, 8]]  # fastest across, down, both
assert np.allclose(spots, [0.75, 0.75, 0.25])
assert spectrum(counts["kernel 4, stride 2"]).max() < 1e-12  # 0, for every pixel is the mean
assert abs(shares["kernel 3, all 1"] - 0.19) < 1e-6  # sums 4, 2, 2, 1: variance 19/16, mean square 25/4
assert shares["kernel 4, all 1"] < 1e-6 and shares["kernel 3, bilinear 1 2 1"] < 1e-6  # 0: whole numbers
# 0.73 to 0.78, means over 200 kernels. Four independent sums around 0 with one spread would give 3/4; a mean over so
# few kernels strays by 0.02 or so.
assert shares["kernel 3, random"] > 0.5 and shares["kernel 4, random"] > 0.5
assert shares["repeat, then kernel 3, random"] < 1e-6  # 0 but for rounding: every pixel is the same sum
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. Write "repeat every pixel 2 x 2 times" as a layer with a backward pass. (What is the adjoint of copying?) Prove
#    it with `npgan.gradcheck.check_layer`, put it before a `Conv2D` with kernel 3 and padding 1, and prove both
#    together.
# 2. "Repeat, then a Conv2D with kernel 3 and padding 1" equals a Conv2DTranspose with kernel 4, stride 2, padding 1
#    and the right kernel. In one line, kernel u v w becomes a b c d: which sums are they? Compare both on a random
#    image, with `stamp` and `enlarge_and_convolve`; the difference should be rounding. Which kernels of 4 cannot be
#    reached? (How many free numbers have they?)
# 3. Stack two layers with kernel 3, stride 2, all ones: `stamp(stamp(flat, ones), ones)`. Print which counts occur
#    in the middle 16 x 16 pixels, and `checkerboard_share` of both layers as one `way`: it rises from 0.190. To
#    what, and how large is the repeating pattern now?
#
# Worked answers, with the figures to expect: `python lessons/answers/04_transposed_convolution.py`.
