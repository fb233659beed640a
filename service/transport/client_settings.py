"""What our own commands are told by the environment about the service that they call."""

import re

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_ADDRESS = "127.0.0.1:50051"

_LOOPBACK = re.compile(r"127(\.[0-9]{1,3}){3}")


class ClientSettings(BaseSettings):
    """Each field is read from the variable STAKEHOLD_<FIELD>. Files are read again as they change."""

    model_config = SettingsConfigDict(env_prefix="STAKEHOLD_", frozen=True, hide_input_in_errors=True)

    address: str = Field(default=DEFAULT_ADDRESS, description="Where the service is, host:port.")
    ca_file: str = Field(
        default="",
        description="Whose certificate of the service is trusted, as PEM; default: whom gRPC trusts. Without "
        "any of these files a loopback address is called without TLS, any other one with it.",
    )
    cert_file: str = Field(default="", description="The certificate to show to the service, as PEM.")
    key_file: str = Field(default="", description="That certificate's private key, as PEM.")
    token_file: str = Field(
        default="", description="The token to send with each call; read each time, sent over TLS only."
    )

    def is_plain(self, address: str) -> bool:
        """Whether the address is called without TLS."""
        has_files = self.ca_file or self.cert_file or self.key_file
        return not has_files and _is_loopback(address)


def _is_loopback(address: str) -> bool:
    """Numbers of this machine, and its own name for itself: no other name's meaning is ours to trust."""
    host = address.rpartition(":")[0]
    return host in {"localhost", "[::1]"} or _LOOPBACK.fullmatch(host) is not None
