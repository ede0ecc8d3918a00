"""Makes the checkout importable in its own environment, with its entry points, and without a build step or network."""

import sys
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Write a path file, a metadata folder and the `plenum` command into the running environment."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = Path(sysconfig.get_path("purelib"))
    (packages / "plenum.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    info = packages / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    lines = [
        line for group, names in groups.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in names.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = Path(sysconfig.get_path("scripts")) / "plenum"
    command.write_text(
        f"#!{sys.executable}\nimport sys\n\nfrom controller.__main__ import main\n\nsys.exit(main())\n",
        encoding="utf-8",
    )
    command.chmod(0o755)
    written = [packages / "plenum.pth", info / "METADATA", info / "entry_points.txt", command]
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in written), encoding="utf-8")  # so that it uninstalls


if __name__ == "__main__":
    main()
