"""What every residual network needs: Block, subsample, conv2d_same, stack_blocks_dense, resnet_arg_scope, and the parts
that V1 and V2 share.

A drop-in replacement for `tf_slim.nets.resnet_utils`, which can be called the way the source text does as well: tuples
in `Block.args`, `is_training` in the arg scope. Taken apart piece by piece in notebook 07.
"""

from contextlib import contextmanager

from .architectures import ARCHITECTURES, SHORTCUTS, Block, Unit, check_identity, check_reachable, unit_kind, unit_type
from .checks import one_of, positive_int
from .tf_slim_compat import slim, tf

__all__ = ["Block", "conv2d_same", "resnet_arg_scope", "stack_blocks_dense", "subsample"]

GATE_BIAS = -6.0  # of the gated shortcuts at first: the best of those that He et al. 2016, Table 1, tried


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


def conv1x1(inputs, num_outputs, stride, **options):
    """A 1x1 convolution of any stride: it reads every stride-th pixel, so those are taken first.

    [batch, height, width, channels] -> [batch, ceil(height / stride), ceil(width / stride), num_outputs]; options as of
    slim.conv2d. The same function as with the stride in the convolution, whose gradient for the weights overruns memory in
    TensorFlow 2.21 on CPUs (even sizes, few channels).
    """
    return slim.conv2d(subsample(inputs, stride), num_outputs, [1, 1], stride=1, **options)


def unit_sum(inputs, depth, stride, shortcut, start, **projection):
    """Makes the shortcut of a unit; returns the function that adds it to the residual: residual -> sum.

    shortcut: what is added is `inputs` as they are if possible, else as He et al. 2015 (section 3.3) name it: "A" subsamples
    and pads with zero channels, "B" projects where the number of channels changes and subsamples elsewhere, "C" always
    projects; "none" adds 0: a plain network. A projection is a 1x1 convolution of `start`, what the first convolution of
    the unit reads, with the options `projection`. The others, of He et al. 2016 (section 3.1), change what A gives:
    0.5 x + 0.5 F ("scaling"); (1 - g) x + g F ("exclusive_gating") and (1 - g) x + F ("shortcut_only_gating") with the gate
    g = sigmoid(W x + b), W a 1x1 convolution, b beginning at -6; "dropout" adds a random half of x in training, and 0.5 x
    otherwise. Raises ValueError for another one, and for an identity that would have to drop channels.
    """
    depth_in = slim.utils.last_dimension(inputs.get_shape(), min_rank=4)
    if one_of("shortcut", shortcut, SHORTCUTS) == "none":
        return lambda residual: 0 + residual
    check_identity(shortcut, depth_in, depth, tf.compat.v1.get_variable_scope().name)
    if shortcut == "C" or (shortcut == "B" and depth != depth_in):
        identity = conv1x1(start, depth, stride, **projection, scope="shortcut")
    else:
        identity = subsample(inputs, stride, "shortcut")
        if depth != depth_in:
            identity = tf.pad(identity, [[0, 0], [0, 0], [0, 0], [0, depth - depth_in]])
    if shortcut == "scaling":
        return lambda residual: 0.5 * identity + 0.5 * residual
    if shortcut == "dropout":
        identity = 0.5 * slim.dropout(identity, 0.5, scope="shortcut")
    if shortcut in ("exclusive_gating", "shortcut_only_gating"):
        closed = {"normalizer_fn": None, "biases_initializer": tf.constant_initializer(GATE_BIAS)}
        gate = conv1x1(inputs, depth, stride, activation_fn=tf.sigmoid, **closed, scope="gate")
        identity = (1 - gate) * identity
        if shortcut == "exclusive_gating":
            return lambda residual: identity + gate * residual
    return lambda residual: identity + residual


def _unit_arguments(block, i, arg):
    """Keyword arguments of one unit, from tf-slim's dict or from the source text's tuple."""
    where, fields = f"Block {block.scope!r}, unit {i}", unit_type(block.unit_fn)._fields
    if not isinstance(arg, dict):
        if not isinstance(arg, tuple | list) or len(arg) != len(fields):
            raise ValueError(f"{where}: expected ({', '.join(fields)}) or a dict of the unit's arguments, got {arg!r}")
        arg = dict(zip(fields, arg, strict=True))
    for name in arg.keys() & set(fields):
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
                        # What follows the stride within the unit, as in this library's own units, widens by it at once.
                        dilation = {"dilation": unit["stride"]} if hasattr(block.unit_fn, "kind") else {}
                        net = block.unit_fn(net, rate=rate, **{**unit, "stride": 1}, **dilation)
                        rate *= unit["stride"]
                    else:
                        net = block.unit_fn(net, rate=1, **unit)
                        current_stride *= unit["stride"]
            net = slim.utils.collect_named_outputs(outputs_collections, scope.name, net)
    return net


def resnet_arg_scope(is_training=True, weight_decay=0.001, batch_norm_decay=0.997, batch_norm_epsilon=1e-5,
                     batch_norm_scale=True):  # fmt: skip
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
            weights_regularizer=slim.l2_regularizer(weight_decay) if weight_decay else None,
            weights_initializer=slim.variance_scaling_initializer(),
            activation_fn=tf.nn.relu,
            normalizer_fn=slim.batch_norm,
            normalizer_params=batch_norm,
        ),
        # is_training stands here alone, not in normalizer_params: there, it would win over the network's own is_training.
        slim.arg_scope([slim.batch_norm], is_training=is_training, **batch_norm),
        slim.arg_scope([slim.dropout], is_training=is_training),
        slim.arg_scope([slim.max_pool2d], padding="SAME") as scope,
    ):
        return scope


def check_images(inputs):
    """Raises ValueError when `inputs` is not of rank 4 with a known number of channels."""
    shape = inputs.get_shape()
    if shape.rank != 4 or shape[3] is None:
        raise ValueError(f"inputs must be [batch, height, width, channels] with the channels known, got {shape}")


@contextmanager
def network_scope(default_name, blocks, inputs, is_training, reuse, scope, **unit_options):
    """The variable scope of a network; every convolution, unit and block in it is collected. Yields the collection's name.

    is_training: of the batch norms and of dropout, None takes what the arg scope says. unit_options: arguments of every unit
    of this library's kinds.
    """
    own = [fn for fn in {block.unit_fn for block in blocks} if hasattr(fn, "kind") or hasattr(fn, "unit_type")]
    unit_fns = [fn for fn in own if hasattr(fn, "kind")]
    with tf.compat.v1.variable_scope(scope, default_name, [inputs], reuse=reuse) as sc:
        collection = sc.original_name_scope + "_end_points"
        training = {} if is_training is None else {"is_training": is_training}
        with (
            slim.arg_scope([slim.conv2d, *own, stack_blocks_dense], outputs_collections=collection),
            slim.arg_scope([slim.batch_norm, slim.dropout], **training),
            slim.arg_scope(unit_fns, **unit_options),
        ):
            yield collection


def root_block(net, root):
    """What stands before the first block, for a `Root` or None: its convolution, and its 3x3 max pooling if it has one."""
    if root is None:
        return net
    net = conv2d_same(net, root.depth, root.kernel_size, stride=root.stride, scope="conv1")
    return slim.max_pool2d(net, [3, 3], stride=root.pool_stride, scope="pool1") if root.pool_stride > 1 else net


def classifier(net, num_classes, global_pool, collection):
    """What stands after the last block: pooling, logits as a 1x1 convolution, softmax. Returns (net, end_points)."""
    if global_pool:
        net = tf.reduce_mean(net, [1, 2], name="pool5", keepdims=True)
    if num_classes is not None:
        net = slim.conv2d(net, num_classes, [1, 1], activation_fn=None, normalizer_fn=None, scope="logits")
    end_points = slim.utils.convert_collection_to_dict(collection)
    if num_classes is not None:
        end_points["predictions"] = slim.softmax(net, scope="predictions")
    return net, end_points


def callable_blocks(architecture, unit_fns):
    """The Blocks of an Architecture with unit functions in place of their names. Raises ValueError for an unknown name.

    unit_fns: name -> function, as `resnet_v1.UNIT_FNS` and `resnet_v2.UNIT_FNS`.
    """

    fns = [unit_fns[unit_kind(fn)] if isinstance(fn, str) else fn for _, fn, _ in architecture.blocks]
    return [block._replace(unit_fn=fn) for block, fn in zip(architecture.blocks, fns, strict=True)]


def slim_block(scope, unit_fn, base_depth, num_units, stride):
    """A Block as tf-slim lays it out, in its dict form: depths of 4 * base_depth, the stride in the *last* unit."""
    strides = [1] * (num_units - 1) + [stride]
    return Block(scope, unit_fn, [Unit(4 * base_depth, base_depth, stride)._asdict() for stride in strides])


def named_network(name, network, unit_fns):
    """The function of a named network, called as tf-slim's: `resnet_v2_50(inputs, num_classes, ...)`."""
    architecture = ARCHITECTURES[name]

    def named(inputs, num_classes=None, is_training=None, global_pool=True, output_stride=None, reuse=None,
              scope=name):  # fmt: skip
        return network(inputs, callable_blocks(architecture, unit_fns), num_classes, is_training, global_pool,
                       output_stride, root=architecture.root, reuse=reuse, scope=scope,
                       shortcut=architecture.shortcut, stride_in=architecture.stride_in)  # fmt: skip

    named.__name__ = named.__qualname__ = name
    named.__doc__ = (
        f"ResNet V{architecture.version} of {architecture.layers} layers, units {architecture.units}, stride layout "
        f"{architecture.layout!r}, shortcut {architecture.shortcut!r}: see `resnet_v{architecture.version}`."
    )
    named.default_image_size = architecture.image_size
    return named
