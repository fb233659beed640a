"""What a disk can do to a file."""

import os
import shutil
from pathlib import Path


def cut_file(file: Path, share: float) -> int:
    """Cuts it after that share of its bytes; how many are gone."""
    size = file.stat().st_size
    kept = int(size * share)
    os.truncate(file, kept)
    return size - kept


def empty_folder(folder: Path) -> None:
    for found in folder.iterdir():
        if found.is_dir():
            shutil.rmtree(found)
        else:
            found.unlink()
