"""Pictures of crops: those that are trained on, those that were read right or wrong, and where the network looked.

Shapes: B crops of a batch, N crops of the split with a label, M <= N chosen rows, U illegible ones, H W size.
"""

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from jersey.callbacks.base import AfterEvaluation, EvaluatedSplit, data_of, module_of
from jersey.core.errors import UserError
from jersey.core.labels import ILLEGIBLE_NAME
from jersey.data.loader import Batch
from jersey.evaluation.grad_cam import grad_cam
from jersey.evaluation.ranked import RankedPredictions, evenly_spaced
from jersey.plots import image_grid as plot
from jersey.plots.image_grid import Tile, TileSection

# Of the stages of a ResNet, the last first; half as many behind the small stem, which does not pool.
PX_PER_POSITION = {"layer4": 32, "layer3": 16, "layer2": 8, "layer1": 4}
LEAST_POSITIONS = 6


class InputGrid(Callback):
    """Writes `inputs_train.png` (the latest) from the first batch of an epoch, and adds it to Aim as `samples`.

    Augmentation and mixing run once more and, their randomness being counted, give the pixels that are trained on;
    nothing that is random later is touched. Below a mixed crop stands the number of the stored one alone.

    Args:
        crops: how many of the batch to show, at most.
        every_epochs: draw epochs 0, n, 2n and so on; None draws the first epoch only.
    """

    def __init__(self, *, crops: int = 24, every_epochs: int | None = None) -> None:
        self.crops = crops
        self.every_epochs = every_epochs

    @rank_zero_only
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        split, epoch = EvaluatedSplit(trainer, module_of(pl_module), "train"), trainer.current_epoch
        if batch_idx > 0 or (epoch % self.every_epochs if self.every_epochs else epoch) > 0:
            return
        names = [(*split.names, ILLEGIBLE_NAME)[label] for label in batch["labels"][: self.crops].tolist()]  # -1: none
        stages, what = [batch["images"]], "unchanged"
        if split.module.augment is not None or split.module.mix is not None:
            # The whole batch is changed: a part of it would draw other random numbers.
            stages.append(split.module.prepare_batch(batch, 0)[0])
            what = "as stored, and as the network gets them"
        views = [stage_BCHW[: self.crops].round().byte().permute(0, 2, 3, 1).cpu().numpy() for stage_BCHW in stages]
        tiles = [Tile(images, (name,)) for *images, name in zip(*views, names, strict=True)]
        section = TileSection(f"crops of the first batch, {what}", tiles, out_of=len(batch["labels"]))
        split.save_and_track(plot.image_grid(split.title, [section], columns=12 // len(views)), "inputs")


class PredictionGrid(AfterEvaluation):
    """Writes `predictions_val.png` (the latest) and `predictions_test.png`, and adds them to Aim as `predictions`.

    Of the illegible crops, where there are some, it shows those that were read with most confidence.

    Args:
        crops: how many to show of each kind, at most.
    """

    def __init__(self, *, crops: int = 10) -> None:
        self.crops = crops

    def on_split_evaluated(self, scored: EvaluatedSplit) -> None:
        evaluation, ranked, images_NHW3 = scored.evaluation, scored.ranked, scored.images_NCHW.permute(0, 2, 3, 1)
        right_M, wrong_M, unsure_M = ranked.correct(), ranked.confident_errors(), ranked.least_confident()
        sections = []
        for kind, all_M, shown_M in (
            ("read right, from all over the split", right_M, evenly_spaced(right_M, self.crops)),
            ("read wrong, the surest first", wrong_M, wrong_M[: self.crops]),
            ("least sure, mistakes framed", unsure_M, unsure_M[: self.crops]),
        ):
            shown = zip(images_NHW3[evaluation.indices_N[shown_M]].numpy(), shown_M.tolist(), strict=True)
            tiles = [Tile([image], ranked.caption(row), is_marked=not ranked.is_correct_N[row]) for image, row in shown]
            sections.append(TileSection(kind, tiles, out_of=len(all_M)))
        if evaluation.illegible:
            sections.append(self._illegible(scored))
        title = f"{scored.title}: {len(right_M)} of {len(unsure_M)} crops read right"
        scored.save_and_track(plot.image_grid(title, sections, columns=10), "predictions")

    def _illegible(self, scored: EvaluatedSplit) -> TileSection:
        evaluation = scored.evaluation
        confidence_U, read_U = evaluation.illegible_confidence_U, evaluation.illegible_logits_UK.argmax(dim=1)
        tiles = []
        for row in confidence_U.argsort(descending=True, stable=True)[: self.crops].tolist():
            image_CHW = scored.images_NCHW[evaluation.illegible_indices_U[row]]
            caption = (f"{confidence_U[row]:.1%} for {scored.names[read_U[row]]}", ILLEGIBLE_NAME)
            tiles.append(Tile([image_CHW.permute(1, 2, 0).numpy()], caption))
        return TileSection("illegible, the surest first", tiles, out_of=evaluation.illegible)


class GradCam(AfterEvaluation):
    """Writes `grad_cam_test.png`, and adds it to Aim as `grad_cam`: what spoke for a number, and what for its rival.

    Looks at the last stage of the ResNet that has 6 positions a side: at 224 px that is the very last, as the paper
    has it, while at 48 px that one has only 2, which show nothing.

    Args:
        crops: how many mistakes to show, and how many crops that were read right but unsurely, at most.
    """

    def __init__(self, *, crops: int = 8) -> None:
        self.crops = crops

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not all(hasattr(module_of(pl_module).network.backbone, name) for name in PX_PER_POSITION):
            raise UserError("Grad-CAM knows the stages of a ResNet alone; set trainer.callbacks.grad_cam=None")

    def on_split_evaluated(self, scored: EvaluatedSplit) -> None:
        if scored.subset == "val":  # its scored weights may be gone
            return
        ranked = scored.ranked
        stage = stage_for(scored.module.network.backbone, data_of(scored.trainer).size_px)
        unsure_M = ranked.least_confident()
        sections = []
        for kind, rows_M in (
            ("read wrong, the surest first", ranked.confident_errors()),
            ("read right, the least sure first", unsure_M[ranked.is_correct_N[unsure_M]]),
        ):
            tiles = [_heat_tile(scored, ranked, row, stage) for row in rows_M[: self.crops].tolist()]
            sections.append(TileSection(kind, tiles, out_of=len(rows_M)))
        title = f"{scored.title}: where a crop speaks for a number (bright), by Grad-CAM of {stage}"
        scored.save_and_track(plot.image_grid(title, sections, columns=4), "grad_cam")


def stage_for(backbone: nn.Module, size_px: tuple[int, int]) -> str:
    """The last stage with `LEAST_POSITIONS` along the shorter side, else the first stage."""
    finer = 2 if isinstance(getattr(backbone, "maxpool", None), nn.Identity) else 1
    positions = {name: finer * min(size_px) / px for name, px in PX_PER_POSITION.items()}
    return next((name for name, count in positions.items() if count >= LEAST_POSITIONS), "layer1")


def _heat_tile(scored: EvaluatedSplit, ranked: RankedPredictions, row: int, stage: str) -> Tile:
    network, device = scored.module.network, scored.module.device
    image_CHW: Tensor = scored.images_NCHW[scored.evaluation.indices_N[row]]
    rivals_2 = ranked.contrast_classes(row)
    twice_2CHW = image_CHW.expand(2, -1, -1, -1).to(device)
    maps_2HW = grad_cam(network, network.backbone.get_submodule(stage), twice_2CHW, rivals_2.to(device)).cpu().numpy()
    image_HW3 = image_CHW.permute(1, 2, 0).numpy()
    views = [image_HW3, *(plot.heat_overlay(image_HW3, map_HW) for map_HW in maps_2HW)]
    read, rival = (scored.names[k] for k in rivals_2.tolist())
    return Tile(views, [", ".join(ranked.caption(row)), f"bright: for {read}, for {rival}"])
