"""The strict double of CuPy, itself under test: true to the real package, and sharp enough for mistakes."""

import copy
import importlib
import inspect
import io
import pickle
import re
import sys
import types
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import strict_cupy
from strict_cupy import CUBLAS, CUDARuntimeError, Float64Error, counters, forbid_float64


@pytest.fixture
def cupy(monkeypatch):
    return strict_cupy.install(monkeypatch)


def numbers(xp):
    """A float32 array (3, 4) and its host copy, whatever xp is."""
    host = np.linspace(-1, 2, 12, dtype=np.float32).reshape(3, 4)
    return xp.asarray(host.copy()), host


# True to the real package ------------------------------------------------------


@pytest.fixture(scope="module")
def wheel():
    reason = "compares the double with the real CuPy package, which is not installed"
    return pytest.importorskip("cupy", reason=reason, exc_type=ImportError)


def real_signature(function):
    """Of a Python function from inspect; of a compiled one from the first line of its docstring."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        line = function.__doc__.strip().splitlines()[0].replace("\\*", "*").replace("numpy.", "np.")
        text = re.sub(r" ->.*", "", line[line.index("(") :])
        text = re.sub(r"([(,] ?)(?:[A-Za-z_]+ )(?=[a-z])", r"\1", text)  # `int axis=-1` is `axis=-1`
        scope = {"np": np}
        exec(f"def function{text}: ...", scope)
        return inspect.signature(scope["function"])


def without_self(parameters):
    return [p for p in parameters.values() if p.name != "self"]


def assert_within(mine, real, source=""):
    """Every call that fits my signature fits the real one, and means the same."""
    theirs = without_self(real.parameters)
    kinds = {p.kind for p in theirs}
    for position, p in enumerate(without_self(mine.parameters)):
        if p.kind is p.VAR_POSITIONAL or p.kind is p.POSITIONAL_ONLY:
            assert p.VAR_POSITIONAL in kinds or theirs[position].kind is p.kind, f"{p} is not in {real}"
            continue
        match = {q.name: q for q in theirs}.get(p.name)
        if match is None and p.default is p.empty:
            assert p.VAR_POSITIONAL in kinds, f"{p.name} is not in {real}"
            continue
        if match is None:  # taken by **kwargs: then the body names it, in quotes
            assert p.VAR_KEYWORD in kinds, f"{p.name} is not in {real}"
            assert re.search(rf"""['"]{p.name}['"]""", source), f"{p.name} is not in the source of {real}"
            continue
        if p.kind is p.POSITIONAL_OR_KEYWORD and p.VAR_POSITIONAL not in kinds:
            assert theirs[position].name == p.name, f"{p.name} has another place in {real}"
        if p.name not in ("order", "dtype"):  # None, "K" and "C" are the same to the double
            assert p.default == match.default, f"{p.name} has another default in {real}"


def offered(module, prefix=""):
    """(path, value) of all that the double offers, the methods of its classes and functions too."""
    for name, value in vars(module).items():
        if not name.startswith("_"):
            yield prefix + name, value
            if isinstance(value, types.ModuleType) or getattr(value, "__module__", "") == "strict_cupy":
                yield from offered(value, f"{prefix}{name}.")


def test_every_name_and_signature_of_the_double_fits_the_wheel(wheel):
    wrong = []
    for path, value in offered(strict_cupy.cupy):
        try:
            real = attrgetter(path)(wheel)
            if inspect.isfunction(value):
                source = inspect.getsource(real) if inspect.isfunction(real) else real.__doc__
                assert_within(inspect.signature(value), real_signature(real), source)
        except (AttributeError, AssertionError) as error:
            wrong.append(f"{path}: {error}")
    assert not wrong, "\n".join(wrong)


def test_numpy_computes_every_keyword_of_the_tables():
    for path, mine in strict_cupy._signatures(strict_cupy.FUNCTIONS).items():
        theirs = inspect.signature(attrgetter(path)(np)).parameters
        optional = {p.name for p in mine.parameters.values() if p.default is not p.empty}
        assert path == "where" or optional <= set(theirs) or "kwargs" in theirs, path


def test_the_wheel_lacks_what_planted_mistakes_ask_for(wheel):
    assert not hasattr(wheel, "errstate") and not hasattr(wheel.random.Generator, "normal")
    for name in ("__index__", "__imatmul__"):
        assert not hasattr(wheel.ndarray, name)


def test_special_methods_are_those_of_the_wheel(wheel):
    ours = {name for name in vars(strict_cupy.ndarray) if name not in ("_host", "__imatmul__")}
    assert not {name for name in ours if not hasattr(wheel.ndarray, name)}


# What the kernels of npgan may soon need. All else is used: a name that is neither goes, from the double too.
PLANNED = """
sum full clip square log isfinite isnan mean var std max min argmax dot outer einsum linalg.norm stack tile repeat
lib.stride_tricks.as_strided take sort argsort
"""


def test_every_function_of_the_double_is_used_or_planned():
    root = Path(__file__).parents[1]
    files = [path for folder in ("npgan", "lessons", "benchmarks") for path in (root / folder).rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    known = {"matmul", *PLANNED.split()}
    for behind_operators in (strict_cupy.ARITHMETIC, strict_cupy.COMPARISONS, strict_cupy.SINGLE):
        known.update(behind_operators.values())
    offered = strict_cupy._signatures(strict_cupy.FUNCTIONS).keys() - known
    call = r"\b(xp|cupy|array_module\([^()]*\))\.{}\b"
    assert not [path for path in offered if not re.search(call.format(re.escape(path)), text)]


# Planted mistakes --------------------------------------------------------------
# Each passes on NumPy: xp is the module, x an array of it, host a NumPy array. CuPy would raise, or worse.

REFUSED = {
    "np function of a device array": (TypeError, lambda xp, x, host: np.exp(x)),
    "np reduction of a device array": (TypeError, lambda xp, x, host: np.sum(x)),
    "np.concatenate of device arrays": (TypeError, lambda xp, x, host: np.concatenate([x, x])),
    "np.asarray of a device array": (TypeError, lambda xp, x, host: np.asarray(x)),
    "np.array of a list of device arrays": (TypeError, lambda xp, x, host: np.array([x, x])),
    "np ufunc out= a device array": (TypeError, lambda xp, x, host: np.add(host, 1, out=x)),
    "device + host": (TypeError, lambda xp, x, host: x + host),
    "host + device": (TypeError, lambda xp, x, host: host + x),
    "device @ host": (TypeError, lambda xp, x, host: x @ host.T),
    "device += host": (TypeError, lambda xp, x, host: x.__iadd__(host)),
    "device == host": (TypeError, lambda xp, x, host: x == host),
    "xp function of a host array": (TypeError, lambda xp, x, host: xp.exp(host)),
    "xp.sum of a host array": (TypeError, lambda xp, x, host: xp.sum(host)),
    "xp.maximum of a list": (TypeError, lambda xp, x, host: xp.maximum(x, [0.0, 0.0, 0.0, 0.0])),
    "xp.concatenate, one of them host": (TypeError, lambda xp, x, host: xp.concatenate([x, host])),
    "xp.where with a host condition": (TypeError, lambda xp, x, host: xp.where(host > 0, x, 0.0)),
    "device[...] = host": (TypeError, lambda xp, x, host: x.__setitem__(..., host)),
    "device[0] = list": (TypeError, lambda xp, x, host: x.__setitem__(0, [1.0, 2.0, 3.0, 4.0])),
    "host[...] = device": (TypeError, lambda xp, x, host: host.copy().__setitem__(..., x)),
    "host[device indices]": ((TypeError, IndexError), lambda xp, x, host: host[xp.argmax(x, axis=0)]),
    "ufunc where=": (TypeError, lambda xp, x, host: xp.exp(x, out=x.copy(), where=x > 0)),
    "reduction where=": (TypeError, lambda xp, x, host: xp.sum(x, where=x > 0)),
    "reduction initial=": (TypeError, lambda xp, x, host: xp.max(x, initial=0.0)),
    "einsum out=": (TypeError, lambda xp, x, host: xp.einsum("ij->ij", x, out=x.copy())),
    "clip min= max=": (TypeError, lambda xp, x, host: xp.clip(x, min=0.0, max=1.0)),
    "maximum.reduce": (AttributeError, lambda xp, x, host: xp.maximum.reduce(x)),
    "add.at": (TypeError, lambda xp, x, host: xp.add.at(x, xp.asarray([0, 0]), 1.0)),
    "errstate": (AttributeError, lambda xp, x, host: xp.errstate(divide="ignore")),
    "Generator.normal": (AttributeError, lambda xp, x, host: xp.random.default_rng(0).normal(size=3)),
    "range(device scalar)": (TypeError, lambda xp, x, host: range(xp.argmax(x))),
    "reshape to a device scalar": (TypeError, lambda xp, x, host: x.reshape((x > -9).sum(), 1)),
    "index by tuples": (IndexError, lambda xp, x, host: x[(0, 1), (1, 2)]),
    "slice to a device scalar": (TypeError, lambda xp, x, host: x[: xp.argmax(x)]),
    "pad by host array": (TypeError, lambda xp, x, host: xp.pad(x, np.ones((2, 2), int))),
    "@=": (TypeError, lambda xp, x, host: xp.ones((3, 3)).__imatmul__(xp.ones((3, 3)))),
    "x[idx] = with repeats": (ValueError, lambda xp, x, host: x.__setitem__(xp.asarray([0, 0, 1]), 1.0)),
    "x[idx, jdx] += with repeats": (
        ValueError,
        lambda xp, x, host: x.__setitem__((xp.asarray([1, 1]), xp.asarray([2, 2])), xp.ones(2)),
    ),
    "overlapping views": (ValueError, lambda xp, x, host: x.__setitem__(slice(1, None), x[:-1])),
    "hash of an array's item": (TypeError, lambda xp, x, host: {x[0, 0]: 1}),
    "None as an operand": (TypeError, lambda xp, x, host: x.__eq__(None).any()),
    "setting an attribute": (
        AttributeError,
        lambda xp, x, host: setattr(x, "note", 1) if xp is not np else None,
    ),
    "np.save of a device array": (TypeError, lambda xp, x, host: np.save(io.BytesIO(), x)),
    "dtype object": (ValueError, lambda xp, x, host: xp.asarray([None])),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_mistake_passes_on_numpy_and_is_refused_on_the_double(cupy, mistake):
    expected, snippet = REFUSED[mistake]
    with np.errstate(all="ignore"):
        snippet(np, *numbers(np))
    with pytest.raises(expected):
        snippet(cupy, *numbers(cupy))


# What CuPy does without complaint, and should not do in a training step: counted.
COUNTED = {
    "float() of a loss": ("synchronisations", lambda xp, x, host: float(x.sum())),
    "int() of a position": ("synchronisations", lambda xp, x, host: int(xp.argmax(x))),
    "if on a device value": ("synchronisations", lambda xp, x, host: 1 if x.sum() > 0 else 0),
    ".item()": ("synchronisations", lambda xp, x, host: x.max().item()),
    "f-string": ("downloads", lambda xp, x, host: f"{x.mean():.3f}"),
    "print": ("downloads", lambda xp, x, host: str(x)),
    "tolist": ("downloads", lambda xp, x, host: x.tolist()),
    "get": ("downloads", lambda xp, x, host: x.get()),
    "asnumpy": ("downloads", lambda xp, x, host: xp.asnumpy(x)),
    "pickle": ("downloads", lambda xp, x, host: pickle.dumps(x)),
    "boolean mask": ("synchronisations", lambda xp, x, host: x[x > 0]),
    "masked assignment": ("synchronisations", lambda xp, x, host: x.__setitem__(x > 1, 0.0)),
    "scalar to an index array": ("uploads", lambda xp, x, host: x.__setitem__(xp.arange(2), 0.0)),
    "one-argument where": ("synchronisations", lambda xp, x, host: xp.where(x > 0)),
    "waiting for the device": ("synchronisations", lambda xp, x, host: xp.cuda.Device().synchronize()),
    "for its stream": ("synchronisations", lambda xp, x, host: xp.cuda.get_current_stream().synchronize()),
    "index by a host array": ("uploads", lambda xp, x, host: x[np.array([0, 2])]),
    "index by a list": ("uploads", lambda xp, x, host: x[[0, 2]]),
    "take of a host array": ("uploads", lambda xp, x, host: xp.take(x, np.array([0, 2]), axis=0)),
    "asarray inside a step": ("uploads", lambda xp, x, host: x + xp.asarray(host)),
}


@pytest.mark.parametrize("mistake", COUNTED)
def test_mistake_is_counted(cupy, mistake):
    counter, snippet = COUNTED[mistake]
    x, host = numbers(cupy)
    counters.reset()
    assert vars(counters) == dict(uploads=0, upload_bytes=0, downloads=0, synchronisations=0)
    snippet(cupy, x, host)
    assert getattr(counters, counter) > 0


# Double precision, by which a float32 network becomes slow on a GPU.
WIDENED = {
    "a float64 scalar": lambda xp, x, host: x * np.float64(0.5),
    "a float64 scalar from the left": lambda xp, x, host: np.float64(0.5) * x,
    "np.sqrt of a Python number": lambda xp, x, host: x / np.sqrt(2.0),
    "zeros without dtype": lambda xp, x, host: xp.zeros(3),
    "arange of floats": lambda xp, x, host: xp.arange(0.0, 4.0),
    "upload of a float64 array": lambda xp, x, host: xp.asarray(host.astype(np.float64)),
    "mean of integers": lambda xp, x, host: xp.arange(4).mean(),
    "float32 times int64": lambda xp, x, host: x * xp.arange(4),
    "astype(float)": lambda xp, x, host: x.astype(float),
    "full with a float": lambda xp, x, host: xp.full(3, 0.5),
    "sum in float64": lambda xp, x, host: x.sum(dtype=xp.float64),
    "device noise": lambda xp, x, host: xp.random.default_rng(0).standard_normal(3),
}


@pytest.mark.parametrize("mistake", WIDENED)
def test_mistake_widens_to_float64(cupy, mistake):
    x, host = numbers(cupy)
    assert WIDENED[mistake](cupy, x, host).dtype == np.float64
    with forbid_float64(), pytest.raises(Float64Error):
        WIDENED[mistake](cupy, x, host)


def test_float64_scalar_in_place_is_refused_though_the_result_is_float32(cupy):
    x, _ = numbers(cupy)
    x *= np.float64(0.5)
    assert x.dtype == np.float32
    with forbid_float64(), pytest.raises(Float64Error):
        x *= np.float64(0.5)


def test_device_random_numbers_are_not_those_of_numpy(cupy):
    ours = cupy.random.default_rng(7).standard_normal(5).get()
    assert not np.isclose(ours, np.random.default_rng(7).standard_normal(5)).any()
    assert np.array_equal(ours, cupy.random.default_rng(7).standard_normal(5).get())


def test_assignment_through_masks_and_views_lands_in_the_array(cupy):
    x, host = numbers(cupy)
    x[x > 1] = 0.0
    host[host > 1] = 0.0
    row = same = x[1]
    row += 1
    assert row is same
    item = x[2, 0]
    item -= 5
    host[1] += 1
    host[2, 0] -= 5
    assert np.array_equal(x.get(), host)


def test_upload_does_not_alias_the_host(cupy):
    host = np.zeros(3, dtype=np.float32)
    x = cupy.asarray(host)
    host += 1
    assert x.get().sum() == 0
    x.get()[:] = 1
    assert x.get().sum() == 0
    assert counters.uploads == 1 and counters.upload_bytes == 12


# Legitimate uses: the same numbers and dtype as NumPy, and no traffic ----------

LEGITIMATE = {
    "elementwise": lambda xp, x: (
        xp.exp(-x) + xp.log1p(x * x) - xp.tanh(x) / 2 + xp.abs(x) ** 0.5 + xp.expm1(x)
    ),
    "more of them": lambda xp, x: xp.log(xp.square(x) + 1) * xp.sign(x) + xp.sqrt(abs(+x)) + x // 2 - x % 2,
    "extremes": lambda xp, x: xp.maximum(x, 0) - xp.minimum(x, 0.5) + xp.clip(x, 0.0, None) + x.clip(-1, 1),
    "scalars on the left": lambda xp, x: 1 / (2 + x * x) - (3 - x) + 2 * x,
    "comparisons": lambda xp, x: (x >= 0) & ~(x > 1) | (x == 2) ^ (x != 0) ^ (x < 1) & (x <= 0),
    "isfinite": lambda xp, x: xp.isfinite(x / (x > 0)) | xp.isnan(x),
    "where": lambda xp, x: xp.where(x > 0, x, 0.2 * x),
    "where with a float32 scalar": lambda xp, x: xp.where(x > 0, x, np.float32(0)),
    "in place": lambda xp, x: steps(x, "+= 1", "*= 2", "-= 0.5", "/= 3", "**= 2"),
    "in place on a view": lambda xp, x: steps(x, "[1:, ::2] += 1", "[0] *= 2", "[0, 0] -= 1"),
    "kernel taps": lambda xp, x: steps(x, "[1:] += 1", "[:-1] += 2"),
    "out=": lambda xp, x: xp.multiply(x, 2, out=xp.zeros_like(x)),
    "reductions": lambda xp, x: (
        x.sum(axis=0) + xp.mean(x, axis=0) + x.var(axis=0) + xp.std(x, axis=0, ddof=1)
    ),
    "full reduction": lambda xp, x: xp.sum(x) * x.mean() + xp.var(x) - x.std(),
    "keepdims": lambda xp, x: (
        x - xp.max(x, axis=-1, keepdims=True) + xp.min(x, keepdims=True) - x.max() + x.min()
    ),
    "any, all": lambda xp, x: (x > 1).any(axis=0) & (x > -2).all(axis=0),
    "positions": lambda xp, x: xp.argmax(x, axis=1) + x.argmax(axis=1) - x.argmin(axis=1),
    "matmul": lambda xp, x: x @ x.T,
    "matmul out=": lambda xp, x: xp.matmul(x, x.T, out=xp.empty((3, 3), dtype=x.dtype)),
    "batched matmul": lambda xp, x: xp.matmul(x.reshape(3, 2, 2), x.reshape(3, 2, 2).transpose(0, 2, 1)),
    "other products": lambda xp, x: (
        xp.dot(x, x.T) + x.dot(x.T) + xp.einsum("ij,kj->ik", x, x, optimize=True) + xp.outer(x[:, 0], x[:, 1])
    ),
    "norm": lambda xp, x: xp.linalg.norm(x) + xp.sqrt((x**2).sum()),
    "shapes": lambda xp, x: (
        x.reshape(3, 2, -1).transpose(2, 0, 1)[None, ..., xp.newaxis] - xp.ravel(x)[0] + x.ravel()[1]
    ),
    "pad": lambda xp, x: xp.pad(x, ((1, 1), (0, 2))) + xp.pad(x, ((1, 1), (0, 2)), constant_values=1),
    "joins": lambda xp, x: xp.concatenate([x, x[:1]], axis=0) @ xp.stack((x, x), axis=1)[0].T,
    "copies": lambda xp, x: xp.tile(x, (2, 1))[:3] + xp.repeat(x, 2, axis=0)[:3] + x.repeat(2, axis=1)[:, :4],
    "views": lambda xp, x: x[:, ::-1] + xp.broadcast_to(x[0], x.shape) + x[1, 2],
    "strided": lambda xp, x: xp.lib.stride_tricks.as_strided(x, (2, 2, 2, 3), x.strides * 2) * 1,
    "take": lambda xp, x: xp.take(x, xp.arange(2), axis=0) + x.take(0, axis=0),
    "sorted": lambda xp, x: (
        xp.sort(-x, axis=1) + xp.argsort(-x, axis=1).astype("f") + (-x).argsort().astype("f")
    ),
    "index arrays": lambda xp, x: x[xp.arange(3), xp.argmax(x, axis=1)],
    "repeated index read": lambda xp, x: x[xp.zeros(5, dtype=xp.int64)],
    "distinct index assignment": lambda xp, x: put(x, (xp.arange(2),), x[1:] * 1),
    "shifted assignment of a copy": lambda xp, x: put(x, slice(1, None), x[:-1].copy()),
    "strided scatter": lambda xp, x: put(
        xp.zeros((5, 7), dtype=x.dtype), (slice(None, None, 2), slice(0, 7, 2)), x
    ),
    "creation": lambda xp, x: xp.full(4, 2, dtype=x.dtype) + xp.ones_like(x) + xp.ones((3, 1), dtype=x.dtype),
    "dtypes": lambda xp, x: (
        xp.arange(4, dtype=xp.float32) * ((x + 1) * 100).astype("uint8").astype(xp.float32)
    ),
    "iteration": lambda xp, x: sum(row.sum() for row in x) + len(x),
    "deep copy": lambda xp, x: copy.deepcopy(x),
}


def steps(x, *statements):
    """Statements that start with the array: `steps(x, "[0] += 1")`."""
    x = x.copy()
    for statement in statements:
        exec(f"x{statement}")
    return x


def put(x, key, value):
    x = x.copy()
    x[key] = value
    return x


@pytest.mark.parametrize("use", LEGITIMATE)
def test_legitimate_use_gives_the_numbers_of_numpy_without_traffic(cupy, use):
    with np.errstate(all="ignore"):
        expected = LEGITIMATE[use](np, numbers(np)[0])
    x, _ = numbers(cupy)
    counters.reset()
    result = LEGITIMATE[use](cupy, x)
    assert (
        isinstance(result, cupy.ndarray) and result.dtype == expected.dtype and result.shape == expected.shape
    )
    assert counters.uploads == counters.downloads == counters.synchronisations == 0
    np.testing.assert_array_equal(cupy.asnumpy(result), expected)


def test_legitimate_uses_on_a_real_device(wheel):
    if not wheel.is_available():
        pytest.skip("needs a GPU")
    for use, snippet in LEGITIMATE.items():
        with np.errstate(all="ignore"):
            expected = snippet(np, numbers(np)[0])
        result = snippet(wheel, numbers(wheel)[0])
        assert (result.dtype, result.shape) == (expected.dtype, expected.shape), use
        np.testing.assert_allclose(wheel.asnumpy(result), expected, rtol=1e-4, atol=1e-5, err_msg=use)


# Installing it, and simulating what may be missing -----------------------------


def test_import_gives_the_double_and_only_until_the_end():
    with strict_cupy.as_cupy() as double:
        import cupy
        import cupy.cuda.runtime
        from cupy.lib.stride_tricks import as_strided

        assert cupy is double and cupy.lib.stride_tricks.as_strided is as_strided
        assert isinstance(cupy.ones(2), cupy.ndarray) and not isinstance(cupy.ones(2), np.ndarray)
        assert cupy.cuda.runtime.getDeviceCount() == 1
        assert isinstance(cupy.cuda.runtime.getDeviceProperties(0)["name"], bytes)
        with pytest.raises(ImportError):
            import cupyx  # noqa: F401
    assert sys.modules.get("cupy") is not double


def test_without_a_device(monkeypatch):
    cupy = strict_cupy.install(monkeypatch, devices=0)
    for call in (
        cupy.cuda.runtime.getDeviceCount,
        cupy.cuda.Device,
        lambda: cupy.zeros(3),
        lambda: cupy.asarray(1),
    ):
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorNoDevice"):
            call()
    assert issubclass(CUDARuntimeError, RuntimeError)
    assert cupy.asnumpy(np.ones(2)).sum() == 2


def test_without_cublas(monkeypatch):
    cupy = strict_cupy.install(monkeypatch, broken=CUBLAS)
    x = cupy.ones((2, 2)) + 1
    for call in (lambda: x @ x, lambda: cupy.dot(x, x), lambda: x.dot(x), lambda: cupy.einsum("ij->ji", x)):
        with pytest.raises(ImportError, match="libcublas"):
            call()


def test_without_nvrtc(monkeypatch):
    cupy = strict_cupy.install(monkeypatch, broken=["add", "sum"])
    x = cupy.ones((2, 2))
    for call in (lambda: x + x, lambda: x.sum(), lambda: cupy.sum(x)):
        with pytest.raises(RuntimeError, match="libnvrtc"):
            call()


def test_not_installed(monkeypatch):
    strict_cupy.install(monkeypatch, importable=False)
    for name in ("cupy", "cupy.cuda.runtime"):
        with pytest.raises(ImportError):
            importlib.import_module(name)


def test_cupyx_is_not_seen_beside_the_double(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupyx", types.ModuleType("cupyx"))
    strict_cupy.install(monkeypatch)
    with pytest.raises(ImportError):
        importlib.import_module("cupyx")


def test_forbid_float64_ends_with_its_block(cupy):
    with pytest.raises(Float64Error), forbid_float64():
        cupy.zeros(3)
    assert cupy.zeros(3).dtype == np.float64
