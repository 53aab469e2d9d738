"""Training losses. Shapes: B batch, K classes."""

import torch.nn.functional as F
from torch import Tensor, nn


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
        self.label_smoothing = label_smoothing

    def forward(self, logits_BK: Tensor, labels_B: Tensor, class_weights_K: Tensor) -> Tensor:
        losses_B = F.cross_entropy(logits_BK.float(), labels_B, label_smoothing=self.label_smoothing, reduction="none")
        return (losses_B * class_weights_K[labels_B]).mean()
