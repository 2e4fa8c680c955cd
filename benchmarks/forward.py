"""python benchmarks/forward.py [--layers 152] [--batch-size 32] [--rounds 7]: the forward pass beside its peers, in one run.

Every engine lives in a process of its own, so that its peak memory is its own; the processes take turns (turns.py).
"""

import argparse
from functools import partial

import numpy as np
from turns import race


def resnet_lib_network(layers):
    from resnet_lib import build

    return build(f"resnet_v2_{layers}")


def tf_slim_session(layers):
    from resnet_lib.tf_slim_compat import slim, tf  # isort: skip  it makes the next import work
    from tf_slim.nets import resnet_v2  # isort: skip

    graph = tf.Graph()
    with graph.as_default(), slim.arg_scope(resnet_v2.resnet_arg_scope()):
        images = tf.compat.v1.placeholder(tf.float32, [None, 224, 224, 3])
        net, _ = getattr(resnet_v2, f"resnet_v2_{layers}")(images, 1000, is_training=False)
        session = tf.compat.v1.Session()
        session.run(tf.compat.v1.global_variables_initializer())
    return lambda x: session.run(net, {images: x})


def keras_applications(layers):
    from resnet_lib.tf_slim_compat import tf  # TensorFlow without its start-up lines

    return getattr(tf.keras.applications, f"ResNet{layers}V2")(weights=None).predict_on_batch


def frozen(precision, engine, layers):
    return resnet_lib_network(layers).freeze(precision, engine)


ENGINES = {
    "resnet_lib": resnet_lib_network,
    "tf_slim.nets": tf_slim_session,
    "keras.applications": keras_applications,
    "frozen, tf": partial(frozen, "float32", "tf"),
    "frozen, openvino": partial(frozen, "float32", "openvino"),
    "bfloat16, tf": partial(frozen, "bfloat16", "tf"),
    "bfloat16, openvino": partial(frozen, "bfloat16", "openvino"),
}


def prepare(engine, layers, batch_size):
    forward = ENGINES[engine](layers)
    images = np.random.default_rng(0).uniform(size=(batch_size, 224, 224, 3)).astype(np.float32)
    return lambda: np.asarray(forward(images))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=152, choices=[50, 101, 152])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    print(
        f"ResNet V2-{args.layers}, batch {args.batch_size}, float32 unless named otherwise, median of {args.rounds} rounds"
    )
    engines = {engine: partial(prepare, engine, args.layers, args.batch_size) for engine in ENGINES}
    race(engines, args.rounds, first="resnet_lib")


if __name__ == "__main__":
    main()
