"""The other places that BN and ReLU can have in a residual unit, and units that share their weights.

`architectures.ORDERINGS` lists the five orderings of He et al. 2016 (*Identity Mappings*, Fig. 4). "v1" and "v2" are written
out in `resnet_v1` and `resnet_v2`; here are the three others, in units of two layers and of three, made from that table.
Notebook 06 compares them.

`recurrent_unit` has the weights of its neighbours, so that a block of such units is a recurrent network, unrolled (Liao and
Poggio 2016, arXiv:1604.03640). Notebook 09 trains it.
"""

import re

from .accounting import unit_convolutions
from .architectures import UNIT_KINDS, BasicUnit, unit_ordering
from .resnet_utils import conv1x1, conv2d_same, unit_sum
from .resnet_v2 import BARE, basic
from .tf_slim_compat import slim, tf


def _norm_relu(net, what, scope):
    """BN, ReLU, both or none, as an Ordering names them ("BN ReLU")."""
    net = slim.batch_norm(net, activation_fn=None, scope=scope) if "BN" in what else net
    return tf.nn.relu(net) if "ReLU" in what else net


def make_unit(kind):
    """The unit function of a kind ("basic_relu_before_addition", ...), read off its Ordering.

    Arguments, shapes and errors are those of `resnet_v2.basic` for two layers, of `resnet_v2.bottleneck` for three.
    """
    ordering, sizes = unit_ordering(kind), UNIT_KINDS[kind]

    @slim.add_arg_scope
    def unit(inputs, rate=1, outputs_collections=None, scope=None, shortcut="B", stride_in="3x3", dilation=1, **args):
        arguments = sizes(**args)
        convolutions = unit_convolutions(arguments, stride_in)
        strided = 1 if sizes is BasicUnit or stride_in == "1x1" else 2  # the convolution that has the unit's stride
        last = {"activation_fn": tf.nn.relu if "ReLU" in ordering.last else None}
        if "BN" not in ordering.last:  # a bias does the work of its beta, unless a BN behind the sum does
            last |= {"normalizer_fn": None, **({"biases_initializer": None} if "BN" in ordering.after else {})}
        with tf.compat.v1.variable_scope(scope, kind, [inputs]) as sc:
            net = start = _norm_relu(inputs, ordering.first, "preact")
            project = BARE if ordering.first else {"activation_fn": None}
            add = unit_sum(inputs, arguments.depth, arguments.stride, shortcut, start, **project)
            for i, (kernel, channels, stride) in enumerate(convolutions, 1):
                with slim.arg_scope([slim.conv2d], **(last if i == len(convolutions) else {})):
                    if kernel == 1:
                        net = conv1x1(net, channels, stride, scope=f"conv{i}")
                    else:
                        widened = rate * dilation if i > strided else rate
                        net = conv2d_same(net, channels, kernel, stride, widened, scope=f"conv{i}")
            net = _norm_relu(add(net), ordering.after, "postnorm")
            return slim.utils.collect_named_outputs(outputs_collections, sc.name, net)

    unit.kind = unit.__name__ = kind
    return unit


UNIT_FNS = {kind: make_unit(kind) for kind in UNIT_KINDS if not kind.endswith(("_v1", "_v2"))}


@slim.add_arg_scope
def recurrent_unit(inputs, depth, stride, rate=1, outputs_collections=None, scope=None, shortcut="A"):
    """`resnet_v2.basic`, whose convolutions share their weights and biases with all such units of the block.

    A unit that changes the shape has weights of its own, and every unit its own batch norms, for each step of the
    recurrence sees other statistics: the time-specific batch normalization of Liao and Poggio 2016. The shared variables
    are named block/shared/... . Its graph is counted, as a unit outside `architectures.UNIT_KINDS` is. Shapes and errors
    as in `resnet_v2.basic`.
    """
    keeps_shape = stride == 1 and inputs.shape[-1] == depth

    def share(getter, name, *args, **kwargs):
        if keeps_shape and name.endswith(("/weights", "/biases")):
            name = re.sub(r"/unit_\d+/", "/shared/", name)
            kwargs["reuse"] = tf.compat.v1.AUTO_REUSE
        return getter(name, *args, **kwargs)

    with tf.compat.v1.variable_scope(tf.compat.v1.get_variable_scope(), custom_getter=share):
        return basic(inputs, depth, stride, rate, outputs_collections, scope, shortcut)


recurrent_unit.unit_type, recurrent_unit.version = BasicUnit, 2
