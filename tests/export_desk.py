"""Somebody who exports a ledger to a folder, and looks at what is in it."""

import gzip
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from redis.asyncio import Redis

from persistence.export.exporting import Stretch, exporter
from persistence.export.manifest import SUFFIX, Manifest, SigningKey, read_manifest, read_public_key
from persistence.export.verifying import ExportFinding, Verified, verify_folder
from persistence.transactions import TransactionKind, partition_of
from service.cli import main
from service.embedded import EmbeddedValkey
from service.embedded.ports import LOOPBACK
from tests.drained_ledger import PARTITION_COUNT, Wallets, movement, wallets
from tests.evening_ledger import ANNA, an_evening
from tests.ledgers import Ledgers

HERS = partition_of(ANNA, PARTITION_COUNT)
NOTE = {"note": "from her aunt Zoë"}
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Desk:
    """Somebody who exports to a folder."""

    money: Wallets
    folder: Path
    key: SigningKey
    public: Path
    private: Path

    async def export(self, *, end: int | None = None, compressed: bool = True) -> list[Manifest]:
        written = []
        async with exporter(self.money.ledger_dsn, self.folder, self.key) as opened:
            for partition, last in (await opened.ends()).items():
                stretch = Stretch(partition, await opened.exported(partition), min(last, end or last))
                if stretch.first < stretch.end:
                    written.append(await opened.export(stretch, compressed=compressed, with_metadata=True))
        return written

    def says(self, *words: str | Path) -> tuple[int, str]:
        """Exit status and output of a command on this ledger. Not for an event loop's own thread."""
        runner = CliRunner(env={"STAKEHOLD_POSTGRES_URL": self.money.ledger_dsn})
        done = runner.invoke(main, [str(word) for word in words])
        return done.exit_code, done.output

    def exports(self, *words: str | Path) -> tuple[int, str]:
        """As says, of an export of everything to the folder."""
        return self.says("export", "--all", "--out", self.folder, "--key", self.private, *words)

    def verifies(self, *words: str | Path) -> tuple[int, str]:
        """As says, of the folder's verification."""
        return self.says("verify-export", self.folder, "--public-key", self.public, *words)

    def content(self) -> Mapping[str, bytes]:
        """All files, but for what only says that somebody exports."""
        return {
            path.name: path.read_bytes() for path in self.folder.iterdir() if not path.name.endswith(".lock")
        }

    def verify(self, public: Path | None = None) -> tuple[list[ExportFinding], Verified]:
        verified = Verified()
        key = read_public_key(public or self.public)
        return list(verify_folder(self.folder, key, verified)), verified

    def second_opinion(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", ROOT / "examples/verify_export.py", self.folder, self.public, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=30.0,
        )

    def lines(self, manifest: Manifest) -> list[bytes]:
        return gzip.decompress((self.folder / manifest.file).read_bytes()).splitlines(keepends=True)

    def hers(self) -> Manifest:
        [manifest] = self.manifests(HERS)
        return manifest

    def manifests(self, partition: int) -> list[Manifest]:
        """Of a partition's files, in order."""
        public = self.key.private.public_key()
        found = [read_manifest(path, public) for path in self.folder.glob(f"*{SUFFIX}")]
        return sorted((one for one in found if one.partition == partition), key=lambda one: one.first)


def keys(folder: Path, name: str) -> tuple[SigningKey, Path, Path]:
    made = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(
        made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public.write_bytes(
        made.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return SigningKey(made), private, public


@asynccontextmanager
async def a_desk(
    ledgers: Ledgers, valkey: EmbeddedValkey, folder: Path, *, database: int
) -> AsyncIterator[Desk]:
    """A desk over a ledger and a store of its own; keys and exported files are in the folder."""
    url = f"redis://{LOOPBACK}:{valkey.port}/{database}"
    key, private, public = keys(folder, "export")
    exported = folder / "exported"
    exported.mkdir()
    async with ledgers.fresh() as dsn, Redis.from_url(url) as store, wallets(url, dsn) as money:
        yield Desk(money, exported, key, public, private)
        await store.flushdb()


async def some_play(desk: Desk) -> None:
    await an_evening(desk.money)
    await desk.money.move(ANNA, movement(TransactionKind.WIN, "noted", 100, metadata=json.dumps(NOTE)))
    await desk.money.drain()
