"""The graph as a CPU runs it: fewer and faster operators, the same answers as the file gives."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.artifact import INT8, SHIPPED, Artifact
from models.session import Device, Session
from models.tuning import UNWANTED, in_eight_bits, tuned

FOLDER = SHIPPED / "default"
ROWS = [
    np.array([101, *np.random.default_rng(seed).integers(1000, 29000, size), 102], np.int32)
    for seed, size in ((1, 5), (2, 60), (3, 250))
]


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(Artifact(FOLDER), Device.CPU, 1)


def options() -> ort.SessionOptions:
    chosen = ort.SessionOptions()
    chosen.log_severity_level = 3
    return chosen


def run(model: bytes | str, feeds: dict[str, NDArray[np.generic]], unwanted: tuple[str, ...] = ()) -> object:
    opened = ort.InferenceSession(
        model, options(), providers=["CPUExecutionProvider"], disabled_optimizers=list(unwanted)
    )
    return opened.run(None, feeds)[0]


def test_windows_of_one_call_do_not_touch_each_other(session: Session) -> None:
    """The tuned graph has no mask: a short window read beside a long one must not see padding."""
    together = session.run(ROWS)
    for at, row in enumerate(ROWS):
        alone = session.run([row])[0]
        assert np.array_equal(together[at, : len(row)], alone)


def test_the_shipped_model_answers_as_its_file_does(session: Session) -> None:
    """Against the file as onnxruntime runs it untouched: the same tags, and probabilities as near as eight bits are."""
    plain = ort.InferenceSession(str(FOLDER / INT8), options(), providers=["CPUExecutionProvider"])
    same = words = 0
    for row in ROWS:
        ids = row.astype(np.int64)[None]
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        before, after = plain.run(None, feeds)[0][0], session.run([row])[0]
        same += int((before.argmax(axis=-1) == after.argmax(axis=-1)).sum())
        words += len(row)
        assert np.sqrt(((before - after) ** 2).mean()) < 0.1 * before.std()
    assert same >= 0.97 * words


def test_what_is_slow_is_gone() -> None:
    """No slow normalisation and no product of floats is left in the shipped graph."""
    model = tuned(FOLDER / INT8)
    assert isinstance(model, bytes)
    kinds = Counter(node.op_type for node in onnx.load_from_string(model).graph.node)
    assert not {"SkipLayerNormalization", "BiasGelu", "MatMul"} & kinds.keys()
    assert kinds["LayerNormalization"] == 12


def graph(
    nodes: list[onnx.NodeProto], weights: dict[str, NDArray[np.generic]], opset: int = 18
) -> onnx.ModelProto:
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")}
    kept = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    made = helper.make_graph(nodes, "g", [values["x"]], [values["y"]], kept)
    sets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=sets, ir_version=9)


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


def half_product() -> tuple[list[onnx.NodeProto], dict[str, NDArray[np.generic]]]:
    weights = np.random.default_rng(4).normal(size=(64, 32)).astype(np.float16)
    nodes = [
        helper.make_node("Cast", ["w_half"], ["w"], name="unfold", to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "w"], ["y"], name="product"),
    ]
    return nodes, {"w_half": weights}


def test_pieces_of_very_different_size_are_multiplied_alike(tmp_path: Path) -> None:
    """The reason why these products were left in float: with one scale the small rows would come out as noise."""
    nodes, weights = half_product()
    path = saved(graph(nodes, weights), tmp_path)
    sizes = np.array([[100.0], [1.0], [0.01], [0.0]], np.float32)
    x = (np.random.default_rng(5).normal(size=(4, 64)) * sizes).astype(np.float32)
    exact, got = x @ weights["w_half"].astype(np.float32), run(tuned(path), {"x": x}, UNWANTED)
    assert isinstance(got, np.ndarray)
    error = np.linalg.norm(exact - got, axis=1) / np.maximum(np.linalg.norm(exact, axis=1), 1e-6)
    assert error.max() < 0.03
    assert not got[3].any()


def test_weights_use_the_steps_that_fit_without_overflow() -> None:
    """The largest activations against the largest weights of one sign, multiplied by the processor at hand."""
    matrix = np.random.default_rng(8).normal(size=(65, 48)).astype(np.float32)
    matrix[10:12, 0] = matrix[20:22, 1] = 9.0  # neighbours
    matrix[30:32, 2] = -9.0
    matrix[40, 3] = 9.0  # alone
    steps, step = in_eight_bits(matrix)
    assert np.abs(matrix - steps * step).max() <= 0.5001 * step.max()
    assert (np.abs(steps[:, :3]).max(axis=0) <= 64).all()
    assert steps[40, 3] > 100
    assert np.median(np.abs(steps).max(axis=0)) > 75  # half the range would end at 63
    rows = np.concatenate([(steps.T > 0), (steps.T < 0)]).astype(np.uint8) * 255
    product = helper.make_node("MatMulInteger", ["x", "w"], ["y"], name="product")
    made = graph([product], {"w": steps})
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.INT32
    got = run(bytes(made.SerializeToString()), {"x": rows})
    assert np.array_equal(got, rows.astype(np.int64) @ steps.astype(np.int64))


def test_a_sum_that_is_asked_for_keeps_its_operator(tmp_path: Path) -> None:
    """SkipLayerNormalization can also give out the sum; other graphs use that."""
    rng = np.random.default_rng(6)
    weights = {name: rng.normal(size=8).astype(np.float32) for name in ("g", "b")}
    skip = helper.make_node(
        "SkipLayerNormalization",
        ["x", "x", "g", "b"],
        ["n", "", "", "y"],
        name="skip",
        domain="com.microsoft",
        epsilon=1e-5,
    )
    path = saved(graph([skip], weights), tmp_path)
    x = rng.normal(size=(1, 3, 8)).astype(np.float32)
    assert np.array_equal(run(tuned(path), {"x": x}, UNWANTED), run(str(path), {"x": x}))


def test_an_old_graph_stays_as_it_is(tmp_path: Path) -> None:
    """Operator sets before 18 have no such operators."""
    nodes, weights = half_product()
    path = saved(graph(nodes, weights, opset=13), tmp_path)
    assert tuned(path) == str(path)
