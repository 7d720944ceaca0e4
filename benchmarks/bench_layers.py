"""Every layer of a GAN, forward and backward, on NumPy and on CuPy.

    python benchmarks/bench_layers.py            # --quick in seconds, --csv FILE, --workload NAME, --device numpy

Only networks whose layers stand in a row can be taken apart like this: the inpainting GAN's do not.
MFLOP and MB are the least that a layer has to do (benchmarks/work.py). GFLOP/s, and the share of the machine's own
GEMM speed, measured in the same run, say how well the matrix products run; GB/s how well the other layers do.
"""

import argparse
from pathlib import Path

import numpy as np
from networks import SEQUENTIAL
from timing import (
    Timing,
    best,
    devices,
    gemm_line,
    gemm_speed,
    machine,
    markdown,
    measure,
    milliseconds,
    write_csv,
)
from work import flops, least_bytes

from npgan.backend import to_device
from npgan.layers import Sequential


def time_layers(network: Sequential, x, device: str, seconds: float) -> list[tuple[str, int, int, Timing]]:
    """(what, FLOPs, bytes, time) of every layer's forward and backward, x being the network's input."""
    rng, rows = np.random.default_rng(0), []
    network.to(device)
    for name, layer in network.children().items():
        x = to_device(x, device)
        y = layer.forward(x)
        dy = to_device(rng.standard_normal(y.shape, dtype=np.float32), device)
        operations = flops(layer, x.shape, y.shape)
        forward_bytes, backward_bytes = least_bytes(layer, x.shape, y.shape)
        kind = f"{name.split('.')[1]} {tuple(x.shape[1:])} -> {tuple(y.shape[1:])}"

        def forward(layer=layer, x=x):
            layer.forward(x)

        def backward(layer=layer, dy=dy):
            layer.backward(dy)

        timing = measure(forward, device, seconds=seconds)
        rows.append((f"{kind} forward", operations, forward_bytes, timing))
        timing = measure(backward, device, seconds=seconds, before=forward)
        rows.append((f"{kind} backward", 2 * operations, backward_bytes, timing))
        x = y
    return rows


def columns(operations: int, moved: int, timing: Timing, gemm: float) -> list[str]:
    """Time, GFLOP/s, share of GEMM, GB/s."""
    speed = operations / timing.median
    product = [f"{speed / 1e9:.3g}", f"{speed / gemm:.0%}"] if operations else ["", ""]
    return [milliseconds(timing), *product, f"{moved / timing.median / 1e9:.3g}" if moved else ""]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="a small network, seconds in all")
    add("--workload", choices=list(SEQUENTIAL), help="which networks")
    add("--batch", type=int, help="images in a batch (default 64; with --quick 16)")
    add("--device", choices=("numpy", "auto"), default="auto", help="auto: CuPy too, where there is a GPU")
    add("--csv", type=Path, help="write the table there as well")
    args = parser.parse_args(argv)
    name = args.workload or ("DCGAN 28x28x1, width 32" if args.quick else "DCGAN 64x64x3, width 32")
    batch = args.batch or (16 if args.quick else 64)
    seconds = 0.05 if args.quick else 0.4

    used, status = devices(args.device)
    print(f"{machine(status)}\n{name}, batch {batch}, float32; time as median (10%..90%)")
    gemm = {device: gemm_speed(device, seconds) for device in used}

    found: dict[str, list] = {}
    for device in used:
        rng = np.random.default_rng(0)
        work = SEQUENTIAL[name](rng)
        noise = rng.standard_normal((batch, work.latent), dtype=np.float32)
        images = rng.uniform(-1, 1, (batch, *work.shape)).astype(np.float32)
        found[device] = [
            *time_layers(work.generator, noise, device, seconds),
            *time_layers(work.discriminator, images, device, seconds),
        ]

    gemm = best(gemm, {device: gemm_speed(device, seconds) for device in used})
    print(gemm_line(gemm) + "\n")
    headings = ["layer", "MFLOP", "MB", "NumPy ms", "GFLOP/s", "of GEMM", "GB/s"]
    headings += ["CuPy ms", "GFLOP/s", "of GEMM", "GB/s"] if "cupy" in used else [f"CuPy ms: {status.line}"]
    rows = []
    for index, (what, operations, moved, _) in enumerate(found["numpy"]):
        row = [what, f"{operations / 1e6:.4g}" if operations else "", f"{moved / 1e6:.3g}" if moved else ""]
        for device in used:
            row += columns(operations, moved, found[device][index][3], gemm[device])
        rows.append(row + [""] * (len(headings) - len(row)))
    print(markdown(headings, rows))
    if args.csv:
        write_csv(args.csv, headings, rows)


if __name__ == "__main__":
    main()
