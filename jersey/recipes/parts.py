"""The parts that an override may put at their place by name, such as `--fdl_set=module.loss=focal(gamma=2)`."""

from jersey.augment.mixing import CutMix, MixUp
from jersey.config import part
from jersey.models.heads import CompositionalHead, linear_head
from jersey.runs.loggers import csv_logger, tensorboard_logger
from jersey.training.losses import CrossEntropy, FocalLoss, LogitAdjustedLoss
from jersey.training.optimizers import adamw, sgd
from jersey.training.sam import SAM
from jersey.training.schedules import constant, multi_step, one_cycle, warmup_cosine

part("head", "compositional_head")(CompositionalHead)
part("head")(linear_head)
part("logger", "csv")(csv_logger)
part("logger", "tensorboard")(tensorboard_logger)
part("loss", "cross_entropy")(CrossEntropy)
part("loss", "focal")(FocalLoss)
part("loss", "logit_adjusted")(LogitAdjustedLoss)
part("mix", "cutmix")(CutMix)
part("mix", "mixup")(MixUp)
part("optimizer")(adamw)
part("optimizer")(sgd)
part("sam", "sam")(SAM)
part("schedule")(constant)
part("schedule")(multi_step)
part("schedule")(one_cycle)
part("schedule")(warmup_cosine)
