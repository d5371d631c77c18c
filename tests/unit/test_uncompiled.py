"""Training does without torch's compiler, and leaves it to whoever wants it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

TRAIN = """
import sys, torch
from training.uncompiled import uncompiled

def trained():
    dense, table = weights = [torch.nn.Parameter(torch.ones(3, 2)) for _ in range(2)]
    dense.grad = torch.ones(3, 2)
    table.grad = torch.sparse_coo_tensor([[0, 2]], [[1.0, 2.0], [3.0, 4.0]], (3, 2))
    for optimizer in torch.optim.AdamW([dense], 0.1), torch.optim.SparseAdam([table], 0.1):
        optimizer.step()
        optimizer.zero_grad()
    return torch.stack([weight.detach() for weight in weights])

with uncompiled():
    without = trained()
    print("compiler" if "sympy" in sys.modules else "none")
print("torch._dynamo" in sys.modules)
with uncompiled():
    print(hasattr(torch._dynamo, "__file__"))
    print(torch._dynamo.is_compiling())  # more than stands in for it
print(bool((trained() == without).all()), hasattr(torch._dynamo, "config"), len(sys.modules["torch._dynamo"].__path__))
with uncompiled():
    print(hasattr(torch._dynamo, "config"))
"""


def test_optimisers_move_alike_without_it():
    """The same bits with and without; what asks for more than stands in for it, then or later, has the real one."""
    told = subprocess.run([sys.executable, "-c", TRAIN], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["none", "False", "False", "False", "True", "True", "1", "True"]
