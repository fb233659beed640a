"""Opens what knows the callers, and the doors that they come in by; and looks for changes of both."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from persistence.errors import SetupRefused
from service.callers.callers_file import CallersFile, CallersFileRefused, read_callers_file
from service.callers.certificates import ClientTrust
from service.callers.identifying import DevelopmentIdentifier, Identifier
from service.callers.issuer_keys import IssuerKeys
from service.callers.known_callers import Directory, KnownCallers
from service.callers.metrics import CallerMetrics
from service.settings import Settings
from service.transport.complaints import Complaints
from service.transport.doors import DevelopmentDoor, Door
from service.transport.server_certificates import (
    CertificateFiles,
    ServerCertificates,
    TlsDoor,
    WatchedCertificates,
)

_log = structlog.get_logger(__name__)


async def open_entrance(
    settings: Settings, stack: AsyncExitStack, metrics_registry: CollectorRegistry
) -> tuple[Identifier, Door]:
    """Raises SetupRefused where neither is set up and nobody has said that it is for development."""
    if settings.insecure_development:
        if settings.tls_cert_file or settings.tls_key_file or settings.callers_file:
            raise SetupRefused(
                "STAKEHOLD_INSECURE_DEVELOPMENT is set beside settings of TLS or callers: unset it, or them"
            )
        _log.warning("insecure_development", callers="nobody is asked", transport="not encrypted")
        return DevelopmentIdentifier(), DevelopmentDoor()
    files = _certificate_files(settings)
    metrics = CallerMetrics(metrics_registry)
    trust = ClientTrust()

    def change(certificates: ServerCertificates) -> None:
        trust.trust(certificates.authorities)

    certificates = WatchedCertificates(files, on_change=change, on_failure=metrics.count_tls_failure)
    metrics.watch_expiry(lambda: certificates.current.expires_s)
    roster = await _opened_roster(Path(settings.callers_file), stack, trust, metrics)
    watching = asyncio.create_task(
        _watch([certificates.look_again, roster.look_again], settings.reload_s),
        name="certificates-and-callers",
    )
    stack.push_async_callback(_cancel, watching)
    return roster.callers, TlsDoor(certificates)


def _certificate_files(settings: Settings) -> CertificateFiles:
    missing = [
        name
        for name, path in (
            ("STAKEHOLD_TLS_CERT_FILE", settings.tls_cert_file),
            ("STAKEHOLD_TLS_KEY_FILE", settings.tls_key_file),
            ("STAKEHOLD_CALLERS_FILE", settings.callers_file),
        )
        if not path
    ]
    if missing:
        raise SetupRefused(
            f"set {', '.join(missing)}: callers come over TLS, and the service has to know them; or, on a "
            "developer's own machine, STAKEHOLD_INSECURE_DEVELOPMENT=true"
        )
    asks_clients = settings.tls_client_certificates == "required"
    if asks_clients and not settings.tls_client_ca_file:
        raise SetupRefused(
            "set STAKEHOLD_TLS_CLIENT_CA_FILE: whose client certificates are trusted; or, where callers are "
            "known by tokens alone, STAKEHOLD_TLS_CLIENT_CERTIFICATES=optional"
        )
    return CertificateFiles(
        Path(settings.tls_cert_file),
        Path(settings.tls_key_file),
        Path(settings.tls_client_ca_file) if asks_clients else None,
    )


class _Roster:
    """The callers as their file names them now, and their issuers' keys."""

    def __init__(self, path: Path, file: CallersFile, trust: ClientTrust, metrics: CallerMetrics) -> None:
        self._path = path
        self._file = file
        self._metrics = metrics
        self._complaints = Complaints()
        self._keys: dict[str, IssuerKeys] = {}
        self._refreshers: dict[str, asyncio.Task[None]] = {}
        self._take_issuers(file)
        self.callers = KnownCallers(Directory(file), dict(self._keys), trust, metrics)

    def look_again(self) -> Callable[[], None]:
        """Reads the file, which blocks; what is returned is to be called in the event loop."""
        try:
            found = read_callers_file(self._path)
        except CallersFileRefused as error:
            refused = str(error)
            return lambda: self._refuse(refused)
        return lambda: self._use(found)

    async def close(self) -> None:
        for task in self._refreshers.values():
            task.cancel()
        await asyncio.gather(*self._refreshers.values(), return_exceptions=True)
        await asyncio.gather(*(keys.close() for keys in self._keys.values()))

    async def first_keys(self) -> None:
        """Waits until each issuer's server was asked once, whatever it said."""
        await asyncio.gather(*(keys.arrival() for keys in self._keys.values()))

    def _use(self, found: CallersFile) -> None:
        self._complaints.settled()
        if found == self._file:
            return
        self._file = found
        self._take_issuers(found)
        self.callers.use(Directory(found), dict(self._keys))
        _log.info("callers_changed", callers=sorted(entry.name for entry in found.callers))

    def _refuse(self, why: str) -> None:
        """The old file stays in use."""
        if self._complaints.is_due(why):
            self._metrics.count_callers_failure()
            _log.error("callers_file_refused", reason=why)

    def _take_issuers(self, file: CallersFile) -> None:
        """Keeps the keys of those that are the same."""
        wanted = {issuer.issuer: issuer for issuer in file.issuers}
        for name, keys in list(self._keys.items()):
            if wanted.get(name) != keys.issuer:
                self._refreshers.pop(name).cancel()
                del self._keys[name]
        for name, issuer in wanted.items():
            if name not in self._keys:
                keys = self._keys[name] = IssuerKeys(issuer, self._metrics)
                keys.begin()
                self._refreshers[name] = asyncio.create_task(keys.keep_fresh(), name=f"keys of {name}")


async def _opened_roster(
    path: Path, stack: AsyncExitStack, trust: ClientTrust, metrics: CallerMetrics
) -> _Roster:
    try:
        file = await asyncio.to_thread(read_callers_file, path)
    except CallersFileRefused as refused:
        raise SetupRefused(f"{refused}: STAKEHOLD_CALLERS_FILE names the file") from refused
    roster = _Roster(path, file, trust, metrics)
    stack.push_async_callback(roster.close)
    await roster.first_keys()
    return roster


async def _watch(looks: list[Callable[[], Callable[[], None]]], every_s: float) -> None:
    """Whatever cannot be read now is looked for again the next time."""
    while True:
        await asyncio.sleep(every_s)
        for look in looks:
            try:
                use = await asyncio.to_thread(look)
                use()
            except Exception:
                _log.exception("reload_failed")


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
