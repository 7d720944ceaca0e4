"""Lessons 10 and 11: the joins, what the generators may and may not change, search, and one's own picture."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import strict_cupy
from hypothesis import given
from hypothesis import strategies as st
from layer_table import off_zero
from PIL import Image
from strategies import at_least, seeds

from npgan import checkpoint, masks, networks, repair
from npgan.backend import to_device, to_numpy
from npgan.data import DataError, read_picture
from npgan.gradcheck import GradientError, check_layer, check_loss
from npgan.inpainting import energy_score, inpainting_step
from npgan.layers import Concatenate, Dense, Layer, LeakyReLU, Reshape, Sequential, Tanh
from npgan.optim import SGD

LESSONS = Path(__file__).parents[1] / "lessons"


class Packed(Layer):
    """A layer of several inputs as one of a single input: the inputs packed into rows (N, sum of their sizes)."""

    def __init__(self, layer, shapes, joined=False, constant=()):
        self.layer, self.shapes, self.joined, self.constant = layer, shapes, joined, constant

    def forward(self, x, train=True):
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes)])
        parts = [x[:, a:b].reshape(-1, *shape) for a, b, shape in zip(ends, ends[1:], self.shapes)]
        y = self.layer.forward(parts, train) if self.joined else self.layer.forward(*self.fixed(parts), train)
        return self.remember(train, y)

    def fixed(self, parts):
        """The parts, with those of `constant` (position -> array) put in their places."""
        for place, array in sorted(dict(self.constant).items()):
            parts.insert(place, array)
        return parts

    def backward(self, dy):
        self.recall(dy)
        gradients = self.layer.backward(dy)
        places = [i for i in range(len(gradients)) if i not in dict(self.constant)]
        return np.concatenate([gradients[i].reshape(len(dy), -1) for i in places], axis=1)


# The join ------------------------------------------------------------------------------------------------


def test_concatenate_by_hand():
    join = Concatenate()
    a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0], [6.0]])
    assert join.forward([a, b]).tolist() == [[1, 2, 5], [3, 4, 6]]
    da, db = join.backward(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    assert da.tolist() == [[1, 2], [4, 5]] and db.tolist() == [[3], [6]]
    with pytest.raises(RuntimeError, match="without a memory"):
        join.backward(np.zeros((2, 3)))


@at_least(200)
@given(
    rows=st.integers(1, 3),
    rest=st.lists(st.integers(1, 3), max_size=2),
    widths=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    seed=seeds,
)
def test_gradient_of_concatenate_is_that_of_finite_differences(rows, rest, widths, seed):
    rng = np.random.default_rng(seed)
    shapes = [(*rest, width) for width in widths]
    x = rng.standard_normal((rows, sum(int(np.prod(shape)) for shape in shapes)))
    check_layer(Packed(Concatenate(), shapes, joined=True), x, rng=rng, tolerance=1e-6)


def test_a_gradient_cut_in_the_wrong_place_is_found(rng, monkeypatch):
    monkeypatch.setattr(Concatenate, "backward", lambda self, dy: [dy[..., 1:], dy[..., :1]])
    packed = Packed(Concatenate(), [(2,), (1,)], joined=True)
    with pytest.raises(GradientError):
        check_layer(packed, rng.standard_normal((3, 3)), rng=rng)


@pytest.mark.parametrize(
    ("parts", "error", "words"),
    [
        ([np.zeros((2, 3)), np.zeros((3, 3))], ValueError, "agree in all axes but the last"),
        ([np.zeros((2, 3)), np.zeros((2, 3, 1))], ValueError, "agree in all axes but the last"),
        ([np.zeros((2, 3)), np.zeros((2, 3), np.float32)], TypeError, "float64, float32"),
        ([np.zeros((2, 3), int), np.zeros((2, 3))], TypeError, "floating"),
    ],
)
def test_concatenate_says_what_does_not_fit(parts, error, words):
    with pytest.raises(error, match=words):
        Concatenate().forward(parts)


# The lessons' generators ---------------------------------------------------------------------------------


def run_lesson(name, folder, *flags):
    """Run a lesson in this process with --quick; return its names."""
    before, hook = sys.argv, sys.excepthook
    sys.argv = [name, "--quick", "--out", str(folder), "--device", "numpy", *flags]
    if "dense" in name:
        sys.argv = [name, "--quick", "--out", str(folder), *flags]
    try:
        return runpy.run_path(str(LESSONS / name))
    finally:
        sys.argv, sys.excepthook = before, hook


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    return run_lesson("10_dense_inpainting.py", tmp_path_factory.mktemp("10"))


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def conv(out):
    return run_lesson("11_conv_inpainting.py", out / "11_conv_inpainting")


@pytest.fixture(scope="module")
def trade_off(conv, out):
    return run_lesson("11_trade_off.py", out / "11_trade_off")


@pytest.fixture(scope="module")
def search(conv, out):
    return run_lesson("11_search.py", out / "11_search")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return run_lesson("11_own_picture.py", tmp_path_factory.mktemp("own"))


def make_dense(names, rng):
    return names["DenseInpainter"]((8, 8, 2), (6, 5), rng, noise=3), [(8, 8, 2), (3,)]


def make_conv(names, rng, skips=True):
    return networks.Inpainter((8, 8, 2), rng, width=2, code=5, noise=3, skips=skips), [(8, 8, 2), (3,)]


def make_own(names, rng):
    return names["Corrector"](2, rng, width=2), [(8, 8, 2), (8, 8, 2)]


GENERATORS = {
    "dense": ("dense", make_dense),
    "conv": ("conv", make_conv),
    "conv-without-skips": ("conv", lambda names, rng: make_conv(names, rng, skips=False)),
    "own": ("own", make_own),
}
every_generator = pytest.mark.parametrize("which", GENERATORS)


def set_up(which, request, seed):
    """A small generator of a lesson, the shapes of its image and noise, holes, and packed images and noise."""
    fixture, make = GENERATORS[which]
    rng = np.random.default_rng(seed)
    network, shapes = make(request.getfixturevalue(fixture), rng)
    for parameter in network.parameters():
        parameter.value[...] = off_zero(rng, parameter.value.shape, 0.1, 0.6)
    holes = masks.make("rectangles", 6, 8, 8, rng)
    x = rng.standard_normal((6, sum(int(np.prod(shape)) for shape in shapes)))
    return rng, network, shapes, holes, x


def near_a_kink(network, run):
    """Whether any LeakyReLU met a value within 1e-4 of zero in `run()`."""
    seen = []
    forward = LeakyReLU.forward

    def watching(self, x, train=True):
        seen.append(np.abs(x).min())
        return forward(self, x, train)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LeakyReLU, "forward", watching)
        run()
    return min(seen) < 1e-4


@every_generator
def test_gradients_of_a_generator_are_those_of_finite_differences(which, request):
    checked, seed = 0, 0
    while checked < 20:
        rng, network, shapes, holes, x = set_up(which, request, seed)
        seed += 1
        packed = Packed(network.astype("float64"), shapes, constant=[(1, holes.astype("float64"))])
        if near_a_kink(network, lambda packed=packed, x=x: packed.forward(x)):
            continue
        # A bias before BatchNormalization (the dense one has some) has a gradient of zero: nothing to compare.
        errors = check_layer_but_zero(packed, x, rng)
        assert len(errors) > 5
        checked += 1


def check_layer_but_zero(packed, x, rng):
    """check_layer, but a parameter whose gradient is zero to rounding is compared with zero."""
    y = packed.forward(x)
    packed.zero_grad()
    packed.backward(rng.standard_normal(y.shape))
    parameters = packed.named_parameters()
    silent = {name for name, p in parameters.items() if np.abs(p.grad).max() < 1e-9}
    packed.zero_grad()
    hidden = Packed.named_parameters
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Packed,
            "named_parameters",
            lambda self: {name: p for name, p in hidden(self).items() if name not in silent},
        )
        return check_layer(packed, x, rng=rng, tolerance=1e-5)


@every_generator
@pytest.mark.parametrize("train", [True, False])
def test_known_pixels_come_back_bit_for_bit_and_missing_ones_do_not(which, train, request):
    rng, network, shapes, holes, x = set_up(which, request, 3)
    size = int(np.prod(shapes[0]))
    images = x[:, :size].reshape(-1, *shapes[0]).astype(np.float32)
    noise = x[:, size:].reshape(-1, *shapes[1]).astype(np.float32)
    repaired = network.forward(images, holes, noise, train)
    known = np.broadcast_to(holes < 0.5, images.shape)
    assert np.array_equal(repaired[known], images[known])
    assert (repaired[~known] != images[~known]).mean() > 0.9
    turned = network.forward(images, 1 - holes, noise, train)
    assert np.array_equal(turned[~known], images[~known])
    assert (turned[known] != images[known]).mean() > 0.9


@every_generator
def test_what_stands_in_the_hole_of_the_truth_is_not_looked_at(which, request):
    rng, network, shapes, holes, x = set_up(which, request, 4)
    size = int(np.prod(shapes[0]))
    images = x[:, :size].reshape(-1, *shapes[0]).astype(np.float32)
    noise = x[:, size:].reshape(-1, *shapes[1]).astype(np.float32)
    others = np.where(holes > 0.5, rng.standard_normal(images.shape).astype(np.float32), images)
    one, two = (network.forward(masks.damage(a, holes), holes, noise, False) for a in (images, others))
    assert np.array_equal(one, two)


@every_generator
def test_a_generator_gives_the_same_numbers_on_the_device(which, request, monkeypatch):
    rng, network, shapes, holes, x = set_up(which, request, 5)
    size = int(np.prod(shapes[0]))
    images = x[:, :size].reshape(-1, *shapes[0]).astype(np.float32)
    noise = x[:, size:].reshape(-1, *shapes[1]).astype(np.float32)
    dy = rng.standard_normal(images.shape).astype(np.float32)
    inputs = [masks.damage(images, holes), holes, noise]
    on_host = [network.forward(*inputs), *network.backward(dy)]
    strict_cupy.install(monkeypatch)
    network.to("cupy")
    inputs = [to_device(array, "cupy") for array in inputs]
    on_device = [network.forward(*inputs), *network.backward(to_device(dy, "cupy"))]
    for a, b in zip(on_host, on_device):
        np.testing.assert_allclose(to_numpy(b), a, rtol=1e-3, atol=1e-4)
    network.to("numpy")


def test_turning_the_mask_around_makes_the_repair_worse(conv):
    """A quick training is enough: with the mask turned, the hole stays as the damage left it."""
    truth, holes = conv["truth"][:100], conv["holes"][:100]
    network, rng = conv["gans"][0], np.random.default_rng(0)
    right = repair.repair(network, truth, holes, rng, "numpy")
    x = masks.damage(truth, holes)
    noise = rng.standard_normal((100, network.noise), dtype=np.float32)
    turned = network.forward(x, 1 - holes, noise, train=False)
    error = [(np.abs(r - truth) * holes).sum() for r in (right, turned)]
    assert error[0] < 0.98 * error[1]


def test_a_quick_training_learns_something_and_looks_at_the_mask(conv, dense):
    """What the full lessons assert on their own data, as far as seconds go."""
    truth, holes = conv["truth"], conv["holes"]
    untrained = networks.Inpainter(conv["SHAPE"], np.random.default_rng(0))
    before = repair.repair(untrained, truth, holes, np.random.default_rng(0), "numpy")
    results = conv["results"]
    assert results["reconstruction"].psnr > repair.score(before, truth, holes).psnr + 0.5
    assert results["GAN"].psnr > results["mean"].psnr
    assert dense["scores"]["mended"].psnr > dense["scores"]["mean"].psnr


@every_generator
def test_the_gradients_of_the_weights_do_not_need_that_of_the_input(which, request):
    rng, network, shapes, holes, x = set_up(which, request, 6)
    packed = Packed(network.astype("float64"), shapes, constant=[(1, holes.astype("float64"))])
    y = packed.forward(x)
    dy = rng.standard_normal(y.shape)
    network.zero_grad()
    packed.backward(dy)
    wanted = [parameter.grad.copy() for parameter in network.parameters()]
    network.zero_grad()
    packed.forward(x)
    assert network.backward_parameters(dy) is None
    assert all(np.array_equal(a, p.grad) for a, p in zip(wanted, network.parameters()))


def score_by_loops(fake, real, counts, seeking):
    """The energy score of `inpainting.energy_score`, image by image, from its definition."""
    n, values = len(fake) // 2, []
    for i in range(n):
        a, b, x = (array[counts[i]] for array in (fake[i], fake[n + i], real[i]))
        to_x = [np.sqrt(np.mean((repaired - x) ** 2)) for repaired in (a, b)]
        values.append(sum(to_x) / 2 - seeking / 2 * np.sqrt(np.mean((a - b) ** 2)))
    return np.mean(values)


@given(
    n=st.integers(1, 4),
    size=st.integers(1, 5),
    channels=st.integers(1, 3),
    seeking=st.floats(0, 1),
    seed=seeds,
)
def test_the_gradient_of_the_energy_score_is_that_of_finite_differences(n, size, channels, seeking, seed):
    rng = np.random.default_rng(seed)
    holes = (rng.random((n, size, size, 1)) < 0.6).astype(float)
    holes[:, 0, 0] = 1
    holes = np.concatenate([holes, holes])
    error = holes * rng.standard_normal((2 * n, size, size, channels))
    # Where a and b are one value each, |a - b| has a kink at a = b, and |a - x| at a = x: keep away from both.
    error += holes * np.where(np.arange(2 * n) < n, 3, 7)[:, None, None, None]
    check_loss(lambda e: energy_score(e * holes, holes, seeking), error, rng)


def test_the_energy_score_by_hand():
    """One image of two pixels, one of them in the hole: a is off by 3, b by -1, so |a - b| = 4."""
    holes = np.array([1.0, 0.0]).reshape(1, 1, 2, 1)
    error = np.array([[3.0, 0.0], [-1.0, 0.0]]).reshape(2, 1, 2, 1)
    value, derror = energy_score(error, np.concatenate([holes, holes]), 0.5)
    assert value == (3 + 1) / 2 - 0.25 * 4
    assert derror.ravel().tolist() == [(1 - 0.5) / 2, 0, (-1 + 0.5) / 2, 0]
    value, derror = energy_score(0 * error, np.concatenate([holes, holes]), 0.5)
    assert value == 0 and not derror.any()  # no direction, and no division by zero
    value, derror = energy_score(0 * error, np.zeros((2, 1, 2, 1)), 0.5)
    assert value == 0 and not derror.any()  # nothing that counts
    with pytest.raises(ValueError, match="two repairs of each image, got 3"):
        energy_score(np.zeros((3, 1, 2, 1)), np.ones((3, 1, 2, 1)), 0.5)


def test_the_energy_score_is_least_where_repairs_are_spread_as_the_truth_is(rng):
    """Truth and repairs normal around one mean, with spreads t and s, in 400 pixels."""
    t, holes = 0.7, np.ones((4000, 20, 20, 1), np.float32)
    x = t * rng.standard_normal((2000, 20, 20, 1), dtype=np.float32)
    noise = rng.standard_normal((4000, 20, 20, 1), dtype=np.float32)
    for seeking in (1.0, 0.8):
        best = t * seeking / np.sqrt(2 - seeking**2)
        low, middle, high = (
            float(energy_score(s * noise - np.concatenate([x, x]), holes, seeking)[0])
            for s in (0.9 * best, best, 1.1 * best)
        )
        assert middle < min(low, high)


@pytest.mark.parametrize("seeking", [0.0, 0.8])
@pytest.mark.parametrize("partly", [False, True])
def test_a_step_of_repair_follows_the_gradient_of_both_teachers(partly, seeking):
    """The weights' change by plain descent, against finite differences of the loss that the docstring states."""
    checked, seed = 0, 0
    while checked < 5:
        rng, seed = np.random.default_rng(seed), seed + 1
        generator = networks.Inpainter((8, 8, 2), rng, width=2, code=5, noise=3).astype(float)
        judge = networks.inpainting_discriminator((8, 8, 2), rng, width=2).astype(float)
        for network in (generator, judge):
            for parameter in network.parameters():
                parameter.value[...] = off_zero(rng, parameter.value.shape, 0.1, 0.6)
        holes = masks.make("rectangles", 6, 8, 8, rng).astype(float)
        counted = holes * (rng.random(holes.shape) < 0.7) if partly else None
        real, other = rng.uniform(-1, 1, (2, 6, 8, 8, 2))
        if seeking:  # three images, repaired with two noises each
            real, holes = (np.concatenate([array[:3]] * 2) for array in (real, holes))
            counted = np.concatenate([counted[:3]] * 2) if partly else None
        inputs = [masks.damage(real, holes), holes, rng.standard_normal((6, 3))]

        def loss(generator=generator, judge=judge, inputs=inputs, real=real, holes=holes, counted=counted):
            fake = generator.forward(*inputs)
            counts = np.broadcast_to((holes if counted is None else counted) > 0.5, real.shape)
            wrong = (fake - real)[counts]
            error = score_by_loops(fake, real, counts, seeking) if seeking else np.mean(wrong**2)
            logits = judge.forward(np.concatenate([fake, holes], axis=3))
            return 0.7 * error + 0.3 * np.mean(np.log1p(np.exp(-logits)))

        if near_a_kink(generator, loss):
            continue
        before = [parameter.value.copy() for parameter in generator.parameters()]
        figures = inpainting_step(
            *(generator, judge, SGD(generator.parameters(), 1.0), SGD(judge.parameters(), 1e-300)),
            *(generator.forward(*inputs), real, holes, np.concatenate([other, holes], axis=3)),
            **{"reconstruction": 0.7, "adversarial": 0.3, "counted": counted, "seeking": seeking},
        )
        gradient = [a - parameter.value for a, parameter in zip(before, generator.parameters())]
        values = []
        direction = [rng.standard_normal(a.shape) for a in before]
        for sign in (-1, 1):
            for parameter, a, d in zip(generator.parameters(), before, direction):
                parameter.value[...] = a + sign * 1e-6 * d
            values.append(loss())
        slope = sum((g * d).sum() for g, d in zip(gradient, direction))
        assert (values[1] - values[0]) / 2e-6 == pytest.approx(slope, rel=1e-6)
        error = figures["energy" if seeking else "mse"]
        assert 0.7 * error + 0.3 * figures["g_loss"] == pytest.approx(np.mean(values), rel=1e-6)
        assert not any(layer.frozen for layer in judge.walk())
        checked += 1


def test_a_follower_starts_from_the_weights_that_lesson_11_has_trained(conv, trade_off, out):
    """The averaged weights of the first seed's reconstruction, and the very images and holes."""
    found = checkpoint.in_folder(out / "11_conv_inpainting" / "reconstruction-0")[-1]
    start = trade_off["start"]()
    with np.load(found) as arrays:
        for name, value in start.state().items():
            assert np.array_equal(value, arrays[f"average/layer.{name}"]), name
    for name in ("truth", "holes", "damaged"):
        assert np.array_equal(trade_off[name], conv[name])


def test_the_lessons_write_their_pictures(conv, trade_off, search, dense, own):
    for names, pictures in (
        (dense, ["training.png", "repairs.png"]),
        (conv, ["repairs.png", "losses.png"]),
        (trade_off, ["repairs.png", "trade_off.png", "diversity.png"]),
        (search, ["repairs.png", "drawn.png"]),
        (own, ["comparison.png", "repaired.png", "learned.png"]),
    ):
        for picture in pictures:
            with Image.open(names["args"].out / picture) as image:
                assert min(image.size) > 50


# Search --------------------------------------------------------------------------------------------------


def test_search_finds_the_noise_of_an_image_that_the_generator_can_draw(search):
    """Known pixels alone lead to z, and the hole follows."""
    rng = np.random.default_rng(0)
    h, w, c = search["SHAPE"]
    generator = Sequential([Dense(4, h * w * c, rng=rng), Reshape((h, w, c)), Tanh()])
    z = rng.standard_normal((5, 4)).astype(np.float32)
    images = generator.forward(z, train=False)
    before = generator.state()
    holes = masks.make("centre", 5, h, w, rng)
    settings = {"steps": 400, "latent": 4, "prior": 0.0}
    found, cost = search["search"](generator, masks.damage(images, holes), holes, rng, **settings)
    assert (np.diff(cost, axis=1) >= 0).all()  # the best first
    found = found[:, 0]
    known = np.broadcast_to(holes < 0.5, images.shape)
    assert np.array_equal(found[known], images[known])
    assert np.abs(found - images).max() < 0.1
    assert all(np.array_equal(before[name], array) for name, array in generator.state().items())
    assert not any(parameter.grad.any() for parameter in generator.parameters())
    turned, _ = search["search"](generator, masks.damage(images, 1 - holes), 1 - holes, rng, **settings)
    assert np.array_equal(turned[:, 0][~known], images[~known])


def test_search_counts_known_pixels_near_the_hole_most_and_missing_ones_not_at_all(search):
    holes = np.concatenate([masks.make(kind, 3, 16, 12, np.random.default_rng(0)) for kind in masks.KINDS])
    weights = search["context"](holes)
    assert weights.shape == holes.shape and weights.dtype == np.float32
    assert not weights[holes > 0.5].any() and (weights[holes < 0.5] > 0).all()
    np.testing.assert_allclose(weights.sum(axis=(1, 2, 3)), 1, rtol=1e-5)
    hole = np.zeros((1, 9, 9, 1), np.float32)
    hole[0, 4, 4] = (
        1  # one pixel: those in the 7 x 7 around it count (1 / 49 + .1) / .1 times as much as others
    )
    weights = search["context"](hole)[0, ..., 0]
    assert weights[1, 1] / weights[0, 0] == pytest.approx(1 + 10 / 49, rel=1e-5)


def test_a_search_with_a_prior_stays_near_the_noise_that_a_generator_is_used_to(search):
    rng = np.random.default_rng(1)
    h, w, c = search["SHAPE"]
    generator = Sequential([Dense(4, h * w * c, rng=rng), Reshape((h, w, c)), Tanh()])
    images = np.tanh(rng.standard_normal((3, h, w, c))).astype(np.float32)  # like none that it can draw
    holes = masks.make("centre", 3, h, w, rng)
    costs = [search["search"](generator, images, holes, rng, 50, latent=4, prior=p)[1][:, 0] for p in (0, 10)]
    assert (costs[1] > costs[0]).all()


# One's own picture ---------------------------------------------------------------------------------------


def own_picture(folder, *flags):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    environment["PYTHONPATH"] = str(LESSONS.parent)
    command = [
        sys.executable,
        str(LESSONS / "11_conv_inpainting.py"),
        "--quick",
        "--out",
        str(folder / "out"),
    ]
    return subprocess.run(
        [*command, *map(str, flags)], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


def draw_picture(height, width, channels):
    y, x = np.mgrid[:height, :width]
    stripes = np.stack([120 + 80 * np.sin((x + k * y) / 5) for k in range(channels)], axis=2)
    return stripes.astype(np.uint8)


@pytest.mark.parametrize(("height", "width", "channels"), [(70, 53, 3), (45, 90, 1)])
def test_a_picture_of_ones_own_is_repaired_at_its_full_size(tmp_path, height, width, channels):
    picture = draw_picture(height, width, channels)
    hole = np.zeros((height, width), np.uint8)
    hole[10:24, 20:41] = 255
    picture[hole > 0] = 255  # the damage
    Image.fromarray(picture.squeeze()).save(tmp_path / "photo.png")
    Image.fromarray(hole).save(tmp_path / "mask.png")
    done = own_picture(tmp_path, "--image", "photo.png", "--mask", "mask.png")
    assert done.returncode == 0, done.stderr
    repaired = pixels_of(tmp_path / "out" / "repaired.png")
    assert repaired.shape == ((height, width, 3) if channels == 3 else (height, width))
    repaired = repaired.reshape(height, width, channels)
    assert np.array_equal(repaired[hole == 0], picture[hole == 0])
    assert (repaired[hole > 0] != picture[hole > 0]).any()
    assert (tmp_path / "out" / "comparison.png").is_file()


def test_the_missing_part_of_ones_own_picture_is_never_looked_at(tmp_path):
    """The same repair whatever stood in the hole."""
    picture, hole = draw_picture(64, 64, 3), np.zeros((64, 64), np.uint8)
    hole[20:36, 30:50] = 255
    Image.fromarray(hole).save(tmp_path / "mask.png")
    repairs = []
    for value in (0, 255):
        spoiled = np.where(hole[..., None] > 0, value, picture).astype(np.uint8)
        Image.fromarray(spoiled).save(tmp_path / "photo.png")
        done = own_picture(tmp_path, "--image", "photo.png", "--mask", "mask.png")
        assert done.returncode == 0, done.stderr
        repairs.append(pixels_of(tmp_path / "out" / "repaired.png"))
    assert np.array_equal(*repairs)


@pytest.mark.parametrize("hole", ["large", "half of the pixels", "nearly all", "one pixel", "at the border"])
def test_holes_of_every_size_are_repaired_at_full_resolution(tmp_path, hole):
    picture, missing = draw_picture(120, 90, 3), np.zeros((120, 90), bool)
    if hole == "large":
        missing[20:100, 10:80] = True
    elif hole == "half of the pixels":
        missing = np.random.default_rng(0).random(missing.shape) < 0.5
    elif hole == "nearly all":
        missing[:107] = True
    elif hole == "one pixel":
        missing[60, 40] = True
    else:
        missing[:, :7] = missing[-5:] = True
    spoiled = np.where(missing[..., None], 255, picture).astype(np.uint8)
    Image.fromarray(spoiled).save(tmp_path / "photo.png")
    Image.fromarray(np.uint8(255 * missing)).save(tmp_path / "mask.png")
    flags = ["--image", str(tmp_path / "photo.png"), "--mask", str(tmp_path / "mask.png")]
    run_lesson("11_own_picture.py", tmp_path / "out", *flags)
    repaired = pixels_of(tmp_path / "out" / "repaired.png")
    assert np.array_equal(repaired[~missing], picture[~missing])
    if hole in ("half of the pixels", "one pixel"):  # stripes, 20 from a crest to a trough: easy
        error = np.abs(repaired[missing].astype(int) - picture[missing])
        assert error.mean() < 25


def test_what_was_painted_over_in_a_colour_is_repaired(tmp_path):
    picture = draw_picture(60, 80, 3)
    missing = np.zeros((60, 80), bool)
    missing[20:23, 10:70] = True
    spoiled = np.where(missing[..., None], [255, 0, 0], picture).astype(np.uint8)
    Image.fromarray(spoiled).save(tmp_path / "photo.png")
    done = own_picture(tmp_path, "--image", "photo.png", "--mask", "red")
    assert done.returncode == 0, done.stderr
    repaired = pixels_of(tmp_path / "out" / "repaired.png")
    grown = np.zeros((60, 80), bool)
    grown[18:25, 8:72] = True
    assert np.array_equal(repaired[~grown], picture[~grown])
    assert np.abs(repaired[grown].astype(int) - picture[grown]).mean() < 15
    done = own_picture(tmp_path, "--image", "photo.png")  # without a mask a square is drawn
    assert done.returncode == 0 and "in the rehearsal" in done.stdout, done.stderr


def test_the_network_never_sees_what_stands_in_the_hole_and_in_the_rehearsal(tmp_path):
    """Each pixel has a colour of its own, so what is counted tells where it lies."""
    y, x = np.mgrid[:90, :110]
    picture = np.stack([2 * y, 2 * x, 0 * x], axis=2).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "photo.png")
    names = run_lesson("11_own_picture.py", tmp_path / "out", "--image", str(tmp_path / "photo.png"))
    hole, damaged = names["hole"], names["damaged"]
    assert not (names["rehearsal"] & hole[names["place"]]).any() and damaged.sum() > hole.sum() > 0
    corner = [names["area"][axis].start or 0 for axis in (0, 1)]
    found = 0
    for truth, guided, biharmonic, mask, counted, _ in names["views"]:
        pixels = np.round((truth[counted[..., 0] > 0] + 1) * 127.5 / 2).astype(int)
        ys, xs = pixels[:, 0] - corner[0], pixels[:, 1] - corner[1]
        assert not damaged[ys, xs].any()
        known = mask[..., 0] == 0
        assert np.array_equal(guided[known], truth[known]) and np.array_equal(biharmonic[known], truth[known])
        assert (mask >= counted).all()
        ys, xs = (np.round((truth[known][:, n] + 1) * 127.5 / 2).astype(int) - corner[n] for n in (0, 1))
        assert not damaged[ys, xs].any(), "damage that the network takes for known"
        found += len(pixels)
    assert found > 100
    for part in names["believed"].values():
        assert 0 <= part <= 1


def test_the_eight_orientations_differ_and_lead_back(own, rng):
    array = rng.standard_normal((2, 4, 5, 3))
    several = [own["turned"](array, k) for k in range(8)]
    assert len({turned.tobytes() for turned in several}) == 8
    for k, turned in enumerate(several):
        assert np.array_equal(own["turned"](turned, k if k >= 4 else -k % 4), array)


def test_a_correction_in_tiles_is_that_of_the_whole_picture(own, rng):
    h, w, around = 270, 300, 32
    network = own["Corrector"](1, rng, width=3)
    network.leave.weight.value[...] = rng.standard_normal(network.leave.weight.value.shape)
    hole = rng.random((h, w)) < 0.3
    guided, biharmonic = rng.uniform(-1, 1, (2, 1, h, w, 1)).astype(np.float32)
    found = own["correction"](network, guided, biharmonic, hole)
    pad = ((0, 0), (around, around + -h % 256), (around, around + -w % 256), (0, 0))
    mask = hole[None, ..., None].astype(np.float32)
    inputs = [np.pad(part, pad, mode="edge") for part in (guided, mask, biharmonic - guided)]
    wanted = np.zeros_like(inputs[0])
    for k in range(8):
        turned = [np.ascontiguousarray(own["turned"](part, k)) for part in inputs]
        repaired = own["turned"](network.forward(*turned, train=False), k if k >= 4 else -k % 4)
        wanted += (repaired - inputs[0]) / 8
    wanted = wanted[0, around : around + h, around : around + w] * hole[..., None]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.abs(found[hole]).min() > 0 and not found[~hole].any()


@pytest.mark.parametrize(
    ("picture", "hole", "words"),
    [
        ("nothing.png", "good.png", "nothing.png"),
        ("broken.png", "good.png", "cannot be read as a picture"),
        ("photo.png", "wide.png", "wanted a mask of 64 x 64"),
        ("photo.png", "broken.png", "cannot be read as a mask"),
        ("photo.png", "white.png", "no pixel is black"),
        ("photo.png", "full.png", "94% are missing, too little to learn from"),
        ("photo.png", "raed", "raed: cannot be read as a mask"),
        ("photo.png", "magenta", "0 of 4,096 pixels are magenta, so none is missing"),
        ("tiny.png", None, "at least 32"),
    ],
)
def test_a_picture_or_mask_that_does_not_do_gets_one_clear_line(tmp_path, picture, hole, words):
    Image.fromarray(draw_picture(64, 64, 3)).save(tmp_path / "photo.png")
    Image.fromarray(draw_picture(8, 8, 3)).save(tmp_path / "tiny.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG but no more")
    good = np.zeros((64, 64), np.uint8)
    good[20:30, 20:30] = 255
    Image.fromarray(good).save(tmp_path / "good.png")
    Image.fromarray(np.full((64, 64), 255, np.uint8)).save(tmp_path / "white.png")
    good[:60] = 255
    Image.fromarray(good).save(tmp_path / "full.png")
    Image.fromarray(np.zeros((64, 70), np.uint8)).save(tmp_path / "wide.png")
    done = own_picture(tmp_path, "--image", picture, *(["--mask", hole] if hole else []))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("height, width, size", [(8, 8, 12), (8, 16, 12), (30, 30, 28), (16, 10, 16)])
def test_images_too_small_for_the_scores_are_refused_before_anything_is_computed(height, width, size):
    wanted = (
        f"mine: {height} x {width} pixels; both must be divisible by 4 and at least 12, try --size {size}"
    )
    with pytest.raises(DataError) as caught:
        repair.check_size("mine", height, width)
    assert str(caught.value) == wanted
    repair.check_size("mine", size, size)
    image, mask = np.zeros((1, 12, 12, 1), np.float32), np.ones((1, 12, 12, 1), np.float32)
    assert np.isfinite(repair.score(image, image + 0.1, mask).ssim)  # 12 are enough for them


def test_read_picture_turns_flattens_and_keeps_grey(tmp_path, rng):
    pixels = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by a quarter
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "turned.png"), np.rot90(pixels, -1))
    transparent = np.concatenate([pixels, np.zeros((4, 6, 1), np.uint8)], axis=2)
    Image.fromarray(transparent).save(tmp_path / "clear.png")
    assert (read_picture(tmp_path / "clear.png") == 255).all()
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    assert np.array_equal(read_picture(tmp_path / "grey.png"), pixels[..., :1])
    with pytest.raises(DataError, match="cannot be read as a picture"):
        read_picture(tmp_path)
