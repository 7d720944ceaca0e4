"""The benchmarks: their games, clock, arithmetic, model and tables, on networks of a few pixels."""

import csv
import itertools
from pathlib import Path
from types import SimpleNamespace

import bench_clustering
import bench_gan_step
import bench_layers
import bench_scaling
import bench_vs_torch
import gpu_report
import memory
import model
import networks
import numpy as np
import pytest
import strict_cupy
import timing
import work
from layer_table import make

from npgan import masks, repair
from npgan.backend import to_device
from npgan.layers import Conv2D, Conv2DTranspose, Dense, Flatten, LeakyReLU, Sequential

NO_TIME = {"seconds": 0.0, "least": 2}


@pytest.fixture
def tiny(monkeypatch):
    """The benchmarks time tiny networks, and tiny products."""
    workloads = {
        "DCGAN 64x64x3, width 16": lambda rng: networks.dcgan(8, 3, 2, 3, 4, rng),
        "DCGAN 28x28x1, width 32": lambda rng: networks.dcgan(8, 1, 2, 3, 4, rng),
    }
    monkeypatch.setattr(bench_layers, "SEQUENTIAL", dict(workloads))
    workloads["inpainting GAN 28x28x1"] = lambda rng: networks.inpainting_gan((8, 8, 1), 3, rng)
    monkeypatch.setattr(bench_gan_step, "WORKLOADS", workloads)
    monkeypatch.setattr(bench_vs_torch, "WORKLOADS", workloads)
    for module in (bench_layers, bench_gan_step):
        monkeypatch.setattr(
            module, "measure", lambda *args, **keywords: timing.measure(*args, **keywords | NO_TIME)
        )
    monkeypatch.setattr(bench_layers, "gemm_speed", lambda *args: timing.gemm_speed(args[0], 0.0))
    monkeypatch.setattr(bench_gan_step, "gemm_speed", lambda *args: timing.gemm_speed(args[0], 0.0))
    monkeypatch.setattr(timing, "GEMM_SIZE", {"numpy": 8, "cupy": 8})
    return workloads


@pytest.fixture
def absent(monkeypatch):
    strict_cupy.install(monkeypatch, importable=False)


@pytest.fixture
def double(monkeypatch):
    return strict_cupy.install(monkeypatch)


# The games -----------------------------------------------------------------------------------------------


class OneStep(list):
    """What lesson 11 takes for a run, without its progress."""

    def __init__(self, steps):
        super().__init__(range(steps))

    def log(self, **figures):
        self.figures = figures

    def part(self, name, **figures):
        pass


def test_a_round_of_repairing_is_that_of_lesson_11(rng):
    shape = 8, 12, 2
    game = networks.inpainting_gan(shape, 16, rng).start(dtype=np.float64)
    real, mask, noise, other, other_mask = batch = [array.astype(float) for array in game.draw(5, rng)]
    np.testing.assert_array_equal(mask, masks.make("centre", 5, 8, 12, rng))

    network = networks.Inpainter(shape, rng).astype(float)
    judge = networks.inpainting_discriminator(shape, rng).astype(float)
    network.load_state(game.generator.state())
    judge.load_state(game.discriminator.state())
    batches = iter([(real, mask, noise), (other, other_mask, None)])
    problem = SimpleNamespace(shape=shape, draw=lambda count, rng, device: next(batches))
    lesson = SimpleNamespace(args=SimpleNamespace(device="numpy"))
    series = SimpleNamespace(lesson=lesson, run=lambda name, steps, parts, look: OneStep(steps))
    weight, rate = game.adversarial, game.g_adam["learning_rate"]
    settings = dict(adversarial=weight, rate=rate, make_discriminator=lambda shape, rng: judge)
    _, run = repair.train(series, problem, "one", network, 1, rng, **settings)

    assert game.step(*batch) == pytest.approx([run.figures[name] for name in ("d_loss", "g_loss", "mse")])
    for ours, theirs in ((game.generator, network), (game.discriminator, judge)):
        for name, array in theirs.arrays().items():
            np.testing.assert_allclose(ours.arrays()[name], array, rtol=1e-9, atol=1e-12, err_msg=name)


def test_penalties_have_the_gradients_of_pytorchs_double_backward():
    pytest.importorskip("torch")
    assert bench_vs_torch.assert_penalty_parity() < 1e-9


def test_both_games_are_the_same_in_pytorch(tiny):
    pytest.importorskip("torch")
    for name in tiny:
        bench_vs_torch.assert_parity(name, 4)


# The clock -----------------------------------------------------------------------------------------------


def test_measure_warms_up_and_leaves_out_what_comes_before(monkeypatch):
    clock = itertools.count()  # each look at the clock is a second later
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))
    calls = []
    found = timing.measure(
        lambda: calls.append("call"), "numpy", seconds=0, least=4, before=lambda: calls.append("before")
    )
    assert found.repeats == 4 and calls == ["before", "call"] * 5
    assert found.low == found.median == found.high == 1.0


def test_measure_gives_the_median_and_the_spread(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    durations = iter([9.0, 1.0, 2.0, 3.0, 4.0, 5.0])

    def work():
        now[0] += next(durations)

    found = timing.measure(work, "numpy", seconds=0, least=5)
    assert found == pytest.approx((3.0, 1.4, 4.6, 5))
    assert timing.milliseconds(found) == "3e+03 (1.4e+03..4.6e+03)"


def test_measure_waits_for_the_device_before_and_after(double):
    strict_cupy.counters.reset()
    found = timing.measure(lambda: None, "cupy", seconds=0, least=3)
    assert strict_cupy.counters.synchronisations == 2 * (found.repeats + 1)


def test_tables(tmp_path):
    assert timing.markdown(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
    timing.write_csv(tmp_path / "deep" / "table.csv", ["a", "b"], [["x, y", "1"]])
    with open(tmp_path / "deep" / "table.csv", newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], ["x, y", "1"]]


def test_the_better_of_two_measurements_is_taken():
    assert timing.best({"numpy": 3.0, "cupy": 4.0}, {"numpy": 5.0, "cupy": 2.0}) == {
        "numpy": 5.0,
        "cupy": 4.0,
    }


# The arithmetic ------------------------------------------------------------------------------------------


def test_work_of_layers_by_hand():
    dense = Dense(3, 4)
    assert work.flops(dense, (2, 3), (2, 4)) == 2 * 2 * 3 * 4
    assert work.least_bytes(dense, (2, 3), (2, 4)) == (4 * (6 + 8 + 16), 4 * (8 + 6 + 6 + 3 * 16))
    # 2 images, 4x4 output pixels, 9 taps, 3 channels, 5 filters
    assert work.flops(Conv2D(3, 5, 3), (2, 6, 6, 3), (2, 4, 4, 5)) == 2 * 2 * 16 * 9 * 3 * 5
    assert (
        work.flops(Conv2DTranspose(3, 5, 3), (2, 4, 4, 3), (2, 6, 6, 5)) == 2 * 2 * 16 * 9 * 3 * 5
    )  # input pixels
    assert work.flops(LeakyReLU(), (2, 3), (2, 3)) == 0
    assert work.least_bytes(Flatten(), (2, 3, 1), (2, 3)) == (0, 0)


def test_every_layer_of_a_network_is_met_once_though_it_is_no_row(tiny, double, rng):
    play = bench_gan_step.OnDevice(tiny["inpainting GAN 28x28x1"](rng), 2, "cupy", rng)
    generator, (seen, _) = play.game.generator, play.game.inputs(*play.batch)
    found = work.shapes(generator, *seen)
    layers = [layer for layer, _, _ in found]
    assert len(set(layers)) == len(layers) == len([x for x in generator.walk() if not x.children()])
    assert found[0][1:] == ((2, 8, 8, 2), (2, 8, 8, 2)) and found[-1][1:] == ((2, 8, 8, 1), (2, 8, 8, 1))
    kernels = model.record(lambda: generator.forward(*seen, train=False))
    assert 1 <= product_flops(kernels) / sum(work.flops(*each) for each in found) < 1.3


@pytest.mark.parametrize("name", ["Dense", "Dense-without-bias"])
def test_work_is_what_the_products_on_the_device_add_up_to(double, name):
    _, layer, x = make(name)
    assert products(layer, x) == (1, 2)


@pytest.mark.parametrize("kind", [Conv2D, Conv2DTranspose])
def test_convolutions_multiply_little_more_than_they_must(double, kind, rng):
    """The adjoint multiplies a column more a row, the weight's gradient leaves out rows of zeros."""
    x = rng.standard_normal((2, 16, 16, 3), dtype=np.float32)
    forward, backward = products(kind(3, 5, 4, stride=2, padding=1, rng=rng), x)
    assert 1 <= forward < 1.15 and 1.9 < backward < 2.2


def products(layer, x):
    """The operations of the products in a forward and a backward pass, by what `work` says of a forward pass."""
    layer.to("cupy")
    x = to_device(x, "cupy")
    y = layer.forward(x, train=False)
    wanted = work.flops(layer, x.shape, y.shape)
    forward = product_flops(model.record(lambda: layer.forward(x)))
    backward = product_flops(model.record(lambda: layer.backward(y.copy())))
    return forward / wanted, backward / wanted


def product_flops(kernels):
    return sum(kernel.flops for kernel in kernels if kernel.kind == "product")


# The model -----------------------------------------------------------------------------------------------


def test_kernels_by_hand(double):
    a = double.ones((2, 3), dtype=double.float32)
    b = double.ones((3, 4), dtype=double.float32)

    def act():
        y = a @ b  # reads 6 + 12, writes 8
        y += 1.0  # reads and writes 8
        y[:, :2] = 0.0  # writes 4
        y.T.reshape(-1)  # a view, then a copy of 8
        y.reshape(4, 2)  # a view
        y[0] += b[0]  # one kernel: the assignment of the view to itself is none
        y.sum(axis=0)  # reads 8, writes 4
        double.empty(5, dtype=double.float32)  # none
        a.fill(0)  # writes 6

    kernels = model.record(act)
    kinds = ["product", "elementwise", "fill", "copy", "elementwise", "sum", "fill"]
    assert [kernel.kind for kernel in kernels] == kinds
    assert [kernel.moved for kernel in kernels] == [4 * n for n in (26, 16, 4, 16, 12, 12, 6)]
    assert [kernel.flops for kernel in kernels] == [48, 8, 0, 0, 4, 8, 0]


def test_merging_reads_what_comes_from_outside_and_writes_what_is_used_later():
    def kernel(call, kind, reads, writes):
        return model.Kernel("f", call, kind, 10, reads, writes)

    chain = [
        kernel(1, "elementwise", {1: 100, 2: 4}, {3: 100}),
        kernel(1, "elementwise", {3: 100}, {4: 100}),
        kernel(2, "elementwise", {4: 100}, {5: 100}),
    ]
    first, second = model.merged(chain)
    assert (first.reads, first.writes, first.flops) == ({1: 100, 2: 4}, {4: 100}, 20)
    assert second.reads == {4: 100}
    in_place = [kernel(1, "elementwise", {1: 100, 2: 100}, {1: 100})] * 2
    (only,) = model.merged(in_place)
    assert (only.reads, only.writes) == ({1: 100, 2: 100}, {1: 100})
    with_sum = [kernel(1, "sum", {1: 100}, {2: 4}), kernel(1, "elementwise", {1: 100, 2: 4}, {3: 100})]
    with_sum += [kernel(2, "product", {3: 100}, {6: 4})]
    passes = model.merged(with_sum)
    assert [k.kind for k in passes] == ["merged", "merged", "product"]
    assert [k.writes for k in passes] == [{}, {3: 100}, {6: 4}]


def test_time_of_a_step_by_hand():
    card = model.Card(bandwidth=1e9, peak=1e12)  # a kilobyte and a megaflop take a microsecond
    small = model.Kernel("f", 1, "elementwise", 0, {1: 500}, {2: 500})  # 1 us of memory
    large = model.Kernel("f", 1, "product", 20_000_000, {1: 500}, {2: 500})  # 20 us of arithmetic
    assert model.bound_of(small, card, 5.0) == "ordering" and model.bound_of(small, card, 0.5) == "memory"
    assert model.bound_of(large, card, 5.0) == "arithmetic"
    assert model.step_seconds([small] * 3, card, 5.0) == pytest.approx(16e-6)  # ordered at 5, 10, 15
    assert model.step_seconds([large] * 3, card, 5.0) == pytest.approx(65e-6)  # the card is busy from 5 on
    assert model.step_seconds([large, small, small], card, 5.0) == pytest.approx(27e-6)


def test_calls_of_a_function_are_told_apart(double):
    network = Sequential([LeakyReLU(), LeakyReLU()])
    x = double.ones((2, 3), dtype=double.float32)
    kernels = model.record(lambda: network.forward(x))
    assert {kernel.function for kernel in kernels} == {"leaky_relu"}
    assert len({kernel.call for kernel in kernels}) == 2
    first, second = model.merged(kernels)
    assert first.moved == second.moved == 4 * (6 + 6)


def test_model_of_a_step_counts_all_of_it(tiny):
    name = "DCGAN 64x64x3, width 16"
    kernels, uploaded = model.record_step(tiny[name], 4, bench_gan_step.OnDevice)
    assert uploaded == 4 * 4 * (8 * 8 * 3 + 3)
    assert {"adam_step", "moments", "BatchNormalization.forward", "leaky_relu_gradient"} <= {
        k.function for k in kernels
    }
    assert "elsewhere" not in {kernel.function for kernel in kernels}
    fewer = model.merged(kernels)
    assert len(fewer) < len(kernels) / 2
    assert sum(kernel.moved for kernel in fewer) < sum(kernel.moved for kernel in kernels)


# The tables ----------------------------------------------------------------------------------------------


def test_bench_layers_without_a_gpu_says_why_and_prints_the_rest(tiny, absent, capsys, tmp_path):
    bench_layers.main(["--quick", "--batch", "2", "--csv", str(tmp_path / "layers.csv")])
    printed = capsys.readouterr().out
    assert "no GPU: CuPy is not installed |" in printed
    with open(tmp_path / "layers.csv", newline="") as file:
        head, *rows = csv.reader(file)
    assert head[0] == "layer" and head[-1] == "CuPy ms: no GPU: CuPy is not installed"
    assert len(rows) == 2 * (6 + 4) and all(len(row) == len(head) for row in rows)
    assert rows[0][0] == "Dense (3,) -> (32,) forward" and rows[0][1] == "0.000384"


def test_bench_layers_times_both_where_there_is_a_gpu(tiny, double, capsys):
    bench_layers.main(["--quick", "--batch", "2"])
    printed = capsys.readouterr().out
    assert "GPU: strict double of a GPU" in printed and "| CuPy ms | GFLOP/s | of GEMM | GB/s |" in printed


def test_bench_gan_step_without_a_gpu_says_why_and_prints_the_rest(tiny, absent, capsys):
    bench_gan_step.main(["--quick", "--batch", "2"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| DCGAN")]
    assert ["no GPU: CuPy is not installed" in line for line in lines] == [False, True, False, True]


def test_bench_gan_step_gives_transfers_apart_where_there_is_a_gpu(tiny, double, capsys, tmp_path):
    bench_gan_step.main(["--quick", "--batch", "2", "--csv", str(tmp_path / "steps.csv")])
    with open(tmp_path / "steps.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["device"] for row in rows] == ["numpy", "cupy"] * 3
    assert rows[0]["upload ms"] == "none" and ".." in rows[1]["upload ms"] and ".." in rows[1]["download ms"]


def test_bench_gan_step_prints_the_model_and_marks_it_as_one(tiny, absent, capsys):
    flags = ["--model", "--quick", "--batch", "2", "--bandwidth", "100", "--tflops", "2"]
    bench_gan_step.main(flags)
    printed = capsys.readouterr().out
    assert printed.startswith("MODEL, not a measurement")
    assert "at 100 GB/s and 2 TFLOP/s (MODEL)" in printed and "| adam_step |" in printed


def test_unknown_network_is_refused_by_name(tiny, capsys):
    with pytest.raises(SystemExit):
        bench_gan_step.main(["--only", "StyleGAN"])
    assert "--only StyleGAN: none of DCGAN 64x64x3" in capsys.readouterr().err


# Growth --------------------------------------------------------------------------------------------------


def test_the_interval_of_a_median_by_hand():
    assert bench_scaling.middle([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
    assert bench_scaling.middle(range(15)) == (7.0, 3, 11)  # 3 or fewer heads of 15: once in 57
    assert bench_scaling.shown([2.0]) == "2 (2..2)"


def test_sizes_take_turns():
    played = iter(range(6))
    assert bench_scaling.take_turns([lambda: next(played)] * 3, 2).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_peak_memory_is_that_of_the_other_process():
    little = memory.peak_memory("import numpy")
    much = memory.peak_memory("import numpy; numpy.ones(2**26, numpy.uint8)")
    assert 5 < little < 100 and 60 < much - little < 70


@pytest.mark.parametrize("quick", [False, True])
def test_where_pixels_grow_the_convolutions_stay(rng, quick):
    points = bench_scaling.series(quick)["pixels, DCGAN, width 4" if quick else "pixels, DCGAN, width 16"]
    found = []
    for network, _ in points:
        game = networks.dcgan(*network, rng)
        layers = [*game.generator.layers, *game.discriminator.layers]
        found.append([x.weight.value.shape for x in layers if isinstance(x, Conv2D | Conv2DTranspose)])
    assert len(found[0]) == 8 and all(shapes == found[0] for shapes in found)


def test_bench_scaling_prints_its_tables_and_claims(monkeypatch, capsys):
    monkeypatch.setattr(bench_scaling, "peak_memory", lambda statement: exec(statement) or 50.0)
    monkeypatch.setattr(bench_scaling, "measure", lambda *a, **k: timing.measure(*a, **k | NO_TIME))
    monkeypatch.setattr(bench_scaling, "IMPORTS", ["pass", "pass"])
    assert bench_scaling.main(["--quick"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith(("holds", "FAILS"))]) == 6
    assert len([line for line in lines if line.endswith("| 50 | 1.00 |")]) == 6
    assert any(line.startswith("holds") and line.endswith("4.2 times that at 4: 1.00") for line in lines)


@pytest.mark.parametrize(("power", "most"), [(1.0, 4.1), (1.1, 4.1), (1.0, 4.3), (1.0, 4.0)])
def test_bench_scaling_fails_where_a_claim_does(monkeypatch, capsys, power, most):
    points = [bench_scaling.Point((8, 1, 2, 3, 4), batch) for batch in (2, 8)]
    monkeypatch.setattr(bench_scaling, "series", lambda quick: {"batch": points})
    times = np.array([[point.pixels**power for point in points]] * 15) * np.linspace(1, 2, 15)[:, None]
    monkeypatch.setattr(bench_scaling, "take_turns", lambda turns, rounds: times)
    monkeypatch.setattr(
        bench_scaling, "peak_memory", lambda statement: 10 * most if ", 8)" in statement else 10
    )
    monkeypatch.setattr(bench_scaling, "time_imports", lambda rounds: ("import", most != 4.0))
    good = power == 1 and most == 4.1
    assert bench_scaling.main([]) == (0 if good else 1)
    assert ("FAILS" in capsys.readouterr().out) != good


# The report ----------------------------------------------------------------------------------------------


def test_report_without_a_gpu_ends_with_the_reason(absent, capsys):
    with pytest.raises(SystemExit) as raised:
        gpu_report.main([])
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("error: no GPU: CuPy is not installed; install CuPy for")


def test_report_holds_every_section_and_says_what_failed(double, tmp_path, capsys):
    asked = []

    def run(arguments):
        asked.append(arguments)
        if "pytest" in arguments:
            return 1, "\n".join(f"line {n}" for n in range(100))
        if "lessons/09_conv_gan.py" in arguments:
            (tmp_path / "conv_gan").mkdir()
            (tmp_path / "conv_gan" / "samples.png").write_bytes(b"")
        return 0, "a line\n| a | table |"

    assert gpu_report.main(["--out", str(tmp_path)], run) == 1
    report = (tmp_path / "report.md").read_text()
    assert report.startswith("# npgan: GPU: strict double of a GPU")
    assert "## Tests and parity: FAILED with exit status 1" in report
    assert "line 99" in report and "line 10\n" not in report
    assert "![samples](conv_gan/samples.png)" in report and "losses.png" not in report
    assert [section.arguments for section in gpu_report.sections(tmp_path.resolve(), False, False)] == asked
    assert all("--device" in arguments and "cupy" in arguments for arguments in (asked[1], asked[-1]))


def test_report_can_be_rehearsed(absent, tmp_path):
    assert gpu_report.main(["--rehearse", "--out", str(tmp_path)], lambda arguments: (0, "")) == 0
    assert "NO GPU, nothing here is a measurement of one" in (tmp_path / "report.md").read_text()


def test_partitions_are_compared_whatever_their_numbers():
    a = np.array([0, 0, 1, 2, 2])
    assert bench_clustering.same_partition(a, np.array([7, 7, -1, 3, 3]))
    assert not bench_clustering.same_partition(a, np.array([7, 7, 3, 3, 3]))
    assert not bench_clustering.same_partition(a, np.array([7, 6, -1, 3, 3]))


def test_the_drawn_sets_have_every_number_of_axes_and_their_radius_leaves_clusters_and_noise():
    for seed in range(12):
        x = bench_clustering.draw(seed)
        radius, least = bench_clustering.settings(x, seed)
        assert np.isfinite(x).all() and radius > 0 and 3 <= least <= 10
    assert {bench_clustering.draw(seed).shape[1] for seed in range(50)} == {1, 2, 3, 5, 16, 64}
