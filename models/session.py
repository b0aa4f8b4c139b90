"""ONNX Runtime: which device computes, and one run of one batch.

onnxruntime-gpu imports on a machine without CUDA, but asked for the CUDA provider there it prints alarming errors and
falls back in silence. So it is found out first, without onnxruntime, whether CUDA works, and asked only for what does.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from engine.errors import ExtractorError, SettingsError
from models.artifact import FP16, FP32, INT8, Artifact
from models.tuning import UNWANTED, tuned

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
#: What each device prefers, best first. Integer matrix products do not run on the CUDA provider.
_FILES = {CUDA: (FP16, FP32), CPU: (INT8, FP32)}


class Device(StrEnum):
    """Where to compute: ``auto`` takes CUDA where it works; ``cuda`` refuses to start where it does not."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@cache
def why_no_cuda() -> str:
    """Why CUDA can't be used here, as a clause; "" where it can. Prints nothing."""
    if CUDA not in ort.get_available_providers():
        return "this onnxruntime was built without CUDA"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver (libcuda.so.1)"
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value == 0:
        return "the NVIDIA driver sees no device"
    return _missing_library()


def _missing_library() -> str:
    """Which library of CUDA the provider would not find.

    The provider's own library is not loaded to ask: loaded before onnxruntime's core has introduced itself to it, it
    keeps a null pointer for ever (before 1.29 it fell over it at once).
    """
    _load_packaged()
    major = str(ort.cuda_version).partition(".")[0]
    for name in (*(f"lib{part}.so.{major}" for part in ("cudart", "cublasLt", "cublas")), "libcurand.so.10"):
        try:
            ctypes.CDLL(name)
        except OSError:
            return f"a CUDA library is missing or of another version ({name})"
    return ""


def _load_packaged() -> None:
    """Loads CUDA from NVIDIA's Python packages, wherever on the path they are; onnxruntime looks only beside itself."""
    spec = find_spec("nvidia")
    for root in (spec.submodule_search_locations if spec else None) or ():
        for folder in sorted(Path(root).glob("*/lib")):
            with contextlib.redirect_stdout(io.StringIO()):  # it prints what this folder does not hold
                ort.preload_dlls(directory=str(folder))


def choose(device: Device, artifact: Artifact) -> tuple[str, str]:
    """Provider and model file for a device.

    Raises:
        SettingsError: CUDA is demanded and does not work, or the artifact has no model for the device.
    """
    trouble = "" if device is Device.CPU else why_no_cuda()
    if device is Device.CUDA and trouble:
        raise SettingsError(
            f"CUDA is demanded and can't be used: {trouble}",
            location="nlp.device",
            action="Repair it, or set nlp.device to auto or cpu.",
        )
    wanted = [CPU] if device is Device.CPU or trouble else [CUDA, CPU]
    if device is Device.CUDA:
        wanted = [CUDA]
    for provider in wanted:
        for name in _FILES[provider]:
            if artifact.has(name):
                return provider, name
    raise SettingsError(
        f"The artifact {artifact.model_id} has no model for {' or '.join(wanted)}",
        location="nlp.extractor",
        action=f"Export it again with one of {', '.join(_FILES[wanted[0]])}.",
    )


class Session:
    """A loaded model. :meth:`run` may be called from ``parallel`` threads at a time.

    A run on the CPU uses one core, and several run side by side: two cores then read 2 to 13 % more notes a second than when
    they shared the products of each window (bench/bench_ner.py, idle machine); a note read alone takes longer for it.

    Args:
        artifact: whose model is loaded.
        device: where to compute.
        threads: CPU threads in all; 0 takes the cores this process may use.

    Raises:
        SettingsError: see :func:`choose`, or CUDA failed while the model was loaded.
    """

    def __init__(self, artifact: Artifact, device: Device = Device.AUTO, threads: int = 0) -> None:
        self.provider, self.file = choose(device, artifact)
        self._input = artifact.input
        self._session = _open(artifact.path(self.file), self.provider)
        if self.provider not in self._session.get_providers() and device is Device.AUTO:
            # A device too old, or without memory left: onnxruntime knows only when it has tried.
            self.provider, self.file = choose(Device.CPU, artifact)
            self._session = _open(artifact.path(self.file), self.provider)
        if self.provider not in self._session.get_providers():
            raise SettingsError(
                f"onnxruntime did not take up {self.provider}",
                location="nlp.device",
                action="Look at its log with nlp.device=cuda, or set nlp.device to cpu.",
            )
        self.parallel = 1 if self.provider == CUDA else threads or len(os.sched_getaffinity(0))
        self._output = self._session.get_outputs()[0].name
        self._types = {each.name: _NUMPY[each.type] for each in self._session.get_inputs()}

    def run(self, rows: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """``[rows, longest row, outputs]`` logits; what stands behind a shorter row's end means nothing.

        Raises:
            ExtractorError: the runtime failed, or answered with something else than numbers.
        """
        try:
            answer = self._bound(self._feeds(rows)) if self.provider == CUDA else self._one_by_one(rows)
        except Exception as error:
            raise ExtractorError(
                f"The model failed on a batch of {len(rows)} windows ({type(error).__name__})",
                action="Check the artifact with 'wardstream models evaluate'; on a GPU lower nlp.batch_pieces_cuda.",
            ) from error
        logits: NDArray[np.float32] = np.asarray(answer, np.float32)
        return logits

    def _feeds(self, rows: Sequence[NDArray[np.int32]]) -> dict[str, NDArray[np.generic]]:
        longest = max(len(row) for row in rows)
        ids = np.full((len(rows), longest), self._input.pad, np.int64)
        mask = np.zeros_like(ids)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = row
            mask[at, : len(row)] = 1
        known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return {name: known[name].astype(kind, copy=False) for name, kind in self._types.items()}

    def _one_by_one(self, rows: Sequence[NDArray[np.int32]]) -> NDArray[np.generic]:
        """Without padding, which the tuned graph has no mask for."""
        answers = [self._session.run([self._output], self._feeds([row]))[0][0] for row in rows]
        if len(answers) == 1:
            return np.asarray(answers[0])[None]
        longest = max(len(row) for row in rows)
        return np.stack([np.pad(each, ((0, longest - len(each)), (0, 0))) for each in answers])

    def _bound(self, feeds: dict[str, NDArray[np.generic]]) -> NDArray[np.generic]:
        """Inputs are copied once and the output stays on the device until it is whole."""
        binding = self._session.io_binding()
        for name, value in feeds.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value, "cuda", 0))
        binding.bind_output(self._output, "cuda")
        self._session.run_with_iobinding(binding)
        out: NDArray[np.generic] = binding.copy_outputs_to_cpu()[0]
        return out


_NUMPY = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


def _open(path: Path, provider: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if provider == CUDA:
        return ort.InferenceSession(str(path), options, providers=_providers(provider))
    return ort.InferenceSession(
        tuned(path), options, providers=_providers(provider), disabled_optimizers=list(UNWANTED)
    )


def _providers(provider: str) -> list[str | tuple[str, dict[str, str]]]:
    if provider == CPU:
        return [CPU]
    # Shapes change with every batch: an exhaustive search of convolution kernels would run each time.
    cuda = (CUDA, {"cudnn_conv_algo_search": "DEFAULT", "arena_extend_strategy": "kSameAsRequested"})
    return [cuda, CPU]
