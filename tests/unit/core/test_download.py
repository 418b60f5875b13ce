"""Downloads: https alone, and only the expected bytes; the server is on the loopback."""

import hashlib
import http.server
import shutil
import ssl
import subprocess
import threading

import pytest

from dasbench.core import download
from dasbench.errors import UserError

CONTENT = b"images"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """/file is the file, /leave redirects to http, everything else is missing."""

    def do_GET(self):  # noqa: N802
        if self.path == "/leave":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/file")
        else:
            self.send_response(200 if self.path == "/file" else 404)
        self.end_headers()
        if self.path == "/file":
            self.server.served += 1
            self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A key and a certificate of localhost, by openssl, which git and Python need as well."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        [shutil.which("openssl"), *"req -x509 -newkey rsa:2048 -nodes -days 2".split()]
        + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        + ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def server(certificate, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    made = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    made.served = 0
    made.socket = context.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate / "cert.pem"))
    monkeypatch.setenv("NO_PROXY", "localhost")
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def url(server, path="/file"):
    return f"https://localhost:{server.server_port}{path}"


def test_a_file_is_fetched_once(server, tmp_path):
    path = tmp_path / "data" / "images.gz"
    assert download.fetch(url(server), DIGEST, path) == path
    assert path.read_bytes() == CONTENT
    download.fetch(url(server), DIGEST, path)
    assert server.served == 1


def test_a_damaged_file_is_fetched_again(server, tmp_path):
    (tmp_path / "images.gz").write_bytes(b"half")
    download.fetch(url(server), DIGEST, tmp_path / "images.gz")
    assert (tmp_path / "images.gz").read_bytes() == CONTENT


def test_other_bytes_are_refused_and_not_kept(server, tmp_path):
    with pytest.raises(UserError, match=r"images\.gz could not be fetched from https://"):
        download.fetch(url(server), OTHER, tmp_path / "images.gz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["/missing", "/leave"])
def test_what_the_server_does_not_give_is_one_sentence(server, tmp_path, path):
    with pytest.raises(UserError, match="could not be fetched") as caught:
        download.fetch(url(server, path), DIGEST, tmp_path / "images.gz")
    assert len(str(caught.value).splitlines()) == 1
    assert server.served == 0  # a redirect to http is not followed
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_nobody_vouches_for_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(UserError, match="could not be fetched"):
        download.fetch(url(server), DIGEST, tmp_path / "images.gz")
    assert server.served == 0


@pytest.mark.parametrize(
    "address",
    ["http://localhost/file", "ftp://localhost/file", "file:///etc/passwd", "/etc/passwd"]
    + ["doi:10.5281/zenodo.1", "https:///file", ""],
)
def test_anything_but_https_is_refused(address, tmp_path):
    with pytest.raises(UserError, match="expected a URL that starts with https://"):
        download.fetch(address, DIGEST, tmp_path / "images.gz")


@pytest.mark.parametrize("digest", [None, "", "md5:0", DIGEST[:-1], f"sha256:{DIGEST}", "g" * 64])
def test_no_digest_no_download(digest, tmp_path):
    with pytest.raises(UserError, match="expected 64 hexadecimal digits"):
        download.fetch("https://localhost/file", digest, tmp_path / "images.gz")
