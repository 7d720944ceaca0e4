"""The extractor of features: always in inference mode, kept in a file, with labels or without; and the known sets."""

import numpy as np
import pytest

from npgan.data import Images
from npgan.metrics import features as module
from npgan.metrics import known, scores
from npgan.metrics.features import WIDTH, features, train_extractor
from npgan.metrics.samples import ClassReport, accuracy, class_probabilities, make_classifier


@pytest.fixture
def images(rng):
    """90 images of 12 x 12 with a bright bar at the left or at the top, and which it is."""
    pixels = rng.integers(0, 60, (90, 12, 12, 1), dtype=np.uint8)
    labels = np.arange(90) % 2
    pixels[labels == 0, :, 1:4] = 220
    pixels[labels == 1, 1:4] = 220
    return Images(pixels), labels


def test_64_features_that_tell_the_classes_apart(images):
    data, labels = images
    extractor = train_extractor(data, labels, steps=20)
    found = features(extractor, data[:])
    assert found.shape == (90, WIDTH) and found.dtype == np.float64
    assert accuracy(extractor, data[:], labels) == 1
    logits = extractor.layers[-1]
    probable = np.exp(found @ logits.weight.value + logits.bias.value)
    wanted = probable / probable.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(class_probabilities(extractor, data[:]), wanted, rtol=1e-4)


def check_inference_mode(describe, extractor, images):
    """An image's features do not depend on the images beside it, and looking changes nothing."""
    before = extractor.state()
    together = describe(extractor, images)
    in_pairs = np.concatenate([describe(extractor, images[i : i + 2]) for i in range(0, len(images), 2)])
    np.testing.assert_allclose(in_pairs, together, rtol=1e-4, atol=1e-4)
    assert all(np.array_equal(before[name], array) for name, array in extractor.state().items())


def in_training_mode(extractor, images):
    x = images
    for layer in extractor.layers[:-1]:
        x = layer.forward(x, train=True)
    return x.astype(np.float64)


def test_features_are_those_of_inference_mode(images):
    """Training mode once gave a FID of 49 in place of 98: each set is normalised by its own statistics."""
    data, labels = images
    extractor = train_extractor(data, labels, steps=20)
    check_inference_mode(features, extractor, data[:30])
    with pytest.raises(AssertionError):
        check_inference_mode(in_training_mode, extractor, data[:30])
    real, darker = data[:66:], 0.6 * data[:66] - 0.4
    right, wrong = (
        scores.frechet(real=describe(extractor, real)[:, :8], generated=describe(extractor, darker)[:, :8])
        for describe in (features, in_training_mode)
    )
    assert wrong < 0.5 * right, "the planted mistake does not flatter"


def test_an_extractor_is_kept_and_read_again_only_for_the_same_task(images, tmp_path, monkeypatch):
    data, labels = images
    path = tmp_path / "extractor.npz"
    first = train_extractor(data, labels, steps=3, kept=path)
    trained = []
    train = module.train_classifier
    monkeypatch.setattr(module, "train_classifier", lambda *a, **k: trained.append(1) or train(*a, **k))
    again = train_extractor(data, labels, steps=3, kept=path)
    assert not trained
    np.testing.assert_array_equal(features(again, data[:5]), features(first, data[:5]))
    other = Images(255 - data.pixels)
    others = ((data, labels, 4, 0), (data, labels, 3, 1), (other, labels, 3, 0))
    for count, (these, with_labels, steps, seed) in enumerate(others, start=1):
        train_extractor(these, with_labels, steps=steps, seed=seed, kept=path)
        assert len(trained) == count
    path.write_bytes(path.read_bytes()[:1000])
    train_extractor(other, labels, steps=3, kept=path)
    assert len(trained) == 4
    random = features(train_extractor(data, None, kept=path), data[:5])
    np.testing.assert_array_equal(features(train_extractor(data, None, kept=path), data[:5]), random)
    np.testing.assert_array_equal(features(train_extractor(data, None), data[:5]), random)
    np.testing.assert_array_equal(
        features(train_extractor(data, labels, steps=3), data[:5]), features(first, data[:5])
    )


def test_without_labels_the_weights_stay_random_and_the_statistics_are_those_of_the_images(images):
    data, _ = images
    extractor = train_extractor(data, None)
    drawn = make_classifier(data.shape, 1, np.random.default_rng(0), features=WIDTH)
    for name, parameter in drawn.named_parameters().items():
        np.testing.assert_array_equal(extractor.named_parameters()[name].value, parameter.value)
    check_inference_mode(features, extractor, data[:30])
    found = features(extractor, data[:])
    assert 0.5 < found.std(axis=0).mean() < 1 and np.abs(found.mean(axis=0)).max() < 1
    one_class = train_extractor(data, np.zeros(90, int))
    np.testing.assert_array_equal(features(one_class, data[:]), found)
    noise = np.random.default_rng(0).uniform(-1, 1, (66, 12, 12, 1)).astype(np.float32)
    darker = 0.8 * data[:66] - 0.2
    near, far = (
        scores.frechet(real=found[:66], generated=features(extractor, images)) for images in (darker, noise)
    )
    assert near < far


def test_features_come_from_the_device_and_scores_take_arrays_of_it(cupy, leeway, images):
    data, labels = images
    found = {}
    for device in ("numpy", "cupy"):
        extractor = train_extractor(data, labels, steps=3, device=device)
        found[device] = features(extractor, data[:])
        assert isinstance(found[device], np.ndarray)
    np.testing.assert_allclose(found["cupy"], found["numpy"], rtol=1e-3 * leeway, atol=1e-3 * leeway)
    real, generated = found["numpy"][:45, :6], found["numpy"][45:, :6]
    on_device = {"real": cupy.asarray(real), "generated": cupy.asarray(generated)}
    assert scores.score(**on_device) == scores.score(real=real, generated=generated)


# Classes -------------------------------------------------------------------------------------------------------


def test_divergence_from_the_true_shares():
    report = ClassReport(np.array([0.5, 0.5, 0.0, 0.0]), 0.9)
    assert report.found == 2 and report.smallest == 0
    assert report.divergence(np.full(4, 0.25)) == pytest.approx(np.log(2))
    assert report.divergence(np.array([0.5, 0.25, 0.125, 0.125])) == pytest.approx(0.5 * np.log(2))
    assert ClassReport(np.full(4, 0.25), 1.0).divergence(np.full(4, 0.25)) == 0
    for wrong in (np.full(3, 1 / 3), np.array([0.5, 0.5, 0.0, 0.0])):
        with pytest.raises(ValueError, match="divergence: real must be"):
            report.divergence(wrong)


# Known sets ----------------------------------------------------------------------------------------------------


def test_known_sets_are_what_they_are_called(images):
    data, labels = images
    sets = known.known_sets(data, labels, 40, np.random.default_rng(0))
    assert list(sets) == ["real", "blurred", "noisy", "shuffled", "one class", "Gaussian", "noise"]
    for made in sets.values():
        assert made.shape == (40, 12, 12, 1) and made.dtype == np.float32
        assert made.min() >= -1 and made.max() <= 1
    rows = {image.tobytes(): label for image, label in zip(data[:], labels)}
    assert len({image.tobytes() for image in sets["real"]} & rows.keys()) == 40
    assert len({rows[image.tobytes()] for image in sets["one class"]}) == 1
    values = [np.sort(made.reshape(40, -1), axis=1) for made in (sets["real"], sets["shuffled"])]
    np.testing.assert_array_equal(*values)
    assert sets["blurred"].std() < sets["real"].std() < sets["noisy"].std()
    assert "one class" not in known.known_sets(data, None, 40, np.random.default_rng(0))
    with pytest.raises(ValueError, match="known_sets: wanted 91 images a set, got 90"):
        known.known_sets(data, labels, 91, np.random.default_rng(0))


def test_the_gaussian_has_the_mean_and_covariance_of_the_images(rng):
    mixing = 0.05 * rng.standard_normal((4, 4))
    x = (0.1 + rng.standard_normal((30, 4)) @ mixing).reshape(30, 2, 2, 1)
    drawn = known.gaussian(x, 40_000, rng).reshape(-1, 4)
    np.testing.assert_allclose(drawn.mean(axis=0), x.reshape(30, 4).mean(axis=0), atol=0.003)
    wanted = np.cov(x.reshape(30, 4), rowvar=False)
    np.testing.assert_allclose(np.cov(drawn, rowvar=False), wanted, atol=0.04 * np.abs(wanted).max())
    with pytest.raises(ValueError, match="gaussian: wanted at least 2 images to fit, got 1"):
        known.gaussian(x[:1], 5, rng)
