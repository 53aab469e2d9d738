"""One drawing process of `jersey.synth.generate`: `python -m jersey.synth.worker FOLDER WORKER WORKERS`.

Draws its share of the data set that FOLDER's manifest describes, and writes one byte to standard output for each crop.
"""

import json
import signal
import sys
from pathlib import Path

from jersey.core.errors import exit_on_user_error
from jersey.synth.generate import draw_share
from jersey.synth.settings import MANIFEST, Settings

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent hears it too, and ends its workers.
    root, worker, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    content = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    settings = Settings(**content | {"numbers": tuple(content["numbers"])})
    with exit_on_user_error():
        for _ in draw_share(root, settings, worker=worker, workers=workers):
            sys.stdout.write(".")
            sys.stdout.flush()
