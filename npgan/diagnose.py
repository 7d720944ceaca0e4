"""What ails a training? Rules that read what npgan.watch has measured, name the likely fault, and say what to try.

    python -m npgan.diagnose out/09_conv_gan          # a lesson's output folder, its history.csv, or a checkpoint

Each rule is a threshold in plain code and answers with the figure that speaks for it. They come in an order: what is
certain first, what may follow from something else last. Where none speaks but the samples or the losses look wrong,
the answer is "not sure". `python benchmarks/score_diagnose.py` plants faults and counts how many are named.
"""

import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from npgan import checkpoint
from npgan.errors import DataError
from npgan.training import WATCHED
from npgan.verdict import EVEN, balance
from npgan.voice import prepare, printable, say

HEALTHY, NOT_SURE = "healthy", "not sure"
FEWEST = 5  # watched steps, below which nothing is said
LONG = 100  # steps, from which on a rule may say that something has become too large or too small
FILE_LIMIT = 2**28  # bytes of a history


class Finding(NamedTuple):
    """What may be wrong: the fault's name, the figure that speaks for it, what to try."""

    name: str
    figure: str
    advice: str


class Rule(NamedTuple):
    """A fault's name, what looks for the figure that speaks for it ("" where none does), and what to try."""

    name: str
    figure: Callable[["Figures"], str]
    advice: str
    steps: int = 1  # the rule says nothing about shorter runs


class Figures:
    """What was watched, by name, and the questions that the rules ask of it."""

    def __init__(self, watched: dict[str, Sequence[float]]):
        self.columns = {name: np.asarray(values, float) for name, values in watched.items()}

    def __len__(self) -> int:
        return len(self["step"])

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.columns:
            raise DataError(f"this history lacks {WATCHED}{name}, which npgan.watch measures")
        return self.columns[name]

    def lowest(self, name: str) -> float:
        return float(self[name].min())

    def highest(self, name: str) -> float:
        return float(self[name].max())

    def first(self, name: str) -> float:
        return float(self[name][0])

    def middle(self, name: str) -> float:
        """The median over the run."""
        return float(np.median(self[name]))

    def late(self, name: str) -> float:
        """The median over the last third."""
        return float(np.median(self[name][-(len(self) // 3 + 1) :]))

    def same(self, name: str, other: str) -> float:
        """The share of the watched steps at which two figures agree to a thousandth."""
        a, b = self[name], self[other]
        return float((np.abs(a - b) <= 1e-3 * np.abs(b) + 1e-8).mean())

    def by_cross_entropy(self) -> bool:
        """Whether D's loss is the cross-entropy of its logits, so that logits of 0 mean "cannot tell"."""
        return self.same("D loss", "D cross-entropy") > 0.9

    def gradients(self, player: str) -> dict[str, float]:
        """The share of the watched steps at which a layer of the player got no gradient at all, by layer."""
        start = f"{player} gradient "
        return {
            name.removeprefix(start): float((values <= 1e-12).mean())
            for name, values in self.columns.items()
            if name.startswith(start)
        }


# The rules: figure by figure, "" where there is nothing to say --------------------------------------------------


def pixels_out_of_range(f: Figures) -> str:
    real, fake = ((f.lowest(f"{kind} lowest"), f.highest(f"{kind} highest")) for kind in ("real", "fake"))
    real_only_positive = real[0] >= -0.01 and fake[0] < -0.05
    fake_only_positive = fake[0] >= -0.01 and fake[1] > 0.5 and real[0] < -0.5
    if real_only_positive or fake_only_positive or real[1] > 1.5:
        return (
            f"real pixels in [{real[0]:.2f}, {real[1]:.2f}], generated ones in [{fake[0]:.2f}, {fake[1]:.2f}]"
        )
    return ""


def no_tanh(f: Figures) -> str:
    low, high = f.lowest("fake lowest"), f.highest("fake highest")
    if max(-low, high) > 1.01 and max(-f.lowest("real lowest"), f.highest("real highest")) <= 1.01:
        return f"generated pixels in [{low:.2f}, {high:.2f}], real ones in [-1, 1]"
    return ""


def sigmoid_before_the_loss(f: Figures) -> str:
    low, high = f.lowest("lowest logit"), f.highest("highest logit")
    if f.by_cross_entropy() and low >= 0 and 0 < high <= 1:
        return f"all of D's logits lie in [{low:.2f}, {high:.2f}]"
    return ""


def labels_exchanged(f: Figures) -> str:
    if f.same("D loss", "D exchanged") > 0.9 and not f.by_cross_entropy():
        return (
            f"D's loss, {f.late('D loss'):.2f}, is the cross-entropy with real and generated exchanged "
            f"(as it should be: {f.late('D cross-entropy'):.2f})"
        )
    return ""


def wrong_target(f: Figures) -> str:
    if f.same("G loss", "G exchanged") > 0.9 and f.same("G loss", "G cross-entropy") < 0.5:
        return (
            f'G\'s loss, {f.late("G loss"):.3f}, is the cross-entropy with the target "generated" '
            f'(with "real" it would be {f.late("G cross-entropy"):.2f})'
        )
    return ""


def d_moves_in_g_step(f: Figures) -> str:
    moved, spread = f.middle("D moved in G's step"), f.middle("fake logit spread")
    if moved > 1e-3 * (abs(f.middle("judged logit")) + spread) and moved > 1e-4:
        return f"in G's step D's logits for the same samples changed by up to {moved:.3f}"
    return ""


def stands_still(player: str) -> Callable[[Figures], str]:
    def rule(f: Figures) -> str:
        if f.highest(f"{player} update") <= 1e-9 and f.lowest(f"{player} dead") < 1:
            return f"{player}'s weights changed at none of {len(f)} watched steps, though it has gradients"
        return ""

    return rule


def same_batch(f: Figures) -> str:
    means = f["real mean"]
    if np.ptp(means) <= 1e-6:
        return f"the real batch has the same mean pixel, {means[0]:.5f}, at all {len(f)} watched steps"
    return ""


def gradients_pile_up(f: Figures) -> str:
    for player in "DG":
        cosine = f.late(f"{player} gradient's cosine")
        if cosine > 0.999:
            return f"{player}'s gradient points where that of the step before did (cosine {cosine:.4f})"
    return ""


def dead_units(f: Figures) -> str:
    for player in "GD":
        dead = f.late(f"{player} dead")
        if 0.3 < dead and f.late("D dead") < 1:
            return f"{dead:.0%} of {player}'s units pass no gradient on for any sample"
    return ""


def no_gradient(f: Figures) -> str:
    for player in "DG":
        without = [name for name, share in f.gradients(player).items() if share >= 0.9]
        if without:
            return f"no gradient reaches {player}'s {', '.join(without)}"
    return ""


def samples_alike(f: Figures) -> str:
    ratio = f.late("fake spread") / max(f.late("real spread"), 1e-12)
    if ratio < 0.1:
        return f"generated samples of a batch differ by {ratio:.3f} of what real ones do"
    return ""


def large_weights(f: Figures) -> str:
    start = f.first("D cross-entropy")
    if start > 2.5 and f["step"][0] == 1:
        return f"at step 1, when D can know nothing, its cross-entropy is {start:.1f} in place of {EVEN:.2f}"
    return ""


def penalty_without_effect(f: Figures) -> str:
    penalty = f.late("penalty")
    if penalty > max(3, 0.5 * f.first("penalty")):
        return f"the penalty is {penalty:.1f} at the end, it began at {f.first('penalty'):.1f}"
    return ""


def one_kind_only(f: Figures) -> str:
    right, wrong = f.late("real right"), f.late("fake right")
    if f.by_cross_entropy() and min(right, wrong) < 0.1 and max(right, wrong) > 0.9 and f.late("D loss") > 2:
        return f"D is right about {right:.0%} of real and {wrong:.0%} of generated samples"
    return ""


def mixed_batch(f: Figures) -> str:
    jump = float(np.median((f["judged logit"] - f["fake logit"])[len(f) // 4 :]))
    if jump > 0.5 and min(f.late("real right"), f.late("fake right")) > 0.9:
        return f"the same samples get logits that are {jump:.1f} higher in G's step, alone, than in D's"
    return ""


def rate_too_high(f: Figures) -> str:
    for player, bound in (("D", 0.15), ("G", 0.3)):
        step = f.highest(f"{player} update")
        if step > bound:
            return f"a step has changed {player}'s weights by {step:.0%} of their size"
    half = f["D update"][: len(f) // 2 + 1]  # G's grow until any rate is small beside them
    if np.median(half) > 0.028:
        return f"in the first half a step changes D's weights by {np.median(half):.1%} of their size"
    return ""


def rate_too_low(f: Figures) -> str:
    d, g = f.highest("D update"), f.highest("G update")
    if 0 < (d * g) ** 0.5 < 1e-3:
        return f"no step changes D's weights by more than {d:.3%} of their size, G's by more than {g:.3%}"
    return ""


def vanishing(f: Figures) -> str:
    if f.same("G loss", "G exchanged") < 0.5 and f.late("G loss") < 0 and f.late("judged logit") < -3:
        return f"G's loss saturates: D gives its samples logits of {f.late('judged logit'):.1f}"
    return ""


def d_wins(f: Figures) -> str:
    if f.late("D cross-entropy") < 0.02:
        return f"D's cross-entropy is {f.late('D cross-entropy'):.3f} ({EVEN:.2f} where it cannot tell)"
    return ""


RULES = (
    Rule("range", pixels_out_of_range, "bring real images to [-1, 1], where tanh ends: pixels / 127.5 - 1"),
    Rule("no tanh", no_tanh, "let the generator end with Tanh()"),
    Rule("sigmoid", sigmoid_before_the_loss, "take the sigmoid off D's end: the loss takes logits"),
    Rule("labels exchanged", labels_exchanged, "in D's step target 1.0 for real, 0.0 for generated samples"),
    Rule("G's target", wrong_target, "in G's step: loss(logits, 1.0)"),
    Rule("D moves", d_moves_in_g_step, "hold D in G's step (D.held()); an optimiser for each player"),
    Rule("D stands still", stands_still("D"), "give D's optimiser the parameters of the very D that plays"),
    Rule("G stands still", stands_still("G"), "give G's optimiser the parameters of the very G that plays"),
    Rule("same batch", same_batch, "draw a new real batch at each step; with so few images, get more"),
    Rule("dead units", dead_units, "LeakyReLU, smaller first weights and biases, a smaller rate"),
    Rule(
        "no gradient", no_gradient, "look behind it: weights of zero, a fade-in that is stuck, a wrong join"
    ),
    Rule("gradients pile up", gradients_pile_up, "zero_grad() before the backward passes of a step", LONG),
    Rule("large weights", large_weights, "draw the first weights from N(0, 0.02)"),
    Rule("penalty without effect", penalty_without_effect, "its gradient must reach D: penalise(...)", LONG),
    Rule("one kind only", one_kind_only, "gradients add: no backward pass may overwrite another's", LONG),
    Rule("mixed batch", mixed_batch, "with batch normalization a batch for each kind of samples", LONG),
    Rule("G's gradient vanishes", vanishing, "the non-saturating loss: loss(logits, 1.0)", LONG),
    Rule("rate too high", rate_too_high, "a tenth of the learning rate", LONG),
    Rule("rate too low", rate_too_low, "ten times the learning rate", LONG),
    Rule("samples alike", samples_alike, "a vector of noise for each sample; else see lesson 13", LONG),
    Rule("D wins", d_wins, "a smaller rate for D or a larger one for G, more data, a penalty (r1)", LONG),
)


def diagnose(watched: dict[str, Sequence[float]]) -> list[Finding]:
    """All that the rules find, the most certain first; one finding "not sure" or "healthy" where none speaks.

    watched: what `Run.watched` holds, filled by npgan.watch.
    """
    f = Figures(watched)
    if len(f) < FEWEST:
        return [Finding(NOT_SURE, f"only {len(f)} steps were watched", "a longer run")]
    for name, values in f.columns.items():
        if not np.isfinite(values).all():
            step = f["step"][~np.isfinite(values)][0]
            return [
                Finding(NOT_SURE, f"{name} is not finite at step {step:.0f}", "a tenth of the learning rate")
            ]
    rules = [rule for rule in RULES if f["step"][-1] >= rule.steps]
    found = [Finding(rule.name, figure, rule.advice) for rule in rules if (figure := rule.figure(f))]
    return found or [unnamed(f)]


def unnamed(f: Figures) -> Finding:
    """Where no rule speaks: healthy, or not sure if something is odd all the same."""
    ratio = f.late("fake spread") / max(f.late("real spread"), 1e-12)
    figure = (
        f"generated samples of a batch differ by {ratio:.2f} of what real ones do, "
        f"D's cross-entropy is {f.late('D cross-entropy'):.2f}"
    )
    if ratio < 0.3 or (f.by_cross_entropy() and f.late("D cross-entropy") > 2.5):
        return Finding(NOT_SURE, figure, "look at the samples; more steps")
    return Finding(HEALTHY, figure, "")


# Reading a finished run ----------------------------------------------------------------------------------------


def read(path: Path) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """What a run logged at each step, and what it watched, from its folder, its history.csv or a checkpoint.

    Raises DataError, one line, where there is neither.
    """
    if path.is_dir():
        found = [*checkpoint.in_folder(path), *path.glob("history.csv")]
        if not found:
            raise DataError(f"{path}: holds neither history.csv nor a checkpoint; name the folder of one run")
        path = found[-1]
    history = read_csv(path) if path.suffix == ".csv" else checkpoint.load(path, {}).history
    watched = {
        name.removeprefix(WATCHED): values for name, values in history.items() if name.startswith(WATCHED)
    }
    logged = {name: values for name, values in history.items() if not name.startswith(WATCHED)}
    lengths = {len(values) for values in watched.values()}
    if len(lengths) > 1:
        raise DataError(f"{path}: its watched columns have {sorted(lengths)} values, wanted as many in each")
    return logged, watched


def read_csv(path: Path) -> dict[str, list[float]]:
    """The columns of a history, without the fields that are empty."""
    columns: dict[str, list[float]] = {}
    try:
        if path.stat().st_size > FILE_LIMIT:
            raise DataError(f"{path}: has more than {FILE_LIMIT:,} bytes")
        with path.open(newline="", encoding="utf-8", errors="backslashreplace") as file:
            rows = csv.DictReader(file, strict=True)
            try:
                for row in rows:
                    for name, value in row.items():
                        if value:
                            columns.setdefault(name, []).append(float(value))
                    if row.get(f"{WATCHED}D loss"):
                        columns.setdefault(f"{WATCHED}step", []).append(float(row["step"]))
            except (ValueError, TypeError, KeyError, csv.Error) as error:
                raise DataError(f"{path}: line {rows.line_num} is no row of a history ({error})") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    return columns


def report(path: Path) -> str:
    """The diagnosis of a finished run in words. Raises DataError where `path` holds no history."""
    logged, watched = read(path)
    if watched:
        try:
            findings = diagnose(watched)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
    elif "d_loss" in logged:
        figure = balance(logged["d_loss"]) or "only its losses were kept, which tell who is ahead and not why"
        findings = [Finding(NOT_SURE, figure, "npgan.watch.Watch in its loop")]
    else:
        raise DataError(f"{path}: is no game's history; it has {', '.join(logged) or 'no columns'}")
    first, *others = (
        f"{name}: {figure}" + (f"\n   try: {advice}" if advice else "") for name, figure, advice in findings
    )
    return "\n".join([f"{printable(path)}: {first}", *(f"   perhaps also {other}" for other in others)])


def main(argv: Sequence[str]) -> None:
    prepare()
    if len(argv) != 1 or argv[0].startswith("-"):
        raise SystemExit(
            "usage: python -m npgan.diagnose FOLDER   (a run's folder, history.csv or checkpoint)"
        )
    say(report(Path(argv[0])))


if __name__ == "__main__":
    main(sys.argv[1:])
