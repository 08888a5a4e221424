"""What a run needs: an interpreter with one version of Celery, that version's tests, a Redis."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path

#: What Celery's requirements/test.txt names and these tests need; it says which versions.
_PLUGINS = re.compile(r"pytest(-rerunfailures|-subtests|-timeout)?(?![\w-])")
_EXTRAS = "msgpack,pydantic,redis,yaml"


class IndexOutOfReachError(Exception):
    """The package index does not answer."""


class Scratch:
    """A folder for one version of Celery; what is there already is used again.

    Args:
        folder: Where.
        version: Of Celery.
    """

    def __init__(self, folder, version):
        self.folder = Path(folder) / f"celery-{version}"
        self.python = self.folder / "venv" / "bin" / "python"
        self.tests = self.folder / "sdist"
        self._version = version

    def set_up(self):
        """Download Celery, with its tests, and install it.

        Raises:
            IndexOutOfReachError: If there is nothing to download from.
            subprocess.CalledProcessError: If the index lacks this version, or something it needs.
        """
        ready = self.folder / "ready"
        if ready.exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        subprocess.run([sys.executable, "-m", "venv", self.python.parent.parent], check=True)
        celery = f"celery=={self._version}"
        self._pip("download", celery, "--no-deps", "--no-binary=celery", f"--dest={self.folder}")
        self._unpack()
        requirements = self.folder / "requirements.txt"
        requirements.write_text("\n".join(self._plugins()), encoding="utf-8")
        self._pip("install", f"celery[{_EXTRAS}]=={self._version}", f"--requirement={requirements}")
        ready.touch()

    def _pip(self, command, *arguments):
        done = subprocess.run(
            [self.python, "-m", "pip", command, "--quiet", *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            if "(from versions: none)" in done.stderr:
                raise IndexOutOfReachError(done.stderr)
            sys.stderr.write(done.stderr)
            done.check_returncode()

    def _unpack(self):
        """Take the tests out of the sdist; Celery itself is the installed one."""
        [archive] = self.folder.glob("celery-*.tar.gz")
        with tarfile.open(archive) as sdist:
            for member in sdist.getmembers():
                member.name = member.name.partition("/")[2]
                if re.match(r"t/|requirements/test\.txt|pyproject\.toml|setup\.cfg", member.name):
                    sdist.extract(member, self.tests, filter="data")

    def _plugins(self):
        lines = (self.tests / "requirements" / "test.txt").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if _PLUGINS.match(line)]


@contextmanager
def redis_server(folder):
    """Start a Redis with nothing in it; yields its address, or None if none is installed.

    One that runs already is not used: Celery's tests empty the queue `celery`, which may be
    somebody's.
    """
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    port = _free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *options], stdout=subprocess.PIPE, text=True) as server:
        try:
            if not any("Ready to accept connections" in line for line in server.stdout):
                message = f"{program} ended at once, on port {port}"
                raise RuntimeError(message)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
