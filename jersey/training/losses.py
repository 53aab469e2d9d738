"""Training losses. Shapes: B batch, K classes, J = K + 1.

A crop's target is its label, or, where crops are mixed (`jersey.augment.mixing`), a fraction per label. The loss
of a mixed crop is the mean of the losses it would have under each label j, weighted by the fraction t[j]:

    loss = sum_j t[j] * loss_if_label_is[j],

so class weights, smoothing and the focal factor act on each label as they would on an unmixed crop of that label.

An illegible crop has no label. Its loss is the mean over all labels (`jersey.data.split` says why), without class
weights, which would pull its prediction towards the rare classes.

The losses in `jersey.evaluation.metrics`, such as val/loss, are always plain cross entropy.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from jersey.core.errors import UserError


class CrossEntropy(nn.Module):
    """Label-smoothed cross entropy, weighted by the class of the crop.

    It is the mean over the batch of

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
        log_p_BK = self.adjusted(logits_BK.float()).log_softmax(dim=1)
        e, classes = self.label_smoothing, logits_BK.shape[1]
        losses_BK = (1 - e) * self.label_losses(log_p_BK) + e * self.label_mean(-log_p_BK)
        illegible_B = self.label_mean(losses_BK)[:, 0]
        if targets.ndim == 1:
            targets = torch.eye(classes + 1, device=targets.device)[targets]  # ILLEGIBLE_INDEX, -1, takes the last row
        losses_B = (targets[:, :-1] * class_weights_K * losses_BK).sum(dim=1) + targets[:, -1] * illegible_B
        return losses_B.mean()

    def adjusted(self, logits_BK: Tensor) -> Tensor:
        """Returns the logits whose softmax is compared with the target, float32 [B, K]."""
        return logits_BK

    def label_mean(self, losses_BK: Tensor) -> Tensor:
        """Returns the mean over the labels, float32 [B, 1], which is least for logits that are all equal."""
        return losses_BK.mean(dim=1, keepdim=True)

    def label_losses(self, log_p_BK: Tensor) -> Tensor:
        """Returns the loss that each crop would have under each label, float32 [B, K], before smoothing and weights."""
        return -log_p_BK


class FocalLoss(CrossEntropy):
    """Focal loss, which down-weights confident crops (https://arxiv.org/abs/1708.02002).

    It is the mean over the batch of

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


class LogitAdjustedLoss(CrossEntropy):
    """Cross entropy of adjusted logits, so that a network trained on a long tail predicts as if classes were equal.

    With z[k] the logits and n[k] the train crops of class k, it is the `CrossEntropy` of

        p[k] = n[k]^t * exp(z[k]) / sum_j n[j]^t * exp(z[j]).

    With t = 1 it is the balanced softmax of Ren et al. 2020 (https://arxiv.org/abs/2007.10740, equation 3), other
    values are from the logit adjustment of Menon et al. 2021 (https://arxiv.org/abs/2007.07314, equation 10). Since p
    fits the frequencies in training, the softmax of z, which is what is evaluated and exported, has them divided out.
    A sampler with power q has already divided by n^q, so t = 1 - q is then enough.

    The means over all labels, for smoothing and for illegible crops, have the weights n[k]^t / sum_j n[j]^t. They are
    thus least where all z are equal; equal weights would ask for z that are larger the rarer the class.

    A class without train crops (possible with pinned labels) counts as one crop, as it could not be learned to be
    improbable otherwise.

    Args:
        tau: exponent t, at least 0; 0 is `CrossEntropy`.
        label_smoothing: factor e, in [0, 1).

    Attributes:
        log_prior_K: t * log(n), float32; exists after `set_class_counts`.

    Raises:
        UserError: a value is out of range.
    """

    log_prior_K: Tensor

    def __init__(self, *, tau: float = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__(label_smoothing=label_smoothing)
        if not 0 <= tau < float("inf"):
            raise UserError(f"module.loss.tau={tau} is not a finite number of 0 or more; set it to 1")
        self.tau = tau

    def set_class_counts(self, counts_K: Sequence[int]) -> None:
        """Sets the number of train crops of each class, before the first batch."""
        log_prior_K = self.tau * torch.tensor(counts_K, dtype=torch.float64).clamp(min=1).log()
        self.register_buffer("log_prior_K", log_prior_K.float(), persistent=False)  # it follows from the data

    def adjusted(self, logits_BK: Tensor) -> Tensor:
        return logits_BK + self.log_prior_K

    def label_mean(self, losses_BK: Tensor) -> Tensor:
        return (self.log_prior_K.softmax(dim=0) * losses_BK).sum(dim=1, keepdim=True)
