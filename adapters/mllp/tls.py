"""TLS contexts of the listener and the sender: TLS 1.2 at least, client certificates where asked for."""

from __future__ import annotations

import ssl

from engine.errors import SettingsError
from engine.settings import Mllp


def server_context(settings: Mllp) -> ssl.SSLContext | None:
    """The listener's context; None when ``mllp.tls_cert`` is empty.

    Raises:
        SettingsError: a file can't be read or is no certificate or key.
    """
    if not settings.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_identity(context, settings.tls_cert, settings.tls_key, "mllp.tls_cert and mllp.tls_key")
    if settings.tls_client_ca:
        _load_authorities(context, settings.tls_client_ca, "mllp.tls_client_ca")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(*, ca: str = "", cert: str = "", key: str = "") -> ssl.SSLContext:
    """A sender's context. The receiver's certificate and host name are always checked.

    Args:
        ca: PEM file of the CAs that may vouch for the receiver; "" for those of the system.
        cert: PEM file of our own certificate chain, if the receiver asks for one.
        key: PEM file of its private key.

    Raises:
        SettingsError: as above.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca:
        _load_authorities(context, ca, "the CA file")
    else:
        context.load_default_certs()
    if cert:
        _load_identity(context, cert, key, "the client certificate and key")
    return context


def _load_identity(context: ssl.SSLContext, cert: str, key: str, name: str) -> None:
    try:
        context.load_cert_chain(cert, key or None, password=_refuse_password)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"TLS can't use {name}: {_why(error)}",
            action="Give PEM files that this process may read; the key belongs to the certificate and has no passphrase.",
        ) from error


def _load_authorities(context: ssl.SSLContext, path: str, name: str) -> None:
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise SettingsError(
            f"TLS can't use {name}: {_why(error)}",
            action="Give a PEM file of CA certificates that this process may read.",
        ) from error


def _refuse_password() -> str:
    """An encrypted key would otherwise make OpenSSL ask on the terminal and hang the start."""
    raise ValueError("the key is encrypted")


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
