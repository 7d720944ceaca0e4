# %% [markdown]
# # Lesson 20. Many processes
#
# Training is expensive, and one core does one thing at a time. What helps any network of this course is several
# processes, the *ranks*, each with a copy of all networks and with its part of every batch: *data-parallel*
# training. They may live on the cores of one machine, or on many machines. They must talk to each other. This lesson
# is about what they have to say, how long that takes, and what goes wrong if they do not say it.
#
#     mpiexec -n 2 python lessons/09_conv_gan.py
#
# plays lesson 9's game so. `mpiexec` starts the ranks; it is part of MPI, an old standard for such talk (`pip install
# 'npgan[mpi]'`). This lesson starts as ever. Its ranks are threads at first; then real ones, if there is `mpiexec`.

# %%
import copy
import json
import os
import subprocess
import sys
from threading import Barrier, Thread

import numpy as np
from matplotlib.figure import Figure

from npgan import data, distributed, networks, optim
from npgan.adversarial import discriminator_step, generator_step
from npgan.distributed import Ranks, synchronise
from npgan.lesson import Lesson
from npgan.losses import binary_cross_entropy

FLAGS = ""  # in a notebook the flags stand here, as "--quick --seed 1"
lesson = Lesson("20_many_processes", "Many processes", FLAGS)
args = lesson.args

# Settings, which the exercises change
PARTS = (2, 4, 16)  # in how many a batch of 64 is cut, to see what that does to gradients
MAKE = optim.Adam  # the optimiser of the games with mistakes; optim.SGD is the other one
WIDER = 1  # times as many channels in the calculated network: WIDER**2 times the numbers and the work
AS_SHIPPED = (PARTS, MAKE, WIDER) == ((2, 4, 16), optim.Adam, 1)
BATCH, LATENT, SHAPE = 64, 64, (28, 28, 1)
ROUNDS = 4 if args.quick else 20
RANKS = (2,) if args.quick else (2, 4)  # processes that are started with mpiexec

# %% [markdown]
# ## An Allreduce
#
# All talk of this lesson is of one kind. Every rank has an array of the same shape, and afterwards every rank has
# the sum of them all. MPI calls it *Allreduce*. Among threads it takes a list and a barrier, at which each waits
# until all have come: put your array on the list, wait, add up what is there, wait again before the list is used
# anew. `Ranks` (`npgan/distributed.py`) makes means of these sums, from any communicator with these three methods.


# %%
class Together:
    """One of several threads that share a list: the smallest communicator that will do."""

    def __init__(self, rank, arrays, barrier):
        self.rank, self.arrays, self.barrier = rank, arrays, barrier
        self.messages = self.numbers = 0

    def Get_rank(self):
        return self.rank

    def Get_size(self):
        return len(self.arrays)

    def Allreduce(self, _, array):
        self.arrays[self.rank] = array.copy()
        self.barrier.wait()
        total = sum(self.arrays)  # in the same order on all ranks: so they get the same bits
        self.barrier.wait()
        array[...] = total
        self.messages, self.numbers = self.messages + 1, self.numbers + array.size


def on_ranks(size, act):
    """Call act(ranks) in `size` threads at once; return what each returns."""
    arrays, barrier, results = [None] * size, Barrier(size), [None] * size

    def body(rank):
        results[rank] = act(Ranks(Together(rank, arrays, barrier)))

    threads = [Thread(target=body, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


lesson.step("An Allreduce")
means = on_ranks(4, lambda ranks: ranks.mean(np.array([float(ranks.rank)])))
print("the mean of the ranks' numbers, 0 to 3, as each of them has it:", *means)

# %% [markdown]
# ## Gradients: the mean of the parts
#
# The loss of a batch is a mean over its samples. Cut the batch in k parts of one size, and the mean of the parts'
# losses is the loss of the batch; so the mean of their gradients is its gradient. Not the sum, which is k times as
# large.
#
# That holds as long as a sample's loss depends on that sample alone. BatchNormalization measures it against the mean
# and variance of its batch (lesson 5): a rank that sees 4 samples measures them against these 4, and finds another
# gradient. The remedy: take the means over all ranks, with an Allreduce of two numbers a channel
#
#     forward     mean(x) and mean(x**2), from which the variance follows:    variance = mean(x**2) - mean(x)**2
#     backward    mean(dy) and mean(dy * u), the two terms of dx
#
# `synchronise(network, ranks)` tells the layers so. Below, the discriminator of lesson 9 judges 64 noisy images, cut
# in parts. Each point is a weight: its gradient by the whole batch from left to right; upward, by how much the mean
# of the parts' gradients is off.


# %%
def gradients_of_parts(size, together):
    """The gradient of D's loss by each weight, as `size` ranks find it, with BatchNormalization together or not."""

    def act(ranks):
        network = copy.deepcopy(DISCRIMINATOR)
        if together:
            synchronise(network, ranks)
        _, dlogits = binary_cross_entropy(network.forward(ranks.part(IMAGES)), 1.0)
        network.backward_parameters(dlogits)
        gradients = ranks.gradients(network.parameters())
        gradients.mean()
        return gradients.flat

    return on_ranks(size, act)[0]


def distance(a, b):
    """|a - b| / |b|."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


lesson.step("Gradients of parts")
rng = lesson.rng
DISCRIMINATOR = networks.normal_weights(networks.dcgan_discriminator(SHAPE, rng), rng).astype("float64")
IMAGES = rng.uniform(-1, 1, (BATCH, *SHAPE))
whole = gradients_of_parts(1, True)
figure = Figure(figsize=(4 * len(PARTS), 4.3))
errors = {}
for place, size in enumerate(PARTS):
    axes = figure.add_subplot(1, len(PARTS), place + 1, xlabel="gradient of the whole batch")
    for together, colour in ((False, "C1"), (True, "C0")):
        found = gradients_of_parts(size, together)
        errors[size, together] = distance(found, whole)
        label = (
            f"all ranks: {errors[size, together]:.0e}" if together else f"each: {errors[size, together]:.0%}"
        )
        axes.plot(whole[::7], (found - whole)[::7], ".", color=colour, markersize=2, label=label)
    axes.set_title(f"{size} parts of {BATCH // size}")
    axes.legend(loc="upper left", title="normalised by")
    print(
        f"{size:2d} parts of {BATCH // size:2d}: each rank normalises by its part: {errors[size, False]:.1%} off; "
        f"by all: {errors[size, True]:.0e}"
    )
figure.axes[0].set_ylabel("mean of the parts' gradients, minus that")
figure.tight_layout()
lesson.picture(figure, "gradients.png")

# %% [markdown]
# The smaller the parts, the less are they alike, and the larger the error: 7%, 9% and 16% of the gradient's length
# (seed 0). That is another game. It need not be a worse one; but what comes out depends on the number of ranks.
#
# ## The whole game, and the usual mistakes
#
# Three things make k ranks with B / k samples each play the game of one process with B: the same start, the mean of
# gradients, and BatchNormalization over all. Two ranks play 20 rounds of lesson 9's game, in float64, where rounding
# is 1e-16. We watch how far off the generator's weights are, as a part of the way that they have gone in the game of
# one process. Then the same with one mistake each:
#
# - `same samples`: all draw the same, having one seed, and nobody takes its own part: each sees the first half;
# - `sum`: the gradients are added up, and not divided by the number of ranks;
# - `each normalises by its own part`: as above;
# - `another start`: each draws first weights of its own. The gradients' means are of two different networks.
#
# Nothing crashes, and the losses look as ever. So this package's tests compare k ranks with one.


# %%
def play(ranks, wrong=""):
    """The generator's weights before and after each round, (ROUNDS + 1, numbers); the communicator."""
    rng = np.random.default_rng(args.seed)
    start = np.random.default_rng(args.seed + ranks.rank) if wrong == "another start" else rng
    generator = networks.normal_weights(networks.dcgan_generator(SHAPE, LATENT, start), start)
    discriminator = networks.normal_weights(networks.dcgan_discriminator(SHAPE, start), start)
    part = (lambda batch: batch[: len(batch) // ranks.size]) if wrong == "same samples" else ranks.part
    for network in (generator, discriminator):
        network.astype("float64")
        if wrong != "each normalises by its own part":
            synchronise(network, ranks)
    g_optimizer = MAKE(generator.parameters(), 2e-3, ranks=ranks)
    d_optimizer = MAKE(discriminator.parameters(), 4e-4, ranks=ranks)
    times = ranks.size if wrong == "sum" else 1  # the mean of so many times the gradients is their sum
    loss = lambda *judged: [times * value for value in binary_cross_entropy(*judged)]  # noqa: E731
    batches = IMAGES_OF_THE_GAME.batches(BATCH_OF_THE_GAME, np.random.default_rng(args.seed), part)
    weights = [np.concatenate([p.value.ravel() for p in generator.parameters()])]
    for _ in range(ROUNDS):
        fake = generator.forward(part(rng.standard_normal((BATCH_OF_THE_GAME, LATENT))))
        discriminator_step(discriminator, next(batches).astype("float64"), fake, d_optimizer, loss)
        generator_step(generator, discriminator, fake, g_optimizer, loss)
        weights.append(np.concatenate([p.value.ravel() for p in generator.parameters()]))
    return np.stack(weights), ranks.comm


lesson.step("Twenty rounds, right and wrong")
BATCH_OF_THE_GAME = 16 if args.quick else BATCH
IMAGES_OF_THE_GAME = data.load("glyphs", count=500, seed=args.seed)
one, _ = play(Ranks())
MISTAKES = ("same samples", "sum", "each normalises by its own part", "another start")
away = {}
figure = Figure(figsize=(7.5, 4.2))
axes = figure.add_subplot(xlabel="rounds", ylabel="off, as a part of the way gone", yscale="log")
for wrong in ("", *MISTAKES):
    (weights, comm), *_ = on_ranks(2, lambda ranks: play(ranks, wrong))  # noqa: B023
    away[wrong] = [distance(a - one[0], b - one[0]) for a, b in zip(weights[1:], one[1:])]
    axes.plot(range(1, ROUNDS + 1), away[wrong], label=wrong or "right", linewidth=1 if wrong else 2.5)
    print(f"{wrong or 'right':32s} after {ROUNDS} rounds: {away[wrong][-1]:.0e}")
    if not wrong:
        messages, numbers = comm.messages / ROUNDS, comm.numbers / ROUNDS
axes.legend(fontsize=8)
lesson.picture(figure, "mistakes.png")

# %% [markdown]
# ## What is sent
#
# Counted in the game above: two messages for the gradients, one for each network, with nearly all of the numbers;
# and a short one for each pass through a BatchNormalization. The generator has two such layers, passed once forward
# and once back in a round, the discriminator two, passed three times each way: 16. So gradients ask for *bandwidth*,
# how many bytes go through in a second, and BatchNormalization for *latency*, how long the shortest message takes:
# the next layer has to wait for it.

# %%
lesson.step("What is sent")
print(f"in a round: {messages:.0f} messages, {numbers:,.0f} numbers, {4 * numbers / 1e6:.1f} MB in float32")

# %% [markdown]
# ## Real processes
#
# Now ranks that are processes, one thread each, started by `mpiexec` with this program. It times a round of the game
# in float32, and means of short and of long arrays; the shortest time counts, for what else the machine does only
# adds to it. On one machine gradients need not travel: `Ranks.gradients` puts them in memory that all ranks see, and
# each rank adds up its share of everybody's numbers.

# %%
PROGRAM = '''
import json, sys, time
import numpy as np
from npgan import distributed, networks
from npgan.adversarial import discriminator_step, generator_step
from npgan.optim import Adam

ranks, rng = distributed.start(), np.random.default_rng(0)
repeats, batches = int(sys.argv[1]), [int(word) for word in sys.argv[2:]]
shape, latent = (28, 28, 1), 64
generator = networks.dcgan_generator(shape, latent, rng)
discriminator = networks.dcgan_discriminator(shape, rng)
for network in (generator, discriminator):
    distributed.synchronise(network, ranks)
g_optimizer = Adam(generator.parameters(), ranks=ranks)
d_optimizer = Adam(discriminator.parameters(), ranks=ranks)

def seconds(act, *given):
    """The shortest of all; the ranks begin together."""
    times = []
    for _ in range(repeats):
        ranks.mean(np.zeros(1))
        start = time.perf_counter()
        act(*given)
        times.append(time.perf_counter() - start)
    return min(times)

def play_round(batch):
    noise = ranks.part(rng.standard_normal((batch, latent), dtype=np.float32))
    real = ranks.part(rng.standard_normal((batch, *shape), dtype=np.float32))
    fake = generator.forward(noise)
    discriminator_step(discriminator, real, fake, d_optimizer)
    generator_step(generator, discriminator, fake, g_optimizer)

found = {"round": {batch: seconds(play_round, batch) for batch in batches}}
if ranks.size > 1:
    arrays = {count: np.zeros(count, np.float32) for count in (64, 2**20)}
    found["mean"] = {count: seconds(ranks.mean, array) for count, array in arrays.items()}
    gradients = [ranks.gradients(network.parameters()) for network in (generator, discriminator)]
    found["gradients"] = seconds(lambda: [each.mean() for each in gradients])
print(json.dumps(found))
'''


def measure(size, *batches):
    """What PROGRAM finds as `size` ranks, each on one thread."""
    path = args.out / "measure.py"
    path.write_text(PROGRAM)
    launcher = [distributed.mpiexec(), "-n", str(size)] if size > 1 else []
    command = [*launcher, sys.executable, str(path), str(3 if args.quick else 30), *map(str, batches)]
    one_thread = os.environ | {"NPGAN_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return json.loads(subprocess.check_output(command, env=one_thread, timeout=300))


lesson.step("Real processes")
CUT = (64, 32, 16, 8, 4)  # a batch of 64 for 1, 2, 4, 8 and 16 ranks
parts_alone = {int(batch): s for batch, s in measure(1, *CUT)["round"].items()}
print("one process:", ", ".join(f"{batch} images {1e3 * s:.1f} ms" for batch, s in parts_alone.items()))
measured = {1: parts_alone[64]}
latency, bandwidth = 20e-6, 1e9  # seconds, bytes a second: guesses, for where there is no MPI
if distributed.mpiexec() is None:
    print("there is no MPI here: no ranks are measured, guesses stand in for them (pip install 'npgan[mpi]')")
else:
    for size in RANKS:
        found = measure(size, BATCH)
        measured[size] = found["round"][str(BATCH)]
        short, long = (found["mean"][str(count)] for count in (64, 2**20))
        print(
            f"{size} ranks: {1e3 * measured[size]:.1f} ms a round; means of 64 numbers {1e6 * short:.0f} us,"
        )
        print(f"   of 4 MB {1e3 * long:.2f} ms, of the gradients {1e3 * found['gradients']:.2f} ms")
        if size == RANKS[0]:
            latency, bandwidth = short, 2**22 / long
print(f"this machine has {os.cpu_count()} cores; more ranks than that take turns")

# %% [markdown]
# ## Where it stops paying
#
# A calculation. A round takes the time of its B / k images, and some for itself: calls of Python, and Adam, which
# every rank does for all weights. A line through the times of one process with small batches gives both. Then the
# messages: each takes the latency once for every doubling of k, and the gradients' numbers go out and come back in
# parts:
#
#     T(k) = fixed + each * B / k + messages * latency * log2(k) + 2 (k - 1) / k * bytes / bandwidth
#
# for ranks that have a core each: through this machine's memory, as measured; on machines with a fast network (10
# Gbit/s, 20 us) and with an ordinary one (1 Gbit/s, 50 us). The batch stays 64: the same training, sooner.

# %%
lesson.step("Where it stops paying")
NETWORKS = {
    "this machine's memory": (latency, bandwidth),
    "10 Gbit/s": (20e-6, 1.25e9 * 0.9),
    "1 Gbit/s": (50e-6, 0.125e9 * 0.9),
}
sizes = np.array(list(parts_alone))
each, fixed = np.maximum(np.polyfit(sizes, list(parts_alone.values()), 1), 1e-6) * WIDER**2  # seconds
ks = np.array([1, 2, 4, 8, 16, 32, 64])
times, gains, worth = {}, {}, {}
for name, (late, wide) in NETWORKS.items():
    talk = messages * late * np.log2(ks) + 2 * (ks - 1) / ks * 4 * numbers * WIDER**2 / wide
    times[name] = fixed + each * BATCH / ks + talk
    gains[name] = times[name][0] / times[name]
    worth[name] = int(ks[gains[name] >= ks / 2].max())
    gain = f"64 ranks are {gains[name][-1]:.1f} times as fast as one"
    print(f"{name:22s} {gain}; above {worth[name]}, more than half is wasted")
figure = Figure(figsize=(7.5, 4.2))
axes = figure.add_subplot(xlabel="ranks, each on its own core", ylabel="ms", xscale="log", yscale="log")
for name in NETWORKS:
    axes.plot(ks, 1e3 * times[name], marker=".", label=name)
axes.plot(ks, 1e3 * (fixed + each * BATCH) / ks, color="grey", linestyle=":", label="all work shared")
if WIDER == 1:
    axes.plot(list(measured), 1e3 * np.array(list(measured.values())), "kx", label="measured")
axes.set_xticks(ks, map(str, ks))
axes.legend(fontsize=8)
lesson.picture(figure, "ranks.png")

# %% [markdown]
# The more ranks, the less is left to share, while the messages stay. With the slow network the gradients' 1.6 MB, out
# and back, take up to 28 ms, as long as 12 to 18 images took one process (159 and 98 ms for 64, twice on a busy
# machine): above 4 ranks more than half was wasted there, above 8 with the fast one. Crosses far above the curves are
# ranks that found no core of their own, as here, where other programs ran on both.
#
# ## Checks

# %%
lesson.step("Checks")
for size in PARTS:
    assert errors[size, True] < 1e-12  # seeds 0 to 2: 8e-16 or less
    assert errors[size, False] > 0.01  # 7% with 2 parts, 16% with 16
assert away[""][-1] < 1e-10  # 3e-13 to 6e-13 after 20 rounds
if AS_SHIPPED:
    assert min(away[wrong][-1] for wrong in MISTAKES) > 0.01  # `sum` has 0.05 after 4 rounds, 0.4 after 20
assert messages == 18
lesson.end()

# %% [markdown]
# ## What else there is to it
#
# - **Rank 0 alone speaks, draws and writes**; the others would write the same files. All start from rank 0's state.
#   Since random numbers are drawn alike on all, its checkpoint says everything: what 2 ranks began goes on with 4.
# - **They end together.** Who waits for a message that does not come waits for ever. So in every round all ask if
#   one has been told to stop; an error on any ends all, with one line; if one is killed, mpiexec ends the rest.
# - **All must do the same.** A rank that skips a step, since its own loss looks odd, leaves the others waiting.
# - **GPUs.** CuPy's arrays go from GPU to GPU by NCCL, NVIDIA's Allreduce. By MPI they take the way over the host,
#   and the stream is synchronised first, for MPI would send what is not computed yet. No GPU was there to time it.
#
# ## Exercises
#
# 1. `PARTS = (2, 8, 32)`: by what factor does the error of the gradients grow from 2 parts to 8, and to 32?
# 2. `MAKE = optim.SGD`: how far off is `sum` after the first round (`away["sum"][0]`), and with Adam? Adam divides
#    by the size of the gradients; what does a factor of 2 in all of them do there?
# 3. `WIDER = 4`: the calculated networks have 16 times the weights and the work. What are 64 ranks worth now, with
#    each network? Which parts of T(k) have grown?
