"""Run Pykka's own test-suite, from its sdist, against `AsyncioActor`.

``python tests/pykka_suite/run.py [pytest arguments]``. The sdist of the Pykka that is installed is
downloaded into the user's cache folder once; nothing of it is kept in this repository. What cannot
apply is listed, with the reason, in ``on_the_loop.py`` beside this file.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 300  # the suite takes about two; a hang is a failure


def sdist(pykka: str) -> Path:
    """The folder of the unpacked sdist of this version of Pykka."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "turnkeeper"
    folder = cache / f"pykka-{pykka}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as there:
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q"]
            source = ["--no-deps", "--no-binary", "pykka", f"pykka=={pykka}"]
            subprocess.run([*pip, "download", *source, "--dest", there], check=True)
            (archive,) = Path(there).glob("*.tar.gz")
            with tarfile.open(archive) as tar:
                tar.extractall(there, filter="data")
            (Path(there) / f"pykka-{pykka}").rename(folder)  # whole or not at all
    return folder


def main(arguments: list[str]) -> int:
    """Run the suite; the exit code is pytest's."""
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    # Only our plugin and the one the suite needs: settings and plugins of ours have no say in it.
    plugins = ["-p", "on_the_loop", "-p", "pytest_mock", "-p", "no:cacheprovider"]
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        *plugins,
        "-q",
        "--override-ini=addopts=",
        *(arguments or ["tests"]),
    ]
    try:
        return subprocess.run(
            command, cwd=sdist(version("pykka")), env=environment, timeout=SECONDS, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        print(f"Pykka's suite did not end within {SECONDS} s", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
