"""Checkpoints: the same bits after resuming, and one clear error for each file that does not fit."""

import array
import csv
import errno
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from npgan import checkpoint, show, training
from npgan import whole_file as whole_file_module
from npgan.adversarial import discriminator_step, generator_step
from npgan.data import DataError, Images
from npgan.errors import TrainingError
from npgan.layers import BatchNormalization, Conv2D, Dense, Flatten, LeakyReLU, Sequential
from npgan.losses import binary_cross_entropy
from npgan.optim import SGD, Adam, MovingAverage, cosine_decay
from npgan.training import Run
from npgan.whole_file import sweep, whole_file, write_or_keep

STEPS = 12
PIXELS = np.random.default_rng(1).integers(0, 256, (20, 6, 6, 1), dtype=np.uint8)


def make_parts(width: int = 4, seed: int = 0) -> dict:
    """A network, its optimisers, its average, the data and the random numbers; everything a run may have."""
    rng = np.random.default_rng(seed)
    network = Sequential(
        [
            Conv2D(1, width, 4, stride=2, padding=1, rng=rng),
            BatchNormalization(width),
            LeakyReLU(),
            Flatten(),
            Dense(9 * width, 1, rng=rng),
        ]
    )
    return {
        "network": network,
        "adam": Adam(network.parameters(), cosine_decay(1e-2, 0, STEPS)),
        "sgd": SGD(network.parameters(), 1e-3, momentum=0.9, nesterov=True),
        "average": MovingAverage(network),
        "batches": Images(PIXELS).batches(8, rng),
        "rng": rng,
    }


def train(parts: dict, run: Run, until: int | None = None) -> None:
    network = parts["network"]
    for step in run:
        network.zero_grad()
        x = next(parts["batches"]) + parts["rng"].standard_normal((8, 6, 6, 1), dtype=np.float32)
        loss, dlogits = binary_cross_entropy(network.forward(x), float(step % 2))
        network.backward(dlogits)
        parts["adam"].step()
        parts["sgd"].step()
        parts["average"].update()
        run.log(loss=loss)
        if step + 1 == until:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def every_step(monkeypatch):
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)


def write(path: Path, parts: dict, **changes) -> Path:
    checkpoint.save(
        path, parts, **({"step": 3, "settings": {"size": 6}, "history": {"loss": [1.0]}} | changes)
    )
    return path


def rewrite(path: Path, **members) -> Path:
    """Write the file again with other members; a name of None's is left out."""
    with np.load(path) as old:
        arrays = {name: old[name] for name in old.files} | members
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


# Resuming


@pytest.mark.parametrize("stop", [1, 2, 5, 11])
def test_resumed_run_ends_with_the_same_file(tmp_path, capsys, stop):
    """Stopped by Ctrl-C in the middle of an epoch or at its end: the last files do not differ in a single byte."""
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    straight.mkdir()
    stopped.mkdir()
    parts = make_parts()
    train(parts, Run(STEPS, parts=parts, folder=straight))

    parts = make_parts()
    with pytest.raises(KeyboardInterrupt):
        train(parts, Run(STEPS, parts=parts, folder=stopped), until=stop)
    assert [path.name for path in stopped.iterdir()] == [f"checkpoint-{stop:08d}.npz"]
    assert f"to go on: --resume {stopped}" in capsys.readouterr().out
    parts = make_parts(seed=5)  # whatever they start from
    run = Run(STEPS, parts=parts, folder=stopped, resume=stopped)
    train(parts, run)
    last = checkpoint.path_for(stopped, STEPS).read_bytes()
    assert last == checkpoint.path_for(straight, STEPS).read_bytes()
    assert len(run.history["loss"]) == STEPS and len(run.seconds) == STEPS - stop

    run.save_history(stopped / "history.csv")
    with open(stopped / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == [str(step) for step in range(1, STEPS + 1)]
    assert [float(row["loss"]) for row in rows] == list(run.history["loss"])
    assert [bool(row["seconds"]) for row in rows] == [False] * stop + [True] * (STEPS - stop)


def test_a_second_interrupt_does_not_wait():
    with pytest.raises(KeyboardInterrupt):
        for _ in Run(3):
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_asked_to_end_twice_the_step_still_ends(tmp_path):
    """As systemd asks, with SIGTERM and SIGHUP at once."""
    run = Run(3, parts=make_parts(), folder=tmp_path)
    with pytest.raises(SystemExit) as end:
        for _ in run:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
    assert end.value.code == 128 + signal.SIGTERM
    assert checkpoint.in_folder(tmp_path) == [checkpoint.path_for(tmp_path, 1)]
    assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_so(tmp_path):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as nohup does with SIGHUP
    try:
        for _ in Run(2):
            signal.raise_signal(signal.SIGTERM)
    finally:
        assert signal.signal(signal.SIGTERM, before) is signal.SIG_IGN


def test_interrupt_handler_is_restored_after_break_and_error():
    for _ in Run(3):
        break
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(ZeroDivisionError):
        for _ in Run(3):
            1 / 0  # noqa: B018
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_run_resumes_to_its_end(tmp_path):
    parts = make_parts()
    train(parts, Run(STEPS, parts=parts, folder=tmp_path))
    run = Run(STEPS, parts=make_parts(), folder=tmp_path, resume=tmp_path)
    assert list(run) == [] and len(run.history["loss"]) == STEPS
    with pytest.raises(DataError, match="12 steps done, this run ends after 5"):
        Run(5, parts=make_parts(), resume=tmp_path)


def test_the_last_few_are_kept_and_other_runs_left_alone(tmp_path, every_step):
    other = write(checkpoint.path_for(tmp_path, 99), make_parts())
    parts = make_parts()
    with pytest.raises(KeyboardInterrupt):
        train(parts, Run(STEPS, parts=parts, folder=tmp_path), until=6)
    names = [checkpoint.path_for(tmp_path, step) for step in (4, 5, 6, 99)]
    assert checkpoint.in_folder(tmp_path) == names
    with pytest.raises(
        DataError, match="several runs, such as .*npz .size: None. and .*99.npz .size: 6.; name one"
    ):
        checkpoint.find(tmp_path)
    other_before = write(checkpoint.path_for(tmp_path, 3), make_parts())
    parts = make_parts()
    train(parts, Run(STEPS, parts=parts, folder=tmp_path, resume=names[2]))
    mine = [checkpoint.path_for(tmp_path, step) for step in (10, 11, 12)]
    assert checkpoint.in_folder(tmp_path) == [
        other_before,
        *mine,
        other,
    ]  # though it has fewer steps than mine


def test_steps_and_the_order_of_trainings_decide_which_checkpoint_is_last_and_no_clock(tmp_path):
    """As after a copy of the folder, which gives the files any times."""
    parts = make_parts()
    for place, name in enumerate(["first", "a-second"]):
        (tmp_path / name / "deep").mkdir(parents=True)
        for step in (7, 10, 9) if place == 0 else (1, 2):
            path = checkpoint.path_for(tmp_path / name, step)
            write(path, parts, settings={"seed": 0, "training": name, "training_number": place})
            os.utime(path, (100 - 50 * place - step, 100 - 50 * place - step))
    (tmp_path / "a-third").mkdir()
    checkpoint.path_for(tmp_path / "a-third", 99).write_bytes(
        b"no checkpoint"
    )  # says nothing of its training
    assert checkpoint.find(tmp_path / "first") == checkpoint.path_for(tmp_path / "first", 10)
    assert checkpoint.find(tmp_path) == checkpoint.path_for(tmp_path / "a-second", 2)
    write(checkpoint.path_for(tmp_path / "a-third", 1), parts, settings={"seed": 0, "training": "a-third"})
    with pytest.raises(DataError, match="several trainings, name one, such as --resume .*first"):
        checkpoint.find(tmp_path)
    own = write(checkpoint.path_for(tmp_path, 2), parts)
    assert checkpoint.find(tmp_path) == own


def test_a_damaged_last_checkpoint_offers_the_one_before(tmp_path):
    parts = make_parts()
    for step in (3, 4, 5):
        write(checkpoint.path_for(tmp_path, step), parts)
    last, before = (checkpoint.path_for(tmp_path, step) for step in (5, 4))
    whole = last.read_bytes()
    for content in (
        b"",
        whole[:-100],
        whole[:5000] + bytes(200) + whole[5200:],
        whole.replace(b"(4, 4, 1, 4)", b"(4, 4, 1, 9)"),
    ):
        last.write_bytes(content)
        with pytest.raises(DataError) as error:
            Run(STEPS, parts=make_parts(), settings={"size": 6}, folder=tmp_path, resume=tmp_path)
        assert str(error.value).endswith(f"; the checkpoint before it: --resume {before}"), error.value
    assert Run(STEPS, parts=make_parts(), settings={"size": 6}, folder=tmp_path, resume=before).done == 3
    write(tmp_path / "a.npz", parts).write_bytes(b"")
    with pytest.raises(DataError) as error:
        checkpoint.load(tmp_path / "a.npz", parts)
    assert "before" not in str(error.value)


def test_changed_data_are_another_run(tmp_path):
    """One pixel of few images, or their number, or their shape."""
    same, other = PIXELS.copy(), PIXELS.copy()
    other[3, 0, 0, 0] ^= 1
    prints = [
        checkpoint.fingerprint(Images(pixels)) for pixels in (PIXELS, same, other, PIXELS[1:], PIXELS[:, 1:])
    ]
    assert prints[0] == prints[1] and all(prints[0] != changed for changed in prints[2:])
    assert checkpoint.fingerprint(Images(PIXELS).take(np.arange(20))) == prints[0]  # read where it is used
    path = write(tmp_path / "a.npz", make_parts(), settings=prints[0])
    with pytest.raises(
        DataError, match="other settings. images_digest: '[0-9a-f]{16}' there, '[0-9a-f]{16}' here$"
    ):
        checkpoint.load(path, make_parts(), prints[2])


def test_parts_that_are_not_asked_for_are_left_alone(tmp_path):
    parts, others = make_parts(), make_parts(seed=1)
    path = write(tmp_path / "a.npz", parts)
    found = checkpoint.load(path, {"average": others["average"]})
    assert found == checkpoint.Checkpoint(3, {"size": 6}, {"loss": array.array("d", [1.0])})
    for name, values in parts["average"].state().items():
        np.testing.assert_array_equal(values, others["average"].state()[name])


# Files that do not fit


def test_other_settings_are_named(tmp_path):
    path = write(tmp_path / "a.npz", make_parts(), settings={"size": 28, "data": "glyphs", "seed": 0})
    with pytest.raises(DataError) as error:
        checkpoint.load(path, make_parts(), {"size": 64, "data": "glyphs", "steps": 10, "seed": 0})
    assert str(error.value) == (
        f"{path}: was made with other settings. size: 28 there, 64 here; steps: None there, 10 here"
    )


def test_another_network_is_named_and_nothing_changed(tmp_path):
    path = write(tmp_path / "a.npz", make_parts(width=4))
    parts = make_parts(width=8)
    before = checkpoint._state(parts)
    with pytest.raises(DataError) as error:
        checkpoint.load(path, parts)
    assert "is of another network. network/0.Conv2D.weight: float32 (4, 4, 1, 4) there" in str(error.value)
    assert "float32 (4, 4, 1, 8) here" in str(error.value) and "more" in str(error.value)
    for name, values in checkpoint._state(parts).items():
        np.testing.assert_array_equal(values, before[name])


def test_missing_and_additional_arrays_are_named(tmp_path):
    parts = make_parts()
    path = rewrite(write(tmp_path / "a.npz", parts), **{"adam/0.mean": None})
    with pytest.raises(DataError, match=r"adam/0.mean: none there, float32 \(4, 4, 1, 4\) here"):
        checkpoint.load(path, parts)
    path = rewrite(write(tmp_path / "a.npz", parts), **{"adam/9.mean": np.zeros(3)})
    with pytest.raises(DataError, match=r"adam/9.mean: float64 \(3,\) there, none here"):
        checkpoint.load(path, parts)


def test_every_truncation_is_one_clear_error(tmp_path):
    path = write(tmp_path / "a.npz", make_parts())
    whole = path.read_bytes()
    for length in [0, 1, 4, *range(5, len(whole) - 1, 997), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="cut off"):
            checkpoint.load(path, make_parts())


def header(**changes) -> np.ndarray:
    return np.array(
        json.dumps(
            {"format": checkpoint.FORMAT, "version": 1, "step": 3, "settings": {}, "random": {}} | changes
        )
    )


@pytest.mark.parametrize(
    "members, message",
    [
        ({"header": header(version=2)}, "has version 2 of the format, this npgan reads version 1"),
        ({"header": header(format="other")}, "is no checkpoint"),
        ({"header": header(step=-1)}, "its step is -1"),
        ({"header": header(step="3")}, "its step should be int"),
        ({"header": header(settings=[])}, "its settings should be dict"),
        ({"header": header()}, "rng"),  # the state of the random numbers is missing
        ({"header": header(random={"rng": {"bit_generator": "PCG64"}})}, "damaged"),
        ({"header": np.array("[" * 100_000)}, "damaged"),
        ({"header": np.array("x" * (checkpoint.HEADER_LIMIT + 1))}, "is no checkpoint"),
        ({"header": None}, "is no checkpoint; it holds network/0.Conv2D.weight, "),
        ({"history/loss": np.zeros((2, 2))}, "history/loss should be a row of float64"),
        ({"batches/order": np.zeros(20, int)}, "batches: order is not one of 20 images"),
        ({"batches/position": np.array(-1)}, "batches: position is -1"),
        ({"adam/steps": np.array(-5)}, "adam: state has -5 steps"),
        ({"average/steps": np.array(-5)}, "average: state has -5 steps"),
    ],
)
def test_foreign_newer_and_crafted_files(tmp_path, members, message):
    parts = make_parts()
    path = rewrite(write(tmp_path / "a.npz", parts), **members)
    with pytest.raises(DataError, match=message):
        checkpoint.load(path, parts)


def test_pickles_and_compressed_members_are_refused(tmp_path):
    parts = make_parts()
    path = rewrite(write(tmp_path / "a.npz", parts), header=np.array([{"step": 3}], dtype=object))
    with pytest.raises(DataError, match="pickle"):
        checkpoint.load(path, parts)
    with np.load(write(path, parts)) as old:
        arrays = {name: old[name] for name in old.files}
    np.savez_compressed(path, **arrays)  # might unfold to any size
    with pytest.raises(DataError, match="compressed"):
        checkpoint.load(path, parts)


def test_a_member_that_claims_more_than_the_file_holds(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("header.npy", "w") as file:
        claim = {"shape": (2**40,), "fortran_order": False, "descr": "|u1"}
        np.lib.format.write_array_header_1_0(file, claim)
    with pytest.raises(DataError, match="its header says"):
        checkpoint.load(path, make_parts())


def test_names_that_leave_the_folder_are_only_names(tmp_path):
    folder = tmp_path / "inside"
    folder.mkdir()
    path = rewrite(write(folder / "a.npz", make_parts()), **{"../../evil": np.zeros(3), "/evil": np.zeros(3)})
    assert checkpoint.load(path, make_parts()).step == 3
    assert [p.name for p in tmp_path.rglob("*")] == ["inside", "a.npz"]


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        checkpoint.load(tmp_path / "missing.npz", {})
    with pytest.raises(DataError, match="holds no checkpoint"):
        checkpoint.find(tmp_path)
    (tmp_path / "text.npz").write_text("not a checkpoint")
    with pytest.raises(DataError, match="no checkpoint at all"):
        checkpoint.read_settings(tmp_path / "text.npz")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.npz")
        with pytest.raises(DataError, match="there is no such file"):
            checkpoint.load(tmp_path / "pipe.npz", {})


def test_links_are_followed_to_read_and_replaced_to_write(tmp_path):
    parts = make_parts()
    target = write(tmp_path / "target.npz", parts)
    before = target.read_bytes()
    link = tmp_path / "link.npz"
    link.symlink_to(target)
    assert checkpoint.load(link, parts).step == 3
    write(link, parts, step=4)
    assert not link.is_symlink() and target.read_bytes() == before


# Several writers

WRITER = """
import sys
from pathlib import Path
from npgan.whole_file import whole_file
for number in range(150):
    with whole_file(Path(sys.argv[1])) as file:
        for part in range(50):
            file.write(sys.argv[2].encode() * 1000)
"""


def process(script: str, *arguments) -> subprocess.Popen:
    root = Path(__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_writers_of_one_file_never_tear_it_while_a_third_sweeps(tmp_path):
    path = tmp_path / "file"
    writers = [process(WRITER, path, letter) for letter in "ab"]
    while any(writer.poll() is None for writer in writers):
        sweep(tmp_path)
        if path.exists():
            content = path.read_bytes()
            assert content in (b"a" * 50_000, b"b" * 50_000)
    for writer in writers:
        _, error = writer.communicate()
        assert writer.returncode == 0, error
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_dead_writer_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path):
    pytest.importorskip("fcntl", reason="without locks nothing tells them apart")
    foreign = [
        tmp_path / "film.partial",
        tmp_path / f"a.{16 * 'g'}.partial",
        tmp_path / f"b.{16 * '0'}.partial.txt",
    ]
    left = tmp_path / f"checkpoint-00000001.npz.{16 * 'a'}.partial"
    for path in (*foreign, left):
        path.write_bytes(b"killed")
    (tmp_path / f"folder.{16 * 'a'}.partial").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / f"pipe.{16 * 'a'}.partial")
    with whole_file(tmp_path / "file") as file:
        file.write(b"half")
        names = {path.name for path in tmp_path.glob("file.*.partial")}
        assert len(names) == 1
        sweep(tmp_path)
        assert {path.name for path in tmp_path.glob("file.*.partial")} == names
    assert (tmp_path / "file").read_bytes() == b"half"
    assert not left.exists() and all(path.exists() for path in foreign)


def test_a_partial_file_has_a_name_that_nobody_can_take_before(tmp_path):
    names = set()
    for _ in range(20):
        with whole_file(tmp_path / "file") as file:
            names.add(Path(file.name).name)
            assert file.mode == "xb" and re.fullmatch(r"file\.[0-9a-f]{16}\.partial", Path(file.name).name)
    assert len(names) == 20


HOLDER = """
import sys, time
from pathlib import Path
from npgan.training import Run
run = Run(3, folder=Path(sys.argv[1]))
print("begun", flush=True)
time.sleep(60)
"""


def test_the_folder_of_a_run_has_one_writer(tmp_path):
    pytest.importorskip("fcntl", reason="this system has no such locks")
    other = process(HOLDER, tmp_path)
    try:
        assert other.stdout.readline() == "begun\n"
        with pytest.raises(DataError, match="another run is writing in this folder"):
            Run(3, folder=tmp_path)
    finally:
        other.kill()
        other.communicate()
    first = Run(3, folder=tmp_path)
    assert Run(3, folder=tmp_path)._claim is first._claim
    with pytest.raises(DataError, match="nothing can be written there"):
        Run(3, folder=tmp_path / "missing")


# Writing that fails


def test_whole_file_keeps_the_old_one_when_the_writer_fails(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == ["file"] and path.read_bytes() == b"old"


def fail(number: int):
    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize(
    "module, function, number",
    [
        (np, "savez", errno.ENOSPC),  # the disk fills up while the arrays are written
        (os, "fsync", errno.ENOSPC),  # or when they are flushed
        (whole_file_module, "open", errno.EROFS),  # the folder has become read-only
        (os, "replace", errno.EACCES),
    ],
)
def test_a_failed_checkpoint_loses_none_and_the_training_goes_on(
    tmp_path, monkeypatch, capsys, every_step, module, function, number
):
    parts = make_parts()
    run = Run(STEPS, parts=parts, folder=tmp_path)
    with monkeypatch.context() as broken:
        for step in run:
            run.log(loss=float(step))
            if step == 1:  # steps 0 and 1 are saved
                good = checkpoint.path_for(tmp_path, 1)
                content = good.read_bytes()
                broken.setattr(module, function, fail(number), raising=False)
            if step == 5:
                assert [path.name for path in tmp_path.iterdir()] == [good.name]
                assert good.read_bytes() == content
                broken.undo()
                monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    said = capsys.readouterr().err
    assert f"warning: no checkpoint of step 2. {tmp_path}" in said
    assert os.strerror(number) in said and f"The last good checkpoint is {good}" in said
    assert checkpoint.find(tmp_path) == checkpoint.path_for(tmp_path, STEPS)  # space again: saved again


def test_a_file_that_the_disk_did_not_take_is_written_with_the_next_checkpoint(
    tmp_path, monkeypatch, capsys, every_step
):
    parts = make_parts()
    run, history = Run(STEPS, parts=parts, folder=tmp_path), tmp_path / "history.csv"
    with monkeypatch.context() as full:
        for step in run:
            if step == 3:
                full.setattr(os, "fsync", fail(errno.ENOSPC))
                run.save_history(history)
                write_or_keep(tmp_path / "a.gif", show.animation([np.zeros((2, 2, 1), np.uint8)] * 2))
            if step == 7:
                assert not history.exists()
                full.undo()
                monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
            if step == 8:
                assert history.exists() and (tmp_path / "a.gif").exists()
            run.log(loss=float(step))
    assert len(history.read_text().splitlines()) == 4
    said = capsys.readouterr()
    assert said.err.count("history.csv: cannot be written") == 1 and f"written now: {history}" in said.out


def test_a_write_that_the_system_cuts_off(tmp_path):
    """No simulation: the kernel takes the first 4,096 bytes of the file and refuses the rest."""
    resource = pytest.importorskip("resource", reason="this system has no limits on file sizes")
    path = write(tmp_path / "a.npz", make_parts())
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(DataError, match="a.npz: cannot be written"):
            write(path, make_parts(seed=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"] and path.read_bytes() == before


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may write anywhere"
)
def test_a_read_only_folder(tmp_path, capsys, every_step):
    parts = make_parts()
    tmp_path.chmod(0o500)
    try:
        train(parts, Run(STEPS, parts=parts, folder=tmp_path))
    finally:
        tmp_path.chmod(0o700)
    assert "cannot be written (Permission denied)" in capsys.readouterr().err


# Health


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, every_step):
    parts = make_parts()
    run = Run(STEPS, parts=parts, folder=tmp_path)
    with pytest.raises(TrainingError) as error:
        for step in run:
            if step == 4:
                parts["network"].layers[4].weight.value[0, 0] = np.nan
            run.log(loss=np.inf if step == 4 else 1.0)
    assert str(error.value) == (
        f"step 5: loss is inf; network 4.Dense.weight is NaN or infinite. "
        f"The last good checkpoint is {checkpoint.path_for(tmp_path, 4)}"
    )


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    parts = make_parts()
    run = Run(2, parts=parts, folder=tmp_path)
    with pytest.raises(
        TrainingError, match=r"after step 2: network 1.*running_mean .*, as 1 more arrays are"
    ):
        for _ in run:
            parts["network"].layers[1].running_mean[0] = np.inf
            parts["average"].layer.layers[0].weight.value[:] = np.nan
    assert list(tmp_path.iterdir()) == []


def warnings_of(capsys, figures: dict[str, list[float]]) -> str:
    """What a run with these figures says on stderr."""
    run = Run(len(next(iter(figures.values()))))
    for step in run:
        run.log(**{name: values[step] for name, values in figures.items()})
        run._show(1.0)
    return capsys.readouterr().err


def test_a_rate_of_a_thousand_is_told_in_one_line(capsys):
    rng = np.random.default_rng(0)
    generator = Dense(2, 2, rng=rng)
    discriminator = Sequential([Dense(2, 8, rng=rng), LeakyReLU(), Dense(8, 1, rng=rng)])
    players = [Adam(network.parameters(), 1e3) for network in (generator, discriminator)]
    run = Run(94)
    for _ in run:
        fake = generator.forward(rng.standard_normal((16, 2), dtype=np.float32))
        d = discriminator_step(
            discriminator, rng.standard_normal((16, 2), dtype=np.float32), fake, players[1]
        )
        g = generator_step(generator, discriminator, fake, players[0])
        run.log(d_loss=d.loss, g_loss=g.loss)
    said = capsys.readouterr().err
    assert said.count("warning: ") == 1 and "The training diverges; try a smaller learning rate" in said, said
    assert np.isfinite(list(run.history["g_loss"])).all()


def test_a_diverging_figure_is_told_once_and_a_healthy_one_never(capsys):
    growing = [0.7 * 1.2**step for step in range(120)]
    said = warnings_of(capsys, {"d_loss": growing, "g_loss": [-x for x in growing]})
    assert said.count("warning: ") == 1 and "d_loss is about " in said and "it began at 0.7" in said
    rng = np.random.default_rng(0)
    healthy = {
        "d_loss": list(0.7 + 0.5 * rng.random(200)),
        "late": [0.0] * 100 + [1.4] * 100,  # the discriminator joins in later
        "sure": list(np.linspace(0.7, 60, 200)),  # a generator that loses
        "critic": list(-np.linspace(0, 900, 200)),  # unbounded, as Wasserstein's
        "spikes": [1e6 if step % 4 == 0 else 1.0 for step in range(200)],
        "in other units": [5e5] * 200,
        "gradient": list(np.exp(rng.normal(0, 2, 200))),
    }
    assert warnings_of(capsys, healthy) == ""


# Progress


def test_a_checkpoint_with_an_empty_column_and_odd_names_goes_on(tmp_path, capsys):
    path = write(
        tmp_path / "a.npz", make_parts(), history={"loss": [1.0] * 3, "none": [], "a\x1b[31m": [2.0] * 9}
    )
    run = Run(4, parts=make_parts(), settings={"size": 6}, resume=path)
    for _ in run:
        run.log(loss=1.0)
    run.save_history(tmp_path / "history.csv")
    assert "\x1b" not in capsys.readouterr().out
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 10  # nothing is lost


def test_progress_is_plain_lines_in_a_pipe_and_rewritten_in_place_on_a_terminal(monkeypatch, capsys):
    for step in (run := Run(3)):
        run.log(d_loss=float(step))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("step 1/3  ") and lines[1].startswith("step 3/3  ")
    assert "steps/s  0:00 left  d_loss 1.000" in lines[1] and "ms a step, peak memory" in lines[2]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "30")
    for step in (run := Run(3)):
        run.log(d_loss=float(step))
    first, second, rest = capsys.readouterr().out.removeprefix("\r").split("\r") + [""]
    assert len(first) == 29 and first.startswith("step 1/3") and second.splitlines()[0].startswith("step 3/3")


def test_stepping_through_waits_and_ctrl_c_at_the_pause_saves(tmp_path, monkeypatch):
    answers = iter(["", "2", "oops"])

    def typed(prompt):
        if (answer := next(answers)) == "oops":
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr("builtins.input", typed)
    seen = []
    with pytest.raises(KeyboardInterrupt):
        for step in Run(10, step_through=True, parts=make_parts(), folder=tmp_path):
            seen.append(step)
    assert seen == [0, 1, 2, 3]  # one, one after Enter, two after "2"
    assert checkpoint.in_folder(tmp_path) == [checkpoint.path_for(tmp_path, 4)]
