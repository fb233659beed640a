"""What can keep an embedded server from running; every message says what to do about it.

EmbeddedError
├── BinaryMissing
├── BinaryTooOld
├── FolderInUse
├── FolderUnusable
├── PortTaken
├── StartFailed
└── ChildDied
"""


class EmbeddedError(Exception):
    """An embedded server can't run; the message is fit to be shown to a person."""


class BinaryMissing(EmbeddedError):
    """No server binary where the setting, the wheel or PATH could have it."""


class BinaryTooOld(EmbeddedError):
    """A server binary older than the oldest version that keeps the promises."""


class FolderInUse(EmbeddedError):
    """A live process holds the data folder."""


class FolderUnusable(EmbeddedError):
    """The data folder belongs to another account or to another major version of the server."""


class PortTaken(EmbeddedError):
    """Something else listens on the port that was asked for."""


class StartFailed(EmbeddedError):
    """A child ended, or stayed silent for too long, before it was ready."""


class ChildDied(EmbeddedError):
    """A child that was ready ended without having been asked to."""
