"""The same training step in npgan and in PyTorch: first that both compute the same, then how long each takes.

    python benchmarks/bench_vs_torch.py            # needs torch, which npgan itself never does
    python benchmarks/bench_vs_torch.py --ranks 2  # npgan as two processes (needs the extra mpi), PyTorch as it is

Each has a process of its own. They take turns, A B A B, so that what else the machine does falls on both; the ratio
is taken pair by pair and its median shown. PyTorch runs eagerly, in its default NCHW layout, on as many threads as
there are cores; its discriminator's weights need no gradient during the generator's step, as here. Peak memory is
the resident set of its process.

With --ranks each of npgan's processes computes with its part of the batch, BatchNormalization normalises by all of it
and gradients are averaged (npgan/distributed.py), after asserting that together they compute what one process does.
Their memory is the sum over them. "exchange" is what they send each other in a step: how many times, how many numbers
in all, and how long that takes where nothing is computed in between.
"""

import argparse
import copy
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timing
from games import Drawing, Game, Repairing
from memory import peak_so_far
from networks import WORKLOADS, Inpainter

from npgan import distributed
from npgan.adversarial import penalise
from npgan.backend import Status
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
from npgan.losses import one_centred_penalty, zero_centred_penalty


class TorchGame:
    """A game in PyTorch, from networks that hold the same weights. Batches come as in npgan, NHWC."""

    def __init__(self, game: Game):
        import torch

        def adam(module, learning_rate=2e-4, beta_1=0.5):  # npgan's defaults
            return torch.optim.Adam(module.parameters(), learning_rate, betas=(beta_1, 0.999), eps=1e-8)

        self.torch, self.bce = torch, torch.nn.functional.binary_cross_entropy_with_logits
        self.generator, self.discriminator = to_torch(game.generator), to_torch(game.discriminator)
        self.g_optimizer = adam(self.generator, **game.g_adam)
        self.d_optimizer = adam(self.discriminator, **game.d_adam)

    def tensor(self, array: np.ndarray):
        """Images (N, H, W, C) are turned to (N, C, H, W); noise (N, latent) stays as it is."""
        return self.torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 1)))

    def discriminator_step(self, real, fake):
        """D learns to tell real from fake; return its loss."""
        self.d_optimizer.zero_grad()
        logits = self.discriminator(real)
        real_loss = self.bce(logits, self.torch.ones_like(logits))
        real_loss.backward()
        logits = self.discriminator(fake.detach())
        fake_loss = self.bce(logits, self.torch.zeros_like(logits))
        fake_loss.backward()
        self.d_optimizer.step()
        return real_loss + fake_loss

    def generator_step(self, fake, adversarial: float = 1.0, error=0.0):
        """G learns to lower -adversarial * log D(fake) + error; return -log D(fake)."""
        self.g_optimizer.zero_grad()
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(fake)
        loss = self.bce(logits, self.torch.ones_like(logits))
        (adversarial * loss + error).backward()
        self.discriminator.requires_grad_(True)
        self.g_optimizer.step()
        return loss


class TorchDrawing(TorchGame):
    """games.Drawing in PyTorch."""

    def step(self, *batch: np.ndarray) -> tuple[float, ...]:
        real, noise = map(self.tensor, batch)
        fake = self.generator(noise)
        d_loss = self.discriminator_step(real, fake)
        return d_loss.item(), self.generator_step(fake).item()


class TorchRepairing(TorchGame):
    """games.Repairing in PyTorch."""

    def step(self, *batch: np.ndarray) -> tuple[float, ...]:
        torch = self.torch
        real, mask, noise, other, other_mask = map(self.tensor, batch)
        missing = mask > 0.5
        known = real.masked_fill(missing, 0).sum((2, 3), keepdim=True)  # N, C, 1, 1
        damaged = torch.where(missing, known / (~missing).sum((2, 3), keepdim=True), real)
        fake = self.generator(damaged, mask, noise)
        error = (fake - real).square().sum() / (mask.sum() * real.shape[1])
        judged = torch.cat([fake, mask], dim=1)
        d_loss = self.discriminator_step(torch.cat([other, other_mask], dim=1), judged)
        g_loss = self.generator_step(judged, Repairing.adversarial, error)
        return d_loss.item(), g_loss.item(), error.item()


TORCH = {Drawing: TorchDrawing, Repairing: TorchRepairing}


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
        case Inpainter():
            return to_torch_inpainter(layer)
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


def to_torch_inpainter(layer: Inpainter):
    """networks.Inpainter, from the same parts."""
    import torch
    from torch import nn

    class TorchInpainter(nn.Module):
        def __init__(self):
            super().__init__()
            self.down1, self.down2 = to_torch(layer.down1), to_torch(layer.down2)
            self.encode, self.decode = to_torch(layer.encode), to_torch(layer.decode)
            self.up2, self.up1 = to_torch(layer.up2), to_torch(layer.up1)

        def forward(self, damaged, mask, noise):
            a = self.down1(torch.cat([damaged, mask], dim=1))
            b = self.down2(a)
            u = self.decode(torch.cat([self.encode(b), noise], dim=1))
            u = self.up2(torch.cat([u, b], dim=1))
            u = self.up1(torch.cat([u, a], dim=1))
            return torch.where(mask > 0.5, u, damaged)

    return TorchInpainter()


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


def assert_parity(name: str, count: int) -> float:
    """Both compute the same: float64, 3 steps, losses and all weights equal to 1e-9; return the worst difference."""
    import torch

    rng = np.random.default_rng(0)
    ours = WORKLOADS[name](rng).start(dtype=np.float64)
    theirs = TORCH[type(ours)](ours)
    worst = 0.0
    for _ in range(3):
        batch = [array.astype(np.float64) for array in ours.draw(count, rng)]
        for a, b in zip(ours.step(*batch), theirs.step(*batch), strict=True):
            worst = max(worst, abs(float(a) - b) / abs(b))
    for network, module in ((ours.generator, theirs.generator), (ours.discriminator, theirs.discriminator)):
        with torch.no_grad():
            same = to_torch(network)
            for a, b in zip(same.parameters(), module.parameters(), strict=True):
                worst = max(worst, float((a - b).norm() / b.norm()) if b.norm() > 0 else 0.0)
    assert worst < 1e-9, f"{name}: npgan and PyTorch differ by {worst:.1e}"
    return worst


def assert_penalty_parity() -> float:
    """The penalties' gradients equal PyTorch's double backward to 1e-9, in float64; return the worst difference.

    One convolutional discriminator, 8 samples: R1 on them, and the penalty of WGAN-GP.
    """
    import torch

    rng = np.random.default_rng(0)
    layers = [Conv2D(3, 8, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2)]
    layers += [Conv2DTranspose(8, 4, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2)]
    layers += [Flatten(), Dense(16 * 16 * 4, 16, rng=rng), ReLU(), Dense(16, 1, rng=rng)]
    network = Sequential(layers).astype("float64")
    x = rng.standard_normal((8, 16, 16, 3))
    penalties = {
        zero_centred_penalty: lambda length: 5 * (length**2).mean(),
        one_centred_penalty: lambda length: 10 * ((length - 1) ** 2).mean(),
    }
    worst = 0.0
    for ours, theirs in penalties.items():
        network.zero_grad()
        value = penalise(network, x, lambda g: ours(g, 10.0))  # noqa: B023
        module = to_torch(network)
        images = torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1))).requires_grad_()
        (g,) = torch.autograd.grad(module(images).sum(), images, create_graph=True)
        loss = theirs(g.flatten(1).norm(dim=1))
        loss.backward()
        worst = max(worst, abs(float(value) - loss.item()) / loss.item())
        gradients = copy.deepcopy(network)  # it gets ours in the place of its weights, to be turned like them
        for parameter in gradients.parameters():
            parameter.value = parameter.grad
        for a, b in zip(to_torch(gradients).parameters(), module.parameters(), strict=True):
            if b.ndim > 1:
                worst = max(worst, ((a.detach() - b.grad).norm() / b.grad.norm()).item())
            else:  # a bias: no gradient, in PyTorch none or zeros
                assert not a.any() and (b.grad is None or not b.grad.any())
    assert worst < 1e-9, f"penalties: npgan and PyTorch differ by {worst:.1e}"
    return worst


class Player:
    """Processes that play a workload's game with one library, and do nothing else until they are told to."""

    def __init__(self, name: str, count: int, library: str, ranks: int = 1):
        code = f"import bench_vs_torch as b; b.serve({name!r}, {count}, {library!r})"
        self.process = subprocess.Popen(
            [*launcher(ranks), sys.executable, "-c", code],
            cwd=Path(__file__).parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def turn(self, steps: int) -> tuple[float, float]:
        """Play so many steps; return the median seconds of all but the first, and the peak memory so far in MB."""
        return tuple(map(float, self.ask(steps)[:2]))

    def ask(self, steps: int) -> list[str]:
        """What `serve` answers: the same two, and with 0 steps what the ranks exchange (see `exchange`)."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("the benchmark's process has died; what it said stands above")
        return answer.split()

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, *error) -> None:
        self.process.stdin.close()  # the end of its input ends it
        self.process.stdout.close()
        self.process.wait()


def launcher(ranks: int) -> list[str]:
    """What starts a command as so many ranks."""
    if ranks == 1:
        return []
    if distributed.mpiexec() is None:
        sys.exit("--ranks needs mpi4py and mpiexec: pip install 'npgan[mpi]'")
    return [distributed.mpiexec(), "-n", str(ranks)]


def serve(name: str, count: int, library: str) -> None:
    """What a process of a Player does."""
    ranks, rng = distributed.start(), np.random.default_rng(0)
    ours = WORKLOADS[name](rng)
    game = ours.start(ranks=ranks) if library == "npgan" else TORCH[type(ours)](ours)
    batch = [ranks.part(array) for array in ours.draw(count, rng)]
    while (steps := next_turn(ranks)) is not None:
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            game.step(*batch)
            times.append(time.perf_counter() - start)
        memory = peak_so_far() * ranks.size if ranks.size == 1 else sum(ranks.comm.allgather(peak_so_far()))
        if steps == 0:
            print(*exchange(ranks, lambda: game.step(*batch)), flush=True)
        else:
            print(statistics.median(times[1:]), memory, flush=True)  # the first step finds cold caches


def next_turn(ranks: distributed.Ranks) -> int | None:
    """The steps that the next line of rank 0's input asks for; None at its end. The others wait for it asleep.

    MPI waits at full speed, on a core that is the other library's now.
    """
    if ranks.rank == 0:
        line = sys.stdin.readline()
        for other in range(1, ranks.size):
            ranks.comm.send(line, other)
    else:
        while not ranks.comm.Iprobe(source=0):
            time.sleep(0.0005)
        line = ranks.comm.recv(source=0)
    return int(line) if line else None


def exchange(ranks: distributed.Ranks, step: Callable[[], object]) -> tuple[int, int, float]:
    """How often the ranks exchange numbers in a step, how many in all, and the median seconds of nothing but that."""
    done: list[tuple[Callable[[], object], int]] = []
    mean, mean_of_gradients = distributed.Ranks.mean, distributed.Gradients.mean

    def noted_mean(self, array):
        copied = array.copy()
        done.append((lambda: mean(self, copied), array.size))
        return mean(self, array)

    def noted_mean_of_gradients(self):
        done.append((lambda: mean_of_gradients(self), self.flat.size))
        distributed.Ranks.mean = mean  # it may be what gradients travel by
        mean_of_gradients(self)
        distributed.Ranks.mean = noted_mean

    distributed.Ranks.mean, distributed.Gradients.mean = noted_mean, noted_mean_of_gradients
    step()
    distributed.Ranks.mean, distributed.Gradients.mean = mean, mean_of_gradients
    times = []
    for _ in range(20):
        ranks.comm.Barrier()
        start = time.perf_counter()
        for again, _ in done:
            again()
        times.append(time.perf_counter() - start)
    return len(done), sum(size for _, size in done), statistics.median(times)


def assert_ranks_parity(name: str, count: int) -> None:
    """Together the ranks compute what one process does: float64, 3 steps, losses and weights equal to 1e-9.

    Rank 0 prints the worst difference.
    """
    ranks, worst = distributed.start(), 0.0
    rng = np.random.default_rng(0)
    alone = WORKLOADS[name](rng).start(dtype=np.float64)
    together = copy.deepcopy(alone).start(dtype=np.float64, ranks=ranks)
    for _ in range(3):
        batch = [array.astype(np.float64) for array in alone.draw(count, rng)]
        losses = ranks.mean(np.array(together.step(*map(ranks.part, batch)), dtype=np.float64))
        for a, b in zip(losses, alone.step(*batch), strict=True):
            worst = max(worst, abs(float(a - b)) / abs(float(b)))
    pairs = ((together.generator, alone.generator), (together.discriminator, alone.discriminator))
    for ours, one in pairs:
        for name_of, array in one.arrays().items():
            size = np.linalg.norm(array)
            worst = max(worst, np.linalg.norm(ours.arrays()[name_of] - array) / size if size > 0 else 0.0)
    assert worst < 1e-9, f"{name}: {ranks.size} ranks and one differ by {worst:.1e}"
    print(worst, flush=True)


def time_pairs(
    name: str, count: int, seconds: float, ranks: int = 1
) -> tuple[list[list[tuple[float, float]]], list[str]]:
    """What the turns of npgan and of PyTorch returned, pair by pair, for about `seconds` in all; the exchange."""
    with Player(name, count, "npgan", ranks) as ours, Player(name, count, "torch") as theirs:
        guess = max(player.turn(3)[0] for player in (ours, theirs))  # warm-up as well
        steps = max(4, round(0.7 / guess))
        pairs = max(5, round(seconds / (2 * steps * guess)))
        found = [[player.turn(steps) for player in (ours, theirs)] for _ in range(pairs)]
        return found, ours.ask(0) if ranks > 1 else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few steps of each")
    parser.add_argument("--only", default="", help="only the workloads whose names contain this")
    parser.add_argument("--batch", type=int, help="images in a batch (default: each workload's own)")
    parser.add_argument("--ranks", type=int, default=1, help="as how many processes npgan plays (default 1)")
    args = parser.parse_args()
    launcher(args.ranks)
    try:
        import torch
    except ImportError:
        sys.exit("bench_vs_torch compares with PyTorch, which is not installed: pip install torch")
    theirs = f"PyTorch {torch.__version__} on {torch.get_num_threads()} threads; float32"
    print(timing.machine(Status(False, theirs)))
    print(f"gradients of penalties on gradients: parity {assert_penalty_parity():.0e}")
    ours = f"npgan as {args.ranks} processes; " if args.ranks > 1 else ""
    more, line = (" exchange: times, numbers, ms |", "---|") if args.ranks > 1 else ("", "")
    print(
        f"{ours}\n| workload | batch | parity | npgan ms | PyTorch ms | ratio (10%..90%) "
        f"| npgan MB | PyTorch MB | ratio |{more}\n|---|---|---|---|---|---|---|---|---|{line}"
    )
    for name, make_game in WORKLOADS.items():
        if args.only not in name:
            continue
        count = args.batch or make_game(np.random.default_rng(0)).batch
        parity = max(assert_parity(name, count), ranks_parity(name, count, args.ranks))
        found, exchanged = time_pairs(name, count, 6 if args.quick else 30, args.ranks)
        pairs = np.array(found)  # pair, library, seconds or MB
        ours, theirs = 1e3 * np.median(pairs[:, :, 0], axis=0)
        low, ratio, high = np.percentile(pairs[:, 0, 0] / pairs[:, 1, 0], (10, 50, 90))
        memory, torch_memory = pairs[-1, :, 1]
        print(
            f"| {name} | {count} | {parity:.0e} | {ours:.1f} | {theirs:.1f} "
            f"| **{ratio:.2f}** ({low:.2f}..{high:.2f}) | {memory:.0f} | {torch_memory:.0f} "
            f"| {memory / torch_memory:.2f} |"
            + (" {}, {:,}, {:.2f} |".format(*exchange_figures(exchanged)) if exchanged else ""),
            flush=True,
        )


def ranks_parity(name: str, count: int, ranks: int) -> float:
    """What `assert_ranks_parity` finds among so many ranks; 0 for one."""
    if ranks == 1:
        return 0.0
    code = f"import bench_vs_torch as b; b.assert_ranks_parity({name!r}, {count})"
    command = [*launcher(ranks), sys.executable, "-c", code]
    return float(subprocess.run(command, cwd=Path(__file__).parent, check=True, capture_output=True).stdout)


def exchange_figures(answer: list[str]) -> tuple[int, int, float]:
    """Times, numbers and milliseconds, of what `exchange` has printed."""
    return int(answer[0]), int(answer[1]), 1e3 * float(answer[2])


if __name__ == "__main__":
    main()
