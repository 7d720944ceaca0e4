"""The diagnosis: what is watched, against hand cases; each rule on made-up figures; planted faults; bad files."""

import contextlib
import io
import subprocess
import sys

import numpy as np
import pytest
import strict_cupy

from npgan import bugs, data, diagnose
from npgan.adversarial import DiscriminatorStep, GeneratorStep, discriminator_step, generator_step, r1
from npgan.backend import to_device
from npgan.errors import DataError
from npgan.layers import Conv2DTranspose, Dense, Flatten, LeakyReLU, ReLU, Reshape, Sequential, Tanh
from npgan.losses import binary_cross_entropy
from npgan.optim import Adam
from npgan.training import WATCHED, Run
from npgan.watch import Watch

# The watch -----------------------------------------------------------------------------------------------------


def tiny_game(device="numpy"):
    """Two tiny players, their optimisers, a run of four steps, and a real batch."""
    rng = np.random.default_rng(5)
    stem = [Dense(3, 2 * 2 * 4, rng=rng), ReLU(), Reshape((2, 2, 4))]
    generator = Sequential([*stem, Conv2DTranspose(4, 1, 4, stride=2, padding=1, rng=rng), Tanh()]).to(device)
    layers = [Flatten(), Dense(16, 8, rng=rng), LeakyReLU(0.2), Dense(8, 1, rng=rng)]
    discriminator = Sequential(layers).to(device)
    real = to_device(rng.uniform(-1, 1, (6, 4, 4, 1)).astype(np.float32), device)
    optimizers = Adam(generator.parameters(), 0.01), Adam(discriminator.parameters(), 0.01)
    return generator, discriminator, optimizers, real, rng


def play_tiny(device="numpy", watching=True, steps=4):
    generator, discriminator, (g_optimizer, d_optimizer), real, rng = tiny_game(device)
    watch, run = Watch(generator, discriminator, every=1), Run(steps)
    for _ in run:
        fake = generator.forward(to_device(rng.standard_normal((6, 3), dtype=np.float32), device))
        d = discriminator_step(discriminator, real, fake, d_optimizer)
        g = generator_step(generator, discriminator, fake, g_optimizer)
        run.log(d_loss=d.loss, g_loss=g.loss)
        if watching:
            watch(run, real, fake, d, g)
    return generator, discriminator, run, d, g, fake, real


def test_watching_changes_nothing_of_the_game():
    with_watch, without = play_tiny(), play_tiny(watching=False)
    for player in (0, 1):
        a, b = with_watch[player].state(), without[player].state()
        assert all(np.array_equal(a[name], b[name]) for name in a)
    assert with_watch[2].history == without[2].history and not without[2].watched


def test_what_is_watched_by_hand():
    """The last of the figures, against NumPy's own of the same arrays."""
    generator, discriminator, run, d, g, fake, real = play_tiny()
    last = {name: values[-1] for name, values in run.watched.items()}
    real_logits, fake_logits, judged = (x.astype(float) for x in (d.real_logits, d.fake_logits, g.logits))
    by_hand = {
        "step": 4,
        "D loss": d.loss,
        "D cross-entropy": np.log1p(np.exp(-real_logits)).mean() + np.log1p(np.exp(fake_logits)).mean(),
        "D exchanged": np.log1p(np.exp(real_logits)).mean() + np.log1p(np.exp(-fake_logits)).mean(),
        "G cross-entropy": np.log1p(np.exp(-judged)).mean(),
        "judged logit": judged.mean(),
        "fake logit spread": fake_logits.std(),
        "lowest logit": min(real_logits.min(), fake_logits.min()),
        "real right": (real_logits > 0).mean(),
        "fake right": (fake_logits < 0).mean(),
        "D moved in G's step": 0,
        "real lowest": real.min(),
        "fake spread": np.mean([fake[:, i, j, 0].std() for i in range(4) for j in range(4)]),
        "G gradient 0.Dense": np.linalg.norm(
            np.append(generator.layers[0].weight.grad, generator.layers[0].bias.grad)
        ),
        "D dead": 0,
    }
    for name, value in by_hand.items():
        assert np.isclose(last[name], value, rtol=1e-5, atol=1e-7), name
    assert len(run.watched["step"]) == 4


def watched_once(generator, discriminator, before, after):
    """What a watch says of a step around which `before` and `after` change the players."""
    logits = np.zeros((2, 1), np.float32)
    watch, run = Watch(generator, discriminator, every=1), Run(1)
    before()
    watch._before = watch._samples()
    after()
    images = np.ones((2, 4, 4, 1), np.float32)
    for _ in run:
        watch(
            run,
            images,
            images,
            DiscriminatorStep(logits[0, 0], logits, logits),
            GeneratorStep(logits[0, 0], logits),
        )
    return {name: values[0] for name, values in run.watched.items()}


def test_update_cosine_and_dead_units_by_hand():
    generator, discriminator, *_ = tiny_game()
    weight = discriminator.layers[1].weight

    def before():
        weight.grad[:] = 1

    def after():
        weight.value[:] *= 1.1  # of the two matrices of D, one moves
        weight.grad[:] = 0
        weight.grad[:, :2] = 2  # two of its eight units wake; (2, 2, 0, ...) against ones: cosine 1/2
        for parameter in generator.parameters():
            parameter.grad[...] = 1
        generator.layers[3].weight.grad[:, :, 0] = 0  # (kh, kw, out, in): the only unit of the last layer
        generator.layers[0].weight.grad[:, 4:] = 0  # 12 of 16

    found = watched_once(generator, discriminator, before, after)
    last = discriminator.layers[3].weight.value
    length = np.linalg.norm(weight.value / 1.1)
    assert np.isclose(found["D update"], 0.1 * length / np.hypot(length, np.linalg.norm(last)), rtol=1e-5)
    assert np.isclose(found["D gradient's cosine"], 0.5, rtol=1e-5)
    assert np.isclose(found["D dead"], (6 + 1) / 9) and np.isclose(found["G dead"], (12 + 1) / 17)
    assert found["D moved in G's step"] > 0  # 0 is not what this D says of the images


def test_a_watch_on_the_device_says_the_same(cupy):
    here = play_tiny()[2].watched
    with strict_cupy.forbid_float64():
        there = play_tiny("cupy")[2].watched
    assert here.keys() == there.keys()
    for name in here:
        assert np.allclose(here[name], there[name], rtol=1e-3, atol=1e-4), name


# The rules, on made-up figures ---------------------------------------------------------------------------------

HEALTHY = {
    "D loss": 1.2,
    "G loss": 0.8,
    "penalty": 0.0,
    "D cross-entropy": 1.2,
    "D exchanged": 1.7,
    "G cross-entropy": 0.8,
    "G exchanged": 0.6,
    "real logit": 0.3,
    "fake logit": -0.3,
    "judged logit": -0.4,
    "real logit spread": 0.5,
    "fake logit spread": 0.5,
    "lowest logit": -2.0,
    "highest logit": 2.0,
    "real right": 0.7,
    "fake right": 0.7,
    "D moved in G's step": 0.0,
    "real lowest": -1.0,
    "real highest": 1.0,
    "real spread": 0.3,
    "fake lowest": -1.0,
    "fake highest": 1.0,
    "fake mean": -0.5,
    "fake spread": 0.28,
    "D update": 0.01,
    "G update": 0.03,
    "D gradient's cosine": 0.3,
    "G gradient's cosine": 0.3,
    "D dead": 0.0,
    "G dead": 0.0,
    "D gradient 0.Conv2D": 1.0,
    "G gradient 0.Dense": 1.0,
}
# For each rule what has to be otherwise for it to speak.
CASES = {
    "range": {"real lowest": 0.0},
    "no tanh": {"fake highest": 1.4},
    "sigmoid": {"lowest logit": 0.1, "highest logit": 0.9},
    "labels exchanged": {"D loss": 1.7},
    "G's target": {"G loss": 0.6},
    "D moves": {"D moved in G's step": 0.05},
    "D stands still": {"D update": 0.0},
    "G stands still": {"G update": 0.0},
    "same batch": {"real mean": -0.7},
    "dead units": {"G dead": 0.6},
    "no gradient": {"G gradient 0.Dense": 0.0},
    "gradients pile up": {"D gradient's cosine": 0.9999},
    "large weights": {"D cross-entropy": 4.0, "D loss": 4.0},
    "samples alike": {"fake spread": 0.01},
    "penalty without effect": {"penalty": 50.0},
    "one kind only": {"real right": 0.0, "fake right": 1.0, "D loss": 2.2, "D cross-entropy": 2.2},
    "mixed batch": {"fake logit": -3.0, "real right": 1.0, "fake right": 1.0},
    "rate too high": {"D update": 0.06},
    "rate too low": {"D update": 0.0002, "G update": 0.0005},
    "G's gradient vanishes": {"G loss": -0.02, "judged logit": -4.0},
    "D wins": {"D cross-entropy": 0.01, "D loss": 0.01},
}


def figures(changes=None, steps=30):
    """A history of `steps` watched steps: HEALTHY with some figures changed."""
    values = {name: [value] * steps for name, value in (HEALTHY | (changes or {})).items()}
    means = [-0.7 + 0.01 * (step % 3) for step in range(steps)]
    return {"step": list(range(1, 5 * steps, 5)), "real mean": means} | values


def test_healthy_figures_are_healthy():
    assert [finding.name for finding in diagnose.diagnose(figures())] == [diagnose.HEALTHY]


def test_every_rule_has_its_case():
    assert [rule.name for rule in diagnose.RULES if rule.name not in CASES] == []


@pytest.mark.parametrize("name", CASES)
def test_a_rule_speaks_of_its_fault_and_says_what_to_try(name):
    changes = dict(CASES[name])
    made = figures(changes)
    if name == "large weights":  # at step 1 only; later D has learned
        made["D cross-entropy"][1:] = made["D loss"][1:] = [1.2] * 29
    first, *_ = diagnose.diagnose(made)
    assert first.name == name and any(c.isdigit() for c in first.figure) and first.advice


def test_not_sure_where_the_samples_are_odd_and_no_rule_speaks():
    (finding,) = diagnose.diagnose(figures({"fake spread": 0.06}))
    assert finding.name == diagnose.NOT_SURE and "0.20" in finding.figure


def test_few_steps_and_figures_that_are_not_finite_are_not_sure():
    assert diagnose.diagnose(figures(steps=4))[0].name == diagnose.NOT_SURE
    made = figures()
    made["D loss"][7] = float("nan")
    (finding,) = diagnose.diagnose(made)
    assert finding.name == diagnose.NOT_SURE and "D loss" in finding.figure


# Planted faults ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def images():
    return data.glyphs(600, size=16, seed=3)


def run_with(images, bug=""):
    with contextlib.redirect_stdout(io.StringIO()):
        return bugs.play(images, bug, steps=150, width=8, batch=16, seed=77)


def test_a_healthy_run_is_healthy(images):
    assert diagnose.diagnose(run_with(images).run.watched)[0].name == diagnose.HEALTHY


@pytest.mark.parametrize(
    "bug", ["range", "labels", "D not frozen", "G frozen", "same batch", "never zeroed", "fade-in"]
)
def test_a_planted_fault_is_named(images, bug):
    assert diagnose.diagnose(run_with(images, bug).run.watched)[0].name in bugs.BUGS[bug].names


def test_every_bug_is_named_by_a_rule_that_there_is():
    rules = {rule.name for rule in diagnose.RULES}
    assert all(set(bug.names) <= rules for bug in bugs.BUGS.values())


def test_without_a_bug_the_steps_are_those_of_the_package():
    """The gallery's own steps of the game, with all switches off, do what npgan.adversarial's do."""
    states = []
    for d_step, g_step in (
        (discriminator_step, generator_step),
        (
            lambda *arguments: bugs.discriminator_step(*arguments, binary_cross_entropy, r1(1.0), ""),
            lambda *arguments: bugs.generator_step(*arguments, None, binary_cross_entropy, ""),
        ),
    ):
        generator, discriminator, (g_optimizer, d_optimizer), real, rng = tiny_game()
        fake = generator.forward(rng.standard_normal((6, 3), dtype=np.float32))
        if d_step is discriminator_step:
            d = d_step(discriminator, real, fake, d_optimizer, penalty=r1(1.0))
        else:
            d = d_step(discriminator, real, fake, d_optimizer)
        g = g_step(generator, discriminator, fake, g_optimizer)
        states.append(
            [d.loss, d.penalty, g.loss, *generator.state().values(), *discriminator.state().values()]
        )
    assert all(np.array_equal(a, b) for a, b in zip(*states))


# Finished runs, and bad files ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    """The history of a run with a fault, as a file."""
    path = tmp_path_factory.mktemp("run") / "history.csv"
    played = run_with(images, "range")
    played.run.save_history(path)
    return path, played.run


def test_a_history_is_read_as_it_was_watched(finished):
    path, run = finished
    logged, watched = diagnose.read(path.parent)
    assert watched.keys() == run.watched.keys() and watched["step"] == list(run.watched["step"])
    assert all(np.allclose(watched[name], run.watched[name], rtol=1e-6) for name in watched)
    assert len(logged["d_loss"]) == 150


def test_a_checkpoint_keeps_what_was_watched(tmp_path):
    generator, discriminator, _, real, _ = tiny_game()
    watch = Watch(generator, discriminator, every=2)
    parts = {"generator": generator, "discriminator": discriminator, "watch": watch}
    logits = np.zeros((6, 1), np.float32)
    steps = DiscriminatorStep(logits[0, 0], logits, logits), GeneratorStep(logits[0, 0], logits)
    run = Run(6, parts=parts, folder=tmp_path)
    for _ in run:
        run.log(d_loss=1.0)
        watch(run, real, real, *steps)
    assert diagnose.read(tmp_path)[1] == run.watched and list(run.watched["step"]) == [1, 3, 5]
    resumed = Run(8, parts=parts, folder=None, resume=tmp_path)
    assert resumed.watched == run.watched and resumed.history == run.history


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "npgan.diagnose", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_names_the_fault_the_figure_and_what_to_try(finished):
    done = command(finished[0].parent)
    assert done.returncode == 0 and done.stderr == ""
    first, second = done.stdout.splitlines()[:2]
    assert (
        first.startswith(f"{finished[0].parent}: range: real pixels in [0.00, 1.00]")
        and "try: bring" in second
    )


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("history.csv", None, "cannot be read (No such file"),
        ("history.csv", "", "is no game's history; it has no columns"),
        ("history.csv", "step,loss\n1,0.5\n", "is no game's history; it has step, loss"),
        ("history.csv", "step,d_loss\n1,much\n", "line 2 is no row of a history (could not convert"),
        ("history.csv", "step,d_loss\n1,0.5,3\n", "line 2 is no row of a history"),
        ("history.csv", 'step,d_loss\n1,"0.5', "line 1 is no row of a history (unexpected end"),
        ("history.csv", f"step,{WATCHED}D loss\n" + "1,0.5\n" * 6, f"lacks {WATCHED}"),
        ("history.csv", f"d_loss,{WATCHED}D loss\n1,0.5\n", "line 2 is no row of a history ('step')"),
        ("history.csv", f"step,{WATCHED}D loss,{WATCHED}G loss\n1,1,1\n2,1,\n", "have [1, 2] values"),
        ("checkpoint-00000001.npz", "no archive", "cut off, damaged or no checkpoint"),
        ("notes.txt", "hello", "cut off, damaged or no checkpoint"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError) as caught:
        print(diagnose.report(path))
    assert says in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_a_run_and_no_argument_are_one_line(tmp_path):
    for arguments in ([tmp_path], [], ["--help"], [tmp_path / "missing"]):
        done = command(*arguments)
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_a_history_of_losses_alone_is_not_sure(tmp_path):
    (tmp_path / "history.csv").write_text("step,d_loss,g_loss\n" + "1,1.38,0.7\n" * 30)
    assert ": not sure: only its losses" in diagnose.report(tmp_path)
    (tmp_path / "history.csv").write_text("step,d_loss,g_loss\n" + "1,0.01,7\n" * 30)
    assert "D is winning (its loss is 0.01" in diagnose.report(tmp_path)
