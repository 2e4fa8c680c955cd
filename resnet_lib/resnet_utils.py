"""What every residual network needs: Block, subsample, conv2d_same, stack_blocks_dense, resnet_arg_scope.

A drop-in replacement for `tf_slim.nets.resnet_utils`, which can be called the way the source text does as well: tuples
in `Block.args`, `is_training` in the arg scope. Taken apart piece by piece in notebook 07.
"""

from .architectures import Block, Unit, check_reachable, positive_int
from .tf_slim_compat import slim, tf

__all__ = ["Block", "conv2d_same", "resnet_arg_scope", "stack_blocks_dense", "subsample"]


def subsample(inputs, factor, scope=None):
    """Every `factor`-th pixel of `inputs`, from the first: a 1x1 max pooling of that stride; `inputs` if factor is 1.

    [batch, height, width, channels] -> [batch, ceil(height / factor), ceil(width / factor), channels].
    """
    if factor == 1:
        return inputs
    return slim.max_pool2d(inputs, [1, 1], stride=factor, scope=scope)


def conv2d_same(inputs, num_outputs, kernel_size, stride, rate=1, scope=None):
    """A convolution padded so that striding it is the same as computing it everywhere and keeping every stride-th pixel:

        conv2d_same(x, n, 3, stride) == subsample(conv2d(x, n, 3, stride=1, padding="SAME"), stride)

    TensorFlow's own strided SAME puts the odd row of zeros at the end, so on even sizes it samples other pixels. Here
    kernel_size - 1 zeros are added in all, (kernel_size - 1) // 2 of them before (`rate` widens the kernel first).
    [batch, height, width, channels] -> [batch, ceil(height / stride), ceil(width / stride), num_outputs].
    Shown by tests/test_resnet_utils.py and tf-slim's testConv2DSameEven.
    """
    if stride == 1:
        return slim.conv2d(inputs, num_outputs, kernel_size, stride=1, rate=rate, padding="SAME", scope=scope)
    pad_total = (kernel_size - 1) * rate
    pad_beg = pad_total // 2
    pad_end = pad_total - pad_beg
    inputs = tf.pad(inputs, [[0, 0], [pad_beg, pad_end], [pad_beg, pad_end], [0, 0]])
    return slim.conv2d(inputs, num_outputs, kernel_size, stride=stride, rate=rate, padding="VALID", scope=scope)


def _unit_arguments(block, i, arg):
    """Keyword arguments of one unit, from tf-slim's dict or from the source text's tuple."""
    where = f"Block {block.scope!r}, unit {i}"
    if not isinstance(arg, dict):
        if not isinstance(arg, tuple | list) or len(arg) != len(Unit._fields):
            raise ValueError(f"{where}: expected {Unit._fields} or a dict of the unit's arguments, got {arg!r}")
        arg = dict(zip(Unit._fields, arg, strict=True))
    for name in arg.keys() & set(Unit._fields):
        positive_int(f"{where}: {name}", arg[name])
    return {"stride": 1, **arg}


@slim.add_arg_scope
def stack_blocks_dense(net, blocks, output_stride=None, outputs_collections=None):
    """Stacks the units of all blocks on `net`, each under the scope `block/unit_i`.

    output_stride: the ratio of input to output resolution to stop striding at. Units beyond it take stride 1 and
    multiply the rate of their atrous 3x3 instead, so that the features stay dense (Chen et al. 2016, arXiv:1606.00915).
    It must be a product of the units' strides from the start: with strides 1, 2, 1, 3, 4 that is 1, 2, 6 or 24.
    outputs_collections: the graph collection that receives the output of every block.
    Raises ValueError for an output_stride out of reach, an empty list of blocks and a malformed unit.
    """
    stacked = [(block, [_unit_arguments(block, i, arg) for i, arg in enumerate(block.args, 1)]) for block in blocks]
    if not all(units for _, units in stacked) or not stacked:
        raise ValueError(f"blocks must hold at least one Block, each of at least one unit, got {blocks!r}")
    check_reachable(output_stride, [unit["stride"] for _, units in stacked for unit in units])
    current_stride, rate = 1, 1
    for block, units in stacked:
        with tf.compat.v1.variable_scope(block.scope, "block", [net]) as scope:
            for i, unit in enumerate(units, 1):
                with tf.compat.v1.variable_scope(f"unit_{i}", values=[net]):
                    if current_stride == output_stride:
                        net = block.unit_fn(net, rate=rate, **{**unit, "stride": 1})
                        rate *= unit["stride"]
                    else:
                        net = block.unit_fn(net, rate=1, **unit)
                        current_stride *= unit["stride"]
            net = slim.utils.collect_named_outputs(outputs_collections, scope.name, net)
    return net


def resnet_arg_scope(
    is_training=True,
    weight_decay=0.001,
    batch_norm_decay=0.997,
    batch_norm_epsilon=1e-5,
    batch_norm_scale=True,
):
    """Defaults of every layer in a ResNet: L2, He initialization, batch norm and ReLU after each convolution, SAME pooling.

    weight_decay is 0.001 as in the source text; He et al. (2015, section 3.4) and tf-slim use 0.0001. is_training comes
    first, as in the source text; tf-slim's own `resnet_arg_scope` does not have it, so pass the others by name.
    """
    batch_norm = {
        "decay": batch_norm_decay,
        "epsilon": batch_norm_epsilon,
        "scale": batch_norm_scale,
        "updates_collections": tf.compat.v1.GraphKeys.UPDATE_OPS,
    }
    with (
        slim.arg_scope(
            [slim.conv2d],
            weights_regularizer=slim.l2_regularizer(weight_decay),
            weights_initializer=slim.variance_scaling_initializer(),
            activation_fn=tf.nn.relu,
            normalizer_fn=slim.batch_norm,
            normalizer_params=batch_norm,
        ),
        # is_training stands here alone, not in normalizer_params: there, it would win over the network's own is_training.
        slim.arg_scope([slim.batch_norm], is_training=is_training, **batch_norm),
        slim.arg_scope([slim.max_pool2d], padding="SAME") as scope,
    ):
        return scope
