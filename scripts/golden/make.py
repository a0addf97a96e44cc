"""Makes golden/ops and golden/model. golden/width20b needs a large checkpoint: see width20b.py."""

import os

import torch

import model
import ops

golden = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../golden"))
torch.set_num_threads(1)
ops.make(f"{golden}/ops")
model.make(f"{golden}/model")
