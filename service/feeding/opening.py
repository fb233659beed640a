"""Makes the feed that the settings ask for."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fx.feeds.ecb import EcbFeed
from fx.feeds.feed import Feed, FeedUnavailable
from fx.feeds.fetching import Headers, WebDocument, no_headers, web_client
from fx.feeds.http_json import HttpJsonFeed, JsonFields
from fx.feeds.static_file import StaticFileFeed
from service.feeding.feed_settings import FeedKind, FeedSettings, TimeUnit, require_token

_UNITS_PER_S = {TimeUnit.SECONDS: 1, TimeUnit.MILLISECONDS: 1000}


def wall_clock_ms() -> int:
    """Now, in Unix milliseconds."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def open_feed(
    settings: FeedSettings, *, now_ms: Callable[[], int] = wall_clock_ms
) -> AsyncIterator[Feed]:
    """Ready to be asked; whether there is anything behind it shows then."""
    if settings.kind is FeedKind.STATIC_FILE:
        assert settings.path is not None
        yield StaticFileFeed(settings.path, now_ms=now_ms)
        return
    async with web_client() as client:
        document = WebDocument(
            client,
            settings.document_url().get_secret_value(),
            timeout_s=settings.timeout_s,
            headers=partial(_bearer, settings) if settings.has_token() else no_headers,
        )
        if settings.kind is FeedKind.ECB:
            yield EcbFeed(document, now_ms=now_ms)
        else:
            fields = JsonFields(settings.price_field, settings.time_field, _UNITS_PER_S[settings.time_unit])
            yield HttpJsonFeed(document, fields, pairs=settings.wanted_pairs(), now_ms=now_ms)


async def _bearer(settings: FeedSettings) -> Headers:
    if settings.token is not None:
        token = settings.token.get_secret_value()
    else:
        assert settings.token_file is not None
        token = await asyncio.to_thread(_read_token, settings.token_file)
    return {"Authorization": f"Bearer {token}"}


def _read_token(path: Path) -> str:
    """Raises FeedUnavailable: a file that is being changed may be there again the next time."""
    try:
        return require_token(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise FeedUnavailable(f"the token in {path} cannot be read: {type(error).__name__}") from error
