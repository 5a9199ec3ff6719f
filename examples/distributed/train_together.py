"""Train one network on MNIST by several processes, one for each GPU, or by one.

On a machine with two GPUs::

    accelerate launch --num_processes 2 examples/distributed/train_together.py

On cores instead, one for each process, and by one process alone::

    torchrun --nproc_per_node 2 examples/distributed/train_together.py
    python examples/distributed/train_together.py

Several machines are several lines of ``accelerate config``; the script stays.
"""

import argparse
import time

from accelerate import PartialState

from skbnn import BinaryCNNClassifier
from skbnn.datasets import fetch_mnist

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--rows", type=int, default=60_000, help="training images, the first ones")
parser.add_argument("--out", default="digits.skbnn", help="where the model is written")
arguments = parser.parse_args()

# Every process gets the same rows; fit shares out each batch.
bunch = fetch_mnist()
X, y = bunch.data[: arguments.rows], bunch.target[: arguments.rows]
net = BinaryCNNClassifier(max_iter=arguments.epochs, random_state=0, device="accelerate")
start = time.perf_counter()
net.fit(X, y)
seconds = time.perf_counter() - start

# Every process has the fitted network now; one of them writes it.
state = PartialState()
if state.is_main_process:
    net.packed_.save(arguments.out)
    accuracy = net.score(bunch.data[bunch.test], bunch.target[bunch.test])
    print(f"{state.num_processes} processes, {seconds:.1f} s, test accuracy {accuracy:.4f}")
