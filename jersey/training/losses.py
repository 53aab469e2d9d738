"""Training losses. Shapes: B batch, K classes, J = K + 1.

A crop's target is its label, or, where crops are mixed (`jersey.augment.mixing`), a fraction per label. The loss
of a mixed crop is the mean of the losses it would have under each label j, weighted by the fraction t[j]:

    loss = sum_j t[j] * loss_if_label_is[j],

so class weights, smoothing and the focal factor act on each label as they would on an unmixed crop of that label.

An illegible crop has no label. Its loss is the mean over all labels (`jersey.data.split` says why), without class
weights, which would pull its prediction towards the rare classes.
"""

import torch
from torch import Tensor, nn

from jersey.core.errors import UserError


class CrossEntropy(nn.Module):
    """Label-smoothed cross entropy, weighted by the class of the crop: mean over the batch of

        w[y] * ((1 - e) * -log p[y] + e * mean_k(-log p[k])).

    torch's `CrossEntropyLoss(weight=w, label_smoothing=e)` differs in two ways: it weights each k of the smoothing term
    by w[k], and divides by the sum of the weights in the batch, which makes a rare crop count less when another
    rare crop is in its batch.

    Args:
        label_smoothing: factor e, in [0, 1).

    Raises:
        UserError: the factor is out of range.
    """

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise UserError(f"module.loss.label_smoothing={label_smoothing} must be at least 0 and below 1")
        self.label_smoothing = label_smoothing

    def forward(self, logits_BK: Tensor, targets: Tensor, class_weights_K: Tensor) -> Tensor:
        """Returns the mean loss of a batch, float32.

        Args:
            logits_BK: logits in any precision.
            targets: class indices of the labels, int64 [B], ILLEGIBLE_INDEX for an illegible crop; or fractions of the
                labels, float32 [B, J], in the last column the fraction that is illegible.
            class_weights_K: loss weights w.
        """
        log_p_BK = logits_BK.float().log_softmax(dim=1)
        e, classes = self.label_smoothing, logits_BK.shape[1]
        smoothing_B1 = -log_p_BK.sum(dim=1, keepdim=True)
        losses_BK = (1 - e) * self.label_losses(log_p_BK) + e / classes * smoothing_B1
        illegible_B = losses_BK.mean(dim=1)
        if targets.ndim == 1:
            targets = torch.eye(classes + 1, device=targets.device)[targets]  # ILLEGIBLE_INDEX, -1, takes the last row
        losses_B = (targets[:, :-1] * class_weights_K * losses_BK).sum(dim=1) + targets[:, -1] * illegible_B
        return losses_B.mean()

    def label_losses(self, log_p_BK: Tensor) -> Tensor:
        """Returns the loss that each crop would have under each label, float32 [B, K], before smoothing and weights."""
        return -log_p_BK


class FocalLoss(CrossEntropy):
    """Focal loss, which down-weights confident crops (https://arxiv.org/abs/1708.02002): mean over the batch of

        w[y] * ((1 - e) * (1 - p[y])^g * -log p[y] + e * mean_k(-log p[k])).

    p[y] is the network's own probability, not one computed back from a weighted or smoothed loss. The smoothing term
    has no focal factor (1 - p[y])^g: with it, the term would vanish where p[y] is near 1 and smoothing has to act.

    Args:
        gamma: exponent g, at least 0; 2 in the paper.
        label_smoothing: factor e, in [0, 1).

    Raises:
        UserError: a value is out of range.
    """

    def __init__(self, *, gamma: float = 2.0, label_smoothing: float = 0.0) -> None:
        super().__init__(label_smoothing=label_smoothing)
        if gamma < 0:
            raise UserError(f"module.loss.gamma={gamma} must be at least 0")
        self.gamma = gamma

    def label_losses(self, log_p_BK: Tensor) -> Tensor:
        # For g below 1 the power has an infinite slope at 0, which the clamp avoids.
        rest_BK = (1 - log_p_BK.exp()).clamp(min=torch.finfo(log_p_BK.dtype).tiny)
        return rest_BK**self.gamma * -log_p_BK
