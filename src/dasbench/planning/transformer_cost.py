"""Size of a DiTTransformer2DModel without building it, see ``dasbench.planning.unet_cost``.

Symbols: D width, L tokens, C channels, p side of a patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dasbench.planning.model_size import Size, conv, linear

_FREQUENCIES = 256  # of the time embedding
_MODULATIONS = 6  # shift, scale and gate of attention and feed-forward
_WIDER = 4  # feed-forward layer


def by_formula(model: Mapping[str, Any], shape: tuple[int, int, int]) -> Size:
    """The size of a transformer of the families ``transformer`` and ``latent_transformer``."""
    channels, height, width = shape
    patch = model["patch_size"]
    d = model["num_attention_heads"] * model["attention_head_dim"]
    tokens = (height // patch) * (width // patch)
    classes = (model.get("num_class_embeds") or 1) + 1  # diffusers adds a row for dropped labels
    time = linear(_FREQUENCIES, d, 1) + linear(d, d, 1)
    block = time + Size(0, classes * d) + linear(d, _MODULATIONS * d, 1)
    for _ in range(4):  # queries, keys, values, output
        block += linear(d, d, tokens)
    block += Size(4 * tokens**2 * d, 0)
    block += linear(d, _WIDER * d, tokens) + linear(_WIDER * d, d, tokens)
    total = conv(channels, d, patch, tokens) + Size(time.flops, 0)  # the output embeds time again
    for _ in range(model["num_layers"]):
        total += block
    return total + linear(d, 2 * d, 1) + linear(d, patch**2 * channels, tokens)


def adapter(model: Mapping[str, Any]) -> int:
    """Number of weights of an adapter: rank times both sides of every layer that it adapts."""
    d = model["num_attention_heads"] * model["attention_head_dim"]
    sides = {f"attn1.{name}": 2 * d for name in ("to_q", "to_k", "to_v", "to_out.0")}
    sides |= {f"ff.net.{name}": (1 + _WIDER) * d for name in ("0.proj", "2")}
    sides |= {"norm1.linear": (1 + _MODULATIONS) * d}
    targets = tuple(f".{target}" for target in model["lora"]["targets"])
    block = sum(size for name, size in sides.items() if f".{name}".endswith(targets))
    return model["lora"]["rank"] * model["num_layers"] * block
