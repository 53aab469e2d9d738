"""Image grids of crops: network inputs, correct and incorrect predictions, and Grad-CAM maps.

Shapes: B crops of a batch, N labeled crops of the split, M <= N selected rows, U illegible crops, H W size.
"""

import difflib
import logging

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from jersey.callbacks.base import AfterEvaluation, EvaluatedSplit, module_of
from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE_NAME
from jersey.core.tables import percent
from jersey.data.loader import Batch
from jersey.evaluation.grad_cam import grad_cam, layer_for
from jersey.evaluation.ranked import RankedPredictions, evenly_spaced
from jersey.plots import image_grid as plot
from jersey.plots.image_grid import Tile, TileSection

log = logging.getLogger(__name__)


class InputGrid(Callback):
    """Writes `inputs_train.png` from the first batch of an epoch, and adds it to Aim as `inputs`.

    Augmentation and mixing run a second time with the same seed, so the grid shows the pixels of training and changes
    no later random number. The caption of a mixed crop is the label of its stored crop.

    Args:
        crops: maximum number of crops.
        every_epochs: interval between two grids, in epochs from epoch 0; None for the first epoch only.
    """

    def __init__(self, *, crops: int = 24, every_epochs: int | None = None) -> None:
        self.crops = crops
        self.every_epochs = every_epochs

    @rank_zero_only
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        split, epoch = EvaluatedSplit(trainer, module_of(pl_module), "train"), trainer.current_epoch
        if batch_idx > 0 or (epoch % self.every_epochs if self.every_epochs else epoch) > 0:
            return
        # An illegible crop has the label -1, which selects the last name.
        names = [(*split.names, ILLEGIBLE_NAME)[label] for label in batch["labels"][: self.crops].tolist()]
        shown, kind = [batch["images"]], "unchanged"
        if split.module.augment is not None or split.module.mix is not None:
            # The whole batch is augmented, because a part of it would use other random numbers.
            shown.append(split.module.prepare_batch(batch, 0)[0])
            kind = "as stored and as network inputs"
        views = [images_BCHW[: self.crops].round().byte().permute(0, 2, 3, 1).cpu().numpy() for images_BCHW in shown]
        tiles = [Tile(images, (name,)) for *images, name in zip(*views, names, strict=True)]
        section = TileSection(f"crops of the first batch, {kind}", tiles, out_of=len(batch["labels"]))
        split.save_and_track(plot.image_grid(split.title, [section], columns=12 // len(views)), "inputs")


class PredictionGrid(AfterEvaluation):
    """Writes `predictions_<subset>.png`: correct, incorrect and least confident crops; also in Aim as `predictions`.

    If there are illegible crops, it also shows the most confident predictions on them.

    Args:
        crops: maximum number of crops per section.
    """

    def __init__(self, *, crops: int = 10) -> None:
        self.crops = crops

    def on_split_evaluated(self, split: EvaluatedSplit) -> None:
        evaluation, ranked, images_NHW3 = split.evaluation, split.ranked, split.images_NCHW.permute(0, 2, 3, 1)
        correct_M, errors_M, unconfident_M = ranked.correct(), ranked.confident_errors(), ranked.least_confident()
        sections = []
        for kind, all_M, shown_M in (
            ("correct, evenly spaced over the split", correct_M, evenly_spaced(correct_M, self.crops)),
            ("incorrect, most confident first", errors_M, errors_M[: self.crops]),
            ("least confident, errors framed", unconfident_M, unconfident_M[: self.crops]),
        ):
            shown = zip(images_NHW3[evaluation.indices_N[shown_M]].numpy(), shown_M.tolist(), strict=True)
            tiles = [Tile([image], ranked.caption(row), is_marked=not ranked.is_correct_N[row]) for image, row in shown]
            sections.append(TileSection(kind, tiles, out_of=len(all_M)))
        if evaluation.illegible:
            sections.append(self._illegible(split))
        title = f"{split.title}: {len(correct_M)} of {len(unconfident_M)} crops correct"
        split.save_and_track(plot.image_grid(title, sections, columns=10), "predictions")

    def _illegible(self, split: EvaluatedSplit) -> TileSection:
        evaluation = split.evaluation
        confidence_U, predicted_U = evaluation.illegible_confidence_U, evaluation.illegible_logits_UK.argmax(dim=1)
        tiles = []
        for row in confidence_U.argsort(descending=True, stable=True)[: self.crops].tolist():
            image_CHW = split.images_NCHW[evaluation.illegible_indices_U[row]]
            caption = (f"{percent(float(confidence_U[row]))} for {split.names[predicted_U[row]]}", ILLEGIBLE_NAME)
            tiles.append(Tile([image_CHW.permute(1, 2, 0).numpy()], caption))
        return TileSection("illegible, most confident first", tiles, out_of=evaluation.illegible)


class GradCam(AfterEvaluation):
    """Writes `grad_cam_test.png`, the evidence for a prediction and for a contrast class; adds it to Aim as `grad_cam`.

    It uses the last layer with at least 6 positions per side. At 224 px that is the last stage of a ResNet, as in the
    paper; at 48 px the last stage has only 2 positions, which show nothing. A network whose later layers have no
    positions, such as a vision transformer, has no Grad-CAM, and the run says so.

    Args:
        crops: maximum number of errors, and of correct crops with low confidence.
        layer: name of a submodule of the backbone with an output [B,C,h,w], such as "layer3"; None to choose it.

    Raises:
        UserError: (when training starts) the backbone has no such layer.
    """

    def __init__(self, *, crops: int = 8, layer: str | None = None) -> None:
        self.crops = crops
        self.layer = layer

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        names = [name for name, _ in module_of(pl_module).network.backbone.named_modules()]
        if self.layer is not None and self.layer not in names:
            similar = difflib.get_close_matches(self.layer, names, n=3, cutoff=0.1)
            raise UserError(
                f"trainer.callbacks.grad_cam.layer={self.layer!r} is no submodule of the backbone, which has "
                f"{', '.join(similar)} and others; name one of them, or set trainer.callbacks.grad_cam.layer=None"
            )

    def on_split_evaluated(self, split: EvaluatedSplit) -> None:
        if split.subset == "val":  # the module may no longer hold the evaluated weights
            return
        layer = self.layer or _layer_of(split)
        if layer is None:
            log.info("no Grad-CAM: the later layers of the network have no positions")
            return
        ranked = split.ranked
        unconfident_M = ranked.least_confident()
        sections = []
        for kind, rows_M, contrast in (
            ("incorrect, most confident first", ranked.confident_errors(), "label"),
            ("correct, least confident first", unconfident_M[ranked.is_correct_N[unconfident_M]], "runner-up"),
        ):
            tiles = [_heat_tile(split, ranked, row, layer) for row in rows_M[: self.crops].tolist()]
            names = ("crop", "predicted", contrast)
            sections.append(TileSection(kind, tiles, out_of=len(rows_M), view_names=names))
        title = f"{split.title}: Grad-CAM of {layer}, the evidence of each pixel for a number"
        scale = ("no evidence", "strongest evidence in the crop")
        split.save_and_track(plot.image_grid(title, sections, columns=4, heat_scale=scale), "grad_cam")


def _layer_of(split: EvaluatedSplit) -> str | None:
    network = split.module.network
    images_1CHW = split.images_NCHW[:1].to(split.module.device)
    return layer_for(network.backbone, network.normalize(images_1CHW))


def _heat_tile(split: EvaluatedSplit, ranked: RankedPredictions, row: int, layer: str) -> Tile:
    network, device = split.module.network, split.module.device
    image_CHW: Tensor = split.images_NCHW[split.evaluation.indices_N[row]]
    classes_2 = ranked.contrast_classes(row)
    images_2CHW = image_CHW.expand(2, -1, -1, -1).to(device)
    maps_2HW = grad_cam(network, network.backbone.get_submodule(layer), images_2CHW, classes_2.to(device)).cpu().numpy()
    image_HW3 = image_CHW.permute(1, 2, 0).numpy()
    views = [image_HW3, *(plot.heat_overlay(image_HW3, map_HW) for map_HW in maps_2HW)]
    predicted, contrast = (split.names[k] for k in classes_2.tolist())
    return Tile(views, [", ".join(ranked.caption(row)), f"evidence for {predicted}, for {contrast}"])
