"""The guided fill: edges go on, its parts by hand, and sizes that are out of the ordinary."""

import bench_fills
import numpy as np
import pytest
from PIL import Image

from npgan import data
from npgan.filling import biharmonic_fill, guided_fill, harmonic_fill
from npgan.filling import guided as module
from npgan.metrics.repair import psnr


def mask(h, w, rows, columns):
    holes = np.zeros((1, h, w, 1), np.float32)
    holes[:, rows, columns] = 1
    return holes


def soft_edge(h, w, angle, place=0.0):
    """An edge through the middle, about two pixels wide: (1, H, W, 1)."""
    y, x = np.indices((h, w), float)
    across = (y - h / 2) * np.cos(angle) - (x - w / 2) * np.sin(angle) - place
    return (0.7 * np.tanh(across)).astype(np.float32)[None, :, :, None]


# Edges


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 120, 160])
def test_an_edge_goes_on_through_the_hole(degrees):
    image = soft_edge(64, 60, np.radians(degrees))
    for wide, gain in ((6, 3), (18, 1.5)):  # in the wide one the edge fades on purpose
        holes = mask(64, 60, slice(32 - wide // 2, 32 + wide // 2), slice(30 - wide // 2, 30 + wide // 2))
        sure = module.edges_continued(image[0].astype(float), holes[0, :, :, 0] == 1)[None]
        guided, plain = (fill(image, holes) for fill in (guided_fill, biharmonic_fill))
        sure, guided, plain = (psnr(repaired, image, holes)[0] for repaired in (sure, guided, plain))
        assert sure > plain + 3 and guided > plain + gain


def test_a_line_across_a_stroke_goes_on():
    y, x = np.indices((60, 60), float)
    image = -0.6 + 1.2 * np.exp(-(((y - x) / 2) ** 2)).astype(np.float32)[None, :, :, None]
    holes = mask(60, 60, slice(26, 34), slice(5, 55))
    guided, plain = (psnr(fill(image, holes), image, holes)[0] for fill in (guided_fill, biharmonic_fill))
    assert guided > plain + 3


def test_where_nothing_has_an_edge_a_ramp_goes_on():
    y, x = np.indices((40, 44))
    image = (0.02 * y - 0.015 * x).astype(np.float64)[None, :, :, None]
    holes = mask(40, 44, slice(14, 22), slice(12, 30))
    assert np.abs(guided_fill(image, holes) - image).max() < 0.01


def test_a_photograph_is_repaired_better_than_by_the_plain_plate():
    image = data.photograph()[20:148, 190:318].astype(np.float32)[None] / 127.5 - 1
    y, x = np.indices((128, 128))
    holes = ((np.abs((x + 2 * y) % 60 - 30) < 7) | (np.abs((2 * x - y) % 70 - 30) < 7))[
        None, :, :, None
    ] * 1.0
    guided, plain = (psnr(fill(image, holes), image, holes)[0] for fill in (guided_fill, biharmonic_fill))
    assert guided > plain + 0.4  # measured: 0.76


# Its parts


@pytest.mark.parametrize("degrees", [0, 25, 90, 135])
def test_the_structure_of_an_edge(degrees):
    angle = np.radians(degrees)
    ny, nx, coherence = module.structure(soft_edge(41, 41, angle)[0].astype(float))
    along = abs(ny[20, 20] * np.sin(angle) + nx[20, 20] * np.cos(angle))  # edge's direction: (sin, cos)
    assert along < 0.05 and coherence[20, 20] > 0.95
    assert np.allclose(ny**2 + nx**2, 1)
    assert np.abs(module.structure(np.ones((9, 8, 3)))[2]).max() == 0


def test_derivatives_along_and_across_an_edge(monkeypatch):
    """u = a y^2 + b y x + c x^2 + d y + e x has constant second derivatives: the energy's terms by hand."""
    angle, trust = 0.4, 0.5
    n = np.array([np.sin(angle), np.cos(angle)])
    t = np.array([-n[1], n[0]])
    flat = np.ones((7, 7))
    monkeypatch.setattr(module, "structure", lambda u: (n[0] * flat, n[1] * flat, trust * flat))
    a, b, c, d, e = 0.3, -0.2, 0.5, 0.1, -0.7
    y, x = np.indices((7, 7)) - 3.0
    u = a * y * y + b * y * x + c * x * x + d * y + e * x
    missing = np.zeros((7, 7), bool)
    missing[3, 3] = True
    stencils = module._stencils(u[..., None], missing)
    middle = stencils[4] @ u[2:5, 2:5].ravel()  # the fifth of nine pixels near the hole is (3, 3): y = x = 0
    hessian, gradient = np.array([[2 * a, b], [b, 2 * c]]), np.array([d, e])
    wanted = [
        t @ hessian @ t,
        np.sqrt(2) * (t @ hessian @ n),
        np.sqrt(1 - 0.98 * trust) * (n @ hessian @ n),
        np.sqrt(3 * trust + 0.03) * (t @ gradient),
        np.sqrt(0.03) * (n @ gradient),
    ]
    assert np.allclose(middle, wanted)


def test_distances_against_loops():
    rng = np.random.default_rng(0)
    for density in (0.5, 0.97):
        inside = rng.random((17, 13)) < density
        inside[3, 4] = False
        outside = np.argwhere(~inside)
        wanted = [np.hypot(*(outside - p).T).min() for p in np.argwhere(inside)]
        assert np.allclose(module.distance(inside, 30)[inside], wanted)
        assert np.allclose(module.distance(inside, 2)[inside], np.minimum(wanted, 2))
        assert (module.distance(inside, 30)[~inside] == 0).all()


def test_enlarging_keeps_a_ramp_and_undoes_reducing():
    y, x = np.indices((6, 5), float)
    small = (y - 2 * x)[..., None]
    large = module._doubled(small)
    assert large.shape == (12, 10, 1)
    fine_y, fine_x = np.indices((12, 10)) / 2 - 0.25
    assert np.allclose(large[1:-1, 1:-1, 0], (fine_y - 2 * fine_x)[1:-1, 1:-1])
    hole = np.zeros((12, 10), bool)
    hole[5, 7] = True
    back, missing = module._reduced(large, hole, 2)
    assert np.allclose(back[1:-1, 1:-1], small[1:-1, 1:-1])
    assert np.array_equal(np.argwhere(missing), [[2, 3]])


def deep_fills(image):
    """The harmonic, the biharmonic and the guided fill at least 10 pixels into a square of 40, each (20, 16)."""
    holes = mask(60, 80, slice(10, 50), slice(20, 60))
    fills = (harmonic_fill, biharmonic_fill, guided_fill)  # so deep edges count for 2%
    return (fill(image, holes)[0, 20:40, 32:48, 0] for fill in fills)


def test_deep_in_a_hole_the_plate_counts_in_smooth_shading():
    y, x = np.mgrid[:60, :80] / 40 - 1
    membrane, plate, guided = deep_fills((0.5 - 0.6 * x * x - 0.6 * y * y)[None, ..., None])
    assert np.abs(plate - membrane).min() > 0.05
    assert np.abs(guided - (membrane + 0.85 * (plate - membrane))).max() < 0.02


def test_deep_in_a_hole_the_plate_counts_little_where_it_overshoots():
    image = np.full((1, 60, 80, 1), -0.5, np.float32)
    image[:, :, 16:20, 0] = [-0.9, -0.8, -0.7, -0.6]  # slopes that lead up, at both ends
    image[:, :, 60:64, 0] = [-0.6, -0.7, -0.8, -0.9]
    image[:, 0, :] = 0.9  # known colours reach far
    membrane, plate, guided = deep_fills(image)
    assert np.abs(plate - membrane).max() > 0.3
    assert np.abs(guided - membrane).max() < 0.1 * np.abs(plate - membrane).max()


def test_far_holes_rehearse_apart():
    y, x = np.mgrid[:60, :80] / 40 - 1
    smooth, rough = (0.5 - 0.6 * x * x - 0.6 * y * y)[None, ..., None], np.full((1, 60, 80, 1), -0.5)
    rough[:, :, 16:20, 0] = [-0.9, -0.8, -0.7, -0.6]
    rough[:, :, 60:64, 0] = [-0.6, -0.7, -0.8, -0.9]
    between = np.zeros((1, 60, 40, 1)) + smooth[:, :, -1:] * np.linspace(1, 0, 40)[None, None, :, None]
    between += rough[:, :, :1] * np.linspace(0, 1, 40)[None, None, :, None]
    image = np.concatenate([smooth, between, rough], axis=2)  # 60 x 200
    holes = mask(60, 200, slice(10, 50), slice(20, 60)) + mask(60, 200, slice(10, 50), slice(140, 180))
    membrane, plate, guided = (
        fill(image, holes)[0, ..., 0] for fill in (harmonic_fill, biharmonic_fill, guided_fill)
    )
    share = np.abs(guided - membrane) / np.maximum(np.abs(plate - membrane), 1e-9)
    assert share[20:40, 32:48].min() > 0.75
    assert share[25:35, 155:165].max() < 0.25


# Out of the ordinary


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (1, 9), (2, 2), (3, 3), (5, 130), (131, 4)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_small_and_narrow_pictures(shape, channels):
    images = np.random.default_rng(0).uniform(-1, 1, (2, *shape, channels)).astype(np.float32)
    holes = np.ones((1, *shape, 1), np.float32)
    holes[0, -1, -1] = 0
    for fill in (biharmonic_fill, guided_fill):
        repaired = fill(images, holes)
        assert np.allclose(repaired, np.broadcast_to(images[:, -1:, -1:], images.shape), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_known_pixel_and_a_hole_at_all_borders(dtype):
    image = np.random.default_rng(0).uniform(-1, 1, (1, 33, 30, 3)).astype(dtype)
    holes = np.ones((1, 33, 30, 1), dtype)
    holes[0, 12, 20] = 0
    assert np.allclose(guided_fill(image, holes), image[0, 12, 20], atol=1e-6)
    holes[0, 8:24, 7:22] = 0
    repaired = guided_fill(image, holes)
    assert repaired.dtype == dtype and np.isfinite(repaired).all() and np.abs(repaired).max() <= 1


def test_the_same_input_gives_the_same_output_and_images_do_not_meet():
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (3, 24, 26, 3)).astype(np.float32)
    holes = (rng.random((3, 24, 26, 1)) < 0.3).astype(np.float32)
    together = guided_fill(images, holes)
    assert np.array_equal(guided_fill(images, holes), together)
    for k in range(3):
        assert np.array_equal(guided_fill(images[k : k + 1], holes[k : k + 1])[0], together[k])


# The benchmark


def test_the_benchmark_says_what_each_fill_gains(tmp_path, capsys):
    pixels = np.round((soft_edge(70, 64, 0.5)[0, :, :, 0] + 1) * 127.5).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "edge.png")
    bench_fills.main(["--quick", "--images", str(tmp_path / "edge.png"), "--out", str(tmp_path / "out")])
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "| edge |" in line]
    assert [row[0] for row in rows] == list(bench_fills.KINDS)
    for row in rows:
        assert float(row[-2]) == pytest.approx(float(row[5]) - float(row[4]), abs=0.02) and row[-1] == row[-2]
    assert len(list((tmp_path / "out").iterdir())) == 3
    Image.new("L", (30, 90)).save(tmp_path / "narrow.png")
    with pytest.raises(SystemExit, match="at least 64 x 64 pixels, got 30 x 90"):
        bench_fills.main(["--images", str(tmp_path / "narrow.png")])
