"""Which places of a test crop spoke for the number that was read, and which for its rival, as one picture.

Only after the test: there the module holds the weights that were scored and will be exported.

Shapes: N crops of the split, M <= N chosen rows, H W size.
"""

from typing import TYPE_CHECKING, cast

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from jersey.callbacks.after_evaluation import AfterEvaluation, Subset
from jersey.callbacks.picture import moment, publish
from jersey.core.errors import UserError
from jersey.evaluation.grad_cam import grad_cam
from jersey.evaluation.ranked import Readings

if TYPE_CHECKING:
    from jersey.data.datamodule import JerseyDataModule
    from jersey.plots.image_grid import Tile
    from jersey.training.module import JerseyModule

# Of the stages of a ResNet, the last first; half as many behind the small stem, which does not pool.
PX_PER_POSITION = {"layer4": 32, "layer3": 16, "layer2": 8, "layer1": 4}
LEAST_POSITIONS = 6


class GradCam(AfterEvaluation):
    """Writes `grad_cam_test.png`, and adds it to Aim as `grad_cam`.

    Looks at the last stage of the ResNet that has 6 positions a side: at 224 px that is the very last, as the paper
    has it, while at 48 px that one has only 2, which show nothing.

    Args:
        crops: how many mistakes to show, and how many crops that were read right but unsurely, at most.
    """

    def __init__(self, *, crops: int = 8) -> None:
        self.crops = crops

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not all(hasattr(cast("JerseyModule", pl_module).network.backbone, name) for name in PX_PER_POSITION):
            raise UserError("Grad-CAM knows the stages of a ResNet alone; set trainer.callbacks.grad_cam=None")

    def evaluated(self, trainer: Trainer, module: "JerseyModule", subset: Subset) -> None:
        from jersey.plots.image_grid import Section, image_grid

        if subset == "val":
            return
        readings = Readings(module.evaluations[subset], module.labels.names)
        data = cast("JerseyDataModule", trainer.datamodule)  # type: ignore[attr-defined]  # set by `test`
        stage = stage_for(module.network.backbone, data.size_px)
        unsure_M = readings.least_sure()
        sections = []
        for kind, rows_M in (
            ("read wrong, the surest first", readings.surest_mistakes()),
            ("read right, the least sure first", unsure_M[readings.is_right_N[unsure_M]]),
        ):
            shown_M, layer = rows_M[: self.crops], module.network.backbone.get_submodule(stage)
            tiles = [_tile(row, readings, data.decoded[subset].images_NCHW, module, layer) for row in shown_M.tolist()]
            sections.append(Section(kind, tiles, out_of=len(rows_M)))
        title = f"{moment(trainer, subset)}: where a crop speaks for a number (bright), by Grad-CAM of {stage}"
        publish(trainer, image_grid(title, sections, columns=4), "grad_cam", subset=subset)


def stage_for(backbone: nn.Module, size_px: tuple[int, int]) -> str:
    """The last stage with `LEAST_POSITIONS` along the shorter side, else the first stage."""
    finer = 2 if isinstance(getattr(backbone, "maxpool", None), nn.Identity) else 1
    positions = {name: finer * min(size_px) / px for name, px in PX_PER_POSITION.items()}
    return next((name for name, count in positions.items() if count >= LEAST_POSITIONS), "layer1")


def _tile(row: int, readings: Readings, images_NCHW: Tensor, module: "JerseyModule", layer: nn.Module) -> "Tile":
    from jersey.plots.image_grid import Tile, heat_overlay

    image_CHW = images_NCHW[readings.evaluation.indices_N[row]]
    rivals_2 = readings.rivals(row)
    twice_2CHW = image_CHW.expand(2, -1, -1, -1).to(module.device)
    maps_2HW = grad_cam(module.network, layer, twice_2CHW, rivals_2.to(module.device)).cpu().numpy()
    image_HW3 = image_CHW.permute(1, 2, 0).numpy()
    views = [image_HW3, *(heat_overlay(image_HW3, map_HW) for map_HW in maps_2HW)]
    read, rival = (readings.names[k] for k in rivals_2.tolist())
    return Tile(views, [", ".join(readings.caption(row)), f"bright: for {read}, for {rival}"])
