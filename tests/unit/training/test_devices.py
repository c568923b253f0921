"""Which device and which precision a run gets."""

import pytest

from shoal_core.errors import InvalidArgument
from shoal_training import devices
from shoal_training.devices import Device, choose_device


@pytest.mark.parametrize("faster", ["fp32", "bf16"])
def test_auto_is_the_precision_in_which_convolutions_are_faster(
    faster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convolution_s(device: Device) -> float:
        return 1.0 if device.precision == faster else 2.0

    monkeypatch.setattr(devices, "_convolution_s", convolution_s)
    assert choose_device("cpu", "auto").precision == faster
    assert choose_device("cpu", "auto", deterministic=True).precision == "fp32"


def test_auto_measures_real_convolutions() -> None:
    assert choose_device("cpu", "auto").precision in ("fp32", "bf16")


def test_a_wanted_precision_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_convolution_s", pytest.fail)
    assert choose_device("cpu", "bf16").precision == "bf16"


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"optimization\.precision=bf16") as raised:
        choose_device("cpu", "fp16")
    assert raised.value.reason == "PRECISION_UNSUPPORTED"
