"""How quick the library itself is, beside tf_slim.nets in the same run: python -m experiments.bench_library.

Import and costing are the median of five fresh processes; building ResNet V2-152 (graph and initial weights, ready to
run) is the median of three, ours and tf-slim's in turn.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

IMPORT = "import time; t = time.perf_counter(); import resnet_lib; print(time.perf_counter() - t)"
COST = """
import time, resnet_lib
t = time.perf_counter()
for name in resnet_lib.ARCHITECTURES: resnet_lib.cost(name)
print(time.perf_counter() - t)
"""
OURS = """
import time
from resnet_lib import network
t = time.perf_counter()
network.build("resnet_v2_152")
print(time.perf_counter() - t)
"""
SLIM = """
import time
from resnet_lib.tf_slim_compat import slim, tf
tf.compat.v1.disable_eager_execution()
from tf_slim.nets import resnet_v2
t = time.perf_counter()
with slim.arg_scope(resnet_v2.resnet_arg_scope()):
    images = tf.compat.v1.placeholder(tf.float32, [None, 224, 224, 3])
    resnet_v2.resnet_v2_152(images, 1000, is_training=False)
session = tf.compat.v1.Session()
session.run(tf.compat.v1.global_variables_initializer())
print(time.perf_counter() - t)
"""


def seconds(program: str) -> float:
    """What a program prints, in a process of its own."""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(run.stdout)


def median(program: str, runs: int) -> float:
    return statistics.median(seconds(program) for _ in range(runs))


def main() -> None:
    print(f"import resnet_lib                {median(IMPORT, 5):8.3f} s   (limit 0.3)")
    print(f"cost of every named network      {1e3 * median(COST, 5):8.2f} ms  (limit 20)")
    builds = [(seconds(OURS), seconds(SLIM)) for _ in range(3)]
    ours, slims = (statistics.median(times) for times in zip(*builds, strict=True))
    low, middle, high = sorted(theirs / mine for mine, theirs in builds)
    print(f"build ResNet V2-152, ours        {ours:8.2f} s")
    ratio = f"tf_slim / ours {middle:.2f} ({low:.2f} to {high:.2f})"
    print(f"build ResNet V2-152, tf_slim.nets{slims:8.2f} s   {ratio}")


if __name__ == "__main__":
    main()
