"""Adam as TensorFlow 1 computes it: epsilon is added to the uncorrected root of the second moment."""

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
    does not change, as with zero gradients. Step counter and overflow check stay on the device: the host never waits.
    """

    def __init__(self, parameters: Iterable[Tensor], options: OptimizerOptions) -> None:
        self.parameters = list(parameters)
        self._options = options
        self._first: dict[int, Tensor] = {}
        self._second: dict[int, Tensor] = {}
        device = self.parameters[0].device
        self._steps = torch.zeros((), dtype=torch.float64, device=device)
        self._skipped = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def skipped(self) -> int:
        """Steps skipped because a gradient was not finite."""
        return int(self._skipped)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None], learning_rate: float | Tensor) -> Tensor:
        """Take one step, unless an element of any gradient is not finite; returns whether it was taken.

        Parameters
        ----------
        gradients
            One for each parameter, in their order; None counts as zeros.
        learning_rate
            A number, or a float64 tensor on the device.

        Raises
        ------
        TrainingError
            There is no gradient at all.
        """
        given = [gradient for gradient in gradients if gradient is not None]
        if not given:
            raise TrainingError("no parameter has a gradient: the loss does not depend on the network to be trained")
        finite = torch.isfinite(torch.stack(torch._foreach_norm(given, float("inf")))).all()
        options = self._options
        active, values = self._active(gradients, finite)
        taken = finite.double()
        self._steps += taken
        self._skipped += ~finite
        rate = learning_rate * torch.sqrt(1 - options.beta2**self._steps) / (1 - options.beta1**self._steps)
        # factors of the tensors' own dtype: others would be applied tensor by tensor on a GPU
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
        updates = torch._foreach_div(moments, roots)
        torch._foreach_mul_(updates, torch.where(finite, rate, 0.0).to(dtype))
        torch._foreach_sub_([self.parameters[index] for index in active], updates)
        return finite

    def reset(self) -> None:
        """Clear both moments and the step counter; `skipped` keeps counting."""
        self._first.clear()
        self._second.clear()
        self._steps.zero_()

    def state_dict(self) -> dict[str, Any]:
        """The state for `load_state_dict`: tensors and plain numbers only."""
        return {
            "steps": int(self._steps),
            "skipped": self.skipped,
            "first": {str(index): moment for index, moment in self._first.items()},
            "second": {str(index): moment for index, moment in self._second.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state of the same network, on the device of the parameters; `TrainingError`: of another."""
        self._steps.fill_(state["steps"])
        self._skipped.fill_(state["skipped"])
        self._first = self._on_device(state["first"])
        self._second = self._on_device(state["second"])

    def _on_device(self, moments: dict[str, Tensor]) -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}
        for index, moment in moments.items():
            parameter = self.parameters[int(index)]
            if moment.shape != parameter.shape:  # a copy would repeat it
                raise TrainingError(
                    f"moment {index} of the optimiser has shape {tuple(moment.shape)}, its parameter "
                    f"{tuple(parameter.shape)}: the state is of another network. Resume from an earlier snapshot."
                )
            found[int(index)] = torch.empty_like(parameter).copy_(moment)
        return found

    def _active(self, gradients: Sequence[Tensor | None], finite: Tensor) -> tuple[list[int], list[Tensor]]:
        """The parameters that have moments, and their gradients: zeros where the step is skipped."""
        indices: list[int] = []
        values: list[Tensor] = []
        zero = self.parameters[0].new_zeros(())
        for index, (parameter, gradient) in enumerate(zip(self.parameters, gradients, strict=True)):
            if gradient is None and index not in self._second:
                continue
            if index not in self._second:
                self._second[index] = torch.zeros_like(parameter)
                if self._options.beta1 > 0:
                    self._first[index] = torch.zeros_like(parameter)
            indices.append(index)
            if gradient is None:
                values.append(torch.zeros_like(parameter))
            else:  # strided as the parameter: operations over many tensors at once need equal strides
                values.append(torch.where(finite, gradient, zero, out=torch.empty_like(parameter)))
        return indices, values
