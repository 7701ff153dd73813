"""The images that a registry would give, made on this machine: a base with Python, and stand-ins for the servers.

On a machine with a registry, `REGISTRY=1 make test-compose` uses the images that docker-compose.yaml names.
"""

import os
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path

from include.settings import ROOT

BASE = "cat-test/python:bookworm"
STAND_INS = {name: f"cat-test/{name}:stand-in" for name in ("postgres", "redis", "s3")}
INCLUDED = "python3,python3-venv,python3-pip,ca-certificates,curl"
# How this machine reaches its package registries: pip and uv in a build must go the same way.
PACKAGES = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_FIND_LINKS", "UV_INDEX_URL", "UV_DEFAULT_INDEX"),
    *("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"),
)


def image_variables() -> dict[str, str]:
    """The variables of docker-compose.yaml that name images; they exist afterwards."""
    if os.environ.get("REGISTRY"):
        return {}
    if not _exists(BASE):
        _make_base()
    _make_stand_ins()
    named = {f"CAT_{name.upper()}_IMAGE": image for name, image in STAND_INS.items()}
    return named | {"CAT_PYTHON_IMAGE": BASE}


def docker(*arguments: str, **options) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True, **options).stdout


def _exists(image: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode == 0


def _make_base() -> None:
    """Debian by debootstrap, with this machine's certificates and way to the package registries."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        subprocess.run(["debootstrap", "--variant=minbase", f"--include={INCLUDED}", "bookworm", str(root)], check=True)
        shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
        for part in (
            "etc/apt/sources.list",
            "etc/apt/sources.list.d",
            "etc/apt/apt.conf.d",
            "etc/pip.conf",
            *_wheels(),
        ):
            _copy(Path("/") / part, root / part)
        bundle = root / "etc" / "ssl" / "certs" / "ca-certificates.crt"
        shutil.copy(os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile or bundle, bundle)
        settings = {name: os.environ[name] for name in PACKAGES if name in os.environ}
        settings |= dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), f"/{bundle.relative_to(root)}")
        changes = [part for name, value in settings.items() for part in ("--change", f"ENV {name}={value}")]
        tar = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["docker", "import", *changes, "-", BASE], stdin=tar.stdout, check=True)


def _wheels() -> list[str]:
    """Folders of wheels from which pip installs, as paths below the root."""
    return [place.lstrip("/") for place in os.environ.get("PIP_FIND_LINKS", "").split() if Path(place).is_dir()]


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True)
    elif source.exists():
        shutil.copy(source, target)


def _make_stand_ins() -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(Path(__file__).parent / "stand_ins", folder, dirs_exist_ok=True)
        shutil.copy(ROOT / "stack" / "s3_server.py", folder)
        for name, image in STAND_INS.items():
            docker("build", "--build-arg", f"BASE={BASE}", "--target", name, "-t", image, folder)
