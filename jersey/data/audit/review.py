"""Finds suspicious labels with a reader, which is any exported model: `python -m jersey.data.audit ROOT --reader`.

A label is suspicious if the reader prefers another number. The images are sorted by the ratio of the two probabilities,
which is the margin of confident learning (Northcutt et al., 2021, https://arxiv.org/abs/1911.00068) in logarithms: on
planted errors it ranks better than the difference of the probabilities, because it also tells apart labels with small
ones. An illegible image has the uniform distribution as its target, so that label has the probability 1 / K.

Similar images are frames of one play, or copies that were changed more than the audit allows for copies. They have near
perceptual hashes and thumbnails (`jersey.data.audit.copies`), and no network is needed to find them.

Shapes: N images, K numbers of the reader, P pairs, T pixels of a thumbnail.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from jersey.core.errors import UserError, escape_control, summarize
from jersey.core.labels import ILLEGIBLE, in_order
from jersey.data.audit.copies import FINGERPRINT, fingerprint, near_pairs, relative_difference
from jersey.data.audit.findings import AuditFinding, AuditRow, Kind
from jersey.data.audit.survey import Audit
from jersey.data.decode import BadImage, decode
from jersey.inference import Predictor
from jersey.inference.tracklet import confidence_weight

# Measured with `python -m jersey.bench.label_noise`, see docs/data.md.
MIN_MARGIN = 0.5  # the probability of another number minus that of the label
MIN_ENTROPY = 0.7  # of an illegible image, as a fraction of the max: 92 % of those, none of 6,000 legible crops
MAX_HASH_BITS = 16  # of similar images: 72 % of adjacent frames, 1 % of other pairs
MAX_DIFFERENCE = 0.7  # of their thumbnails, over the contrast: 68 % of adjacent frames, 2 of 100,000 other pairs
EPS = 1e-6  # min probability, about the precision of float32
_PAIRS = 4096  # pairs whose thumbnails are compared at once, 13 MB as float32


@dataclass(frozen=True)
class Review:
    """The predictions of a reader on the rows of a data set that could be decoded.

    Attributes:
        rows: N rows.
        probabilities_NK: calibrated probabilities, float [N,K].
        fingerprints_N: FINGERPRINT [N] of the images.
        numbers: K numbers of the reader.
    """

    rows: tuple[AuditRow, ...]
    probabilities_NK: np.ndarray
    fingerprints_N: np.ndarray
    numbers: tuple[str, ...]

    def contradicted(self) -> list[AuditFinding]:
        """Finds labels that the reader contradicts; the score is log10 of the ratio of the two probabilities."""
        judged_N, score_N, margin_N = self.contradictions()
        findings = []
        for index in np.flatnonzero(judged_N & (margin_N > MIN_MARGIN)).tolist():
            row, (number, confidence) = self.rows[index], self._prediction(index)
            times = f"{10 ** score_N[index]:.0f}" if score_N[index] < 3 else "over 1,000"
            predicted = f"{number} with {confidence:.3f}, {times} times the label's"
            sentence = f"{escape_control(row.image)} ({row.shown_label}): {predicted}"
            findings.append(self._finding("label_contradicted", sentence, score_N[index], index))
        return _sorted(findings)

    def contradictions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Compares the likeliest number other than the label with the label.

        Returns:
            Whether the reader knows the label, bool [N]; log10 of the ratio of the two probabilities, float [N]; and
            their difference, float [N].
        """
        column_of = {number: column for column, number in enumerate(self.numbers)}
        columns_N = np.array([column_of.get(row.label, -1) for row in self.rows], np.intp)
        is_illegible_N = np.array([row.label == ILLEGIBLE for row in self.rows], bool)
        others_NK, all_rows_N = self.probabilities_NK.astype(np.float64), np.arange(len(self.rows))
        label_N = np.where(is_illegible_N, 1 / len(self.numbers), others_NK[all_rows_N, columns_N])
        others_NK[~is_illegible_N, columns_N[~is_illegible_N]] = 0
        other_N = others_NK.max(axis=1)
        score_N = np.log10(other_N.clip(EPS)) - np.log10(label_N.clip(EPS))
        return is_illegible_N | (columns_N >= 0), score_N, other_N - label_N

    def illegible(self) -> list[AuditFinding]:
        """Finds labeled images without a legible number; the score is the entropy as a fraction of its max."""
        entropy_N = 1 - confidence_weight(self.probabilities_NK)
        findings = []
        for index in np.flatnonzero(entropy_N > MIN_ENTROPY).tolist():
            row, (number, confidence) = self.rows[index], self._prediction(index)
            if row.label != ILLEGIBLE:
                predicted = f"the likeliest number is {number} with {confidence:.3f}"
                sentence = f"{escape_control(row.image)} ({row.shown_label}): {predicted}"
                findings.append(self._finding("looks_illegible", sentence, entropy_N[index], index))
        return _sorted(findings)

    def similar(self, known: Sequence[AuditFinding] = ()) -> list[AuditFinding]:
        """Finds pairs of similar images with different numbers; the score is 1 minus the difference of thumbnails.

        Each image is in one pair, the most similar one. Illegible images are left out, because a number may be visible
        in one frame and hidden in the next.

        Args:
            known: findings of the audit; pairs within one of them are left out.
        """
        group_of = {row: group for group, finding in enumerate(known) for row in finding.rows}
        findings, used = [], set[int]()
        for difference, *pair in sorted(self._similar_pairs()):
            first, second = (self.rows[index] for index in pair)
            in_one_group = first in group_of and group_of[first] == group_of.get(second)
            if used.isdisjoint(pair) and not in_one_group:
                used.update(pair)
                names = [
                    f"{escape_control(row.image)} ({row.shown_label}, predicted {self._prediction(index)[0]})"
                    for row, index in zip((first, second), pair, strict=True)
                ]
                findings.append(self._finding("similar_with_other_label", " and ".join(names), 1 - difference, *pair))
        return findings

    def _similar_pairs(self) -> Iterator[tuple[float, int, int]]:
        """Yields the difference and the indices of each pair of similar images with different numbers."""
        labels_N = np.array([row.label for row in self.rows])
        hashes_N, thumbs_NTTC = self.fingerprints_N["hash"], self.fingerprints_N["thumb_TTC"]
        for i_P, j_P in near_pairs(hashes_N, hashes_N, max_distance=MAX_HASH_BITS, description="comparing images"):
            differ_P = (labels_N[i_P] != labels_N[j_P]) & (labels_N[i_P] != ILLEGIBLE) & (labels_N[j_P] != ILLEGIBLE)
            candidates_2P = np.stack([i_P[differ_P], j_P[differ_P]])
            for start in range(0, candidates_2P.shape[1], _PAIRS):
                some_2P = candidates_2P[:, start : start + _PAIRS]
                difference_P = relative_difference(*thumbs_NTTC[some_2P])
                similar_P = difference_P <= MAX_DIFFERENCE
                yield from zip(difference_P[similar_P].tolist(), *some_2P[:, similar_P].tolist(), strict=True)

    def _prediction(self, index: int) -> tuple[str, float]:
        column = int(self.probabilities_NK[index].argmax())
        return self.numbers[column], float(self.probabilities_NK[index, column])

    def _finding(self, kind: Kind, sentence: str, score: float, *indices: int) -> AuditFinding:
        rows = tuple(self.rows[index] for index in indices)
        predictions = tuple((number, round(p, 6)) for number, p in map(self._prediction, indices))
        return AuditFinding(kind, sentence, rows, round(float(score), 4), predictions)

    def unknown(self) -> list[AuditFinding]:
        """Finds the labels that the reader does not know, so that it cannot judge them."""
        counts = Counter(row.label for row in self.rows if row.label not in (*self.numbers, ILLEGIBLE))
        if not counts:
            return []
        labels = summarize([f"{escape_control(label)} ({counts[label]})" for label in in_order(counts)], limit=12)
        return [AuditFinding("unknown_to_reader", f"the reader does not know the labels {labels}")]

    def findings(self, known: Sequence[AuditFinding] = ()) -> list[AuditFinding]:
        """Returns all findings; `known` are those of the audit, see `similar`."""
        return [*self.unknown(), *self.contradicted(), *self.illegible(), *self.similar(known)]


def _with_vocabulary(reader: Predictor, labels: set[str]) -> Predictor:
    """Returns the reader with an open vocabulary if this has more of the labels."""
    if labels & set(reader.model.vocabulary) - set(reader.numbers):
        reader = Predictor(reader.model.path, top_k=1, open_vocabulary=True)
    if labels and labels.isdisjoint(reader.numbers):
        names = summarize([escape_control(label) for label in in_order(labels)], limit=4)
        raise UserError(f"{reader.model.path} knows none of the labels ({names}); use a model that was trained on them")
    return reader


def review(audit: Audit, reader: Predictor) -> Review:
    """Predicts every image of an audit that can be decoded, once.

    Raises:
        UserError: the reader has none of the labels.
    """
    reader = _with_vocabulary(reader, {row.label for row in audit.rows} - {ILLEGIBLE})
    images = dict.fromkeys(row.image for row in audit.rows)
    fingerprints: dict[str, np.ndarray] = {}

    def crops() -> Iterator[np.ndarray]:
        for image in tqdm(images, desc="predicting", unit="image", disable=None):
            try:
                pixels_hw3 = decode(audit.root / image)
            except BadImage:  # a finding of the audit
                continue
            fingerprints[image] = np.array(fingerprint(pixels_hw3), FINGERPRINT)
            yield pixels_hw3

    predicted = [each for each in reader.probabilities(crops()) if not isinstance(each, UserError)]
    index_of = {image: index for index, image in enumerate(fingerprints)}
    rows = tuple(row for row in audit.rows if row.image in index_of)
    indices_N = np.array([index_of[row.image] for row in rows], np.intp)
    probabilities_NK = np.array(predicted, np.float32).reshape(-1, len(reader.numbers))[indices_N]
    fingerprints_N = np.array([*fingerprints.values()], FINGERPRINT)[indices_N]
    return Review(rows, probabilities_NK, fingerprints_N, tuple(reader.numbers))


def _sorted(findings: list[AuditFinding]) -> list[AuditFinding]:
    return sorted(findings, key=lambda finding: (-(finding.score or 0), -finding.predictions[0][1]))
