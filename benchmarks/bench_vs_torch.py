"""The same training step in npgan and in PyTorch: first that both compute the same, then how long each takes.

    python benchmarks/bench_vs_torch.py            # needs torch, which npgan itself never does

Both take turns, A B A B, so that what else the machine does falls on both; the ratio is taken pair by pair and its
median shown. PyTorch runs eagerly, in its default NCHW layout, on as many threads as there are cores; its
discriminator's weights need no gradient during the generator's step, as here. Peak memory is the resident set of a
process that runs nothing else.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import numpy as np
from networks import WORKLOADS, Workload

from npgan.adversarial import discriminator_step, generator_step
from npgan.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Flatten,
    Layer,
    LeakyReLU,
    ReLU,
    Reshape,
    Sequential,
    Tanh,
)
from npgan.optim import Adam

BATCH = 64


class NpganGame:
    """One round of the game on npgan's networks."""

    def __init__(self, workload: Workload):
        self.generator, self.discriminator = workload.generator, workload.discriminator
        self.generator_optimizer = Adam(self.generator.parameters())
        self.discriminator_optimizer = Adam(self.discriminator.parameters())

    def step(self, real: np.ndarray, noise: np.ndarray) -> tuple[float, float]:
        """Play one round; return both losses."""
        fake = self.generator.forward(noise)
        d = discriminator_step(self.discriminator, real, fake, self.discriminator_optimizer)
        g = generator_step(self.generator, self.discriminator, fake, self.generator_optimizer)
        return float(d.loss), float(g.loss)


class TorchGame:
    """The same round in PyTorch, from networks that hold the same weights."""

    def __init__(self, workload: Workload):
        import torch

        self.torch = torch
        self.generator = to_torch(workload.generator)
        self.discriminator = to_torch(workload.discriminator)
        settings = {"lr": 2e-4, "betas": (0.5, 0.999), "eps": 1e-8}
        self.generator_optimizer = torch.optim.Adam(self.generator.parameters(), **settings)
        self.discriminator_optimizer = torch.optim.Adam(self.discriminator.parameters(), **settings)

    def step(self, real: np.ndarray, noise: np.ndarray) -> tuple[float, float]:
        """Play one round; images come as NHWC and are turned once."""
        torch, bce = self.torch, self.torch.nn.functional.binary_cross_entropy_with_logits
        real = torch.from_numpy(np.ascontiguousarray(real.transpose(0, 3, 1, 2)))
        fake = self.generator(torch.from_numpy(noise))

        self.discriminator_optimizer.zero_grad()
        logits = self.discriminator(real)
        real_loss = bce(logits, torch.ones_like(logits))
        real_loss.backward()
        logits = self.discriminator(fake.detach())
        fake_loss = bce(logits, torch.zeros_like(logits))
        fake_loss.backward()
        self.discriminator_optimizer.step()

        self.generator_optimizer.zero_grad()
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(fake)
        loss = bce(logits, torch.ones_like(logits))
        loss.backward()
        self.discriminator.requires_grad_(True)
        self.generator_optimizer.step()
        return (real_loss + fake_loss).item(), loss.item()


def to_torch(layer: Layer):
    """A PyTorch module with the same weights. Axis order, npgan -> PyTorch:

    Dense weight            (in, out)           -> (out, in)
    Conv2D weight           (kh, kw, in, out)   -> (out, in, kh, kw)
    Conv2DTranspose weight  (kh, kw, out, in)   -> (in, out, kh, kw)
    BatchNormalization      momentum m          -> momentum 1 - m
    Flatten and Reshape     count values in NHWC order, so the channel axis is moved there and back
    """
    import torch
    from torch import nn

    def tensor(parameter):
        return nn.Parameter(torch.from_numpy(np.array(parameter, order="C")))

    def filled(module, weight, bias):
        module.weight = tensor(weight)
        if bias is not None:
            module.bias = tensor(bias.value)
        return module

    match layer:
        case Sequential():
            return nn.Sequential(*(to_torch(inner) for inner in layer.layers))
        case Dense():
            module = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
            return filled(module, layer.weight.value.T, layer.bias)
        case Conv2D() | Conv2DTranspose():
            kind = nn.Conv2d if isinstance(layer, Conv2D) else nn.ConvTranspose2d
            module = kind(
                *(layer.in_channels, layer.out_channels, layer.kernel_size),
                stride=layer.stride,
                padding=layer.padding,
                bias=layer.bias is not None,
            )
            return filled(module, layer.weight.value.transpose(3, 2, 0, 1), layer.bias)
        case BatchNormalization():
            return to_torch_batchnorm(layer, tensor)
        case LeakyReLU():
            return nn.LeakyReLU(layer.alpha)
        case ReLU():
            return nn.ReLU()
        case Tanh():
            return nn.Tanh()
        case Flatten():
            return _to_nhwc_and_flat()
        case Reshape():
            return _from_nhwc(layer.shape)
    raise TypeError(f"no PyTorch counterpart for {type(layer).__name__}")


def to_torch_batchnorm(layer: BatchNormalization, tensor):
    """BatchNorm1d and 2d in one: over all axes but the channels, which PyTorch has second."""
    import torch
    from torch import nn

    class BatchNorm(nn.modules.batchnorm._BatchNorm):
        def _check_input_dim(self, input):
            pass

    module = BatchNorm(layer.channels, eps=layer.epsilon, momentum=1 - layer.momentum)
    module.weight, module.bias = tensor(layer.gamma.value), tensor(layer.beta.value)
    module.running_mean = torch.from_numpy(layer.running_mean.copy())
    module.running_var = torch.from_numpy(layer.running_variance.copy())
    return module


def _to_nhwc_and_flat():
    from torch import nn

    class NhwcFlatten(nn.Module):
        def forward(self, x):
            return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1)

    return NhwcFlatten()


def _from_nhwc(shape):
    from torch import nn

    class NhwcReshape(nn.Module):
        def forward(self, x):
            return x.reshape(-1, *shape).permute(0, 3, 1, 2)

    return NhwcReshape()


def draw(workload: Workload, rng: np.random.Generator, dtype=np.float32) -> tuple[np.ndarray, np.ndarray]:
    """A batch of real images and one of noise; their content does not matter for the time."""
    real = rng.uniform(-1, 1, (BATCH, *workload.shape)).astype(dtype)
    return real, rng.standard_normal((BATCH, workload.latent)).astype(dtype)


def assert_parity(name: str) -> float:
    """Both compute the same: float64, 3 steps, losses and all weights equal to 1e-9; return the worst difference."""
    import torch

    rng = np.random.default_rng(0)
    workload = WORKLOADS[name](rng)
    workload.generator.astype(np.float64)
    workload.discriminator.astype(np.float64)
    ours, theirs = NpganGame(workload), TorchGame(workload)
    worst = 0.0
    for _ in range(3):
        real, noise = draw(workload, rng, np.float64)
        for a, b in zip(ours.step(real, noise), theirs.step(real, noise)):
            worst = max(worst, abs(a - b) / abs(b))
    for network, module in ((ours.generator, theirs.generator), (ours.discriminator, theirs.discriminator)):
        with torch.no_grad():
            same = to_torch(network)
            for a, b in zip(same.parameters(), module.parameters()):
                worst = max(worst, float((a - b).norm() / b.norm()) if b.norm() > 0 else 0.0)
    assert worst < 1e-9, f"{name}: npgan and PyTorch differ by {worst:.1e}"
    return worst


def time_pairs(name: str, seconds: float) -> tuple[list[float], list[float]]:
    """Median step times of npgan and of PyTorch, turn by turn, for about `seconds` in all."""
    rng = np.random.default_rng(0)
    workload = WORKLOADS[name](rng)
    games = NpganGame(workload), TorchGame(workload)
    real, noise = draw(workload, rng)

    def turn(game, steps: int) -> float:
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            game.step(real, noise)
            times.append(time.perf_counter() - start)
        return statistics.median(times[1:])  # the first step of a turn finds cold caches

    guess = max(turn(game, 3) for game in games)  # warm-up as well
    steps = max(4, round(0.7 / guess))
    pairs = max(5, round(seconds / (2 * steps * guess)))
    ours, theirs = [], []
    for _ in range(pairs):
        ours.append(turn(games[0], steps))
        theirs.append(turn(games[1], steps))
    return ours, theirs


def peak_memory(name: str, library: str) -> float:
    """The largest resident set, in MB, of a fresh process that takes five steps with one library."""
    code = f"import bench_vs_torch as b; b.report_memory({name!r}, {library!r})"
    here = os.path.dirname(os.path.abspath(__file__))
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout)


def report_memory(name: str, library: str) -> None:
    """What the process of `peak_memory` runs."""
    rng = np.random.default_rng(0)
    workload = WORKLOADS[name](rng)
    game = (NpganGame if library == "npgan" else TorchGame)(workload)
    for _ in range(5):
        game.step(*draw(workload, rng))
    with open("/proc/self/status") as status:  # getrusage would count the parent's peak too
        print(next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few steps of each")
    parser.add_argument("--only", help="only the workloads whose names contain this")
    args = parser.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit("bench_vs_torch compares with PyTorch, which is not installed: pip install torch")
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; NumPy {np.__version__}, "
        f"PyTorch {torch.__version__} on {torch.get_num_threads()} threads; batch {BATCH}, float32"
    )
    print(
        "\n| workload | parity | npgan ms | PyTorch ms | ratio (10%..90%) | npgan MB | PyTorch MB | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in WORKLOADS:
        if args.only and args.only not in name:
            continue
        parity = assert_parity(name)
        ours, theirs = time_pairs(name, 6 if args.quick else 30)
        ratios = sorted(a / b for a, b in zip(ours, theirs))
        low, high = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
        memory, torch_memory = peak_memory(name, "npgan"), peak_memory(name, "torch")
        print(
            f"| {name} | {parity:.0e} | {1e3 * statistics.median(ours):.1f} | {1e3 * statistics.median(theirs):.1f} "
            f"| **{statistics.median(ratios):.2f}** ({low:.2f}..{high:.2f}) | {memory:.0f} | {torch_memory:.0f} "
            f"| {memory / torch_memory:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
