"""What packages say of the version, and what a build outside the tree gives; scripts/package does the rest."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import dockerfile
import pytest
import supply
import update
from chroot import Chroot, differences
from processes import Failed
from tree import files

TREE = pathlib.Path(__file__).resolve().parents[2]
BIN = os.environ.get("EXACT_DATABRICKS_PG_BIN")
TOOLS = pathlib.Path(os.environ.get("EXACT_DATABRICKS_TOOLS", TREE / "absent"))
SEMVER = re.compile(r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z-]+)?")


def faults(meta, tree):
    """What PGXN Meta Spec 1.0.0 asks of META.json and does not find."""
    found = [f"{key} is missing" for key in ("name", "version", "abstract", "maintainer", "license", "provides",
                                             "meta-spec") if not meta.get(key)]
    if found:
        return found
    if not re.fullmatch(r"[^\s/\\\x00-\x1f]{2,}", meta["name"]):
        found.append("name is none")
    if meta["meta-spec"].get("version") != "1.0.0":
        found.append("meta-spec is not 1.0.0")
    if meta["license"] not in ("postgresql", "apache_2_0", "bsd", "mit"):
        found.append("license is none of the list")
    if meta.get("release_status", "stable") not in ("stable", "testing", "unstable"):
        found.append("release_status is none of the list")
    versions = [meta["version"], *(part.get("version", "") for part in meta["provides"].values())]
    requires = [version for phase in meta.get("prereqs", {}).values() for kind in phase.values()
                for version in kind.values()]
    found += [f"version {each!r} is not semantic" for each in versions + requires if not SEMVER.fullmatch(each)]
    for name, part in meta["provides"].items():
        for key in ("file", "docfile"):
            if key == "file" and not part.get(key):
                found.append(f"{name} has no file")
            elif part.get(key) and not (tree / part[key]).exists():
                found.append(f"{name}: {part[key]} is not there")
    if set(meta) - {"name", "version", "abstract", "maintainer", "license", "provides", "meta-spec", "description",
                    "generated_by", "no_index", "prereqs", "release_status", "resources", "tags"}:
        found.append("a key that the specification does not know")
    return found


META = json.loads((TREE / "META.json").read_text())


def test_meta():
    assert faults(META, TREE) == []


@pytest.mark.parametrize("change, words", [
    (lambda meta: meta.pop("maintainer"), "maintainer is missing"),
    (lambda meta: meta.update(version="1.0"), "'1.0' is not semantic"),
    (lambda meta: meta.update(license="ours"), "license is none"),
    (lambda meta: meta["provides"]["exact_databricks"].update(file="absent.sql"), "absent.sql is not there"),
    (lambda meta: meta.update(colour="blue"), "does not know")])
def test_meta_that_is_wrong(change, words):
    meta = json.loads(json.dumps(META))
    change(meta)
    assert any(words in fault for fault in faults(meta, TREE))


def test_versions():
    """Of the control file, with .0 behind it where a version needs three parts."""
    version = update.current(TREE)
    semantic = version + ".0" * (2 - version.count("."))
    assert [META["version"], META["provides"]["exact_databricks"]["version"]] == [semantic, semantic]
    assert META["release_status"] == ("stable" if version in update.released(TREE) else "unstable")
    head = (TREE / "debian" / "changelog").read_text().splitlines()[0]
    name, packaged, distribution = re.match(r"(\S+) \((.+)-\d+\) (\w+);", head).groups()
    assert (name, packaged) == ("exact-databricks", version)
    assert (distribution == "UNRELEASED") == (version not in update.released(TREE))


def test_debian_control():
    """debian/control is what control.in gives for the server of Debian 12; a build needs what the Makefile asks for."""
    written = (TREE / "debian" / "control.in").read_text()
    assert (TREE / "debian" / "control").read_text() == written.replace("PGVERSION", "15")
    asked = re.search(r"install (lib\S+-dev.*)\)", (TREE / "Makefile").read_text()).group(1).split()
    assert len(asked) == 5 and all(re.search(rf"^ {name},$", written, re.M) for name in asked)


def test_dockerfile():
    """The steps that scripts/package runs: two stages for the hub, the last without compilers, nobody is root."""
    found = dockerfile.stages((TREE / "Dockerfile").read_text())
    assert list(found) == ["build", "simulators", "hub"]
    for name in ("hub", "simulators"):
        steps = found[name][1]
        run = " ".join(argument for kind, argument in steps if kind == "RUN")
        assert not re.search(r"\b(?:gcc|make|\S+-dev)\b", run)
        assert [argument for kind, argument in steps if kind == "USER"] in (["postgres"], ["exact"])
        assert {"CMD"} < {kind for kind, _ in steps}
    libraries = next(argument for kind, argument in found["hub"][1] if kind == "RUN")
    assert "libcurl4" in libraries and "libmicrohttpd12" in libraries
    assert '"-U"' in dict(found["hub"][1])["HEALTHCHECK"]  # without it libpq asks for the name of the system's user
    for _, steps in found.values():
        for argument in (argument for kind, argument in steps if kind == "COPY" and not argument.startswith("--from")):
            assert all((TREE / source).exists() for source in argument.split()[:-1]), argument
    with pytest.raises(Failed):
        dockerfile.stages("FROM debian AS one\nSHELL [\"bash\"]\n")


@pytest.mark.skipif(not (TOOLS / "bin" / "hadolint").exists(), reason="hadolint cannot be had")
def test_dockerfile_lint(tmp_path):
    """Versions of Debian's packages are not pinned: the base image's security updates come with each build."""
    def lint(path):
        return subprocess.run([TOOLS / "bin" / "hadolint", "--no-color", "--failure-threshold", "warning",
                               "--ignore", "DL3008", path], capture_output=True, text=True)
    done = lint(TREE / "Dockerfile")
    assert done.returncode == 0, done.stdout
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN cd /tmp && apt-get install gcc\n")
    assert lint(tmp_path / "Dockerfile").returncode


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose cannot be had")
def test_compose(tmp_path):
    def config(path):
        return subprocess.run(["docker-compose", "-f", path, "config", "--quiet"], capture_output=True, text=True)
    done = config(TREE / "compose.yaml")
    assert done.returncode == 0, done.stderr
    (tmp_path / "compose.yaml").write_text((TREE / "compose.yaml").read_text().replace("command:", "comand:"))
    assert config(tmp_path / "compose.yaml").returncode


@pytest.mark.skipif(not (TREE / "exact_databricks.so").exists() or not BIN, reason="needs the built library")
def test_build_outside_the_tree(tmp_path):
    source, build = tmp_path / "source", tmp_path / "build"
    for path in files(TREE, "Makefile", "exact_databricks.control", "src/**/*", "install/**/*"):
        made = path.suffix in (".o", ".d", ".so") or path.name in ("12_catalogue_data.sql", "exports.map")
        if path.is_file() and not made:
            into = source / path.relative_to(TREE)
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, into)
    build.mkdir()
    copt = os.environ.get("EXACT_DATABRICKS_COPT")
    subprocess.run(["make", "-s", "-j2", "-C", build, "-f", source / "Makefile", f"VPATH={source}",
                    f"PG_CONFIG={BIN}/pg_config", *([f"COPT={copt}"] if copt else [])], check=True)
    assert not list(source.rglob("*.o"))
    assert supply.same_bytes(TREE, build) == []


def test_files_before_and_after(tmp_path):
    """What a package leaves behind and what went with it are told apart; what a server writes is neither."""
    system = object.__new__(Chroot)
    system.directory = tmp_path
    for path in ("etc/kept", "usr/lib/libidn2.so", "var/log/a", "usr/share/empty/"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).mkdir() if path.endswith("/") else (tmp_path / path).write_text(path)
    before = system.files()
    (tmp_path / "var/log/b").write_text("a log")
    assert differences(before, system.files()) == ""
    (tmp_path / "etc/exact_databricks").mkdir()
    (tmp_path / "etc/exact_databricks/hub.key").write_text("")
    left = "files are left behind: etc/exact_databricks, etc/exact_databricks/hub.key"
    assert differences(before, system.files()) == left
    (tmp_path / "usr/lib/libidn2.so").unlink()
    (tmp_path / "usr/share/empty").rmdir()
    gone = "files are gone that were there before: usr/lib/libidn2.so, usr/share/empty"
    assert differences(before, system.files()) == f"{left}; {gone}"
    shutil.rmtree(tmp_path / "etc/exact_databricks")
    assert differences(before, system.files()) == gone


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_checkout_on_windows(tmp_path):
    """Git turns the ends of lines into CR LF there, with which no script starts in an image; here it must not."""
    def git(*words, at=tmp_path / "tree"):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", at, *words], check=True,
                       env={**os.environ, "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}, capture_output=True)
    seed = "fuzz/seeds/request/hook"
    for path in (".gitattributes", "docker/key.sh", seed):
        (tmp_path / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TREE / path, tmp_path / "tree" / path)
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "all")
    git("clone", "-q", "-c", "core.autocrlf=true", tmp_path / "tree", tmp_path / "windows", at=tmp_path)
    assert b"\r\n" in (TREE / seed).read_bytes()
    for path in ("docker/key.sh", seed):
        assert (tmp_path / "windows" / path).read_bytes() == (TREE / path).read_bytes()
    git("rm", "-q", "-f", ".gitattributes")
    git("commit", "-q", "-m", "without")
    git("clone", "-q", "-c", "core.autocrlf=true", tmp_path / "tree", tmp_path / "without", at=tmp_path)
    assert b"\r\n" in (tmp_path / "without/docker/key.sh").read_bytes()
