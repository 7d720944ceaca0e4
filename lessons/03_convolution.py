# %% [markdown]
# # 3. Convolution: the sliding window as one matrix product
#
# A convolution looks at an image through a small window, the same way everywhere. The lesson writes it with loops,
# straight from the definition, and then reads the package's own form: one large matrix product over copied patches.
# Both give the same numbers; the second is faster by a factor that the lesson measures. Then: what a kernel can see
# in a photograph, the gradients, learning a kernel from examples, and what it all costs.
#
# Images are NHWC: (batch, height, width, channels). Symbols as in `npgan/layers/conv.py`: N images of H x W pixels
# with C channels; kernel kh x kw, stride s, padding p; output OH x OW with D channels.

# %%
import inspect
import time

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from npgan import data
from npgan.gradcheck import check_layer
from npgan.layers import Conv2D
from npgan.layers.conv import correlate, correlate_weight_gradient, patches
from npgan.lesson import Lesson
from npgan.losses import mean_squared_error

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson("03_convolution", "The sliding window as one matrix product", FLAGS)

# What exercise 3 changes: from what a kernel is learned, "noise" or "photograph", and in how many steps.
EXAMPLES = "noise"
LEARNING_STEPS = 41

# %% [markdown]
# ## The definition, as loops
#
#     y[n, a, b, d] = sum over i, j, c of  x[n, a*s + i - p, b*s + j - p, c] * weight[i, j, c, d]
#
# Pixels outside the image count as zero. The window has room for OH = floor((H + 2p - kh) / s) + 1 places. As in
# most libraries the kernel is not flipped; mathematics calls this a cross-correlation.

# %%
lesson.step("The definition, as loops")


def convolve_loops(x, weight, s, p):
    """The formula above, one output pixel at a time."""
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    n, h, w, _ = x.shape
    kh, kw, _, d = weight.shape
    oh, ow = (h - kh) // s + 1, (w - kw) // s + 1
    y = np.zeros((n, oh, ow, d), x.dtype)
    for image in range(n):
        for a in range(oh):
            for b in range(ow):
                window = x[image, a * s : a * s + kh, b * s : b * s + kw]  # kh, kw, C
                for channel in range(d):
                    y[image, a, b, channel] = (window * weight[..., channel]).sum()
    return y


x = np.arange(1.0, 17.0).reshape(1, 4, 4, 1)  # the numbers 1 to 16 as an image of 4 x 4 pixels
weight = np.array([[1.0, 1, 1], [0, 0, 0], [-1, -1, -1]]).reshape(3, 3, 1, 1)  # upper row minus lower row
y = convolve_loops(x, weight, 1, 0)
print("y =", y[0, :, :, 0].tolist())

# %% [markdown]
# ## The same as one matrix product
#
# Copy the window of every output pixel into a row of a matrix. The weight, flattened in the same order, is a
# column (D columns for D output channels). Then every output pixel is one row times one column, and the whole
# layer is one product:
#
#     (N*OH*OW, kh*kw*C)  @  (kh*kw*C, D)   =   (N*OH*OW, D)
#
# Pixels are copied up to `kh*kw` times. That looks wasteful. It pays, because a large matrix product is the one thing
# that both processors and GPUs do at full speed (lesson 1). The name in the literature is im2col (Chellapilla et
# al. 2006).
#
# These few lines are the package's convolution; `npgan/layers/conv.py` holds no other. The line with `@faster` says
# that on a processor a quicker form of the same product stands in for it; it is timed below. `.plain` is what is
# written here.

# %%
lesson.step("Every window becomes a row")

print(inspect.getsource(patches))
print(inspect.getsource(correlate.plain))

rows = patches(x, (3, 3), (1, 1), (0, 0)).reshape(4, 9)  # (1, 2, 2, 3, 3, 1) -> (4, 9)
y_product = (rows @ weight.reshape(9, 1)).reshape(1, 2, 2, 1)

figure = Figure(figsize=(9.5, 3.2))
left, right = figure.subplots(1, 2, width_ratios=[4, 9])
for axes, numbers, title in ((left, x[0, :, :, 0], "image, 4 x 4"), (right, rows, "patches, 4 x 9")):
    axes.imshow(numbers, cmap="Blues", vmin=0, vmax=30)
    for (row, column), number in np.ndenumerate(numbers):
        axes.text(column, row, f"{number:.0f}", ha="center", va="center", size=13)
    axes.set_title(title)
    axes.set_axis_off()
for corner, row, colour in ((-0.46, 0, "C3"), (0.54, 3, "C1")):  # the first window and the last
    size = 2.92 if row == 0 else 2.88
    left.add_patch(Rectangle((corner, corner), size, size, fill=False, edgecolor=colour, linewidth=3))
    right.add_patch(Rectangle((-0.46, row - 0.46), 8.92, 0.92, fill=False, edgecolor=colour, linewidth=3))
lesson.picture(figure, "patches.png")

# %% [markdown]
# A hand-made example can agree by luck. So both run on random images, with more channels, strides and paddings.

# %%
lesson.step("Loops and product agree")

largest = 0.0
for s, p, k in ((1, 0, 3), (1, 1, 3), (2, 1, 4), (2, 0, 3), (3, 2, 5)):
    images = lesson.rng.standard_normal((2, 9, 7, 3))  # (N, H, W, C)
    kernel = lesson.rng.standard_normal((k, k, 3, 4))  # (kh, kw, C, D)
    by_loops = convolve_loops(images, kernel, s, p)
    by_product = correlate.plain(images, kernel, (s, s), (p, p))
    difference = np.abs(by_loops - by_product).max()
    largest = max(largest, difference)
    print(
        f"kernel {k}, stride {s}, padding {p}: output {by_product.shape}, largest difference {difference:.0e}"
    )

# %% [markdown]
# ## What a kernel sees
#
# Four kernels of 3 x 3 on a photograph. A kernel whose numbers sum to zero answers zero wherever the image is
# flat: it sees edges only. One whose numbers sum to one keeps the brightness. A convolutional discriminator learns
# kernels like these by itself, hundreds of them, and looks with further kernels at what they answer.
#
# In the pictures middle grey is 0. White is the number over the picture or more, black its negative or less. The
# pixels of the photograph lie in [-1, 1]; for the three edge kernels the number is 3 times the spread of their
# answers.

# %%
lesson.step("Edges in a photograph")

kernels = {
    "left - right": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],  # Sobel
    "top - bottom": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],  # Sobel
    "centre - around": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],  # Laplace
    "mean of 9": np.full((3, 3), 1 / 9),
}
photo = data.photograph()[60:380:2, 100:420:2].mean(axis=2)  # (160, 160), 0..255
photo = (photo / 127.5 - 1).astype(np.float32)[None, :, :, None]  # (1, 160, 160, 1), in [-1, 1]
filters = Conv2D(1, 4, 3, bias=False, rng=lesson.rng)
filters.weight.value[...] = np.stack([np.array(k, np.float32) for k in kernels.values()], axis=-1)[:, :, None]
answers = filters.forward(photo, train=False)  # (1, 158, 158, 4)

figure = Figure(figsize=(13, 3))
panels = figure.subplots(1, 5)
panels[0].imshow(photo[0, :, :, 0], cmap="gray", vmin=-1, vmax=1)
panels[0].set_title("photograph\nblack -1, white +1")
for channel, (name, axes) in enumerate(zip(kernels, panels[1:])):
    answer = answers[0, :, :, channel]
    limit = 1 if name == "mean of 9" else 3 * answer.std()
    axes.imshow(answer, cmap="gray", vmin=-limit, vmax=limit)
    axes.set_title(f"{name}\nblack {-limit:.2g}, white {limit:+.2g}")
    print(
        f"{name}: mean answer {answer.mean():+.3f}, of a flat image {filters.weight.value[..., channel].sum():+.3f}"
    )
for axes in panels:
    axes.set_axis_off()
lesson.picture(figure, "edges.png")

# %% [markdown]
# ## Gradients
#
# y is linear in x and linear in the weight, and the matrix form is a dense layer on patches (lesson 2). So with
# `rows` the patches of x and dy flattened to `(N*OH*OW, D)`:
#
#     dweight = rows.T @ dy
#     drows   = dy @ weight.T       then every row is *added* to dx, at the window it was copied from
#
# Added, because a pixel lies in many windows, and its gradient sums over all of them: in the image of 4 x 4 the
# corner lies in one window, the middle in all four. Below, window by window; lesson 4 has the package's own form,
# and makes a layer of it.

# %%
lesson.step("Gradients, checked")

print(inspect.getsource(correlate_weight_gradient.plain))
dy = lesson.rng.standard_normal((4, 1))  # of the 4 windows of the image of 4 x 4 above
dweight = correlate_weight_gradient.plain(x, dy.reshape(1, 2, 2, 1), (3, 3), (1, 1), (0, 0))
by_rows = (rows.T @ dy).reshape(3, 3, 1, 1)
print(f"rows.T @ dy and the function: largest difference {np.abs(dweight - by_rows).max():.0e}")

drows = dy @ weight.reshape(9, 1).T  # (4, 1) @ (1, 9) -> (4, 9)
dx = np.zeros((4, 4))
for drow, (a, b) in zip(drows, np.ndindex(2, 2)):
    dx[a : a + 3, b : b + 3] += drow.reshape(3, 3)  # the window at (a, b)
checked = Conv2D(1, 1, 3, bias=False, rng=lesson.rng).astype("float64")
checked.weight.value[...] = weight
checked.forward(x)
dx_error = float(np.abs(checked.backward(dy.reshape(1, 2, 2, 1))[0, :, :, 0] - dx).max())
print(f"the rows added back, and the layer's backward: largest difference {dx_error:.0e}")

errors = {}
for s, p, k in ((1, 1, 3), (2, 1, 4)):
    layer = Conv2D(2, 3, k, stride=s, padding=p, rng=lesson.rng).astype("float64")
    errors[k] = check_layer(layer, lesson.rng.standard_normal((2, 6, 6, 2)), rng=lesson.rng)
    print(f"kernel {k}, stride {s}: " + ", ".join(f"{name} {e:.0e}" for name, e in errors[k].items()))

# %% [markdown]
# ## A kernel learned from examples
#
# Show the layer random images and what the Sobel kernel makes of them, and let gradient descent find the kernel.
# Only nine numbers have to be learned, and every pixel of every image helps: that is why convolutions need so much
# less data than dense layers.
#
# How fast? The loss is the mean of M = 784 squares, `|rows @ w - wanted|**2 / M`, so a step of descent with rate
# 0.1 multiplies the error of w by the matrix 1 - 0.2 rows.T @ rows / M. Along an eigenvector of rows.T @ rows / M
# with eigenvalue e it shrinks by the factor 1 - 0.2 e. Noise is alike in all directions: every e is about 1, and
# every step takes away about a fifth.

# %%
lesson.step("A kernel learned from examples")

examples = lesson.rng.standard_normal((4, 16, 16, 1)).astype(np.float32)
if EXAMPLES == "photograph":
    corners = ((20, 20), (20, 100), (100, 20), (100, 100))
    examples = np.concatenate([photo[:, a : a + 16, b : b + 16] for a, b in corners])  # (4, 16, 16, 1)
sobel = filters.weight.value[..., :1]  # (3, 3, 1, 1)
wanted = correlate(examples, sobel, (1, 1), (0, 0))  # (4, 14, 14, 1)
example_rows = patches(examples, (3, 3), (1, 1), (0, 0)).reshape(-1, 9)  # (784, 9)
example_rows = example_rows.astype(float)
eigenvalues, eigenvectors = np.linalg.eigh(
    example_rows.T @ example_rows / len(example_rows)
)  # smallest first
print(f"eigenvalues of rows.T @ rows / M: {eigenvalues[0]:.6f} to {eigenvalues[-1]:.3f}")
learner = Conv2D(1, 1, 3, rng=lesson.rng)


def slowest_error():
    """The error of w along the eigenvector of the smallest eigenvalue."""
    return abs(float((learner.weight.value - sobel).ravel() @ eigenvectors[:, 0]))


error_at_first = slowest_error()
snapshots = {}
for step in range(LEARNING_STEPS):
    if step in (0, 3, 10, LEARNING_STEPS - 1):
        snapshots[f"step {step}"] = learner.weight.value.copy()
    learner.zero_grad()
    loss, dy = mean_squared_error(learner.forward(examples), wanted)
    learner.backward(dy)
    for parameter in learner.parameters():
        parameter.value -= 0.1 * parameter.grad
kernel_error = float(np.abs(learner.weight.value - sobel).max())
print(
    f"after {step + 1} steps on {EXAMPLES}: loss {float(loss):.1e}, "
    f"largest difference from the Sobel kernel {kernel_error:.1e}"
)
shrunk = slowest_error() / error_at_first
print(f"along the eigenvector of the smallest eigenvalue, of the first error {shrunk:.2e} is left")

figure = Figure(figsize=(11, 2.6))
for axes, (name, values) in zip(
    figure.subplots(1, len(snapshots) + 1), (snapshots | {"Sobel": sobel}).items()
):
    axes.imshow(values[:, :, 0, 0], cmap="RdBu", vmin=-2.5, vmax=2.5)
    for (i, j), number in np.ndenumerate(values[:, :, 0, 0].round(1) + 0.0):  # + 0.0: no -0.0
        axes.text(
            j, i, f"{number:.1f}", ha="center", va="center", color="white" if abs(number) > 1.5 else "black"
        )
    axes.set_title(name)
    axes.set_axis_off()
lesson.picture(figure, "learned_kernel.png")

# %% [markdown]
# ## What it costs
#
# Each output number takes `kh*kw*C` multiplications and as many additions, so a layer takes
# `2 * N*OH*OW * kh*kw*C * D` operations forward, and about twice that backward. A dense layer between the same
# images would have `H*W*C * OH*OW*D` weights, and take twice as many operations for each image.

# %%
lesson.step("What it costs")

print("Conv2D, kernel 4, stride 2, one image      weights   operations   a dense layer's weights")
for h, c, d in ((64, 3, 64), (32, 64, 128), (16, 128, 256), (8, 256, 512)):
    weights, pixels = 4 * 4 * c * d, (h // 2) ** 2
    shapes = f"{h:3} x {h:2} x {c:3} -> {h // 2:2} x {h // 2:2} x {d:3}"
    print(f"{shapes} {weights:20,} {2 * pixels * weights:12,} {h * h * c * pixels * d:18,}")

images = lesson.rng.standard_normal((1 if lesson.args.quick else 4, 28, 28, 8)).astype(np.float32)
kernel = lesson.rng.standard_normal((3, 3, 8, 16)).astype(np.float32)
seconds = {}
for name, function, repeats in (
    ("loops", lambda: convolve_loops(images, kernel, 1, 1), 1),
    ("patches", lambda: correlate.plain(images, kernel, (1, 1), (1, 1)), 20),
):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    seconds[name] = min(times)
    operations = 2 * len(images) * 28 * 28 * 9 * 8 * 16
    print(f"{name}: {seconds[name] * 1e3:.2f} ms, {operations / seconds[name] / 1e9:.3f} GFLOP/s")
faster = seconds["loops"] / seconds["patches"]
print(f"the product is {faster:.0f} times faster")

# %% [markdown]
# ## What can still be gained
#
# The patches of a real layer are large: for 64 images of 32 x 32 pixels and 64 channels, kernel 4 and stride 2,
# they take 67 MB. They are written to memory and read back, and one core does the copying. `npgan/fast` cuts the
# batch in pieces whose patches stay in the processor's cache, lets each core work on pieces of its own, and in
# wide layers does 9 products in place of 16 (`npgan/fast/winograd.py`). The numbers are the same up to rounding.
# Nothing else in this course depends on it.

# %%
lesson.step("The plain form beside the fast one")

fastest = {}
for n, size, c, d in ((64, 28, 1, 32), (64, 32, 64, 128)):
    if lesson.args.quick:
        n, size = 4, size // 2
    images = lesson.rng.standard_normal((n, size, size, c), dtype=np.float32)
    kernel = lesson.rng.standard_normal((4, 4, c, d), dtype=np.float32)
    for name, form in (("plain", correlate.plain), ("fast", correlate.fast)):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            answer = form(images, kernel, (2, 2), (1, 1))
            times.append(time.perf_counter() - start)
        fastest[name] = min(times), answer
    (plain, plain_answer), (fast, fast_answer) = fastest.values()
    forms_differ = float(np.abs(plain_answer - fast_answer).max() / np.abs(plain_answer).max())
    print(
        f"{n} x {size} x {size} x {c:2} to {d:3} channels: plain {1e3 * plain:.1f} ms, fast {1e3 * fast:.1f} ms, "
        f"difference {forms_differ:.0e} of the largest number"
    )

# %%
lesson.step("Checks")

# Beside each bound stands what was measured (seed 0, full run), and what the room is for.
assert np.array_equal(y[0, :, :, 0], [[-24, -24], [-24, -24]])  # 3 columns, each 8 less than two rows below
assert np.array_equal(y_product, y)
assert largest < 1e-12  # 5e-15: float64, 75 products at most; room for other orders
flat = filters.forward(np.ones((1, 5, 5, 1), np.float32), train=False)
assert np.allclose(flat[..., :3], 0) and np.allclose(
    flat[..., 3], 1
)  # edges, and the mean: exact but for rounding
assert (
    np.allclose(dweight, by_rows, rtol=0, atol=1e-12) and dx_error < 1e-12
)  # the same few products, in float64
assert max(max(e.values()) for e in errors.values()) < 1e-6  # 2e-10; a gradient that is 0.1% wrong gives 1e-3
assert forms_differ < 1e-5  # 1e-6: float32, and 1,024 products added in another order
if EXAMPLES == "noise":
    assert kernel_error < 1e-2  # 2e-4 to 6e-4 with seeds 0 to 4, for the smallest e is 0.75 to 0.91
assert faster > 3  # 830 to 1,600; a busy machine may slow down either, a GPU's neighbour both
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. Write a layer for *average pooling* (the mean of each 2 x 2 block) with `patches`; its backward pass gives each
#    pixel of a block a quarter of dy. Prove it with `npgan.gradcheck.check_layer`.
# 2. A 4 x 4 kernel at stride 2 equals a 2 x 2 kernel at stride 1 on an image whose 2 x 2 blocks have been moved
#    into the channels. Show it: write the rearrangement of image and weight, and compare with `correlate`.
# 3. Set `EXAMPLES = "photograph"`: the kernel is then learned from four crops. The lesson prints the smallest
#    eigenvalue e, and how much of the error along its eigenvector is left. Work out after how many steps a tenth
#    should be left, `(1 - 0.2 e)**steps = 0.1`, and check it with `LEARNING_STEPS`. Why is this e so small? (Print
#    the eigenvector, `eigenvectors[:, 0].reshape(3, 3)`.)
#
# Worked answers, with the figures to expect: `python lessons/answers/03_convolution.py`.
