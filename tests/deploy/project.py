"""Facts that other files of this project own, read from them."""

import os
import re
import subprocess
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
RUNBOOK = ROOT / "docs/operations.md"

_WORKSPACE = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
VERSION, REPOSITORY = _WORKSPACE["version"], _WORKSPACE["repository"]

# Settings that are, or may hold, a secret: they come as files.
SECRETS = ("DATABASE__URL", "DATABASE__REPLICA_URLS", "KEYS__RING", "NOTIFICATIONS__SECRET", "TELEMETRY__HEADERS")


def seconds_to_stop():
    """Seconds from SIGTERM to the end of the process, at the latest."""
    text = (ROOT / "crates/net/src/signals.rs").read_text()
    latest = re.search(r"MAX_STOP_TIME: Duration = Duration::from_millis\(([\d_]+)\)", text)
    return int(latest[1].replace("_", "")) / 1000


def settings(binary, variables):
    """The settings that the program takes from these variables, by name. What it refuses is raised as a ValueError."""
    with tempfile.TemporaryDirectory() as directory:
        secret = Path(directory, "secret")
        secret.touch(0o600)
        secret.write_text("postgres://user:password@database/name\n")
        given = {name: str(secret) if name.endswith("_FILE") and "KEYS__FILE" not in name else value
                 for name, value in variables.items() if name.startswith("ACCESS_TOKENS__")}
        ran = subprocess.run([binary, "check-config"], env={"PATH": os.environ["PATH"], **given}, cwd=directory,
                             capture_output=True, text=True, timeout=30)
    if ran.returncode != 0:
        raise ValueError(ran.stderr.strip())
    section, found = "", {}
    for line in ran.stdout.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif " = " in line:
            name, value = line.split(" = ", 1)
            found[f"{section}.{name}"] = value.rsplit("  # ", 1)[0].strip('"')
    return found


def secret_in_the_open(name, value):
    """Is this variable a secret that everybody sees who may look at the process?"""
    return any(name == f"ACCESS_TOKENS__{one}" for one in SECRETS) and not str(value).startswith("sqlite:")

