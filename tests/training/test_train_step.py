import pytest
import torch
from torch import nn

from training.train_step import update_average


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.999])
def test_the_average_moves_part_of_the_way(decay: float) -> None:
    average, source = nn.Linear(3, 2).double(), nn.Linear(3, 2).double()
    with torch.no_grad():
        for parameter in average.parameters():
            parameter.fill_(1.0)
        for parameter in source.parameters():
            parameter.fill_(3.0)
    for _ in range(4):
        update_average(average, source, decay)
    for parameter in average.parameters():
        torch.testing.assert_close(parameter.detach(), torch.full_like(parameter, 3.0 - 2.0 * decay**4))
    assert all(torch.equal(parameter, torch.full_like(parameter, 3.0)) for parameter in source.parameters())
