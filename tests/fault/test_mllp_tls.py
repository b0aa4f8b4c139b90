"""TLS on the listener and the sender: who gets in, who does not, and what a wrong file says."""

import asyncio
import shutil
import ssl
import subprocess

import pytest
from mllp_support import Accepting, limits, message, serving, until

from adapters.mllp.errors import ConnectError, SendError
from adapters.mllp.sender import MllpSender
from adapters.mllp.server import MllpServer
from adapters.mllp.tls import client_context, server_context
from engine.errors import SettingsError

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificates with openssl")


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """A CA, a certificate for 127.0.0.1 and one for a client, and a key with a passphrase."""
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    openssl("req", "-x509", *curve, "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA")
    for name in ("server", "client"):
        (folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl(
            "req", *curve, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", f"{name}.ext"]
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "2", *signing)
    openssl("ec", "-in", "server.key", "-aes256", "-passout", "pass:secret", "-out", "locked.key")
    return folder


def listening(pki, **settings):
    return serving(Accepting(), tls_cert=str(pki / "server.pem"), tls_key=str(pki / "server.key"), **settings)


def sender_to(server, tls):
    return MllpSender(
        "127.0.0.1", server.port, tls=tls, settings=limits(send_attempts=1, send_ack_timeout=30.0)
    )


async def test_messages_over_tls(pki):
    """A client that trusts the CA has its messages accepted over TLS 1.2 or later."""
    async with listening(pki) as server, sender_to(server, client_context(ca=str(pki / "ca.pem"))) as sender:
        assert (await sender.send(message(1, "x" * 300_000))).accepted
        assert (await sender.send(message(2))).accepted


async def test_sender_checks_the_certificate(pki):
    """A sender that does not know the CA refuses to talk, at once and without a retry."""
    async with listening(pki) as server, sender_to(server, client_context()) as sender:
        with pytest.raises(ConnectError):
            await sender.send(message(1))
        assert sender.stats["connect_failures"] == 1


async def test_old_tls_is_refused(pki):
    """TLS 1.1 gets no handshake."""
    context = server_context(limits(tls_cert=str(pki / "server.pem"), tls_key=str(pki / "server.key")))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert client_context().minimum_version is ssl.TLSVersion.TLSv1_2


async def test_client_without_certificate_is_refused(pki):
    """Where client certificates are asked for, nobody gets a message in without one."""
    mutual = {"tls_client_ca": str(pki / "ca.pem")}
    async with (
        listening(pki, **mutual) as server,
        sender_to(server, client_context(ca=str(pki / "ca.pem"))) as sender,
    ):
        with pytest.raises(SendError):
            await sender.send(message(1))
        assert server.stats["frames"] == 0


async def test_client_with_certificate_is_let_in(pki):
    """Mutual TLS: both sides show certificates of the CA."""
    tls = client_context(ca=str(pki / "ca.pem"), cert=str(pki / "client.pem"), key=str(pki / "client.key"))
    async with listening(pki, tls_client_ca=str(pki / "ca.pem")) as server, sender_to(server, tls) as sender:
        assert (await sender.send(message(1))).accepted


async def test_plain_client_and_silent_client_on_a_tls_port(pki):
    """Who does not shake hands is counted, sent away in time, and holds a place only until then."""
    async with listening(pki, tls_handshake_timeout=2.0, max_connections=2) as server:
        _, silent = await asyncio.open_connection("127.0.0.1", server.port)
        _, plain = await asyncio.open_connection("127.0.0.1", server.port)
        plain.write(b"\x0bMSH|^~\\&|\x1c\r")
        await until(lambda: server.stats["handshakes_failed"] == 2)
        await until(lambda: server.stats["connections_open"] == 0)
        async with sender_to(server, client_context(ca=str(pki / "ca.pem"))) as sender:
            assert (await sender.send(message(1))).accepted
        for writer in (silent, plain):
            writer.transport.abort()


async def test_silent_handshakes_count_as_connections(pki):
    """The limit on connections holds before the handshake: silent clients can't pile up behind it."""
    async with listening(pki, max_connections=1) as server:
        _, silent = await asyncio.open_connection("127.0.0.1", server.port)
        await until(lambda: server.stats["connections_open"] == 1)
        stream, other = await asyncio.open_connection("127.0.0.1", server.port)
        assert await stream.read() == b""
        assert server.stats["connections_refused"] == 1
        for writer in (silent, other):
            writer.transport.abort()


@pytest.mark.parametrize(
    ("cert", "key"), [("nowhere.pem", "server.key"), ("server.pem", "client.key"), ("ca.key", "ca.key")]
)
async def test_wrong_files_stop_the_start(pki, cert, key):
    """A listener whose TLS files are missing or don't match does not start, and says what to give it."""
    settings = limits(tls_cert=str(pki / cert), tls_key=str(pki / key))
    with pytest.raises(SettingsError) as caught:
        await MllpServer(settings, Accepting()).start()
    assert "tls_cert" in caught.value.message


async def test_key_with_passphrase_does_not_hang_the_start(pki):
    """An encrypted key is an error, not a question on a terminal that nobody watches."""
    settings = limits(tls_cert=str(pki / "server.pem"), tls_key=str(pki / "locked.key"))
    with pytest.raises(SettingsError):
        await MllpServer(settings, Accepting()).start()


def test_missing_client_ca(pki):
    """A CA file that can't be read stops the start: it must not mean that any client may come."""
    with pytest.raises(SettingsError):
        server_context(
            limits(
                tls_cert=str(pki / "server.pem"),
                tls_key=str(pki / "server.key"),
                tls_client_ca=str(pki / "nowhere.pem"),
            )
        )
