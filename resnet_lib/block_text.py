"""Blocks as a text, as one types them, and back.

Pure Python, no TensorFlow. Nothing of a text is run: `read_blocks` understands lists of Blocks and nothing else, so a text may
come from anywhere. The explorer of the web book reads what is typed there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from .blocks import Block
from .checks import instance_of, list_of
from .units import unit_kind

MOST_NUMBERS = 10_000  # and texts, in all Blocks together; the largest network that has a name has under 2,000
MOST_CHARACTERS = 50_000
LARGEST = 1_000_000  # number


def written_blocks(blocks: Iterable[Block]) -> str:
    """The Blocks as they are typed, units that are alike counted."""
    blocks = [instance_of("blocks", block, Block, "a list of Blocks") for block in list_of("Blocks", "blocks", blocks)]
    return "\n".join(["[", *(f"    {_written(block)}," for block in blocks), "]"])


def _written(block: Block) -> str:
    runs = []
    for unit, run in groupby(block.args):
        times = len(list(run))
        runs.append(f"[{tuple(unit)}] * {times}" if times > 1 else f"[{tuple(unit)}]")
    return f'Block("{block.scope}", "{unit_kind(block.unit_fn).name}", {" + ".join(runs)})'


def read_blocks(text: str) -> list[Any]:
    """What `written_blocks` wrote, or was typed or edited by hand, as a list of Blocks.

    Understood are Block(...), lists, tuples and dicts, numbers and texts, sums and multiples of lists, and the name of a unit
    without quotation marks. A list of the three parts of a Block, as JSON has it, will do as well. Whether the Blocks make a
    network is for `Architecture` to say. Raises ValueError that names the line and what is not understood there.
    """
    instance_of("text", text, str, "a text of Blocks")
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"blocks: the text has {len(text):,} characters, at most {MOST_CHARACTERS:,} are read")
    code = text.lstrip()
    if not code:
        raise ValueError('blocks: the text is empty; type a list such as [Block("block1", "basic_v1", [(64, 1)] * 2)]')
    above = text[: len(text) - len(code)].count("\n")
    try:
        tree = ast.parse("\n" * above + code, mode="eval")
    except SyntaxError as error:
        raise ValueError(f"blocks, line {error.lineno or 1}: {error.msg}") from None
    except (RecursionError, MemoryError, ValueError):
        raise ValueError("blocks: this text is no list of Blocks") from None
    found = _value(tree.body)
    if isinstance(found, Block):
        return [found]
    if not isinstance(found, list | tuple):
        raise ValueError(f"blocks: expected a list of Blocks, got {_short(tree.body)}")
    return [Block(*part) if isinstance(part, list) and len(part) == len(Block._fields) else part for part in found]


def _value(node: ast.expr) -> Any:
    """What an expression stands for."""
    match node:
        case ast.Constant(value=int() | float()) if node.value > LARGEST:
            raise _not_understood(node, f"numbers up to {LARGEST:,} are read")
        case ast.Constant(value=int() | float() | str() | None):
            return node.value
        case ast.Name():
            return node.id
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
            return -node.operand.value
        case ast.List():
            return [_value(part) for part in node.elts]
        case ast.Tuple():
            return tuple(_value(part) for part in node.elts)
        case ast.Dict() if all(isinstance(key, ast.Constant) for key in node.keys):
            return {key.value: _value(value) for key, value in zip(node.keys, node.values, strict=True)}
        case ast.Call(func=ast.Name(id="Block")):
            return _block(node)
        case ast.BinOp(op=ast.Add()):
            return _sum(node)
        case ast.BinOp(op=ast.Mult()):
            return _product(node)
    raise _not_understood(node, "only Block(...), lists, tuples, numbers, texts, + and * are read here")


def _block(node: ast.Call) -> Block:
    parts = [_value(part) for part in node.args]
    named = {part.arg: _value(part.value) for part in node.keywords}
    try:
        return Block(*parts, **named)
    except TypeError:
        raise _not_understood(node, "a Block has a scope, a kind of unit and a list of units") from None


def _sum(node: ast.BinOp) -> Any:
    left, right = _value(node.left), _value(node.right)
    if not (isinstance(left, list | tuple) and type(left) is type(right)):
        raise _not_understood(node, "only lists can be added")
    _check_size(_size(left) + _size(right))
    return left + right


def _product(node: ast.BinOp) -> Any:
    left, right = _value(node.left), _value(node.right)
    listed, times = (right, left) if isinstance(left, int) else (left, right)
    if not (isinstance(listed, list | tuple) and isinstance(times, int)):
        raise _not_understood(node, "only a list can be multiplied, by a whole number")
    _check_size(_size(listed) * times)
    return listed * times


def _size(value: Any) -> int:
    """How many numbers and texts a value holds, an empty list counted as one."""
    if isinstance(value, dict):
        value = list(value.values())
    return sum(map(_size, value)) or 1 if isinstance(value, list | tuple) else 1


def _check_size(numbers: int) -> None:
    if numbers > MOST_NUMBERS:
        raise ValueError(f"blocks: {numbers:,} numbers are too many for a network, at most {MOST_NUMBERS:,} are read")


def _not_understood(node: ast.expr, why: str) -> ValueError:
    return ValueError(f"blocks, line {node.lineno}: {why}, got {_short(node)}")


def _short(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:57]}..."
