"""Every computation once more, as loops written from its definition: slow, and plainly right.

Imports nothing from npgan. Images are NHWC; pairs are (height, width).
"""

import math

import numpy as np


def dense(x, weight, bias):
    """y[n, o] = sum over i of x[n, i] * weight[i, o], plus bias[o]."""
    batch, inputs = x.shape
    outputs = weight.shape[1]
    y = np.zeros((batch, outputs))
    for n in range(batch):
        for o in range(outputs):
            total = 0.0 if bias is None else bias[o]
            for i in range(inputs):
                total += x[n, i] * weight[i, o]
            y[n, o] = total
    return y


def convolution(x, weight, bias, stride, padding):
    """y[n, a, b, d] = sum over i, j, c of x[n, a*s + i - p, b*s + j - p, c] * weight[i, j, c, d], plus bias[d]."""
    batch, height, width, _ = x.shape
    kh, kw, inputs, outputs = weight.shape
    (sh, sw), (ph, pw) = stride, padding
    rows, columns = starts(height, kh, sh, ph), starts(width, kw, sw, pw)
    y = np.zeros((batch, len(rows), len(columns), outputs))
    for n in range(batch):
        for a, top in enumerate(rows):
            for b, left in enumerate(columns):
                for d in range(outputs):
                    total = 0.0 if bias is None else bias[d]
                    for i in range(kh):
                        for j in range(kw):
                            if 0 <= top + i < height and 0 <= left + j < width:  # outside there are zeros
                                for c in range(inputs):
                                    total += x[n, top + i, left + j, c] * weight[i, j, c, d]
                    y[n, a, b, d] = total
    return y


def starts(size, kernel, stride, padding):
    """Where windows begin along one axis: from -padding on, stride by stride, while the window still fits."""
    found, start = [], -padding
    while start + kernel <= size + padding:
        found.append(start)
        start += stride
    return found


def transposed_convolution(x, weight, bias, stride, padding, output_padding):
    """Stamp x[n, a, b, c] * weight[:, :, d, c] at (a*s, b*s), add where stamps overlap, cut `padding` off.

    weight is (kh, kw, out, in). The canvas, (size - 1) * s + k + output_padding long, loses `padding` at both ends.
    """
    batch, height, width, inputs = x.shape
    kh, kw, outputs, _ = weight.shape
    (sh, sw), (ph, pw), (eh, ew) = stride, padding, output_padding
    canvas = np.zeros((batch, (height - 1) * sh + kh + eh, (width - 1) * sw + kw + ew, outputs))
    for n in range(batch):
        for a in range(height):
            for b in range(width):
                for i in range(kh):
                    for j in range(kw):
                        for d in range(outputs):
                            for c in range(inputs):
                                canvas[n, a * sh + i, b * sw + j, d] += x[n, a, b, c] * weight[i, j, d, c]
    y = canvas[:, ph : canvas.shape[1] - ph, pw : canvas.shape[2] - pw].copy()
    if bias is not None:
        for d in range(outputs):
            y[..., d] += bias[d]
    return y


def batch_statistics(x):
    """Mean and variance (the sum divided by the number of values) of every channel, over all axes but the last."""
    means, variances = [], []
    for c in range(x.shape[-1]):
        values = [float(value) for value in x[..., c].ravel()]
        mean = sum(values) / len(values)
        means.append(mean)
        variances.append(sum((value - mean) ** 2 for value in values) / len(values))
    return means, variances


def normalise(x, means, variances, gamma, beta, epsilon):
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, one value at a time."""
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        c = index[-1]
        y[index] = gamma[c] * (x[index] - means[c]) / math.sqrt(variances[c] + epsilon) + beta[c]
    return y


def upsampling(x, factor):
    """y[n, a, b, c] = x[n, a // fh, b // fw, c]."""
    batch, height, width, channels = x.shape
    y = np.zeros((batch, height * factor[0], width * factor[1], channels))
    for n, a, b, c in np.ndindex(y.shape):
        y[n, a, b, c] = x[n, a // factor[0], b // factor[1], c]
    return y


def average_pooling(x, size):
    """y[n, a, b, c] = mean over i, j of x[n, a*sh + i, b*sw + j, c]."""
    batch, height, width, channels = x.shape
    sh, sw = size
    y = np.zeros((batch, height // sh, width // sw, channels))
    for n, a, b, c in np.ndindex(y.shape):
        y[n, a, b, c] = sum(x[n, a * sh + i, b * sw + j, c] for i in range(sh) for j in range(sw)) / (sh * sw)
    return y


def pixel_normalisation(x, epsilon):
    """Every pixel's features, divided by sqrt(mean of their squares + epsilon)."""
    y = np.zeros(x.shape)
    for pixel in np.ndindex(x.shape[:-1]):
        square = sum(float(value) ** 2 for value in x[pixel]) / x.shape[-1]
        for c in range(x.shape[-1]):
            y[(*pixel, c)] = x[(*pixel, c)] / math.sqrt(square + epsilon)
    return y


def minibatch_standard_deviation(x, group, epsilon):
    """x with one channel more; in it, for sample n, the mean deviation of its group, n // group."""
    y = np.zeros((*x.shape[:-1], x.shape[-1] + 1))
    y[..., :-1] = x
    for start in range(0, len(x), group):
        deviations = []
        for feature in np.ndindex(x.shape[1:]):
            values = [float(x[(n, *feature)]) for n in range(start, start + group)]
            mean = sum(values) / group
            variance = sum((value - mean) ** 2 for value in values) / group
            deviations.append(math.sqrt(variance + epsilon))
        for n in range(start, start + group):
            y[n, ..., -1] = sum(deviations) / len(deviations)
    return y


def pack(x, m):
    """y[i, ..., j*C + c] = x[i*m + j, ..., c]."""
    channels = x.shape[-1]
    y = np.zeros((len(x) // m, *x.shape[1:-1], m * channels))
    for index in np.ndindex(x.shape):
        n, *pixel, c = index
        y[(n // m, *pixel, (n % m) * channels + c)] = x[index]
    return y


def embedding(numbers, weight, dy):
    """y[...] = weight[number]; and the gradient by the weight, one number after the other."""
    y, dweight = np.zeros((*numbers.shape, weight.shape[1])), np.zeros(weight.shape)
    for place in np.ndindex(numbers.shape):
        y[place] = weight[numbers[place]]
        dweight[numbers[place]] += dy[place]
    return y, dweight


def leaky_relu(x, alpha):
    return x if x > 0 else alpha * x


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def binary_cross_entropy(logits, targets):
    """Mean of -target log D - (1 - target) log(1 - D), where D = sigmoid(logit); for logits of moderate size."""
    total = 0.0
    for logit, target in zip(logits, targets):
        d = sigmoid(logit)
        total -= target * math.log(d) + (1 - target) * math.log(1 - d)
    return total / len(logits)


def softmax_cross_entropy(logits, labels):
    """Mean of -log(exp(logits[n, label]) / sum over k of exp(logits[n, k]))."""
    total = 0.0
    for row, label in zip(logits, labels):
        total -= math.log(math.exp(row[label]) / sum(math.exp(value) for value in row))
    return total / len(logits)


def sgd(value, gradients, rates):
    """One number, gradient descent."""
    for gradient, rate in zip(gradients, rates):
        value = value - rate * gradient
    return value


def momentum(value, gradients, rates, momentum):
    """One number; the velocity gathers gradients and forgets them by the factor `momentum`."""
    velocity = 0.0
    for gradient, rate in zip(gradients, rates):
        velocity = momentum * velocity + gradient
        value = value - rate * velocity
    return value


def nesterov(value, gradients, rates, momentum):
    """One number; the step is the one that momentum would take after it has seen the same gradient again."""
    velocity = 0.0
    for gradient, rate in zip(gradients, rates):
        velocity = momentum * velocity + gradient
        value = value - rate * (gradient + momentum * velocity)
    return value


def adam(value, gradients, rates, beta_1, beta_2, epsilon):
    """One number, algorithm 1 of Kingma and Ba 2015, line by line; t counts from one."""
    m, v, t = 0.0, 0.0, 0
    for gradient, rate in zip(gradients, rates):
        t = t + 1
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        m_hat = m / (1 - beta_1**t)
        v_hat = v / (1 - beta_2**t)
        value = value - rate * m_hat / (math.sqrt(v_hat) + epsilon)
    return value


# Scores of sets of features (n, d) -----------------------------------------------------------------------------


def frechet_distance(real, generated):
    """|m1 - m2|^2 + trace(S1) + trace(S2) - 2 * the sum of the roots of the eigenvalues of S1 S2."""
    means, covariances = [], []
    for x in (real, generated):
        n, d = x.shape
        mean = [sum(x[i, a] for i in range(n)) / n for a in range(d)]
        covariance = np.zeros((d, d))
        for a in range(d):
            for b in range(d):
                covariance[a, b] = sum((x[i, a] - mean[a]) * (x[i, b] - mean[b]) for i in range(n)) / (n - 1)
        means.append(mean)
        covariances.append(covariance)
    total = sum((a - b) ** 2 for a, b in zip(*means)) + sum(np.trace(s) for s in covariances)
    for value in np.linalg.eigvals(covariances[0] @ covariances[1]):
        total -= 2 * np.sqrt(complex(value)).real
    return total


def kernel_distance(real, generated):
    """The mean of (x y / d + 1)^3 over pairs of different images of each set, minus twice that between the sets."""
    d = real.shape[1]

    def similar(a, b):
        return (sum(float(u) * float(v) for u, v in zip(a, b)) / d + 1) ** 3

    total = 0.0
    for x in (real, generated):
        pairs = [similar(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j]
        total += sum(pairs) / len(pairs)
    between = [similar(a, b) for a in real for b in generated]
    return total - 2 * sum(between) / len(between)


def balls(x, k):
    """How far it is from each row of x to its k-th nearest other row."""
    return [sorted(math.dist(x[i], x[j]) for j in range(len(x)) if j != i)[k - 1] for i in range(len(x))]


def precision_recall(real, generated, k):
    """The share of each set that lies in a ball around some row of the other set."""
    shares = []
    for centres, points in ((real, generated), (generated, real)):
        radius = balls(centres, k)
        hits = 0
        for point in points:
            hits += any(math.dist(point, centre) <= r for centre, r in zip(centres, radius))
        shares.append(hits / len(points))
    return tuple(shares)


def density_coverage(real, generated, k):
    """In how many balls of real rows a generated row lies, over k; the share of balls that hold one."""
    radius = balls(real, k)
    inside = [[math.dist(y, x) <= r for x, r in zip(real, radius)] for y in generated]
    density = sum(sum(row) for row in inside) / (k * len(generated))
    coverage = sum(any(row[i] for row in inside) for i in range(len(real))) / len(real)
    return density, coverage


def copying(train, real, generated):
    """Over all pairs, how often the generated row is nearer to the training rows than the real one; ties are half."""
    mine, theirs = ([min(math.dist(x, t) for t in train) for x in rows] for rows in (generated, real))
    won = sum((a < b) + (a == b) / 2 for a in mine for b in theirs)
    return won / (len(mine) * len(theirs))


# Clusters, from the definitions


def lloyd(x, start):
    """K-means with loops, for lists of points: (centres, number of the nearest centre of each point)."""

    def squared(a, b):
        return sum((p - q) ** 2 for p, q in zip(a, b))

    centres, cluster = [list(centre) for centre in start], None
    while True:
        before = cluster
        cluster = [min(range(len(centres)), key=lambda c: squared(point, centres[c])) for point in x]
        if cluster == before:
            return centres, cluster
        old = [list(centre) for centre in centres]
        members = [[i for i in range(len(x)) if cluster[i] == c] for c in range(len(centres))]
        far = sorted(range(len(x)), key=lambda i: -squared(x[i], old[cluster[i]]))
        for c in range(len(centres)):
            if not members[c]:
                i = next((i for i in far if len(members[cluster[i]]) > 1 and i in members[cluster[i]]), None)
                if i is not None and squared(x[i], old[cluster[i]]) > 0:
                    members[cluster[i]].remove(i)
                    members[c] = [i]
                    far.remove(i)
        for c, group in enumerate(members):
            if group:
                centres[c] = [sum(x[i][axis] for i in group) / len(group) for axis in range(len(x[0]))]


def dbscan(x, radius, least):
    """Ester et al. 1996, figure "DBSCAN": grow a cluster from each core point that has none, one point at a time."""

    def neighbours(i):
        return [j for j in range(len(x)) if sum((p - q) ** 2 for p, q in zip(x[i], x[j])) <= radius**2]

    found, number = [-1] * len(x), 0
    for i in range(len(x)):
        if found[i] != -1 or len(neighbours(i)) < least:
            continue
        waiting, found[i] = [i], number
        while waiting:
            around = neighbours(waiting.pop())
            if len(around) >= least:
                for j in around:
                    if found[j] == -1:
                        found[j] = number
                        waiting.append(j)
        number += 1
    return found
