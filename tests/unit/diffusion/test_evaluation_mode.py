"""A network is used in evaluation mode and left as it was."""

import pytest
import torch
from torch import nn

from dasbench.diffusion import evaluation_mode
from dasbench.errors import Note, UserError


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))


@pytest.mark.parametrize("fails", [False, True])
def test_mode_layout_and_device_come_back(fails):
    one = network().to(memory_format=torch.channels_last).train()
    one[1].eval()  # frozen statistics, as people do
    modes = [m.training for m in one.modules()]
    strides = [p.stride() for p in one.parameters()]
    before = {k: v.clone() for k, v in one.state_dict().items()}
    kept = list(one.parameters())
    try:
        with evaluation_mode.evaluating(one):
            assert not any(m.training for m in one.modules())
            one.to(memory_format=torch.contiguous_format)
            if fails:
                raise RuntimeError("on purpose")
    except RuntimeError:
        assert fails
    assert [m.training for m in one.modules()] == modes
    assert [p.stride() for p in one.parameters()] == strides
    assert all(torch.equal(v, before[k]) for k, v in one.state_dict().items())
    assert all(a is b for a, b in zip(one.parameters(), kept, strict=True))


def test_wrappers_are_taken_off():
    one = network()
    assert evaluation_mode.usable(torch.compile(one)) is one
    assert evaluation_mode.usable(nn.DataParallel(one)) is one
    assert evaluation_mode.usable(nn.DataParallel(torch.compile(one))) is one
    assert evaluation_mode.usable(one.double()) is one


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_used_as_a_copy_in_float32(dtype):
    one = network().to(dtype)
    before = {k: v.clone() for k, v in one.state_dict().items()}
    with pytest.warns(Note, match=f"weights are {str(dtype)[6:]}; a copy in float32 is used"):
        copy = evaluation_mode.usable(one)
    assert all(p.dtype == torch.float32 for p in copy.parameters())
    assert all(torch.equal(v, before[k]) for k, v in one.state_dict().items())
    for a, b in zip(copy.parameters(), one.parameters(), strict=True):
        assert torch.equal(a, b.float())


def test_what_cannot_be_used_is_told():
    with torch.device("meta"):
        empty = network()
    with pytest.raises(UserError, match="weights on the meta device, which have no values"):
        evaluation_mode.usable(empty)
    with pytest.raises(
        UserError, match=r"no parameter of the network requires a gradient.*\(True\)"
    ):
        evaluation_mode.usable(network().requires_grad_(False))
    with pytest.raises(UserError, match="the model is a function; expected the folder"):
        evaluation_mode.usable(lambda x, t: x)
    broken = network()
    broken[0].weight.data[0] = torch.nan
    with pytest.raises(UserError, match=r"values in 0\.weight that are not finite"):
        evaluation_mode.usable(broken)
