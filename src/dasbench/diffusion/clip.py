"""Image embeddings of a CLIP model, in what is common to how such models are used.

Preprocessing, the same for every model: pixels to [0, 1]; one channel repeated to three; resized to
the model's square size, bicubic with antialiasing, without cropping; normalised by the channel
means and deviations that CLIP was trained with. The embedding is the projection that
CLIP compares with texts, not divided by its length.

Weights are read from safetensors only, and no code of the model's folder is run.
Source: Radford et al. (2021), arXiv 2103.00020.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dasbench.errors import UserError

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def load(model: str | Path, device: torch.device | str = "cpu") -> torch.nn.Module:
    """A CLIP model, in evaluation mode.

    Args:
        model: A folder that ``save_pretrained`` wrote, or a name on the Hugging Face hub whose
            files were fetched before: nothing is downloaded here.
        device: Where to put it.

    Raises:
        UserError: If there is no such model, its weights are not safetensors, or some are missing.
    """
    from transformers import CLIPModel

    try:
        clip, told = CLIPModel.from_pretrained(
            str(model),
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
        # transformers would fill what is missing with random weights
        if wrong := [*told["missing_keys"], *told["mismatched_keys"]]:
            raise ValueError(f"weights do not fit its config.json, such as {wrong[0]}")
    # the hub, the file system and the file's content each raise errors of their own
    except Exception as error:
        why = str(error).strip().split("\n")[0]
        raise UserError(
            f"embedding.model {model} cannot be loaded as a CLIP model ({why}); give a folder "
            f"with config.json and model.safetensors, or fetch it with `hf download {model}`"
        ) from error
    return clip.eval().to(device)


def preprocess(images: torch.Tensor, size: int) -> torch.Tensor:
    """[n, C, H, W] in [-1, 1], C 1 or 3, to what CLIP sees, [n, 3, size, size].

    Raises:
        UserError: If the images have another number of channels.
    """
    if images.shape[1] not in (1, 3):
        raise UserError(
            f"images have {images.shape[1]} channels, expected 1 or 3; leave out embedding_dot and "
            "embedding_cosine"
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
    where, found = next(clip.parameters()), []
    for some in torch.from_numpy(images).split(batch):
        pixels = preprocess(some.to(where), clip.config.vision_config.image_size)
        seen = clip.vision_model(pixel_values=pixels).pooler_output
        found.append(clip.visual_projection(seen).float().cpu().numpy())
    return np.concatenate(found)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine [n] float64 of the embeddings of two images each, [n, P] both."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
