"""Any token-classification model of transformers to an artifact. Offline: needs the ``train`` extra.

optimum writes the graph; onnxruntime fuses attention in it, makes the int8 model for the CPU and the fp16 model for a GPU.
The fused graph is compared with the plain one before it is kept, since a wrong fusion is silent (onnxruntime issue 18945).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from engine.errors import SettingsError
from models.artifact import CALIBRATION, CARD, FP16, FP32, INT8, LABELS, TOKENIZER, Artifact, Input, seal
from models.calibration import Calibration
from models.corpora.names import label_map
from models.outputs import Outputs, Scheme, outputs_of
from models.windows import Frame, cut
from models.words import Pieced, split_words

#: Windows of the runtime: as long as training's, since attention's cost grows with their square.
LONGEST, OVERLAP = 256, 64
#: How far a fused graph's logits may be from the plain one's; float32 noise is 1e-5.
FUSION_TOLERANCE = 1e-2


PRECISIONS = ("int8", "fp16", "fp32")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the artifact shall be.

    Attributes:
        model_id: stable name.
        version: the maker's version.
        labels: ``NAME=LABEL,...`` on top of the built-in names.
        scheme: how the model marks beginnings; told from its labels when None (IOB1 can't be told).
        precisions: of :data:`PRECISIONS`.
        languages: BCP 47 primary tags the model was made for.
        longest: pieces in a window at most.
    """

    model_id: str
    version: str = "1.0.0"
    labels: str = ""
    scheme: Scheme | None = None
    precisions: tuple[str, ...] = ("int8", "fp16")
    languages: tuple[str, ...] = ("en",)
    longest: int = LONGEST


def export(
    source: str,
    out: Path,
    wanted: Wanted,
    *,
    card: str = "",
    calibration: Calibration | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Artifact:
    """Makes the artifact, beside its place: a folder named ``out`` is whole, however an earlier try ended.

    Args:
        source: hub id or folder of a transformers model with a fast tokenizer.
        out: new or empty folder.
        wanted: see :class:`Wanted`.
        card: text of the model card; a plain one that says what is not known when empty.
        calibration: of its scores; none when it was never measured.
        facts: further entries of the manifest.

    Raises:
        SettingsError: ``out`` is not empty, the model can't be exported, or none of its labels is known.
    """
    require_new(out)
    making = out.with_name(f"{out.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "plain"
        _to_onnx(source, plain)
        config = json.loads((plain / "config.json").read_text(encoding="utf-8"))
        outputs = outputs_of(_names(config), label_map(wanted.labels), wanted.scheme)
        making.mkdir(parents=True)
        made_from = _tokenizer(plain, making, config, wanted)
        fused = _fused(plain / "model.onnx", Path(scratch) / "fused.onnx", config)
        if "fp32" in wanted.precisions:
            shutil.copy(fused, making / FP32)
        if "int8" in wanted.precisions:
            _int8(fused, making, made_from.frame)
        if "fp16" in wanted.precisions:
            _fp16(fused, making / FP16, config)
    _write(making / LABELS, outputs.as_json())
    _write(making / CALIBRATION, (calibration or Calibration()).as_json())
    (making / CARD).write_text(card or _plain_card(source, outputs, wanted), encoding="utf-8")
    seal(
        making,
        model_id=wanted.model_id,
        base_version=wanted.version,
        made_from=made_from,
        facts={"languages": list(wanted.languages), **(facts or {})},
    )
    if out.exists():
        out.rmdir()
    making.rename(out)
    return Artifact(out)


def require_new(out: Path) -> None:
    """Refuse a folder that something is in already. Raises SettingsError."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"{out} is not empty", location="--out", action="Name a new folder.")


def _to_onnx(source: str, folder: Path) -> None:
    from optimum.exporters.onnx import main_export

    try:
        main_export(source, folder, task="token-classification", do_validation=False)
    except Exception as error:
        raise SettingsError(
            f"{source} can't be exported as a token-classification model ({type(error).__name__}: {error})",
            location="MODEL",
            action="Name a hub id that can be reached, or a folder with config.json, weights and tokenizer.json.",
        ) from error
    if not (folder / TOKENIZER).is_file():
        raise SettingsError(
            f"{source} has no fast tokenizer",
            location="MODEL",
            action="Save it with AutoTokenizer.from_pretrained(..., use_fast=True) beside the model.",
        )


def _names(config: Mapping[str, Any]) -> list[str]:
    names = {int(index): str(name) for index, name in config["id2label"].items()}
    return [names[index] for index in range(len(names))]


def _tokenizer(plain: Path, out: Path, config: Mapping[str, Any], wanted: Wanted) -> Input:
    """Writes the tokenizer for input split into words and says what the model is fed."""
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(plain)
    kept = json.loads((plain / TOKENIZER).read_text(encoding="utf-8"))
    _space_before_words(kept.get("pre_tokenizer") or {})
    kept["truncation"] = kept["padding"] = None
    _write(out / TOKENIZER, kept, indent=None)
    around = loaded.build_inputs_with_special_tokens([-1])
    at = around.index(-1)
    # RoBERTa and its kin keep the first positions up to the padding's own for themselves.
    positions = int(config.get("max_position_embeddings") or wanted.longest)
    if config.get("model_type") in {"roberta", "xlm-roberta", "camembert"}:
        positions -= int(config.get("pad_token_id") or 1) + 1
    longest = min(wanted.longest, positions, int(loaded.model_max_length))
    frame = Frame(tuple(around[:at]), tuple(around[at + 1 :]), longest, min(OVERLAP, longest // 4))
    names = tuple(name for name in loaded.model_input_names if name != "special_tokens_mask")
    return Input(names, int(loaded.pad_token_id or 0), frame)


def _space_before_words(step: dict[str, Any]) -> None:
    """Words come one by one; byte-level BPE and SentencePiece must see each as if a space stood before it."""
    for inner in step.get("pretokenizers", ()):
        _space_before_words(inner)
    if step.get("type") == "ByteLevel":
        step["add_prefix_space"] = True
    elif step.get("type") == "Metaspace":
        step["prepend_scheme"] = "always"


def _fused(plain: Path, target: Path, config: Mapping[str, Any]) -> Path:
    """The graph with fused attention, or the plain one where fusion is unknown or changes the answers."""
    from onnxruntime.transformers.optimizer import optimize_model

    heads = int(config.get("num_attention_heads") or 0)
    hidden = int(config.get("hidden_size") or 0)
    try:
        model = optimize_model(
            str(plain), model_type="bert", num_heads=heads, hidden_size=hidden, opt_level=0
        )
        model.save_model_to_file(str(target))
        same = _distance(plain, target, int(config["vocab_size"])) < FUSION_TOLERANCE
    except Exception:  # noqa: BLE001 - fusing is a matter of speed alone; any trouble leaves the graph as it is
        return plain
    return target if same else plain


def _distance(one: Path, other: Path, vocabulary: int) -> float:
    """Largest difference of two graphs' logits on random pieces with padding."""
    import onnxruntime as ort

    chance = np.random.default_rng(0)
    ids = chance.integers(5, vocabulary, (3, 40))
    mask = np.ones_like(ids)
    mask[1, 25:] = 0
    known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    answers = []
    for path in (one, other):
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        feeds = {each.name: known[each.name] for each in session.get_inputs()}
        answers.append(session.run(None, feeds)[0][mask.astype(bool)])
    return float(np.abs(answers[0] - answers[1]).max())


def _int8(fused: Path, out: Path, frame: Frame) -> None:
    from models.quantising import SAMPLE, quantise

    pieced = Pieced(Tokenizer.from_file(str(out / TOKENIZER)))
    words = [split_words(text) for text in SAMPLE]
    sample = [window.ids for pieces in pieced.many(SAMPLE, words) for window in cut(pieces, frame)]
    quantise(fused, out / INT8, sample)


def _fp16(fused: Path, target: Path, config: Mapping[str, Any]) -> None:
    from onnxruntime.transformers.optimizer import optimize_model

    model = optimize_model(
        str(fused),
        model_type="bert",
        num_heads=int(config.get("num_attention_heads") or 0),
        hidden_size=int(config.get("hidden_size") or 0),
        opt_level=0,
    )
    model.convert_float_to_float16(keep_io_types=True)
    model.save_model_to_file(str(target))


def _write(path: Path, content: Any, indent: int | None = 2) -> None:
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain_card(source: str, outputs: Outputs, wanted: Wanted) -> str:
    rows = "\n".join(
        f"| {name} | {outputs.tags[index]} |"
        for name, index in zip(outputs.names, outputs.target, strict=True)
    )
    return (
        f"# {wanted.model_id} {wanted.version}\n\n"
        f"Exported from `{source}`. Who trained it, on what and under which licence is to be written here by whoever\n"
        "puts it to work. Its scores are not calibrated. It is not a medical device.\n\n"
        f"| output | counts as |\n|---|---|\n{rows}\n"
    )
