"""The import table: only locked bytes are compiled, whatever happens to the files meanwhile."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.resources
import importlib.util
import sys
import threading
from collections.abc import Generator, Mapping
from importlib.machinery import BuiltinImporter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from emf_agent.gate.audit import foreign_file
from emf_agent.gate.code_cache import CodeCache
from emf_agent.gate.finder import (
    LockedFinder,
    StandardLibraryFinder,
    is_standard,
    standard_library,
)
from emf_agent.gate.locked_files import TamperedError
from emf_agent.gate.lockfile import Lock, LockedDistribution

PACKAGE = "locked_by_a_test"


def lock_of(site: Path, files: Mapping[str, str]) -> Lock:
    """Write files and lock them."""
    digests = {}
    for name, text in files.items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        digests[name] = hashlib.sha256(text.encode()).hexdigest()
    one = LockedDistribution(
        name="emf-plugin-locked",
        version="1.0",
        site=str(site),
        dist_info="emf_plugin_locked-1.0.dist-info",
        required_by=("plugin:locked",),
        entry_points=(("emf_agent.plugins", "locked", PACKAGE),),
        files=digests,
    )
    return Lock("p", "0" * 64, {one.name: one})


INFO = "emf_plugin_locked-1.0.dist-info"
FILES = {
    f"{PACKAGE}/__init__.py": "from locked_by_a_test.inner import VALUE\n",
    f"{PACKAGE}/inner.py": "VALUE = 1\n",
    f"{PACKAGE}/data/words.txt": "hello",
    f"{PACKAGE}/data/deep/more.txt": "deep",
    f"{PACKAGE}_space/part.py": "NAME = __name__\n",
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: emf-plugin-locked\nVersion: 1.0\n",
    f"{INFO}/entry_points.txt": f"[emf_agent.plugins]\nlocked = {PACKAGE}\n",
}


@pytest.fixture
def finder(tmp_path: Path) -> Generator[LockedFinder, None, None]:
    made = LockedFinder(lock_of(tmp_path / "site", FILES), CodeCache(None))
    before = sys.meta_path[:]
    sys.meta_path[:] = [BuiltinImporter, made, StandardLibraryFinder(standard_library())]
    yield made
    sys.meta_path[:] = before
    for name in [one for one in sys.modules if one.startswith(PACKAGE)]:
        del sys.modules[name]


def imported(finder: LockedFinder, name: str) -> ModuleType:
    """Import a module anew through the finder alone."""
    spec = finder.find_spec(name, None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


def test_a_locked_package_is_imported(finder: LockedFinder) -> None:
    module: Any = importlib.import_module(PACKAGE)

    assert module.VALUE == 1
    assert module.__file__.endswith(f"{PACKAGE}/__init__.py")


def test_a_folder_without_init_is_a_namespace_of_locked_modules_only(
    finder: LockedFinder, tmp_path: Path
) -> None:
    (tmp_path / f"site/{PACKAGE}_space/extra.py").write_text("")

    module: Any = importlib.import_module(f"{PACKAGE}_space.part")

    assert f"{PACKAGE}_space.part" == module.NAME
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{PACKAGE}_space.extra")


def test_a_file_that_is_not_in_the_lock_does_not_exist(
    finder: LockedFinder, tmp_path: Path
) -> None:
    (tmp_path / f"site/{PACKAGE}/extra.py").write_text("raise SystemExit")
    (tmp_path / f"site/{PACKAGE}/inner.abi3.so").write_text("no extension")

    module: Any = importlib.import_module(PACKAGE)

    assert module.VALUE == 1
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"{PACKAGE}.extra")


def test_a_changed_file_is_refused_when_it_is_imported(
    finder: LockedFinder, tmp_path: Path
) -> None:
    (tmp_path / f"site/{PACKAGE}/inner.py").write_text("VALUE = 2\n")

    with pytest.raises(TamperedError, match=r"refused\(hash\)"):
        importlib.import_module(PACKAGE)


def test_a_file_that_changes_all_the_time_is_as_locked_or_refused(
    finder: LockedFinder, tmp_path: Path
) -> None:
    path = tmp_path / f"site/{PACKAGE}/inner.py"
    other = tmp_path / "other.py"
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for text in ("VALUE = 2\n", "VALUE = 1\n"):
                other.write_text(text)
                other.replace(path)

    swapping = threading.Thread(target=swap)
    swapping.start()
    outcomes = set()
    try:
        for _ in range(200):
            try:
                outcomes.add(imported(finder, f"{PACKAGE}.inner").VALUE)
            except TamperedError:
                outcomes.add("refused")
    finally:
        stop.set()
        swapping.join()

    assert outcomes <= {1, "refused"}


def test_compiled_code_beside_a_module_is_never_looked_at(
    finder: LockedFinder, tmp_path: Path
) -> None:
    import py_compile

    source = tmp_path / "poison.py"
    source.write_text("VALUE = 2\n")
    cached = importlib.util.cache_from_source(str(tmp_path / f"site/{PACKAGE}/inner.py"))
    py_compile.compile(
        str(source), cached, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )

    assert imported(finder, f"{PACKAGE}.inner").VALUE == 1


def test_package_data_is_read_as_locked_or_not_at_all(finder: LockedFinder, tmp_path: Path) -> None:
    importlib.import_module(PACKAGE)
    (tmp_path / f"site/{PACKAGE}/data/stranger.txt").write_text("x")
    data = importlib.resources.files(PACKAGE).joinpath("data")

    assert data.joinpath("words.txt").read_text() == "hello"
    assert sorted(one.name for one in data.iterdir()) == ["deep", "words.txt"]
    assert data.is_dir()
    assert not data.joinpath("stranger.txt").is_file()
    with pytest.raises(FileNotFoundError):
        data.joinpath("stranger.txt").read_bytes()
    with pytest.raises(FileNotFoundError):
        data.joinpath("../../../other").read_bytes()
    with data.joinpath("deep/more.txt").open() as file:
        assert file.read() == "deep"

    (tmp_path / f"site/{PACKAGE}/data/words.txt").write_text("hi")
    with pytest.raises(TamperedError):
        data.joinpath("words.txt").read_bytes()


def test_metadata_knows_locked_distributions_only(finder: LockedFinder, tmp_path: Path) -> None:
    found = list(finder.find_distributions())

    assert [(one.metadata["Name"], one.version) for one in found] == [("emf-plugin-locked", "1.0")]
    assert importlib.metadata.version("emf_plugin.locked") == "1.0"
    [point] = found[0].entry_points
    assert (point.name, point.value) == ("locked", PACKAGE)


def test_names_of_the_standard_library_are_never_taken_from_the_lock(tmp_path: Path) -> None:
    finder = LockedFinder(
        lock_of(tmp_path, {"json/__init__.py": "", "sys.py": ""}), CodeCache(None)
    )

    assert finder.find_spec("json", None) is None
    assert finder.find_spec("sys", None) is None


def test_the_standard_library_is_found_without_sys_path(tmp_path: Path) -> None:
    (tmp_path / "stranger.py").write_text("")
    finder = StandardLibraryFinder(standard_library())
    sys.path.insert(0, str(tmp_path))
    try:
        assert finder.find_spec("stranger", None) is None
    finally:
        sys.path.remove(str(tmp_path))

    assert finder.find_spec("json", None) is not None
    assert finder.find_spec("stranger", [str(tmp_path)]) is None


@pytest.mark.parametrize(
    ("path", "standard"),
    [
        ("/usr/lib/python3.11/json/__init__.py", True),
        ("/usr/lib/python3.11", True),
        ("/usr/lib/python3.11/site-packages/x.py", False),
        ("/usr/lib/python3.11/dist-packages/x.py", False),
        ("/usr/lib/python3.110/x.py", False),
        ("/tmp/x.py", False),
    ],
)
def test_what_is_installed_below_the_standard_library_is_not_of_it(
    path: str, standard: bool
) -> None:
    assert is_standard(path, ["/usr/lib/python3.11"]) is standard


@pytest.mark.parametrize(
    ("path", "foreign"),
    [
        ("/locked.py", None),
        ("<string>", None),
        ("/std/json.py", None),
        ("/tmp/x.py", "/tmp/x.py"),
    ],
)
def test_code_of_a_file_is_foreign_unless_locked_or_standard(
    path: str, foreign: str | None
) -> None:
    code = compile("1", path, "exec")

    assert foreign_file(code, {"/locked.py"}, ["/std"]) == foreign


def test_code_is_cached_by_its_content(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path / "cache")
    digests = {text: hashlib.sha256(text).hexdigest() for text in (b"x = 1", b"x = 2")}
    first = cache.code("/a.py", b"x = 1", digests[b"x = 1"])
    assert len(list((tmp_path / "cache").iterdir())) == 1

    again = cache.code("/a.py", b"x = 1", digests[b"x = 1"])
    other = cache.code("/a.py", b"x = 2", digests[b"x = 2"])
    elsewhere = cache.code("/b.py", b"x = 1", digests[b"x = 1"])

    assert again == first
    assert other.co_consts != first.co_consts
    assert elsewhere.co_filename == "/b.py"
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_a_damaged_entry_of_the_cache_is_made_again(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path / "cache")
    first = cache.code("/a.py", b"x = 1", "d")
    [entry] = (tmp_path / "cache").iterdir()
    for damage in (b"", b"\x00\xff", entry.read_bytes()[:5], b"N"):
        entry.write_bytes(damage)
        assert cache.code("/a.py", b"x = 1", "d") == first


def test_a_cache_that_others_can_reach_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o755)

    CodeCache(folder).code("/a.py", b"x = 1", "d")

    assert list(folder.iterdir()) == []


def test_a_cache_that_is_a_link_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "cache").symlink_to(tmp_path / "target")

    CodeCache(tmp_path / "cache").code("/a.py", b"x = 1", "d")

    assert list((tmp_path / "target").iterdir()) == []
