import ssl
import stat
from pathlib import Path

from ringfence.apps.replay.certificates import write


def test_the_server_file_is_private_and_loads(tmp_path: Path) -> None:
    """The key is readable by nobody else and the pair fits."""
    _, server = write(tmp_path, ["a.test"])
    assert stat.S_IMODE(server.stat().st_mode) == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(server)


def test_every_authority_is_new(tmp_path: Path) -> None:
    """Nothing can come to trust a replay authority for good."""
    (tmp_path / "other").mkdir()
    first, second = write(tmp_path, ["a.test"])[0], write(tmp_path / "other", ["a.test"])[0]
    assert first.read_bytes() != second.read_bytes()
