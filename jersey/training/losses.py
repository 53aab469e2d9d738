"""Training losses. Shapes: B batch, K classes, J = K + 1.

A crop's target is its label, or, where crops are mixed (`jersey.augment.mixing`), a share for each label. The loss of a
mixed crop is the mixture of the losses it would have under each label j, with its share t[j]:

    loss = sum_j t[j] * loss_if_label_is[j],

so weights, smoothing and focus act on each label as they would on an unmixed crop of it.

An illegible crop has no label. It costs what it would cost on average over all labels (`jersey.data.split`), without
class weights, which would make it lean to the rare ones.
"""

import torch
from torch import Tensor, nn

from jersey.core.errors import UserError


class CrossEntropy(nn.Module):
    """Label-smoothed cross entropy, weighted by the class of the crop: mean over the batch of

        w[y] * ((1 - e) * -log p[y] + e * mean_k(-log p[k])).

    torch's `CrossEntropyLoss(weight=w, label_smoothing=e)` differs twice: it weights each k of the smoothing term
    by w[k], and divides by the sum of the weights in the batch, which makes a rare crop count less when another
    one happens to share its batch.

    Args:
        label_smoothing: e, in [0, 1).
    """

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise UserError(f"module.loss.label_smoothing={label_smoothing} must be at least 0 and below 1")
        self.label_smoothing = label_smoothing

    def forward(self, logits_BK: Tensor, targets: Tensor, class_weights_K: Tensor) -> Tensor:
        """The mean loss; targets are labels or ILLEGIBLE_INDEX [B], or shares of labels and, last, of none [B,J]."""
        log_p_BK = logits_BK.float().log_softmax(dim=1)
        e, classes = self.label_smoothing, logits_BK.shape[1]
        smoothing_B1 = -log_p_BK.sum(dim=1, keepdim=True)
        losses_BK = (1 - e) * self.of_labels(log_p_BK) + e / classes * smoothing_B1
        illegible_B = losses_BK.mean(dim=1)
        if targets.ndim == 1:
            targets = torch.eye(classes + 1, device=targets.device)[targets]  # ILLEGIBLE_INDEX, -1, takes the last row
        losses_B = (targets[:, :-1] * class_weights_K * losses_BK).sum(dim=1) + targets[:, -1] * illegible_B
        return losses_B.mean()

    def of_labels(self, log_p_BK: Tensor) -> Tensor:
        """What a crop costs, were its label k, before smoothing and weights: [B,K]."""
        return -log_p_BK


class FocalLoss(CrossEntropy):
    """Cross entropy that counts a crop less the surer its own number is (https://arxiv.org/abs/1708.02002), mean of

        w[y] * ((1 - e) * (1 - p[y])^g * -log p[y] + e * mean_k(-log p[k])).

    p[y] is the network's own probability, not one computed back from a weighted or smoothed loss. The smoothing term
    keeps its size: multiplied too, it would vanish where p[y] comes near 1, which is where it is meant to act.

    Args:
        gamma: g, at least 0; the paper has 2.
        label_smoothing: e, in [0, 1).
    """

    def __init__(self, *, gamma: float = 2.0, label_smoothing: float = 0.0) -> None:
        super().__init__(label_smoothing=label_smoothing)
        if gamma < 0:
            raise UserError(f"module.loss.gamma={gamma} must be at least 0")
        self.gamma = gamma

    def of_labels(self, log_p_BK: Tensor) -> Tensor:
        # The power has no finite slope at 0 where g is below 1, hence the floor.
        rest_BK = (1 - log_p_BK.exp()).clamp(min=torch.finfo(log_p_BK.dtype).tiny)
        return rest_BK**self.gamma * -log_p_BK
