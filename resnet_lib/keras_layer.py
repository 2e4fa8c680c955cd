"""A Network as a layer of Keras, whose weights `fit` trains.

Keras 3 trains what its layers track, and a Network that a layer merely holds is not tracked.
"""

from __future__ import annotations

from typing import Any

from .checks import instance_of, one_of
from .images import checked_images, with_an_image
from .network import Network
from .tf_slim_compat import tf

_Variable = getattr(tf.keras, "Variable", None)  # of Keras 3; the layers of Keras 2 track TensorFlow's own


class NetworkLayer(tf.keras.layers.Layer):
    """What `keras_layer` gives."""

    def __init__(self, network: Network, trainable: bool = True, name: str | None = None, **options: Any):
        super().__init__(name=name or network.name.replace("/", "_"), dtype="float32", **options)
        self.network = network
        trained = {id(variable) for variable in network.trainable_variables}
        self.network_variables = [_tracked(variable, id(variable) in trained) for variable in network.variables]
        self.trainable = trainable  # of the variables that came just now too
        self.built = True

    def call(self, images: Any) -> Any:
        """As `Network.__call__`."""
        return with_an_image(self.network.forward, checked_images(images, self.network.input_shape))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Of the network's outputs."""
        return (input_shape[0], *self.network.function.outputs[0].shape[1:])


def _tracked(variable, trainable):
    """A variable as Keras tracks it, with the given one as its value and not a copy of it: both change together."""
    if _Variable is None:
        return variable
    name = variable.name.split(":")[0].replace("/", "_")
    tracked = _Variable(variable, variable.shape, variable.dtype.name, trainable, autocast=False, name=name)
    if tracked.value is not variable:
        raise RuntimeError(
            "this version of Keras copies the variables that it is given: `fit` would not train the network"
        )
    return tracked


def keras_layer(network: Network, trainable: bool = True, name: str | None = None) -> NetworkLayer:
    """A Network as a layer of Keras, on the same variables: what `fit` trains is trained in the network too.

        model = tf.keras.Sequential([keras_layer(build("resnet_v2_50", num_classes=None)), tf.keras.layers.Flatten(), ...])

    [batch, height, width, channels] -> as the network. It computes as for inference: batch norms keep their statistics, and
    there is no weight decay. trainable: False leaves the weights as they are. Raises ImportError where Keras runs on something
    else than TensorFlow.
    """
    if _Variable is not None and tf.keras.config.backend() != "tensorflow":
        raise ImportError(f"keras_layer needs Keras on TensorFlow, it runs on {tf.keras.config.backend()!r}")
    instance_of("network", network, Network, "a Network")
    one_of("trainable", trainable, (True, False))
    instance_of("name", name, str | None, "a text or None")
    return NetworkLayer(network, trainable, name)
