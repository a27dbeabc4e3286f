"""Time and memory of `litecompress unpack`: the shipped model, and embed496 with random weights.

    python benchmarks/unpack.py [--storage native int8 float32] [--repeats 3]

Both are pruned by half with palettes of 6 bits and stored as an artifact, then unpacked by a
process of its own. `s` is the time of unpacking as the command reports it, `cpu s` the processor
time of the whole process, its start and imports included: medians. `peak MB` is the resident set
of the process at most, `imports MB` that of one which only imports what unpacking needs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from onnx_storages import MODEL, random_model, with_palettes

from litecompress.artifact import Artifact
from litecompress.artifact_file import load_model, save_artifact

IMPORTS = (
    "import litecompress.export.onnx, litecompress.unpack as unpack, tokenizers\n"
    "print(unpack.peak_rss_bytes())"
)


def artifacts(folder: Path) -> dict[str, Path]:
    """The two models as files."""
    shipped = load_model(MODEL)
    preset = random_model("wmt14-en-fr-embed496", shipped.config.target_vocab_size)
    preset = Artifact(preset.config, preset.weights, shipped.tokenizer)
    made = {}
    for name, model in (("shipped", shipped), ("embed496", preset)):
        made[name] = folder / f"{name}.litec"
        save_artifact(with_palettes(model), made[name])
    return made


def unpacked(artifact: Path, storage: str, output: Path) -> tuple[dict[str, Any], float]:
    """What the command reports, and its process' own time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "litecompress", "unpack", str(artifact), "-o", str(output)]
    command += ["--storage", storage, "--force", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout), spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--storage", nargs="+", default=["native", "int8", "float32"])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, check=True)
    imports = int(done.stdout) / 1e6
    print(
        f"{'model':10}{'storage':10}{'artifact MB':>12}{'package MB':>11}{'s':>7}{'cpu s':>7}",
        end="",
    )
    print(f"{'peak MB':>9}{'imports MB':>11}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model, artifact in artifacts(folder).items():
            for storage in args.storage:
                runs = [
                    unpacked(artifact, storage, folder / "package") for _ in range(args.repeats)
                ]
                told, median = runs[0][0], lambda values: float(np.median(list(values)))
                print(f"{model:10}{storage:10}{told['artifact_bytes'] / 1e6:12.2f}", end="")
                print(f"{told['package_raw_bytes'] / 1e6:11.2f}", end="")
                print(f"{median(t['seconds'] for t, _ in runs):7.2f}", end="")
                print(f"{median(spent for _, spent in runs):7.2f}", end="")
                peak = median(t["peak_rss_bytes"] for t, _ in runs) / 1e6
                print(f"{peak:9.0f}{imports:11.0f}")


if __name__ == "__main__":
    main()
