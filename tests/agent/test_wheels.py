"""``plugin check``: what is wrong with a wheel as a plugin's, without installing it."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from emf_agent.errors import UsageError
from emf_agent.wheels import check_wheel, wheel_hashes, wheels_in

INFO = "emf_plugin_a-1.0.dist-info"
METADATA = "Name: emf-plugin-a\nVersion: 1.0\nRequires-Dist: emf-agent-core~=0.1\n"
FINE = {
    "emf_plugin_a/__init__.py": "",
    "emf_plugin_a/py.typed": "",
    "emf_plugin_a/plugin.py": "",
    f"{INFO}/METADATA": METADATA,
    f"{INFO}/entry_points.txt": "[emf_agent.plugins]\na = emf_plugin_a.plugin\n",
}


def write(folder: Path, files: Mapping[str, str | None]) -> Path:
    path = folder / "emf_plugin_a-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            if text is not None:
                archive.writestr(name, text)
    return path


def test_a_good_wheel_has_no_faults(tmp_path: Path) -> None:
    assert check_wheel(write(tmp_path, FINE)) == ()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        pytest.param({"evil.pth": "import x"}, "evil.pth: runs whenever Python", id="pth"),
        pytest.param({"sitecustomize.py": ""}, "sitecustomize.py: runs whenever", id="site"),
        pytest.param({"json.py": ""}, "json.py: is a module of its own", id="a module"),
        pytest.param({"emf_other/x.py": ""}, "no regular package", id="no package"),
        pytest.param({"emf_plugin_a/x.pyc": ""}, "without a source", id="compiled"),
        pytest.param(
            {"emf_plugin_a-1.0.data/scripts/python": ""}, "outside its package", id="a script"
        ),
        pytest.param({"b-1.0.dist-info/METADATA": ""}, "of another distribution", id="metadata"),
        pytest.param({"emf_plugin_a/py.typed": None}, "has no py.typed", id="no types"),
        pytest.param(
            {f"{INFO}/METADATA": METADATA.replace("plugin-a", "plugin-b")},
            "says that its name is 'emf-plugin-b'",
            id="another name",
        ),
        pytest.param(
            {f"{INFO}/METADATA": "Name: emf-plugin-a\n"}, "does not require", id="no bound"
        ),
        pytest.param(
            {f"{INFO}/METADATA": METADATA.replace("~=0.1", "")}, "any version", id="any version"
        ),
        pytest.param(
            {f"{INFO}/METADATA": METADATA + "Requires-Dist: ???\n"}, "'???'", id="a bad requirement"
        ),
        pytest.param({f"{INFO}/entry_points.txt": None}, "offers no entry point", id="no entry"),
        pytest.param(
            {f"{INFO}/entry_points.txt": "[emf_agent.plugins]\na = emf_plugin_a.gone\n"},
            "emf_plugin_a.gone is not in the wheel",
            id="a missing module",
        ),
        pytest.param({f"{INFO}/entry_points.txt": "[[\na"}, "entry_points.txt: ", id="broken"),
        pytest.param(
            {f"{INFO}/METADATA": None, f"{INFO}/entry_points.txt": None},
            "has no metadata",
            id="none",
        ),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, files: Mapping[str, str | None], said: str) -> None:
    faults = check_wheel(write(tmp_path, {**FINE, **files}))

    assert [one for one in faults if said in one], faults


def test_hashes_are_of_what_pip_puts_below_the_site(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "emf_plugin_a/__init__.py": "x",
            "emf_plugin_a-1.0.data/purelib/other.py": "y",
            "emf_plugin_a-1.0.data/scripts/tool": "z",
        },
    )

    assert wheel_hashes(tmp_path) == {
        "emf-plugin-a-1.0": {
            "emf_plugin_a/__init__.py": hashlib.sha256(b"x").hexdigest(),
            "other.py": hashlib.sha256(b"y").hexdigest(),
        }
    }


@pytest.mark.parametrize("name", ["emf_plugin_a-1.0-py3-none-any.whl", "nonsense.whl"])
def test_what_is_no_wheel_is_a_usage_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04 broken")

    with pytest.raises(UsageError, match=name):
        check_wheel(tmp_path / name)


def test_a_folder_without_wheels_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder with wheels"):
        wheels_in(tmp_path)
