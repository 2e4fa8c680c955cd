"""A network for inference only: `Frozen`, which `Network.freeze` makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .accounting import Cost
from .checks import one_of
from .engines import ENGINES, compile_network, fastest_installed
from .images import checked_images, with_an_image
from .tf_slim_compat import check_eager, tf

if TYPE_CHECKING:
    from .network import Network


class Frozen:
    """A network for inference only: `frozen(images)` gives what `network(images)` gave when it was frozen.

    name, input_shape: those of the network; cost(), widest(): of what is computed here; engine: the one that runs, for "auto"
    the one that was chosen; requested_precision: as asked for; precision: the one that runs, which on a processor without
    bfloat16 may be another. Made by `Network.freeze`; goes to `timing.time_forward` like a Network.
    """

    def __init__(self, network: Network, precision: str = "float32", engine: str = "tf"):
        self.name = network.name
        self.input_shape = network.input_shape
        one_of("engine", engine, [*ENGINES, "auto"])
        self._chosen = engine == "auto"
        self.engine = fastest_installed(precision) if self._chosen else engine
        self.requested_precision = precision
        check_eager("freeze")
        network = network.without_unread_pixels()
        self._run, self.precision, _ = compile_network(network.function, self.input_shape, precision, self.engine)
        sized = None not in network.input_shape[1:]
        self._cost = network.cost() if sized else None
        self._widest = network.widest() if sized else None

    def __call__(self, images: Any) -> tf.Tensor:
        """As `Network.__call__`, with its shapes, checks and errors, but also within a layer of Keras: nothing here trains."""
        return with_an_image(self.forward, checked_images(images, self.input_shape))

    def forward(self, images: tf.Tensor) -> tf.Tensor:
        """`frozen(images)` without its checks, for a float32 tensor that is known to fit."""
        return self._run(images)

    def cost(self) -> Cost | None:
        """What it costs: in the paper's layout less than the network. None where it was built for images of any size, as is
        `widest`."""
        return self._cost

    def widest(self) -> int | None:
        """`Network.widest`."""
        return self._widest

    def __repr__(self):
        asked = "" if self.precision == self.requested_precision else f" ({self.requested_precision} asked for)"
        chosen = " (chosen)" if self._chosen else ""
        return f"<Frozen {self.name}, {self.precision}{asked}, {self.engine}{chosen}>"
