"""The int8 model for the CPU, near to the float one. Offline: needs the ``train`` extra.

onnxruntime quantises activations by one scale a tensor. A channel or two that run far ahead of the others (they do in
every BERT) then leave few of the 256 steps to the rest. Three remedies, each measured on :data:`SAMPLE`:

- channels are divided by factors before a product and the weights' rows multiplied by them, which changes nothing in
  float (SmoothQuant, Xiao et al. 2023); how far is chosen for each product;
- a product whose error stays above :data:`WORST` is left in float;
- a table of embeddings gets a scale for each row instead of one for all.

What is left in float is kept in half precision in the file. It is brought to eight bits piece by piece when the model is
loaded (models/tuning.py), which the operators that are written here can't do.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from models.tuning import in_eight_bits

Floats = NDArray[np.float32]

#: Text to measure on. Any clinical prose does; what counts is how far channels run apart, not what is said.
SAMPLE = tuple(
    """
68 year old man, known type 2 diabetes mellitus and hypertension, came with two days of central chest pain and sweating. On \
aspirin 100 mg OM, metformin 500 mg BD and atorvastatin 40 mg ON. BP 152/88, HR 96, RR 20, SpO2 94% on room air, afebrile.
Troponin I was 0.41 ug/L, creatinine 143 umol/L, Hb 9.8 g/dL. ECG showed ST depression in V4-V6; the chest X-ray had bilateral \
lower zone opacities. He underwent coronary angioplasty with a stent to the left anterior descending artery on day 2.
A 24-year-old woman was given isoniazid and rifampicin for tuberculous lymphadenitis and developed a rash, fever and hepatitis \
after 3 weeks. The drugs were stopped; serum transaminases fell within ten days (ALT 412 to 61 U/L). No seizures were seen.
Plan: IV ceftriaxone 2 g OD, hold warfarin till INR < 1.5; CT abdomen + pelvis with contrast; r/o sepsis, ?PE; KIV OGD. NBM from \
12 mn. Family history: mother had breast carcinoma at 52. Denies haematuria, weight loss or night sweats. TCU 2/52 c FBC, U/E/Cr.
Well, I saw your mother this morning, and she's doing okay. She told me that her knees still hurt when she climbs the stairs, and \
that she has been taking Tylenol for it. So what I'd like to do is go ahead and order an X-ray of both knees, all right?
Intracerebroventricular angiotensin II (100 ng) increased arterial pressure in spontaneously hypertensive rats; pretreatment with \
losartan or lithium chloride attenuated this effect (P<0.05), which suggests that dopamine D2 receptors are involved in it.
Physical examination revealed a firm, non-tender 3 x 2 cm mass in the right upper quadrant with hepatosplenomegaly. Histopathology \
of the biopsy disclosed non-caseating granulomas, and immunohistochemistry was positive for CD20, BCL-6 and MUM-1 (Ki-67 80%).
Discharge medications: 1) furosemide 40 mg PO every morning 2) spironolactone 25 mg daily 3) bisoprolol 2.5 mg 4) salbutamol MDI \
2 puffs q6h PRN 5) Mixtard 20 units pre-breakfast, 12 units pre-dinner 6) paracetamol 1 g TDS for 5 days if there is pain.
""".replace("\\\n", "")
    .strip()
    .splitlines()
)
#: Relative error of a product's output above which it stays in float.
WORST = 0.025
#: How much of a channel's lead is taken off it; 0 leaves it as it is.
_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
_LARGE = 100_000  # numbers in a table that is worth packing


def quantise(source: Path, target: Path, rows: Sequence[NDArray[np.int32]]) -> None:
    """Writes the int8 model.

    Args:
        source: float graph, its attention fused or not.
        target: file to write.
        rows: pieces of :data:`SAMPLE`, special ones included, a row for each text.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    in_float = _smooth(model.graph, _inputs_of_products(source, rows))
    with tempfile.TemporaryDirectory() as scratch:
        smooth = Path(scratch) / "smooth.onnx"
        onnx.save(model, smooth)
        quantize_dynamic(
            str(smooth),
            str(target),
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,  # the zero points are those of signed weights; the weights themselves are written below
            op_types_to_quantize=["MatMul", "Attention", "Gemm", "Gather"],
            nodes_to_exclude=in_float,
            # Shapes behind fused operators can't be inferred; every tensor that is quantised is a float.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
    packed = onnx.load(target)
    _finer(packed.graph, model.graph)
    _pack(packed.graph, frozenset(in_float))
    onnx.save(packed, target)


def _finer(graph: onnx.GraphProto, smooth: onnx.GraphProto) -> None:
    """Weights in as many steps as fit (:func:`models.tuning.in_eight_bits`), in place of half the range."""
    packed = {each.name: each for each in graph.initializer}
    weights = {each.name: each for each in smooth.initializer}
    for node in _products(smooth):
        name = node.input[1]
        if f"{name}_quantized" in packed:
            for part, value in zip(
                ("quantized", "scale"), in_eight_bits(numpy_helper.to_array(weights[name])), strict=True
            ):
                packed[f"{name}_{part}"].CopyFrom(numpy_helper.from_array(value, f"{name}_{part}"))


def _products(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Nodes that multiply by a matrix of weights that no other node uses."""
    used = Counter(name for node in graph.node for name in node.input)
    matrices = {
        each.name
        for each in graph.initializer
        if len(each.dims) == 2 and each.data_type == onnx.TensorProto.FLOAT
    }
    return [
        node
        for node in graph.node
        if node.op_type in {"MatMul", "Attention"} and node.input[1] in matrices and used[node.input[1]] == 1
    ]


def _inputs_of_products(source: Path, rows: Sequence[NDArray[np.int32]]) -> dict[str, list[Floats]]:
    """What flows into each product, for each row: ``[pieces, channels]``."""
    import onnxruntime as ort

    model = onnx.load(source)
    names = sorted({node.input[0] for node in _products(model.graph)})
    for name in names:
        model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: dict[str, list[Floats]] = {name: [] for name in names}
    for row in rows:
        ids = row.astype(np.int64)[None]
        known = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        answers = session.run(names, {each.name: known[each.name] for each in session.get_inputs()})
        for name, values in zip(names, answers, strict=True):
            found[name].append(values.reshape(-1, values.shape[-1]))
    return found


def _smooth(graph: onnx.GraphProto, inputs: Mapping[str, list[Floats]]) -> list[str]:
    """Evens channels out in place; returns the names of the products that are to stay in float."""
    weights = {each.name: each for each in graph.initializer}
    in_float: list[str] = []
    for node in _products(graph):
        kept = weights[node.input[1]]
        matrix = numpy_helper.to_array(kept)
        factors, error = _best_factors(inputs[node.input[0]], matrix)
        if error > WORST:
            in_float.append(node.name)
        elif factors is not None:
            kept.CopyFrom(numpy_helper.from_array(matrix * factors[:, None], kept.name))
            _divide_input(graph, node, factors)
    return in_float


def _best_factors(values: Sequence[Floats], matrix: Floats) -> tuple[Floats | None, float]:
    """Factors of the channels under which eight bits err least, and that error; None where none are best.

    Each share is judged on texts that its factors were not taken from: a channel that is quiet in one half of them may
    be loud in the other, and factors that drew it up would do harm.
    """
    halves = (values[::2], values[1::2])
    best: Floats | None = None
    error = _error(values, matrix, np.ones(len(matrix), np.float32))
    for share in _SHARES:
        judged = (_error(b, matrix, _factors(a, matrix, share)) for a, b in (halves, halves[::-1]))
        found = max(judged)
        if found < error:
            best, error = _factors(values, matrix, share), found
    return best, error


def _factors(values: Sequence[Floats], matrix: Floats, share: float) -> Floats:
    reach = np.maximum(np.max([np.abs(each).max(axis=0) for each in values], axis=0), 1e-3)
    weight = np.maximum(np.abs(matrix).max(axis=1), 1e-5)
    factors = reach**share / weight ** (1 - share)
    out: Floats = (factors / np.exp(np.log(factors).mean())).astype(np.float32)
    return out


def _error(values: Sequence[Floats], matrix: Floats, factors: Floats) -> float:
    """Of the product in eight bits, relative to its size."""
    scaled = matrix * factors[:, None]
    steps, step = in_eight_bits(scaled)
    scaled = steps * step
    wrong = size = 0.0
    for each in values:
        exact = each @ matrix
        wrong += float(((exact - _in_steps(each / factors) @ scaled) ** 2).sum())
        size += float((exact**2).sum())
    return float(np.sqrt(wrong / max(size, 1e-12)))


def _in_steps(values: Floats) -> Floats:
    """As onnxruntime quantises activations: 256 steps from the smallest to the largest, 0 among them."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    step = max(high - low, 1e-9) / 255
    zero = round(-low / step)
    out: Floats = ((np.clip(np.round(values / step) + zero, 0, 255) - zero) * step).astype(np.float32)
    return out


def _divide_input(graph: onnx.GraphProto, node: onnx.NodeProto, factors: Floats) -> None:
    name = f"{node.input[1]}_even"
    graph.initializer.append(numpy_helper.from_array((1 / factors).astype(np.float32), name))
    evened = helper.make_node("Mul", [node.input[0], name], [f"{node.name}_evened"], name=f"{node.name}_even")
    node.input[0] = evened.output[0]
    graph.node.insert(list(graph.node).index(node), evened)


def _pack(graph: onnx.GraphProto, in_float: frozenset[str]) -> None:
    """Float tables to half precision, those of embeddings to eight bits a row; onnxruntime unfolds them when it loads."""
    halves = {node.input[1] for node in graph.node if node.name in in_float}
    tables = {node.input[2] for node in graph.node if node.op_type == "EmbedLayerNormalization"}
    first: list[onnx.NodeProto] = []
    for kept in list(graph.initializer):
        if np.prod(kept.dims) < _LARGE or kept.name not in halves | tables:
            continue
        values = numpy_helper.to_array(kept)
        graph.initializer.remove(kept)
        if kept.name in halves:
            graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), f"{kept.name}_half"))
            first.append(_node("Cast", [f"{kept.name}_half"], kept.name, to=onnx.TensorProto.FLOAT))
            continue
        step = (np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-9) / 127).astype(np.float32)
        graph.initializer.append(
            numpy_helper.from_array(np.round(values / step).astype(np.int8), f"{kept.name}_steps")
        )
        graph.initializer.append(numpy_helper.from_array(step, f"{kept.name}_step"))
        first.append(_node("Cast", [f"{kept.name}_steps"], f"{kept.name}_whole", to=onnx.TensorProto.FLOAT))
        first.append(_node("Mul", [f"{kept.name}_whole", f"{kept.name}_step"], kept.name))
    for node in reversed(first):
        graph.node.insert(0, node)


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"{output}_{kind.lower()}", **attributes)
