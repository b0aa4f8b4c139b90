"""A model's graph as a CPU runs it fastest: same weights, other operators. Done in memory when a model is loaded.

Three things, each measured on one core with AVX2 and without VNNI (onnxruntime 1.31):

- ``SkipLayerNormalization`` takes six times as long as the additions and the ``LayerNormalization`` it stands for.
- A window is run alone, without padding, so attention needs no mask.
- Products whose inputs vary too much for one scale of eight bits were left in float by the export. They are brought to
  eight bits here: each piece's numbers are divided by the largest of them, and the product is multiplied by it again.
  They then err as little as the other products do (``models/quantising.py`` has that bound).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

#: Fusions of onnxruntime that would undo what is done here.
UNWANTED = ("SkipLayerNormFusion", "BiasGeluFusion")
#: Without VNNI two neighbouring products are added in sixteen bits, and overflow in silence. With numbers of up to 255
#: they can't where two neighbouring weights of one sign make no more than this together (255 * 128 < 2**15).
_PAIR = 128
#: Added to the largest number of a piece: a piece of zeros is divided by something.
_TINY = 1e-6
#: Older operator sets lack what is put in.
_OPSET = 18
#: Bytes of a file above which it is left alone: there would be three copies of it for a while, and protobuf ends at 2 GB.
_LARGEST = 1_000_000_000
_MICROSOFT = "com.microsoft"
#: Which input of an attention operator is its mask.
_MASKS = {"Attention": 3, "QAttention": 5}


def tuned(path: Path) -> bytes | str:
    """The graph in a file, rewritten for runs of one window without padding; or its path, if it has to stay as it is."""
    if path.stat().st_size > _LARGEST:
        return str(path)
    model = onnx.load(path)
    if any(not each.domain and each.version < _OPSET for each in model.opset_import):
        return str(path)
    graph = model.graph
    known = {each.name: each for each in graph.initializer}
    halves = {
        node.output[0]: known[node.input[0]]
        for node in graph.node
        if node.op_type == "Cast"
        and node.input[0] in known
        and known[node.input[0]].data_type == onnx.TensorProto.FLOAT16
    }
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type in _MASKS:
            _unmask(node)
        change = _CHANGES.get(node.op_type)
        if node.op_type == "MatMul" and node.input[1] in halves:
            nodes += _in_rows(graph, node, numpy_helper.to_array(halves[node.input[1]]))
        elif node.output[0] not in halves:
            nodes += change(node) if change else [node]
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    for kept in halves.values():
        if kept.name not in used:
            graph.initializer.remove(kept)
    return bytes(model.SerializeToString())


def _unmask(node: onnx.NodeProto) -> None:
    place = _MASKS[node.op_type]
    if len(node.input) > place:
        node.input[place] = ""


def _plain_norm(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Additions and a layer normalisation; left alone where the sum itself is asked for."""
    if any(node.output[1:]):
        return [node]
    first, skip, scale, *rest = node.input
    shift, bias = ([*rest, "", ""])[:2]
    nodes: list[onnx.NodeProto] = []
    if bias:
        nodes.append(_node("Add", [first, bias], f"{node.name}_biased"))
        first = f"{node.name}_biased"
    nodes.append(_node("Add", [first, skip], f"{node.name}_sum"))
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-12)
    norm = helper.make_node(
        "LayerNormalization",
        [f"{node.name}_sum", scale, *([shift] if shift else [])],
        [node.output[0]],
        name=node.name,
        axis=-1,
        epsilon=epsilon,
    )
    return [*nodes, norm]


def _plain_gelu(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The addition apart: onnxruntime makes it a part of the product before."""
    added = f"{node.name}_biased"
    gelu = helper.make_node("Gelu", [added], [node.output[0]], name=node.name, domain=_MICROSOFT)
    return [_node("Add", list(node.input), added), gelu]


_CHANGES: dict[str, Callable[[onnx.NodeProto], list[onnx.NodeProto]]] = {
    "SkipLayerNormalization": _plain_norm,
    "BiasGelu": _plain_gelu,
}


def in_eight_bits(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix of weights in steps, and the size of a step for each column.

    As fine as a product can take without an overflow on any processor. Half the range, which onnxruntime's guide asks for
    (``reduce_range``), is only needed where the two largest weights of a column are neighbours; most columns take 1.6
    times as many steps.
    """
    padded = np.pad(matrix, ((0, len(matrix) % 2), (0, 0)))
    pairs = np.maximum(np.stack([padded, -padded]), 0).reshape(2, -1, 2, matrix.shape[1])
    # One less than the limit: both of a pair may be rounded up by half a step.
    step = np.maximum(pairs.max(axis=(0, 1, 2)), pairs.sum(axis=2).max(axis=(0, 1))) / (_PAIR - 1)
    step = np.maximum(step, 1e-9).astype(np.float32)
    return np.round(matrix / step).astype(np.int8), step


def _in_rows(graph: onnx.GraphProto, node: onnx.NodeProto, half: NDArray[np.float16]) -> list[onnx.NodeProto]:
    """The product in eight bits, each row of its input drawn to the same size before and back after."""
    name = node.name or node.output[0]
    matrix = half.astype(np.float32)
    steps, step = in_eight_bits(matrix)
    constants = {
        f"{name}_steps": steps,
        f"{name}_step": step,
        f"{name}_zero": np.zeros(matrix.shape[1], np.int8),
        f"{name}_tiny": np.float32(_TINY),
        f"{name}_axis": np.array([-1], np.int64),
    }
    graph.initializer.extend(numpy_helper.from_array(np.asarray(v), key) for key, v in constants.items())
    source = node.input[0]
    product = helper.make_node(
        "DynamicQuantizeMatMul",
        [f"{name}_even", f"{name}_steps", f"{name}_step", f"{name}_zero"],
        [f"{name}_product"],
        name=name,
        domain=_MICROSOFT,
    )
    return [
        _node("Abs", [source], f"{name}_abs"),
        _node("ReduceMax", [f"{name}_abs", f"{name}_axis"], f"{name}_max"),
        _node("Add", [f"{name}_max", f"{name}_tiny"], f"{name}_size"),
        _node("Div", [source, f"{name}_size"], f"{name}_even"),
        product,
        _node("Mul", [f"{name}_product", f"{name}_size"], node.output[0]),
    ]


def _node(kind: str, inputs: list[str], output: str) -> onnx.NodeProto:
    made: onnx.NodeProto = helper.make_node(kind, inputs, [output], name=output)
    return made
