"""A model as a folder of pinned files: what it holds, and proof that nobody changed it.

::

    artifact.json      id, version, sha256 and size of every other file, the model's input, how it was made
    model-int8.onnx    for the CPU             model-fp16.onnx   for a GPU (optional; at least one of the two)
    tokenizer.json     Hugging Face "fast" tokenizer
    labels.json        what each output means  calibration.json  raw scores to how often they are right
    card.md            the model card

The version ends in a digest over all files, so that two models that may answer differently never share one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.errors import SettingsError
from models.calibration import Calibration
from models.outputs import Outputs
from models.windows import Frame

MANIFEST = "artifact.json"
INT8, FP16, FP32 = "model-int8.onnx", "model-fp16.onnx", "model-fp32.onnx"
TOKENIZER, LABELS, CALIBRATION, CARD = "tokenizer.json", "labels.json", "calibration.json", "card.md"
REQUIRED = (TOKENIZER, LABELS, CALIBRATION, CARD)
FORMAT = 1
#: Where the model that ships lives, and where sites keep theirs unless they say otherwise.
SHIPPED = Path(__file__).parent / "artifacts"


@dataclass(frozen=True, slots=True)
class Input:
    """What the model wants to be fed.

    Attributes:
        names: names of the graph's inputs; ``token_type_ids`` is all zeros where asked for.
        pad: id that fills the end of a row.
        frame: special pieces, window length and overlap.
    """

    names: tuple[str, ...]
    pad: int
    frame: Frame

    def as_json(self) -> dict[str, Any]:
        return {
            "names": list(self.names),
            "pad": self.pad,
            "before": list(self.frame.before),
            "after": list(self.frame.after),
            "longest": self.frame.longest,
            "overlap": self.frame.overlap,
        }


class Artifact:
    """An artifact whose files were proven to be those of its manifest.

    Raises:
        SettingsError: no artifact there, a file missing or changed, or a manifest of another format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = _manifest(folder)
        self._verify()

    @property
    def model_id(self) -> str:
        return str(self.manifest["id"])

    @property
    def version(self) -> str:
        return str(self.manifest["version"])

    @cached_property
    def input(self) -> Input:
        kept = self.manifest["input"]
        frame = Frame(tuple(kept["before"]), tuple(kept["after"]), kept["longest"], kept["overlap"])
        return Input(tuple(kept["names"]), kept["pad"], frame)

    @cached_property
    def outputs(self) -> Outputs:
        return Outputs.from_json(self._json(LABELS))

    @cached_property
    def calibration(self) -> Calibration:
        return Calibration.from_json(self._json(CALIBRATION))

    @property
    def languages(self) -> tuple[str, ...]:
        """BCP 47 primary tags of the languages it was made for."""
        return tuple(self.manifest.get("languages", ("en",)))

    def path(self, name: str) -> Path:
        return self.folder / name

    def has(self, name: str) -> bool:
        return name in self.manifest["files"]

    def _json(self, name: str) -> Any:
        return json.loads(self.path(name).read_text(encoding="utf-8"))

    def _verify(self) -> None:
        listed: Mapping[str, Mapping[str, Any]] = self.manifest["files"]
        missing = [name for name in REQUIRED if name not in listed]
        if missing or not any(name in listed for name in (INT8, FP16, FP32)):
            raise _broken(self.folder, f"lists no {', '.join(missing) or 'model'}")
        for name, facts in listed.items():
            path = self.folder / name
            if Path(name).name != name or not path.is_file():
                raise _broken(self.folder, f"has no {name}")
            if path.stat().st_size != facts["bytes"] or sha256(path) != facts["sha256"]:
                raise _broken(self.folder, f"has another {name} than its manifest was made for")
        if version_of(str(self.manifest["base_version"]), listed) != self.version:
            raise _broken(self.folder, "has a version that is not its files' own")


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def version_of(base: str, files: Mapping[str, Mapping[str, Any]]) -> str:
    """``1.0.0+3f2a9c0b1d4e``: the maker's version and a digest of the files' digests."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {files[name]['sha256']}\n".encode())
    return f"{base}+{digest.hexdigest()[:12]}"


def seal(
    folder: Path, *, model_id: str, base_version: str, made_from: Input, facts: Mapping[str, Any]
) -> Artifact:
    """Writes the manifest over the files of a folder and reads the artifact back.

    Args:
        folder: holds all files but the manifest.
        model_id: stable name of the model.
        base_version: the maker's version, such as ``1.0.0``.
        made_from: what the graph is fed.
        facts: further entries of the manifest: ``training``, ``languages``, ``evaluation``.
    """
    files = {
        path.name: {"sha256": sha256(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != MANIFEST
    }
    manifest = {
        "format": FORMAT,
        "id": model_id,
        "version": version_of(base_version, files),
        "base_version": base_version,
        "files": files,
        "input": made_from.as_json(),
        **facts,
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return Artifact(folder)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file() and folder == SHIPPED / "default":
        raise SettingsError(
            f"The model that ships is missing: there is no {path}",
            location="nlp.extractor",
            action="Install Wardstream again, or set WARDSTREAM_NLP__EXTRACTOR to rules or to an artifact's folder.",
        )
    if not path.is_file():
        raise SettingsError(
            f"There is no model artifact in {folder}",
            location="nlp.extractor",
            action="Name rules, default, or a folder made by 'wardstream models train' or 'models export'.",
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        known = manifest["format"] == FORMAT and all(
            key in manifest for key in ("id", "version", "base_version", "files", "input")
        )
    except (ValueError, TypeError, KeyError):
        known = False
    if not known:
        raise _broken(folder, f"has a manifest that is not of format {FORMAT}")
    return dict(manifest)


def _broken(folder: Path, what: str) -> SettingsError:
    return SettingsError(
        f"The model artifact in {folder} {what}",
        location="nlp.extractor",
        action="Copy the whole folder again from where it was made, or make it again; its files are pinned.",
    )
