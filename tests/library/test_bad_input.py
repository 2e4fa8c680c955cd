"""Wrong arguments: every public function names the one that is wrong, whatever stands there.

`CALLS` holds a valid call of each. Every argument in turn is replaced by thirty kinds of values; the function must take the
value or raise ValueError, TypeError or, for a path, OSError, with the name of the argument in the message. A public function
without a call fails the first test.
"""

import inspect
import math
import re
import signal
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import numpy as np
import pytest

import resnet_lib
from resnet_lib import Architecture, Block, Network, Root, build, data
from resnet_lib.count_conventions import CONVENTIONS
from resnet_lib.recipe import Recipe
from resnet_lib.timing import Timing

WRONG = {
    "None": lambda: None,
    "True": lambda: True,
    "minus one": lambda: -1,
    "zero": lambda: 0,
    "a fraction": lambda: 2.5,
    "nan": lambda: math.nan,
    "infinity": lambda: math.inf,
    "huge": lambda: 10**30,
    "minus huge": lambda: -(10**30),
    "complex": lambda: 1j,
    "Fraction": lambda: Fraction(1, 3),
    "Decimal": lambda: Decimal("2.5"),
    "no text": lambda: "",
    "another text": lambda: "no such",
    "a text with a zero": lambda: "a\0b",
    "bytes": lambda: b"x",
    "no list": lambda: [],
    "a list": lambda: [1],
    "a list of lists": lambda: [[1], ["a"]],
    "no tuple": lambda: (),
    "no dict": lambda: {},
    "a dict": lambda: {"a": 1},
    "a set": lambda: {1, 2},
    "an object": object,
    "a function": lambda: lambda *args, **kwargs: None,
    "a class": lambda: int,
    "an ellipsis": lambda: ...,
    "a generator": lambda: (i for i in range(2)),
    "a range": lambda: range(0),
    "no array": lambda: np.zeros(0),
    "an array": lambda: np.zeros((2, 3)),
    "an array of texts": lambda: np.array(["a", "b"]),
    "a nan of NumPy": lambda: np.float32("nan"),
    "a path": lambda: Path("no/such"),
}
NEVER = ("an object", "an ellipsis", "complex", "a set")  # nothing takes these

BLOCKS = (Block("b", "bottleneck_v2", ((8, 2, 1),)),)
SMALL = Architecture("net", BLOCKS, Root(4, 3, 1, 1), image_size=8, num_classes=3)


@cache
def net():
    return build(SMALL)


@cache
def digits():
    return data.digits()


class Seeing:
    """What `likeliest` asks of a Network."""

    class_offset = None

    def preprocess(self, images):
        return images

    def __call__(self, images):
        return np.zeros((1, 1, 1, 3))


COUNTED = {
    "architecture": SMALL,
    "image_size": 8,
    "num_classes": 3,
    "channels_in": 3,
    "layout": "v1.5",
    "shortcut": "B",
}
COUNTED |= {"global_pool": True, "root_pooling": "SAME", "batch_norm_epsilon": 1e-5}
UNCOUNTED = {name: value for name, value in COUNTED.items() if name != "architecture"}

# module.function -> a valid call, or a function that makes one.
CALLS = {
    "accounting.cost": COUNTED,
    "accounting.trace": COUNTED,
    "architectures.Architecture": {
        **{name: getattr(SMALL, name) for name in SMALL.__dataclass_fields__},
        "output_stride": 1,
    },
    "architectures.cifar_architecture": {"layers": 20, "version": 1, "shortcut": "A"},
    "architectures.get_architecture": COUNTED,
    "architectures.list_networks": {},
    "block_text.read_blocks": {"text": "[Block('b', 'bottleneck_v2', [(8, 2, 1)])]"},
    "block_text.written_blocks": {"blocks": BLOCKS},
    "count_conventions.counted_by": {"convention": CONVENTIONS[0], **COUNTED},
    "count_conventions.elements": COUNTED,
    "count_conventions.how_it_fits": {"number": "4.11", "operations": 4.1e9},
    "count_conventions.which_count": {
        "number": "4.11",
        "architecture": SMALL,
        "image_size": 8,
        "num_classes": 3,
        "batch_size": 1,
    },
    "data.cifar10": {},
    "data.digits": {"num_train": 1500},
    "data.fashion_14": {},
    "data.fashion_mnist": {},
    "data.fashion_sample": {},
    "data.photo": {"name": "china"},
    "data.trained": {"name": "fashion_plain_20"},
    "data_files.imagenet_classes": {},
    "data_files.keras_folder": {},
    "data_files.published": {"name": "devices"},
    "exploration.design": {
        "units": (1, 1),
        "base_depth": 4,
        "unit": "bottleneck_v2",
        "layout": "v1.5",
        "shortcut": "B",
        "root": Root(4, 3, 1, 1),
        "image_size": 8,
        "num_classes": 3,
        "name": "net",
    },
    "exploration.explore": {**COUNTED, "device": "H200", "batch_size": 2, "precision": "float32"},
    "keras_layer.keras_layer": lambda: {"network": net(), "trainable": True, "name": "layer"},
    "known_weights.known_file": {"name": "keras/resnet_v2_50"},
    "lessons.lock": {"question": "1", "prediction": "two", "file": "predictions.json"},
    "mean_field.profile": {"units": 3, "skip": "v2", "batch_norm": True, "weight_scale": 1.0},
    "network.build": {**COUNTED, "seed": 0, "weights": None, "fresh_classifier": False},
    "photos.read_photo": {"path": data.path("photos", "china.jpg"), "channels": 3},
    "predictions.likeliest": {"network": Seeing(), "photo": np.zeros((8, 8, 3), np.uint8), "top": 2},
    "preprocessing.preprocessed": {
        "images": np.zeros((9, 9, 3), np.uint8),
        "name": "timm",
        "height": 8,
        "width": 8,
        "channels": 3,
    },
    "recipe.Recipe": vars(Recipe()),
    "roofline.predict": {
        **COUNTED,
        "output_stride": 1,
        "device": "H200",
        "batch_size": 2,
        "precision": "float32",
        "fused": "sum",
        "in_cache": False,
    },
    "sweep.results": {"path": data.path("degradation.csv")},
    "sweep.sweep": {
        "csv_path": "sweep.csv",
        "families": "plain",
        "layers": 8,
        "seeds": 0,
        "recipe": Recipe(),
        "dataset": "digits",
        "n_jobs": 1,
    },
    "tables.cost_table": {"architectures": [SMALL], **UNCOUNTED},
    "tables.depth_table": {"architectures": [SMALL], **UNCOUNTED},
    "timing.append_row": {"path": "times.csv", "timing": Timing("Forward", 1)},
    "timing.median_spread": {"samples_ms": [1.0, 2.0, 3.0]},
    "timing.time_forward": lambda: {
        "network": net(),
        "batch_size": 1,
        "num_batches": 1,
        "num_steps_burn_in": 0,
        "csv_path": None,
        "seconds": 0.01,
    },
    "traffic.kernels": {**COUNTED, "output_stride": 1, "fused": "none"},
    "training.train": lambda: {
        "architecture": SMALL,
        "data": digits(),
        "recipe": Recipe(epochs=1),
        "seed": 0,
        "checkpoint": None,
        "threads": 1,
        "observe": None,
        "change_gradients": None,
    },
    "training_cost.kept_activations": COUNTED,
    "training_cost.largest_batch": {**COUNTED, "memory": 10**9},
    "training_cost.training_macs": COUNTED,
    "training_cost.training_memory": {**COUNTED, "batch_size": 2, "bytes_per_number": 4},
    "widths.scaled": {"architecture": SMALL, "factor": 0.5},
    "widths.with_cost": {"architecture": SMALL, "quantity": "params", "value": 1000},
}
# The same of a Network's methods.
METHODS = {
    "assign": lambda: {"values": net().values(), "source": "values"},
    "end_points": {"images": np.zeros((1, 8, 8, 3))},
    "export_onnx": {"path": "net.onnx"},
    "export_saved_model": {"path": "net"},
    "export_stablehlo": {"path": "net", "batch_size": 1, "precision": "float32"},
    "freeze": {"precision": "float32", "engine": "tf"},
    "load": {"path": data.path("trained", "fashion_plain_20.npz")},
    "rewired": {"order": {"b": [1]}},
    "save": {"path": "net.npz", "precision": "float32"},
}

# Modules whose functions are not called here, and why.
APART = {
    "they are called with what a public function has checked": (
        "checks layers flat_graph images unit_drawing shortcuts convolutions orderings slim_function frozen_graph frozen "
        "identification weight_files weight_names weights descriptions other_nets blocks units resnet_utils network_picture "
        "training_graph engines onnx_files tf_slim_compat inception_modules panels records built_network graph_cost"
    ),
    "they take the place of tf-slim's, and pass its tests": "resnet_v1 resnet_v2 inception highway",
    "they show on their page what is wrong, which the test of each panel holds": (
        "count_panel depth_panel depth_table_panel explorer_page padding_panel roofline_panel splits_panel unit_panel"
    ),
    "they draw what a notebook shows": "figures",
    "they read the command line, which test_main does": "__main__ classify",
}
# Functions that are not called here, and why.
NOT_CALLED = {
    "accounting": {name: "it takes the layers of `trace`" for name in ("by_unit", "total", "unit_layers")},
    "checkpoints": {name: "`train` calls it" for name in ("fingerprint", "read", "write")},
    "data": {"checked": "test_training hands it every wrong data set"},
    "data_files": {"path": "it takes any number of names, and says what is there instead"},
    "exploration": {
        "explorer": "it shows on its page what is wrong",
        "explorer_panel": "it shows on its page what is wrong",
        "in_digits": "it writes out any number",
    },
    "known_weights": {"check_hash": "`build` calls it", "fetch": "it downloads; known_file finds the name"},
    "lessons": {"locked": "`lock` calls it"},
    "predictions": {"class_names": "`likeliest` calls it", "network_with_weights": "it downloads what is no file"},
    "recipe": {"given_recipe": "`train` calls it"},
    "sweep": {
        "failed": "it takes a row of `sweep`",
        "run": "whatever is wrong becomes a row with its error",
        "v2_first": "cifar_architecture with another first unit",
        "with_units": "it makes a family, whose networks are checked",
    },
    "timing": {"time_tensorflow_run": "the function of the source text, as it stands there"},
}
CLASSES = {"architectures": ["Architecture"], "recipe": ["Recipe"]}  # those that check what they are made of

# Arguments that are not replaced, and why.
UNCHECKED = {
    ("predictions.likeliest", "network"): "whatever is called as a Network is",
    ("predictions.likeliest", "photo"): "the network's `preprocess` checks it, and calls it images",
    ("sweep.sweep", "seeds"): "their order makes no difference, and a set will do",
}
# What a message may say instead of the argument's name.
ALSO = {
    "architecture": "blocks|no network is called|is not a list of Blocks",
    "architectures": "blocks|no network is called|architecture",
    "families": "family",
    "name": "data has no|no file of weights is called",
    "path": "[Nn]o such file|weights|photo|Is a directory|not a regular file",
    "file": "No such file|Is a directory",
    "checkpoint": "No such file|Is a directory",
    "csv_path": "not a regular file|Is a directory",
    "text": "blocks",
    "value": "params",  # which is what the value is of
    "weights": "No such file|nothing",
}


def public_functions():
    """module.function of every public function of the library that is not apart."""
    apart = " ".join(APART.values()).split()
    for name in sorted({module.name for module in iter_modules(resnet_lib.__path__)} - {*apart}):
        module = import_module(f"resnet_lib.{name}")
        for own, value in vars(module).items():
            here = getattr(value, "__module__", None) == module.__name__ and not own.startswith("_")
            if here and (inspect.isfunction(value) or own in CLASSES.get(name, ())):
                yield f"{name}.{own}"


def test_every_public_function_is_called_or_says_why_not():
    uncalled = {f"{module}.{name}" for module, names in NOT_CALLED.items() for name in names}
    found = {*public_functions()}
    assert found == {*CALLS} | uncalled and not {*CALLS} & uncalled
    modules = {name.split(".")[0] for name in found} | {*" ".join(APART.values()).split()}
    assert modules == {module.name for module in iter_modules(resnet_lib.__path__)}


def test_every_method_of_a_network_that_takes_something_is_called():
    methods = {name: value for name, value in vars(Network).items() if inspect.isfunction(value) and name[0] != "_"}
    taking = {name for name, value in methods.items() if len(inspect.signature(value).parameters) > 1}
    # `forward` is the call without its checks, and `preprocess` that of `preprocessing`, for what the weights want.
    assert taking - {"forward", "preprocess"} == {*METHODS}


class Accepted(Exception):
    """The arguments were taken; what would be built, trained or downloaded is not."""


def accepted(*args, **kwargs):
    raise Accepted


class TooSlow(BaseException):
    """Whatever catches exceptions does not catch this one."""


def too_slow(*args):
    raise TooSlow


@pytest.fixture
def nothing_is_run(monkeypatch, tmp_path):
    net(), digits()  # which are
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("resnet_lib.network.wrapped", accepted)
    monkeypatch.setattr("resnet_lib.training._graph", accepted)
    monkeypatch.setattr("resnet_lib.engines._stablehlo", accepted)
    monkeypatch.setattr("resnet_lib.onnx_files.onnx_model", accepted)
    monkeypatch.setattr("resnet_lib.tf_slim_compat.tf.saved_model.save", accepted)
    monkeypatch.setattr("resnet_lib.built_network.WeightFile", accepted)
    monkeypatch.setattr("resnet_lib.sweep._run_missing", accepted)
    monkeypatch.setattr("resnet_lib.timing._measure", lambda *args: {})
    before = signal.signal(signal.SIGPROF, too_slow)
    yield
    signal.signal(signal.SIGPROF, before)


def wrong_with(function, arguments, argument, seconds=60):
    """What is wrong with an error of that argument, in words; "" where it is right, and "taken" where there is none.
    seconds: of processor time, since a machine may stand still, after which it "takes for ever"."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        function(**arguments)
    except Accepted:
        return "taken"
    except TooSlow:
        return "it takes for ever"
    except (ValueError, TypeError, OSError) as error:
        names = re.search(rf"\b{argument}\b|{ALSO.get(argument, argument)}", str(error))
        return "" if names else f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "taken"


@pytest.mark.usefixtures("nothing_is_run")
@pytest.mark.parametrize("name", [*CALLS, *(f"Network.{method}" for method in METHODS)])
def test_a_wrong_argument_is_named(name):
    where, own = name.split(".")
    function = getattr(net() if where == "Network" else import_module(f"resnet_lib.{where}"), own)
    call = METHODS[own] if where == "Network" else CALLS[name]
    call = call() if callable(call) else call
    wrong = {}
    for argument in call:
        if (name, argument) in UNCHECKED:
            continue
        assert wrong_with(function, call, argument) == "taken"
        for kind, value in WRONG.items():
            found = wrong_with(function, {**call, argument: value()}, argument)
            if found and (found != "taken" or kind in NEVER):
                wrong[argument, kind] = found
    assert not wrong, "\n".join(map(str, wrong.items()))


def test_an_error_that_names_nothing_is_found(nothing_is_run):
    def function(units):
        return [1, 2][units] / units

    for value, error in [(0, "ZeroDivisionError"), (7, "IndexError"), ("a", "TypeError: list indices"), (1, "taken")]:
        assert wrong_with(function, {"units": value}, "units").startswith(error)

    def endless(units):
        while units:
            pass

    assert wrong_with(endless, {"units": 1}, "units", seconds=0.1) == "it takes for ever"
