"""Choose the device on which PyTorch trains the networks, the CPU or a CUDA GPU, and its floating-point precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from recsys.errors import SettingsError
from training.processes import process_group

CPU = torch.device("cpu")


def find_device(name: str) -> torch.device:
    """The device that `TrainingConfig.device` names; SettingsError for cuda where PyTorch finds too few GPUs.

    Each rank of torchrun has the GPU of its number on the host.
    """
    gpus = torch.cuda.device_count()
    if name != "cpu" and 0 < gpus < process_group.local_size():
        raise SettingsError(
            f"torchrun started {process_group.local_size()} processes on this host with {gpus} GPUs, and each trains "
            f"on one of its own. Use --nproc-per-node {gpus}, or --device cpu."
        )
    if torch.cuda.is_available():
        return CPU if name == "cpu" else torch.device("cuda")
    if name == "cuda":
        reason = "is built without CUDA" if torch.version.cuda is None else "finds no CUDA GPU"
        raise SettingsError(
            f"The device is cuda, and PyTorch {torch.__version__} {reason}. Use --device cpu, or install PyTorch for "
            "CUDA on a machine with an NVIDIA GPU and its driver."
        )
    return CPU


def mixed_precision(device: torch.device) -> AbstractContextManager[object]:
    """Compute matrix products in bfloat16 on a GPU that supports it, in float32 elsewhere.

    bfloat16 has the range of float32, so gradients need no scaling.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
