"""Adam in TensorFlow's form: epsilon is added to the uncorrected root of the second moment (SPEC §6)."""

# torch's operations over many tensors at once have no public names
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import TrainingError
from pipeline.params import OptimizerOptions


class Adam:
    """Kingma & Ba 2015, w -= lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + epsilon).

    One step counter t serves all parameters. A parameter without gradient since the last reset has no moments and
    stays as it is, which is what zero gradients would do.

    Step counter, and whether a step is taken, stay on the device: the host never waits for it.
    """

    def __init__(self, parameters: Iterable[Tensor], options: OptimizerOptions) -> None:
        self._parameters = list(parameters)
        self._options = options
        self._first: dict[int, Tensor] = {}
        self._second: dict[int, Tensor] = {}
        device = self._parameters[0].device
        self._steps = torch.zeros((), dtype=torch.float64, device=device)
        self._skipped = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def skipped(self) -> int:
        """Updates left out because a gradient was not finite."""
        return int(self._skipped)

    def gradients(self, loss: Tensor) -> tuple[Tensor | None, ...]:
        """What `step` wants: the gradient of `loss` for each parameter, None where it does not depend on one."""
        return torch.autograd.grad(loss, self._parameters, allow_unused=True)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None], learning_rate: float | Tensor) -> Tensor:
        """Take one step, unless an element of any gradient is not finite; returns whether it was taken.

        Parameters
        ----------
        gradients
            One for each parameter, in their order; None counts as zeros.
        learning_rate
            A number, or a float64 one on the device.

        Raises
        ------
        TrainingError
            There is no gradient at all.
        """
        given = [gradient for gradient in gradients if gradient is not None]
        if not given:
            raise TrainingError("no parameter has a gradient: the loss does not depend on the network it should train")
        finite = _all_finite(given)
        options = self._options
        active, values = self._active(gradients, finite)
        taken = finite.double()
        self._steps += taken
        self._skipped += ~finite
        rate = learning_rate * torch.sqrt(1 - options.beta2**self._steps) / (1 - options.beta1**self._steps)
        # factors of the tensors' own type: others would be applied tensor by tensor on a GPU
        dtype = values[0].dtype
        second = [self._second[index] for index in active]
        torch._foreach_mul_(second, (1 - (1 - options.beta2) * taken).to(dtype))
        torch._foreach_addcmul_(second, values, values, 1 - options.beta2)
        roots = torch._foreach_sqrt(second)
        torch._foreach_add_(roots, options.epsilon)
        moments = values
        if options.beta1 > 0:
            moments = [self._first[index] for index in active]
            torch._foreach_mul_(moments, (1 - (1 - options.beta1) * taken).to(dtype))
            torch._foreach_add_(moments, values, alpha=1 - options.beta1)
        ways = torch._foreach_div(moments, roots)
        torch._foreach_mul_(ways, torch.where(finite, rate, 0.0).to(dtype))
        torch._foreach_sub_([self._parameters[index] for index in active], ways)
        return finite

    def reset(self) -> None:
        """Forget both moments and the step counter; `skipped` goes on."""
        self._first.clear()
        self._second.clear()
        self._steps.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to go on: tensors and plain numbers only."""
        return {
            "steps": int(self._steps),
            "skipped": self.skipped,
            "first": {str(index): moment for index, moment in self._first.items()},
            "second": {str(index): moment for index, moment in self._second.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the state of another run of the same network, on the device of the parameters."""
        self._steps.fill_(state["steps"])
        self._skipped.fill_(state["skipped"])
        self._first = self._placed(state["first"])
        self._second = self._placed(state["second"])

    def _placed(self, moments: dict[str, Tensor]) -> dict[int, Tensor]:
        return {int(index): moment.to(self._parameters[int(index)].device) for index, moment in moments.items()}

    def _active(self, gradients: Sequence[Tensor | None], finite: Tensor) -> tuple[list[int], list[Tensor]]:
        """The parameters that have moments, and their gradients: zeros where the step is left out."""
        indices: list[int] = []
        values: list[Tensor] = []
        for index, (parameter, gradient) in enumerate(zip(self._parameters, gradients, strict=True)):
            if gradient is None and index not in self._second:
                continue
            if index not in self._second:
                self._second[index] = torch.zeros_like(parameter)
                if self._options.beta1 > 0:
                    self._first[index] = torch.zeros_like(parameter)
            indices.append(index)
            values.append(torch.zeros_like(parameter) if gradient is None else torch.where(finite, gradient, 0.0))
        return indices, values


def _all_finite(gradients: list[Tensor]) -> Tensor:
    largest = torch.stack(torch._foreach_norm(gradients, float("inf")))
    return torch.isfinite(largest).all()
