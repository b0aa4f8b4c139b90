"""The shipped weights as other runtimes want them: transformers' pipeline("ner") in PyTorch, and a float32 artifact.

The torch weights of the shipped model were not kept, and need not be: the half-precision ONNX file holds every number
of them, to half precision. They are put back under the names that ``BertForTokenClassification`` gives them. That
the two compute the same is checked each time, on logits. Needs the ``train`` extra (torch, transformers, onnx).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from models.artifact import CALIBRATION, CARD, FP16, FP32, LABELS, TOKENIZER, Artifact, seal
from models.session import Device, Session

#: Difference of a logit between torch and onnxruntime, both in float32, above which something is named wrongly.
ALIKE = 1e-3


def float_artifact(folder: Path, out: Path) -> Artifact:
    """The artifact with a float32 model in place of the others: the same graph, the same weights, unfolded from halves."""
    import onnx
    from onnx import TensorProto, numpy_helper

    model = onnx.load(folder / FP16)
    for kept in model.graph.initializer:
        if kept.data_type == TensorProto.FLOAT16:
            kept.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kept).astype(np.float32), kept.name))
    for value in (*model.graph.value_info, *model.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    out.mkdir(parents=True)
    for name in (TOKENIZER, LABELS, CALIBRATION, CARD):
        shutil.copy(folder / name, out / name)
    onnx.save(model, out / FP32)
    shipped = Artifact(folder)
    return seal(
        out, model_id=shipped.model_id, base_version="float32", made_from=shipped.input,
        facts={"languages": list(shipped.languages)},
    )  # fmt: skip


def torch_model(folder: Path) -> Any:
    """``BertForTokenClassification`` with the artifact's weights."""
    import onnx
    import torch
    from onnx import numpy_helper
    from transformers import BertConfig, BertForTokenClassification

    graph = onnx.load(folder / FP16).graph
    given = {each.name: numpy_helper.to_array(each).astype(np.float32) for each in graph.initializer}
    state = {name: value for name, value in given.items() if name.startswith(("bert.", "classifier."))}
    layer = heads = 0
    for node in graph.node:
        if node.op_type == "Attention":
            heads = next(a.i for a in node.attribute if a.name == "num_heads")
            for part, (weight, bias) in zip(
                ("query", "key", "value"),
                zip(
                    np.split(given[node.input[1]], 3, axis=1), np.split(given[node.input[2]], 3), strict=True
                ),
                strict=True,
            ):
                name = f"bert.encoder.layer.{layer}.attention.self.{part}"
                state |= {f"{name}.weight": weight.T, f"{name}.bias": bias}
            layer += 1
        elif node.op_type == "MatMul":
            # "/bert/encoder/layer.0/attention/output/dense/MatMul_output_0" or "/classifier/MatMul_output_0"
            name = node.output[0].strip("/").rpartition("/MatMul")[0].replace("/", ".")
            state[f"{name}.weight"] = given[node.input[1]].T
    names = [
        output["name"] for output in json.loads((folder / LABELS).read_text(encoding="utf-8"))["outputs"]
    ]
    words = state["bert.embeddings.word_embeddings.weight"]
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=words.shape[1],
        num_hidden_layers=layer,
        num_attention_heads=heads,
        intermediate_size=len(state["bert.encoder.layer.0.intermediate.dense.bias"]),
        id2label=dict(enumerate(names)),
        label2id={name: at for at, name in enumerate(names)},
    )
    model = BertForTokenClassification(config).eval()
    missing, extra = model.load_state_dict(
        {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in state.items()}, strict=False
    )
    if extra or set(missing) - {"bert.embeddings.position_ids"}:
        raise ValueError(f"the graph's names are not BERT's: missing {missing}, unknown {extra}")
    return model


def tokenizer_of(folder: Path, longest: int) -> Any:
    """transformers' fast tokenizer of the artifact."""
    from transformers import BertTokenizerFast

    return BertTokenizerFast(tokenizer_file=str(folder / TOKENIZER), model_max_length=longest)


def difference(model: Any, session: Session, rows: list[Any]) -> float:
    """The largest difference of a logit between the two, over rows of pieces."""
    import torch

    with torch.inference_mode():
        return max(
            float(
                np.abs(
                    model(torch.from_numpy(row.astype(np.int64))[None]).logits[0].numpy()
                    - session.run([row])[0]
                ).max()
            )
            for row in rows
        )


def check(folder: Path, full: Artifact) -> None:
    """Raises ValueError where torch and onnxruntime do not compute the same of the weights."""
    rows = [np.arange(2000, 2000 + size, dtype=np.int32) for size in (8, 64, 200)]
    found = difference(torch_model(folder), Session(full, Device.CPU, 1), rows)
    if found > ALIKE:
        raise ValueError(f"logits of the same weights differ by {found:.2g} between torch and onnxruntime")
