"""What all tests share."""

from __future__ import annotations

import torch

pytest_plugins = ["pytester"]  # runs of pytest inside a test

torch.set_num_threads(1)  # tensors here are tiny; threads would only wait for each other
