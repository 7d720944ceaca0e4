"""What a layer has to do at least: floating-point operations and bytes, from its shapes."""

import math

from games import Game

from npgan.layers import Conv2D, Conv2DTranspose, Dense, Flatten, Layer, Reshape

Shape = tuple[int, ...]


def flops(layer: Layer, inputs: Shape, outputs: Shape) -> int:
    """Operations of the matrix product in a forward pass; backward has two of that size. 0 where there is none.

    Every input pixel of a transposed convolution meets the whole kernel, every output pixel of a convolution.
    """
    match layer:
        case Dense():
            return 2 * inputs[0] * layer.in_features * layer.out_features
        case Conv2D():
            return 2 * math.prod(outputs[:3]) * math.prod(layer.kernel_size) * layer.in_channels * outputs[3]
        case Conv2DTranspose():
            return 2 * math.prod(inputs[:3]) * math.prod(layer.kernel_size) * inputs[3] * layer.out_channels
    return 0


def least_bytes(layer: Layer, inputs: Shape, outputs: Shape) -> tuple[int, int]:
    """Bytes that must be read or written in float32, (forward, backward), were everything else kept in cache.

    Forward reads x and the parameters and writes y. Backward reads dy, x (or y) and the parameters, writes dx and
    adds to the gradients of the parameters. Flatten and Reshape move nothing.
    """
    if isinstance(layer, Flatten | Reshape):
        return 0, 0
    x, y = math.prod(inputs), math.prod(outputs)
    parameters = sum(p.value.size for p in layer.parameters())
    return 4 * (x + y + parameters), 4 * (y + x + x + 3 * parameters)


def shapes(network: Layer, *inputs) -> list[tuple[Layer, Shape, Shape]]:
    """(layer, input shape, output shape) of every layer inside, in the order in which they run on `inputs`.

    A layer that joins several arrays reads as much as it writes.
    """
    found = []

    def watched(layer):
        def forward(x, train=True):
            y = type(layer).forward(layer, x, train)
            found.append((layer, tuple(y.shape if isinstance(x, list) else x.shape), tuple(y.shape)))
            return y

        return forward

    leaves = [layer for layer in network.walk() if not layer.children()]
    for layer in leaves:
        layer.forward = watched(layer)
    network.forward(*inputs, train=False)
    for layer in leaves:
        del layer.forward
    return found


def step_work(game: Game, *batch) -> tuple[int, int]:
    """(FLOPs, least bytes) of one round of the game with Adam.

    G runs forward and backward once. D runs forward and backward three times: on real and on generated images for
    its own step, and once for G's, where its weights need no gradient. Adam reads a value, its gradient and two
    means, and writes all but the gradient.
    """
    seen, judged = game.inputs(*batch)
    operations = moved = 0
    for layer, inputs, outputs in shapes(game.generator, *seen):
        operations += 3 * flops(layer, inputs, outputs)
        moved += sum(least_bytes(layer, inputs, outputs))
    for layer, inputs, outputs in shapes(game.discriminator, judged):
        operations += 8 * flops(layer, inputs, outputs)
        moved += 3 * sum(least_bytes(layer, inputs, outputs))
    parameters = [*game.generator.parameters(), *game.discriminator.parameters()]
    return operations, moved + 7 * 4 * sum(p.value.size for p in parameters)
