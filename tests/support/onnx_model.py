"""Tiny ONNX models for tests, written byte by byte: means of a batch of pictures, and feature maps of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

FLOAT, UINT8 = 1, 2  # of TensorProto
_INT, _INTS = 2, 7  # of AttributeProto


def write_mean(
    path: Path, shape: Sequence[int | str], axes: Sequence[int], *, name: str = "x", kind: int = FLOAT
) -> Path:
    """A model `y = mean of x over axes`, x of that shape (names are free sizes); a uint8 x is cast first."""
    nodes = []
    source = name
    if kind != FLOAT:
        nodes.append(_node("Cast", source, "cast", _attribute("to", FLOAT, kind=_INT)))
        source = "cast"
    keep = _attribute("keepdims", 0, kind=_INT)
    nodes.append(_node("ReduceMean", source, "y", _attribute("axes", *axes, kind=_INTS), keep))
    remaining = [size for axis, size in enumerate(shape) if axis not in axes]
    return _write(path, nodes, _value(name, kind, shape), [_value("y", FLOAT, remaining)])


def write_pools(path: Path, shape: Sequence[int | str], layers: Mapping[str, tuple[str, int]]) -> Path:
    """A model of x (n x channels x height x width) whose outputs are feature maps.

    `layers` gives each output's operator (AveragePool, MaxPool) and the pixels of its square.
    """
    nodes = []
    for name, (operator, side) in layers.items():
        square, steps = (_attribute(field, side, side, kind=_INTS) for field in ("kernel_shape", "strides"))
        nodes.append(_node(operator, "x", name, square, steps))
    outputs = [_value(name, FLOAT, [*shape[:2], f"{name} rows", f"{name} columns"]) for name in layers]
    return _write(path, nodes, _value("x", FLOAT, shape), outputs)


def _write(path: Path, nodes: Sequence[bytes], source: bytes, outputs: Sequence[bytes]) -> Path:
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"test") + _field(11, source)
    graph += b"".join(_field(12, output) for output in outputs)
    path.write_bytes(_number(1, 8) + _field(7, graph) + _field(8, _field(1, b"") + _number(2, 13)))
    return path


def _node(operator: str, source: str, target: str, *attributes: bytes) -> bytes:
    fields = _field(1, source.encode()) + _field(2, target.encode()) + _field(4, operator.encode())
    return fields + b"".join(_field(5, attribute) for attribute in attributes)


def _attribute(name: str, *values: int, kind: int) -> bytes:
    fields = b"".join(_number(3 if kind == _INT else 8, value) for value in values)
    return _field(1, name.encode()) + fields + _number(20, kind)


def _value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(
        _field(1, _number(1, size) if isinstance(size, int) else _field(2, size.encode())) for size in shape
    )
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, sizes)))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
