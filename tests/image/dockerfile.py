"""Reads the Dockerfile, and carries out its building stages in a folder, without a container engine.

Understood is what the building stages use: FROM, COPY of what is in the checkout, and RUN of the steps. Of
the others the settings are read.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
STEPS = "/build/scripts/image/steps.sh"


@dataclass(frozen=True, slots=True)
class Instruction:
    """``words`` are the arguments: of the exec form the list, otherwise as a shell splits them."""

    name: str
    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class Stage:
    """``base`` is another stage's name, or an image."""

    name: str
    base: str
    instructions: Sequence[Instruction]

    def only(self, name: str) -> Sequence[str]:
        """The words of the one instruction of that name."""
        [found] = [one.words for one in self.instructions if one.name == name]
        return found

    def environment(self) -> dict[str, str]:
        words = [word for one in self.instructions if one.name == "ENV" for word in one.words]
        return dict(word.split("=", 1) for word in words)


def stages() -> Mapping[str, Stage]:
    """In order, by their names."""
    found: dict[str, Stage] = {}
    name, base, instructions = "", "", list[Instruction]()
    for instruction in _instructions():
        if instruction.name == "FROM":
            base, _, name = instruction.words
            instructions = []
            found[name] = Stage(name, base, instructions)
        else:
            instructions.append(instruction)
    return found


def _instructions() -> Iterator[Instruction]:
    text = (ROOT / "Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        if name:
            yield Instruction(name, json.loads(rest) if rest.startswith("[") else shlex.split(rest))


def built(stage: str, folder: Path) -> None:
    """Carries out a stage and those that it is made from. What the image has at /, the folder has."""
    known = stages()
    if known[stage].base in known:
        built(known[stage].base, folder)
    for instruction in known[stage].instructions:
        match instruction.name:
            case "COPY":
                *sources, target = instruction.words
                _copy(sources, target, folder)
            case "RUN":
                _run(instruction.words, folder)
            case "WORKDIR":
                _within(folder, instruction.words[0]).mkdir(parents=True, exist_ok=True)
            case name:
                raise ValueError(f"a building stage has an instruction that is not tried here: {name}")


def _copy(sources: Sequence[str], target: str, folder: Path) -> None:
    to = _within(folder, target)
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / source, to)


def _run(words: Sequence[str], folder: Path) -> None:
    if words[0] != STEPS:
        raise ValueError(f"a building stage runs something else than the steps: {words}")
    moved = [str(_within(folder, word)) if word.startswith("/") else word for word in words]
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    kept |= _python_with_pip(folder)
    done = subprocess.run(moved, capture_output=True, text=True, check=False, env=kept, cwd=folder)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(words)} failed:\n{done.stdout}{done.stderr}")


def _python_with_pip(folder: Path) -> dict[str, str]:
    """The variables with which `python` is one that has pip, as the image's is: this one, the machine's, or
    this one with the pip that scripts/pip.sh unpacked where the machine has none.
    """
    shims = folder / "shims"
    shims.mkdir(exist_ok=True)
    unpacked = [str(wheel) for wheel in ROOT.glob(".tools/pip/usr/share/python-wheels/pip-*.whl")]
    machines = str(Path(sys.base_prefix) / "bin" / "python3")
    for python, wheels in ((sys.executable, []), (machines, []), (sys.executable, unpacked)):
        shim = shims / "python"
        found = f"PYTHONPATH={shlex.quote(wheels[0])} " if wheels else ""
        shim.write_text(f'#!/bin/sh\n{found}exec {shlex.quote(python)} "$@"\n')
        shim.chmod(0o755)
        if subprocess.run([shim, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            return {"PATH": f"{shims}:{os.environ['PATH']}"}
    raise RuntimeError("no Python here has pip: install python3-venv (or python3-pip) and try again")


def _within(folder: Path, path: str) -> Path:
    return folder / path.lstrip("/")
