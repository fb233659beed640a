"""What pip installs is all there: scripts, migrations, protos, stubs and types included."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Where a package lies in the checkout, and where in the wheel.
SOURCE_ROOTS = {"fx": ".", "lua": ".", "persistence": ".", "service": ".", "stakehold": "protos"}
SHIPPED_KINDS = {".lua", ".proto", ".py", ".pyi", ".sql", ".typed"}


@pytest.fixture(scope="session")
def wheel_files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("package", SOURCE_ROOTS)
def test_the_wheel_has_every_file_of_a_package(wheel_files: set[str], package: str) -> None:
    source = ROOT / SOURCE_ROOTS[package]
    wanted = {
        found.relative_to(source).as_posix()
        for found in (source / package).rglob("*")
        if found.suffix in SHIPPED_KINDS and "__pycache__" not in found.parts
    }

    assert wanted
    assert wanted - wheel_files == set()


@pytest.mark.parametrize("package", SOURCE_ROOTS)
def test_each_package_says_that_it_is_typed(wheel_files: set[str], package: str) -> None:
    assert f"{package}/py.typed" in wheel_files


@pytest.mark.parametrize("kind", sorted(SHIPPED_KINDS))
def test_the_wheel_has_files_of_every_kind(wheel_files: set[str], kind: str) -> None:
    assert any(name.endswith(kind) for name in wheel_files)


def test_the_wheel_has_nothing_else(wheel_files: set[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel_files}

    assert {top for top in tops if not top.endswith(".dist-info")} == set(SOURCE_ROOTS)
    assert not any("__pycache__" in name for name in wheel_files)
