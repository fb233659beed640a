"""``python -m lua --compose FOLDER`` writes every composed script into a folder, for a linter to read."""

import argparse
from pathlib import Path

from lua.loader import load_script, script_names


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lua", description=__doc__)
    parser.add_argument("--compose", type=Path, required=True, metavar="FOLDER")
    folder: Path = parser.parse_args().compose
    folder.mkdir(parents=True, exist_ok=True)
    for name in script_names():
        (folder / f"{name}.lua").write_text(load_script(name).source, encoding="utf-8")


if __name__ == "__main__":
    main()
