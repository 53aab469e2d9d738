"""The folder of an earlier cross-validation is used only with the same number of folds."""

from pathlib import Path

import pytest

from jersey.cli.folds import require_folds
from jersey.core.errors import UserError


@pytest.mark.parametrize("folds", [2, 4])
def test_another_number_of_folds_is_refused(folds: int, tmp_path: Path) -> None:
    for fold in range(3):
        (tmp_path / f"fold_{fold}").mkdir()
    require_folds(tmp_path, 3)
    with pytest.raises(UserError, match=r"has 3 folds; use --folds=3, or choose another --run"):
        require_folds(tmp_path, folds)
