"""The seconds of callbacks are summed from the actions of Lightning's profiler."""

from jersey.bench.callbacks import sum_by_callback


def test_hooks_inside_of_epochs_are_separated_from_those_outside() -> None:
    durations_s = {
        "[Callback]EMA.on_train_batch_end": [1.0, 2.0],
        "[Callback]RunCheckpoint{'monitor': 'val/acc_top1', 'mode': 'max'}.on_train_epoch_end": [4.0],
        "[Callback]RunCheckpoint{'monitor': 'val/acc_top1', 'mode': 'max'}.setup": [8.0],
        "[Callback]TrainingCurves.on_train_end": [16.0],
        "[Callback]TrainingCurves.on_test_end": [32.0],
        "[Callback]TrainingCurves.on_train_epoch_start": [64.0],
        "[LightningModule]JerseyModule.on_train_epoch_end": [1000.0],
        "run_training_epoch": [1000.0],
    }
    in_epochs_s, once_s = sum_by_callback(durations_s)
    assert in_epochs_s == {"EMA": 3.0, "RunCheckpoint": 4.0, "TrainingCurves": 64.0}
    assert once_s == {"RunCheckpoint": 8.0, "TrainingCurves": 48.0}
