"""Answers for lesson 11, error against realism: another point, other spreads, squared error with mode seeking."""

import numpy as np
from answers import Answers

answers = Answers("11_trade_off")
base = answers.lesson(
    {"SEEDS = range(3)": "SEEDS = range(1)"},
    *(() if answers.args.quick else ("--steps", "300")),
    script="11_conv_inpainting",
)
short = ("--trained", str(base["args"].out), *(() if answers.args.quick else ("--steps", "60")))
FIVE = '"0": (1.0, 0.0), "0.001": (1.0, 0.001), "0.01": (1.0, 0.01), "0.1": (1.0, 0.1), "only": (0.0, 1.0)}\n'
few = {FIVE: '"0": (1.0, 0.0), "0.01": (1.0, 0.01)}\n'}  # the points that exercises 2 and 3 need

answers.exercise(1, "One more point")
more = answers.lesson({FIVE: FIVE.replace('"only"', '"1": (1.0, 1.0), "only"')}, *short)
for label in ("0", "0.1", "1", "only") if not answers.args.quick else ("0", "only"):
    answers.between(f"{label}: PSNR", more["scores"][label].psnr, 5, 14, full=True)
    answers.between(f"{label}: sharpness", more["sharp"][label], 0.3, 2, full=True)
    answers.between(f"{label}: distance", more["far"][label], 0.02, 0.3, full=True)

answers.exercise(2, "Other spreads")
seeking = {}
for weight in (0.5, 0.8, 1):
    names = answers.lesson(few | {"SEEKING = 0.8  #": f"SEEKING = {weight}  #"}, *short)
    seeking[weight] = names
    share = names["spread"]["seeking"] / names["bound"]
    wanted = weight / np.sqrt(2 - weight**2)
    answers.between(f"{weight}: spread, of the true one; derived {wanted:.2f}", share, 0.1, 1.2, full=True)
    answers.between(f"{weight}: PSNR of one", names["one"]["seeking"], 5, 14, full=True)
    answers.between(f"{weight}: best of 8", names["best_of_8"]["seeking"], 5, 14, full=True)

answers.exercise(3, "The squared error with mode seeking")
MINE = '''
def mine(error, counted, seeking):
    """mean (a - x)^2 over the hole - seeking * |a - b|, mean over the images: (value, gradient by error)."""
    n = len(error) // 2
    values = np.maximum(counted.sum(axis=(1, 2, 3), keepdims=True) * error.shape[3], 1)  # 2 N, 1, 1, 1
    squared = (error * error / values).sum() / (2 * n)
    difference = error[:n] - error[n:]  # a - b
    length = np.sqrt((difference**2).sum(axis=(1, 2, 3), keepdims=True) / values[:n])  # N, 1, 1, 1
    slope = seeking * difference / (values[:n] * np.where(length > 0, length, 1)) / n
    derror = error / (n * values) - np.concatenate([slope, -slope])
    return squared - seeking * length.mean(), derror


inpainting.energy_score = mine
SEEKING = 0.1  #'''
names = answers.lesson(few | {"\nSEEKING = 0.8  #": MINE}, *short)
answers.below("relative error of its gradient", float(names["wrong"]), 1e-6)
for what, run in (("energy score", seeking[0.8]), ("squared error", names)):
    each = run["apart"](run["eights"]["seeking"])  # of each hole
    order = run["grey"].argsort()
    tenth = max(1, len(order) // 10)
    grey, sure = each[order[-tenth:]].mean(), each[order[:tenth]].mean()
    answers.between(f"{what}: apart in the greyest tenth", grey, 0.02, 1.2, full=True)
    answers.between(f"{what}: in the least grey tenth", sure, 0.01, 1.2, full=True)
    answers.between(f"{what}: PSNR of one", run["one"]["seeking"], 5, 14, full=True)
    answers.between(f"{what}: best of 8", run["best_of_8"]["seeking"], 5, 14, full=True)
