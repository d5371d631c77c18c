"""Supply chain of the image: `make sbom` lists its packages, `make audit` finds their known vulnerabilities.

The list is a bill of materials in the CycloneDX format. Both commands read the lock files and run tools in separate
environments, which uv keeps below TANDEM_HOME.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LOCKS = (HERE / "requirements.lock", HERE / "torch.lock")
CYCLONEDX, PIP_AUDIT = "cyclonedx-bom>=7,<8", "pip-audit>=2.9,<3"


def main(verb: str) -> int:
    """Run a command, sbom or audit, and return the exit code; 1 if a vulnerability is known."""
    home = Path(os.environ.get("TANDEM_HOME") or ".tandem").absolute()
    home.mkdir(parents=True, exist_ok=True)
    return sbom(home) if verb == "sbom" else audit(home)


def sbom(home: Path) -> int:
    """Write TANDEM_HOME/sbom.cdx.json."""
    path = home / "sbom.cdx.json"
    with tempfile.TemporaryDirectory() as folder:
        locked = Path(folder) / "locked.txt"
        locked.write_text("".join(lock.read_text(encoding="utf-8") for lock in LOCKS), encoding="utf-8")
        done = tool(home, CYCLONEDX, "cyclonedx-py", "requirements", "--pyproject", str(ROOT / "pyproject.toml"),
                    "--of", "JSON", "-o", str(path), str(locked))  # fmt: skip
    if done.returncode:
        print(f"tandem: the bill of materials was not written: {done.stderr.strip()[-2000:]}", file=sys.stderr)
        return 1
    print(f"tandem: {len(json.loads(path.read_text(encoding='utf-8'))['components'])} packages in {path}")
    return 0


def audit(home: Path) -> int:
    """Run pip-audit on the locked versions."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "pinned.txt"
        pinned.write_text("\n".join(locked_versions()), encoding="utf-8")
        done = tool(home, PIP_AUDIT, "pip-audit", "--requirement", str(pinned), "--no-deps", "--disable-pip",
                    "--progress-spinner", "off", "--format", "json")  # fmt: skip
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        found = []  # pip-audit did not start, or could not reach the list of vulnerabilities
    code, text = verdict(found)
    print(text if found else f"{text} pip-audit: {(done.stderr.strip().splitlines() or [''])[-1]}")
    return code


def verdict(found: list[dict[str, Any]]) -> tuple[int, str]:
    """The exit code and the report for the dependencies that pip-audit returns.

    Without a connection to the list of vulnerabilities the exit code is 0, and the report is NOT AUDITED.
    """
    audited = [each for each in found if "skip_reason" not in each]
    if not audited:
        return 0, "tandem: NOT AUDITED: the list of vulnerabilities can't be reached."
    known = [
        f"  {each['name']} {each['version']}: {vulnerability['id']}"
        f" (fixed in {', '.join(vulnerability['fix_versions']) or 'no version yet'})"
        for each in audited
        for vulnerability in each["vulns"]
    ]
    lines = [f"tandem: {len(audited)} packages audited, {len(known)} vulnerabilities known.", *known]
    if skipped := [each["name"] for each in found if "skip_reason" in each]:
        lines.append(f"tandem: not audited: {', '.join(skipped)}")
    return int(bool(known)), "\n".join(lines)


def locked_versions() -> list[str]:
    """The locked packages and versions, without hashes."""
    text = "\n".join(lock.read_text(encoding="utf-8") for lock in LOCKS)
    return re.findall(r"^[a-z0-9][a-z0-9.-]*==[^\s;\\]+", text, re.MULTILINE)


def tool(home: Path, package: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a package that is not in this project's environment."""
    uv = str(Path(sys.executable).with_name("uv"))
    folders = {"UV_CACHE_DIR": str(home / "uv" / "cache"), "UV_TOOL_DIR": str(home / "uv" / "tools")}
    arguments = [uv, "tool", "run", "--quiet", "--from", package, *command]
    return subprocess.run(arguments, env=os.environ | folders, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
