"""Packages, kernels and modules on rpm and dpkg systems."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emf_agent.command import CommandFailedError
from emf_agent.errors import ActionError
from emf_agent.plugin import Action, ArgumentsError
from emf_plugins_host.packages.actions import package_installed, package_version
from emf_plugins_host.packages.dpkg import upstream_version
from emf_plugins_host.packages.kernels import (
    get_kernel,
    kernel_module_loaded,
    kernel_module_version,
    loaded_modules,
)
from emf_plugins_host.packages.versions import Version
from tests.host.programs import Programs
from tests.host.samples import call

pytestmark = pytest.mark.anyio


async def test_rpm_says_which_version_is_installed(programs: Programs) -> None:
    programs.add("rpm", stdout="2.12.5\n")

    assert await call(package_version, "kmod-lustre") == "2.12.5"
    assert await call(package_installed, "kmod-lustre") is True
    assert programs.calls("rpm")[0] == [
        "--query",
        "--queryformat",
        "%{VERSION}\\n",
        "--",
        "kmod-lustre",
    ]


async def test_of_several_installed_versions_the_newest_is_told(programs: Programs) -> None:
    programs.add("rpm", stdout="3.9.0\n3.10.0\n")

    assert await call(package_version, "kernel") == "3.10.0"


async def test_a_package_that_rpm_does_not_have_is_null(programs: Programs) -> None:
    programs.add("rpm", stdout="package kmod-lustre is not installed\n", code=1)

    assert await call(package_version, "kmod-lustre") is None
    assert await call(package_installed, "kmod-lustre") is False


@pytest.mark.parametrize(
    ("stdout", "stderr", "code"),
    [
        ("", "error: rpmdb open failed\n", 1),
        ("2.12.5\n", "error: incorrect format: unknown tag\n", 0),
        ("package kmod-lustre is not installed\npackage x is not installed\n", "", 1),
    ],
    ids=["broken database", "status 0 with an error", "not the exact sentence"],
)
async def test_a_failure_of_rpm_is_an_error(
    programs: Programs, stdout: str, stderr: str, code: int
) -> None:
    programs.add("rpm", stdout=stdout, stderr=stderr, code=code)

    with pytest.raises(CommandFailedError, match=f"exit code: {code}, stdout: "):
        await call(package_version, "kmod-lustre")


async def test_a_warning_of_rpm_is_no_error(programs: Programs) -> None:
    programs.add("rpm", stdout="2.12.5\n", stderr="warning: Found NDB Packages.db database\n")

    assert await call(package_version, "kmod-lustre") == "2.12.5"


async def test_dpkg_says_the_upstream_version(programs: Programs) -> None:
    programs.add("dpkg-query", stdout="installed 1:2.12.5-1~deb12u1\n")

    assert await call(package_version, "lustre-client-utils") == "2.12.5"


@pytest.mark.parametrize("status", ["config-files", "not-installed", "half-installed"])
async def test_a_package_that_dpkg_only_remembers_is_null(programs: Programs, status: str) -> None:
    programs.add("dpkg-query", stdout=f"{status} 2.12.5-1\n")

    assert await call(package_version, "lustre-client-utils") is None


async def test_a_package_that_dpkg_never_heard_of_is_null(programs: Programs) -> None:
    programs.add("dpkg-query", stderr="dpkg-query: no packages found matching nope\n", code=1)

    assert await call(package_installed, "nope") is False


async def test_a_failure_of_dpkg_is_an_error(programs: Programs) -> None:
    programs.add("dpkg-query", stderr="dpkg-query: error: failed to open database\n", code=1)

    with pytest.raises(CommandFailedError, match="failed to open database"):
        await call(package_installed, "nope")


async def test_a_node_without_a_package_manager_says_so(programs: Programs) -> None:
    with pytest.raises(ActionError, match="neither rpm nor dpkg-query"):
        await call(package_installed, "bash")


@pytest.mark.parametrize(
    "name",
    ["a; reboot", "$(reboot)", "`id`", "--eval", "a b", "", "a\nb", "bash*", "a'b", "ü", "x" * 300],
    ids=repr,
)
@pytest.mark.parametrize("action", [package_installed, package_version], ids=lambda one: one.name)
async def test_a_name_that_no_package_can_have_is_refused(
    programs: Programs, action: Action[..., Any], name: str
) -> None:
    programs.add("rpm", stdout="1\n")
    programs.add("dpkg-query", stdout="installed 1\n")

    with pytest.raises(ArgumentsError, match="package"):
        await call(action, name)
    assert programs.calls("rpm") == programs.calls("dpkg-query") == []


@pytest.mark.parametrize("args", [5, None, ["a", "b"], {"other": "a"}], ids=repr)
def test_an_argument_that_is_no_name_is_refused(args: Any) -> None:
    with pytest.raises(ArgumentsError, match="package"):
        package_installed.bind(args)


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="compares with dpkg-query(1)")
async def test_this_machines_packages_are_those_of_dpkg() -> None:
    said = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${source:Upstream-Version}", "bash"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"installed {await call(package_version, 'bash')}" == said.stdout
    assert await call(package_installed, "no-such-package-anywhere") is False


@pytest.mark.parametrize(
    ("version", "upstream"),
    [
        ("5.2.15-2+b8", "5.2.15"),
        ("1:2.12.5-1~deb12u1", "2.12.5"),
        ("20240101", "20240101"),
        ("1:1.0", "1.0"),
        ("2.0-rc1-3", "2.0-rc1"),
    ],
)
def test_the_upstream_version_has_no_epoch_and_no_revision(version: str, upstream: str) -> None:
    assert upstream_version(version) == upstream


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("1", "1.0"),
        ("1.00", "1.1"),
        ("3.9.0-1", "3.10.0-1"),
        ("3.10.0-957.el7", "3.10.0-1127.8.2.el7_lustre.x86_64"),
        ("1.a", "1.0"),
        ("1-1", "1-1.1"),
    ],
)
def test_versions_compare_by_their_elements(smaller: str, larger: str) -> None:
    assert Version(smaller) < Version(larger)
    assert not Version(larger) < Version(smaller)


def test_numbers_that_are_written_differently_are_equal() -> None:
    assert Version("1.0") == Version("1.00")
    assert hash(Version("1.0")) == hash(Version("1.00"))


@given(st.lists(st.text("019.-az", max_size=8), min_size=3, max_size=3))
def test_the_order_of_versions_is_total(texts: list[str]) -> None:
    low, middle, high = sorted(map(Version, texts))
    assert low <= middle <= high
    assert low <= high


def test_a_module_is_found_by_its_exact_name() -> None:
    text = "lnet 1 2 ptlrpc, Live 0x0\nlnet_selftest 2 0 - Live 0x0\n"

    assert loaded_modules(text) == {"lnet", "lnet_selftest"}


async def test_the_version_of_a_module_is_modinfos(programs: Programs) -> None:
    programs.add("modinfo", stdout="2.12.5_ddn11\n")

    assert await call(kernel_module_version, "lustre") == "2.12.5_ddn11"
    assert programs.calls("modinfo") == [["-F", "version", "--", "lustre"]]


async def test_a_module_that_is_not_there_is_modinfos_error(programs: Programs) -> None:
    programs.add("modinfo", stderr="modinfo: ERROR: Module nope not found.\n", code=1)

    with pytest.raises(CommandFailedError, match="Module nope not found"):
        await call(kernel_module_version, "nope")


@pytest.mark.parametrize("module", ["../x.ko", "/tmp/x.ko", "-F", "", "a b"], ids=repr)
@pytest.mark.parametrize(
    "action", [kernel_module_version, kernel_module_loaded], ids=lambda one: one.name
)
def test_a_path_is_no_module(action: Action[..., Any], module: str) -> None:
    with pytest.raises(ArgumentsError):
        action.bind(module)


KERNELS = "3.10.0-957.el7.x86_64\n3.10.0-1127.8.2.el7_lustre.x86_64\n3.10.0-1160.el7.x86_64\n"
HAS = """
case "$4" in
  *lustre*) exit 0 ;;
  *1160*) [ "$6" = zfs ] && exit 0 ;;
esac
exit 1
"""


@pytest.mark.parametrize(
    ("modules", "kernel"),
    [
        ([], "3.10.0-1160.el7.x86_64"),
        (["zfs"], "3.10.0-1160.el7.x86_64"),
        (["lustre", "zfs"], "3.10.0-1127.8.2.el7_lustre.x86_64"),
    ],
    ids=str,
)
async def test_the_newest_kernel_with_all_modules_is_chosen(
    programs: Programs, modules: list[str], kernel: str
) -> None:
    programs.add("rpm", stdout=KERNELS)
    programs.script("modinfo", HAS.replace("$4", "$3").replace("$6", "$5"))

    assert await call(get_kernel, modules) == kernel


async def test_no_kernel_with_the_modules_is_an_empty_text(programs: Programs) -> None:
    programs.add("rpm", stdout=KERNELS)
    programs.add("modinfo", code=1)

    assert await call(get_kernel, ["nothing"]) == ""


async def test_debians_kernels_are_found_by_their_packages(programs: Programs) -> None:
    programs.add(
        "dpkg-query",
        stdout="installed linux-image-6.1.0-9-amd64\ninstalled linux-image-6.1.0-30-amd64\n"
        "installed linux-image-amd64\nnot-installed linux-image-6.1.0-31-amd64\n",
    )
    programs.add("modinfo")

    assert await call(get_kernel, ["ext4"]) == "6.1.0-30-amd64"


async def test_a_program_without_permission_says_so(programs: Programs) -> None:
    programs.add("rpm", stdout="1\n")
    (programs.folder / "rpm").chmod(0o644)

    with pytest.raises(ActionError, match=r"rpm: Permission denied \(os error 13\)"):
        await call(package_version, "bash")


async def test_a_program_that_prints_without_end_is_bounded(programs: Programs) -> None:
    programs.script("rpm", "head -c 20000000 /dev/zero\n")

    with pytest.raises(ActionError, match="were not kept"):
        await call(package_version, "bash")
