"""A TensorFlow graph written out flat: the functions that it calls stand in the place of their calls, and images come in a
batch of one. `graph_cost` counts such a graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from .tf_slim_compat import tf

_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_CONTROL = {"If", "StatelessIf", "Case", "StatelessCase", "While", "StatelessWhile"}


class FlatGraph:
    """The nodes of a graph, with the bodies of functions where they are called.

    nodes: list of NodeDef; unclear: op type -> how many of its ops have bodies that may run more than once or not at all.
    """

    def __init__(self, graph: tf.Graph):
        # With what only Python knows: shapes of variables, and those from set_shape.
        source = graph.as_graph_def(add_shapes=True)
        self.nodes: list[Any] = []
        self.unclear: Counter[str] = Counter()
        self._versions = source.versions
        self._library = {function.signature.name: function for function in source.library.function}
        self._moved: dict[str, str] = {}  # output of a call -> the node that gives it now
        with tf.Graph().as_default():  # one that knows the functions, so that their bodies can be read
            tf.graph_util.import_graph_def(
                tf.compat.v1.GraphDef(versions=source.versions, library=source.library), name=""
            )
            self._add(source.node, "", {}, ())
        for node in self.nodes:
            node.input[:] = [self._moved.get(name, name) for name in node.input]
        _set_batch(self.nodes)

    def operations(self, wanted: Callable[[Any], bool]) -> list[tf.Operation]:
        """The operations whose nodes are wanted, in a graph of their own, for which TensorFlow has worked out all shapes anew.

        Only what they read stands in it, and what undoes a SpaceToBatchND. Raises ValueError for a graph that does not take
        one image.
        """
        names = [node.name for node in self.nodes if wanted(node)]
        after = [node.name for node in self.nodes if node.op == "BatchToSpaceND"]
        needed = reached(names + after, {node.name: inputs(node) for node in self.nodes})
        kept = [node for node in self.nodes if node.name in needed]
        with tf.Graph().as_default() as graph:
            try:
                tf.graph_util.import_graph_def(tf.compat.v1.GraphDef(versions=self._versions, node=kept), name="")
            except ValueError as error:
                raise ValueError(
                    f"the graph does not take a batch of one image; give it a batch size: {error}"
                ) from error
        return [graph.get_operation_by_name(name) for name in names]

    def _add(self, nodes, scope, given, within):
        """given: argument of a function -> what it is called with; within: the functions whose bodies these nodes are in.
        A function that calls itself is not followed."""
        for node in nodes:
            argument = given.get(node.name)
            node.name = scope + node.name
            node.input[:] = [scope + name.removesuffix(":0") for name in node.input if not name.startswith("^")]
            node.attr.pop("_class", None)  # the name of another node
            bodies = {place: name for place, name in _functions(node) if name in self._library.keys() - {*within}}
            if argument:
                self.nodes.append(_identity(node.name, argument, node.attr["dtype"].type))
            elif bodies:
                self._add_call(node, bodies, within)
            else:
                self.nodes.append(node)

    def _add_call(self, node, bodies, within):
        # What others than these hand to their functions, and take from them, is not looked up.
        known = node.op in _CALLS | _CONTROL
        results = [self._add_body(node, place, name, known, within) for place, name in bodies.items()]
        if node.op not in _CALLS:
            self.unclear[node.op] += 1
        if known:
            self._stand_in(node, results[-1])
        else:
            self.nodes.append(node)

    def _add_body(self, node, place, name, known, within):
        """Returns what the function gives: list of (tensor, its type)."""
        from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def

        function, scope = self._library[name], f"{node.name}/{place}/"
        body, flat_names = function_def_to_graph_def(function)
        arguments = [argument.name for argument in function.signature.input_arg]
        # From the end, for an If has its condition first.
        given = zip(reversed(arguments), reversed(node.input), strict=False) if known else ()
        self._add(body.node, scope, dict(given), (*within, name))
        results = function.signature.output_arg
        return [(scope + flat_names[function.ret[one.name]].removesuffix(":0"), one.type) for one in results]

    def _stand_in(self, node, results):
        for i, (result, dtype) in enumerate(results):
            output = _identity(f"{node.name}/{i}", result, dtype)
            output.attr["_output_shapes"].list.shape.extend(node.attr["_output_shapes"].list.shape[i : i + 1])
            self._moved[f"{node.name}:{i}" if i else node.name] = output.name
            self.nodes.append(output)


def inputs(node: Any) -> list[str]:
    """The names of the nodes that a node reads."""
    return [name.split(":")[0] for name in node.input]


def reached(start: Iterable[str], ways: dict[str, list[str]]) -> set[str]:
    """`start` and all names to which the ways lead from there."""
    found = set(start)
    todo = list(found)
    while todo:
        new = {*ways.get(todo.pop(), ())} - found
        found |= new
        todo += new
    return found


def _functions(node):
    """(attribute, name) of each function of a node. Last comes one that gives what the node gives: the body of a loop."""
    for key in sorted(node.attr, reverse=True):
        value = node.attr[key]
        if value.func.name:
            yield key, value.func.name
        for i, function in enumerate(value.list.func):
            yield f"{key}_{i}", function.name


def _identity(name, given, dtype):
    node = tf.compat.v1.NodeDef(name=name, op="Identity", input=[given])
    node.attr["T"].type = dtype
    return node


# Its shapes, for a batch of one.

_IMAGES = {"Placeholder": "shape", "PlaceholderWithDefault": "shape", "IteratorGetNext": "output_shapes"}
_LISTS = {"TensorListReserve": 0, "TensorListFromTensor": 1}  # which input is the shape of an element


def _set_batch(nodes):
    """Makes a batch of one of every unknown batch."""
    all_known = all([_one_image(node) for node in nodes if node.op in _IMAGES])
    constants = {node.name: node.attr["value"].tensor for node in nodes if node.op == "Const"}
    for node in nodes:
        if node.op in _LISTS and all_known:  # so that no other size can be the unknown one
            _one_image_a_step(constants.get(node.input[_LISTS[node.op]]))


def _one_image(node):
    """Returns whether all sizes of what comes in are known then."""
    attribute = node.attr[_IMAGES[node.op]]
    if node.op == "PlaceholderWithDefault":
        node.op = "Placeholder"
        del node.input[:]
    shapes = [attribute.shape, *attribute.list.shape]
    for shape in shapes:
        if shape.dim and shape.dim[0].size < 0:
            shape.dim[0].size = 1
    return all(size.size >= 0 for shape in shapes for size in shape.dim)  # a handle of a variable has no rank


def _one_image_a_step(shape):
    """A recurrent network keeps its steps in lists, whose elements have a constant for their shape. TensorFlow refuses the
    graph where an element has other sizes."""
    sizes = tf.make_ndarray(shape).copy() if shape else None
    if shape and sizes.ndim and sizes[0] == -1:
        sizes[0] = 1
        shape.CopyFrom(tf.make_tensor_proto(sizes))
