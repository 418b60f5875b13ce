"""Image embeddings of a CLIP model.

Preprocessing is the same for every model:

1. scale pixels to [0, 1], and repeat a single channel three times;
2. resize to the square size of the model, bicubic with antialiasing, without cropping;
3. normalise by the channel means and deviations of CLIP's training data.

The embedding is the projection that CLIP compares with texts, not divided by its length.
Weights are read from safetensors only. No code from the folder of the model is run.
Source: Radford et al. (2021), arXiv 2103.00020.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dasbench.errors import UserError

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def load(
    model: str | Path, device: torch.device | str = "cpu", option: str = "embedding.model"
) -> torch.nn.Module:
    """Load a CLIP model, in evaluation mode. This function downloads nothing.

    Args:
        model: A folder that ``save_pretrained`` wrote, or the name of a model in the local cache of
            the Hugging Face hub.
        device: Device of the model.
        option: What the user calls the model, for the message of an error.

    Raises:
        UserError: If the model is not on this machine, or its weights are incomplete or not in
            safetensors.
    """
    from transformers import CLIPModel

    try:
        clip, info = CLIPModel.from_pretrained(
            str(model),
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
        # transformers would fill missing weights with random numbers
        if wrong := [*info["missing_keys"], *info["mismatched_keys"]]:
            raise ValueError(f"weights do not fit its config.json, such as {wrong[0]}")
    # the hub, the file system and damaged files raise errors of many types
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"{option} {model} cannot be loaded as a CLIP model ({reason}); give a folder "
            f"with config.json and model.safetensors, or fetch it with `hf download {model}`"
        ) from error
    return clip.eval().to(device)


def preprocess(images: torch.Tensor, size: int) -> torch.Tensor:
    """Turn images into CLIP's inputs, [n, 3, size, size].

    Args:
        images: [n, C, H, W] in [-1, 1], with C = 1 or 3.
        size: Height and width of CLIP's inputs, in pixels.

    Raises:
        UserError: If C is neither 1 nor 3.
    """
    if images.shape[1] not in (1, 3):
        raise UserError(
            f"images have {images.shape[1]} channels, expected 1 or 3: CLIP reads no others; "
            "leave it out"
        )
    pixels = ((images + 1) / 2).expand(-1, 3, -1, -1)
    resized = torch.nn.functional.interpolate(
        pixels, (size, size), mode="bicubic", antialias=True, align_corners=False
    )
    mean, deviation = (torch.tensor(v).to(resized)[:, None, None] for v in (MEAN, DEVIATION))
    return (resized - mean) / deviation


@torch.no_grad()
def compute(clip: torch.nn.Module, images: np.ndarray, batch: int = 64) -> np.ndarray:
    """Embeddings [n, P] float32 of images [n, C, H, W] in [-1, 1]; ``clip`` is from ``load``."""
    like, embeddings = next(clip.parameters()), []
    for part in torch.from_numpy(images).split(batch):
        pixels = preprocess(part.to(like), clip.config.vision_config.image_size)
        pooled = clip.vision_model(pixel_values=pixels).pooler_output
        embeddings.append(clip.visual_projection(pooled).float().cpu().numpy())
    return np.concatenate(embeddings)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines [n] float64 between row i of a and row i of b, both embeddings [n, P]."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
