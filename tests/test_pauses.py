"""Pauses: the parts of a round one at a time, what they changed, answers that are not understood, Ctrl-C."""

import numpy as np
import pytest

from npgan import checkpoint
from npgan.adversarial import discriminator_step, generator_step
from npgan.layers import BatchNormalization, Dense, LeakyReLU, Sequential
from npgan.optim import Adam
from npgan.pauses import ask_how_many
from npgan.training import Run

PARTS = ["D on real", "D on generated", "D's update", "G's update"]


def make_parts() -> dict:
    rng = np.random.default_rng(0)
    generator = Sequential([Dense(2, 4, rng=rng), BatchNormalization(4), Dense(4, 2, rng=rng)])
    discriminator = Sequential([Dense(2, 4, rng=rng), LeakyReLU(), Dense(4, 1, rng=rng)])
    return {
        "generator": generator,
        "discriminator": discriminator,
        "d_optimizer": Adam(discriminator.parameters(), 1e-2),
        "g_optimizer": Adam(generator.parameters(), 1e-2),
        "rng": rng,
    }


def play(run: Run, each=lambda: None) -> None:
    generator, discriminator, d_optimizer, g_optimizer, rng = run.parts.values()
    for _ in run:
        each()
        noise, real = (rng.standard_normal((8, 2)).astype(np.float32) for _ in range(2))
        fake = generator.forward(noise)
        d = discriminator_step(discriminator, real, fake, d_optimizer, after=run.part)
        g = generator_step(generator, discriminator, fake, g_optimizer, after=run.part)
        run.log(d_loss=d.loss, g_loss=g.loss)


@pytest.fixture
def type_in(monkeypatch):
    """Type these answers, one after the other; then there is no input any more."""

    def type_in(*answers):
        waiting = iter(answers)

        def typed(prompt):
            print(prompt)
            if isinstance(answer := next(waiting, EOFError()), BaseException):
                raise answer
            return answer

        monkeypatch.setattr("builtins.input", typed)

    return type_in


def stops(text: str) -> list[str]:
    """The parts at which the run has waited."""
    return [line[3:].partition("  ")[0] for line in text.splitlines() if line.startswith("-- ")]


def test_a_round_stops_at_each_of_its_parts(type_in, capsys):
    type_in(*[""] * 8)
    play(Run(2, step_through=True, parts=make_parts()))
    assert stops(capsys.readouterr().out) == [f"round {n}, {part}" for n in (1, 2) for part in PARTS]


def test_a_number_is_so_many_parts_and_what_is_not_understood_is_asked_again(type_in, capsys):
    type_in("", "two", "0", "-1", "1.5", "3", "9" * 5000)
    play(Run(3, step_through=True, parts=make_parts()))
    said = capsys.readouterr().out
    assert stops(said) == ["round 1, D on real", "round 1, D on generated", "round 2, D on real"]
    assert said.count("is not understood: press Enter, or type a number such as 10") == 4
    assert "'two' is not understood" in said and "Enter for one part, a number for so many: " in said


def test_where_nobody_can_type_it_goes_on_without_waiting(type_in, capsys):
    type_in("")
    run = Run(5, step_through=True, parts=make_parts())
    play(run)
    assert run.done == 5 and len(stops(capsys.readouterr().out)) == 2
    type_in()
    assert ask_how_many("part") is None


def test_each_part_says_what_it_has_changed(type_in, capsys):
    type_in(*[""] * 4)
    parts = make_parts()
    before = parts["discriminator"].state()["0.Dense.weight"]
    play(Run(1, step_through=True, parts=parts))
    after = parts["discriminator"].state()["0.Dense.weight"]
    said = capsys.readouterr().out
    on_real, on_generated, d_update, g_update = said.split("\n-- ")[1:]
    for text in (on_real, on_generated):
        (line,) = [line for line in text.splitlines() if "discriminator 0.Dense.weight" in line]
        assert "gradient " in line and "moved" not in line
    assert "gradient 0.00e+00 -> " in on_real and "gradient 0.00e+00" not in on_generated
    moved = 100 * np.linalg.norm(after - before) / np.linalg.norm(before)
    (line,) = [line for line in d_update.splitlines() if "discriminator 0.Dense.weight" in line]
    assert (
        line.split()[2:5] == ["2", "x", "4"]
        and line.endswith(f"moved {moved:.3f}%")
        and "gradient" not in line
    )
    assert line.split()[5] == f"{np.linalg.norm(after):.3f}"
    assert "generator: nothing changed" in d_update and "discriminator: nothing changed" in g_update
    assert "generator 0.Dense.weight" in g_update and "moved" in g_update
    (bias,) = [line for line in d_update.splitlines() if "discriminator 0.Dense.bias" in line]
    assert "moved from 0" in bias
    # The generator's forward pass comes before D's step; it moves the running statistics.
    assert "generator 1.BatchNormalization.running_mean" in on_real
    assert "loss " in on_real and "logits " in on_real


def test_watching_changes_no_bits(type_in):
    plain, watched = make_parts(), make_parts()
    play(Run(5, parts=plain))
    type_in(*[""] * 20)
    play(Run(5, step_through=True, parts=watched))
    for name in ("generator", "discriminator", "g_optimizer"):
        for key, value in plain[name].state().items():
            assert value.tobytes() == watched[name].state()[key].tobytes()


def test_pauses_do_not_count(type_in, monkeypatch):
    clock = [10.0]
    monkeypatch.setattr("npgan.training.time", type("Time", (), {"perf_counter": lambda: clock[0]}))

    def typed(prompt):
        clock[0] += 100.0
        return ""

    monkeypatch.setattr("builtins.input", typed)
    run = Run(2, step_through=True, parts=make_parts())
    play(run, lambda: clock.__setitem__(0, clock[0] + 1.0))
    assert run.waited == 800 and list(run.seconds) == [1.0, 1.0] and run._seconds_per_step == 1.0
    run = Run(3, step_through=True)  # no part is named: it waits after each step but the last
    for _ in run:
        clock[0] += 1.0
    assert run.waited == 200 and list(run.seconds) == [1.0] * 3 and run._seconds_per_step == 1.0


def test_ctrl_c_in_the_middle_of_a_round_lets_it_end_and_saves_it_whole(type_in, tmp_path, capsys):
    type_in("4", "", KeyboardInterrupt())  # at the second part of the second round
    parts = make_parts()
    with pytest.raises(KeyboardInterrupt):
        play(Run(9, step_through=True, parts=parts, folder=tmp_path))
    assert len(stops(capsys.readouterr().out)) == 3
    assert checkpoint.in_folder(tmp_path) == [checkpoint.path_for(tmp_path, 2)]
    whole, resumed = make_parts(), make_parts()
    play(Run(9, parts=whole))
    play(Run(9, parts=resumed, folder=tmp_path, resume=tmp_path))
    assert whole["generator"].state().keys() == resumed["generator"].state().keys()
    for key, value in whole["generator"].state().items():
        assert value.tobytes() == resumed["generator"].state()[key].tobytes()
