"""Where everything comes from: what the tree pins, the bill of materials, and a build that gives the same bytes."""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse

from tree import Nothing, read

REQUIREMENTS = ("simulator/requirements-build.txt", "simulator/requirements.txt", "scripts/requirements.txt",
                "scripts/requirements-servers.txt", "scripts/requirements-bench.txt")
PINNED = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.+!-]+)((?:\s+--hash=sha256:[0-9a-f]{64})+)$")
JAR = re.compile(r"([\w.-]+):([\w.-]+):([\w.-]+):([0-9a-f]{64})")


def requirements(tree):
    """(file, name, version, hashes) of each Python package, and the lines that pin none."""
    found, loose = [], []
    for name in REQUIREMENTS:
        text = read(tree / name).replace("\\\n", " ")
        for line in text.splitlines():
            if not line.strip() or line.startswith(("#", "--")):
                continue
            match = PINNED.match(line.strip())
            if match:
                found.append((name, match.group(1), match.group(2), re.findall(r"[0-9a-f]{64}", match.group(3))))
            else:
                loose.append(f"{name} does not pin `{line[:60]}` by version and SHA-256")
        options = set(re.findall(r"^--.*$", text, re.M))
        loose += [f"{name} lacks the line {option}" for option in ("--require-hashes", "--only-binary :all:")
                  if option not in options]
    return found, loose


def _setting(tree, name):
    """A quoted list of scripts/lib/common.sh."""
    return re.search(rf'^{name}="([^"]*)"', read(tree / "scripts/lib/common.sh"), re.M).group(1).split()


def jars(tree):
    """(group, artifact, version, SHA-256)."""
    return [JAR.fullmatch(jar).groups() if JAR.fullmatch(jar) else (jar, "", "", "") for jar in _setting(tree, "JARS")]


def pinned(tree):
    """Nothing is fetched that a file of the tree does not pin; Debian's packages are signed by their archive."""
    packages, problems = requirements(tree)
    if not packages:
        raise Nothing("no Python package is pinned")
    problems += [f"scripts/lib/common.sh does not pin {jar[0]} by SHA-256" for jar in jars(tree) if not jar[3]]
    wanted = {re.split(r"[=<>~]", line)[0].lower() for line in read(tree / "simulator/requirements.in").splitlines()
              if line and not line.startswith("#")}
    names = {name.lower() for file, name, _, _ in packages if file == "simulator/requirements.txt"}
    return problems + [f"simulator/requirements.txt lacks {name} of requirements.in" for name in sorted(wanted - names)]


def _output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _debian(package):
    """(version, architecture) of an installed package; None when it is not installed."""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version} ${Architecture}", package],
                          capture_output=True, text=True)
    words = done.stdout.split()
    return words[1:3] if done.returncode == 0 and words[0] == "installed" else None


def linked(library):
    """{soname: Debian package} of the libraries that the loader finds for the library itself."""
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", _output("readelf", "-d", str(library)))
    places = dict(re.findall(r"^\s*(\S+) => (\S+)", _output("ldd", str(library)), re.M))
    found = {}
    for soname in needed:
        real = os.path.realpath(places[soname])
        owner = ""
        for path in (places[soname], real, real.removeprefix("/usr"), "/usr" + places[soname]):
            done = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True)
            if done.returncode == 0:
                owner = done.stdout.split(":")[0]
                break
        found[soname] = owner
    return found


def _component(kind, name, version, purl, scope, properties=(), sha256=None):
    made = {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl, "scope": scope}
    if sha256:
        made["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    if properties:
        made["properties"] = [{"name": f"exact_databricks:{key}", "value": value} for key, value in properties]
    return made


def _of_debian(package, scope, properties=()):
    version, architecture = _debian(package)
    purl = f"pkg:deb/debian/{package}@{urllib.parse.quote(version, safe='')}?arch={architecture}"
    return _component("library", package, version, purl, scope, properties)


def bill(tree, library):
    """The bill of materials of a tree and the library built from it."""
    version = re.search(r"^default_version *= *'([^']+)'", read(tree / "exact_databricks.control"), re.M).group(1)
    ours = f"pkg:generic/exact_databricks@{version}"
    parts, needs = {}, []
    for soname, package in linked(library).items():
        if not package:
            raise Nothing(f"no package of this machine holds {soname}")
        made = _of_debian(package, "required", [("linked as", soname)])
        needs.append(parts.setdefault(made["bom-ref"], made)["bom-ref"])
    config = os.environ.get("EXACT_DATABRICKS_PG_CONFIG", "pg_config")
    server = re.search(r"PostgreSQL (\S+)", _output(config, "--version")).group(1)
    made = _component("application", "PostgreSQL", server, f"pkg:generic/postgresql@{server}", "required")
    parts[made["bom-ref"]] = made
    needs.append(made["bom-ref"])
    for package in re.sub(r"\$PG_MAJOR", server.split(".")[0], " ".join(_setting(tree, "PACKAGES"))).split():
        if _debian(package):
            made = _of_debian(package, "excluded", [("needed by", "build and tests")])
            parts.setdefault(made["bom-ref"], made)
    for file, name, of_package, hashes in requirements(tree)[0]:
        purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{of_package}"
        parts[purl] = _component("library", name, of_package, purl, "excluded",
                                 [("needed by", "tests"), ("pinned in", file)],
                                 hashes[0] if len(hashes) == 1 else None)
    for group, artifact, of_jar, sha256 in jars(tree):
        purl = f"pkg:maven/{group}/{artifact}@{of_jar}"
        parts[purl] = _component("library", artifact, of_jar, purl, "excluded", [("needed by", "tests")], sha256)
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {
            **_component("library", "exact_databricks", version, ours, "required",
                         sha256=hashlib.sha256(library.read_bytes()).hexdigest()),
            "licenses": [{"license": {"id": "PostgreSQL"}}]}},
        "components": [parts[ref] for ref in sorted(parts)],
        "dependencies": [{"ref": ours, "dependsOn": sorted(needs)},
                         *({"ref": ref, "dependsOn": []} for ref in sorted(parts))],
    }


def faults(made):
    """What is wrong with a bill of materials: what the schema of CycloneDX 1.5 wants of the parts that we write."""
    found = []
    if [made.get(key) for key in ("bomFormat", "specVersion", "version")] != ["CycloneDX", "1.5", 1]:
        found.append("it is no CycloneDX 1.5")
    parts = [made["metadata"]["component"], *made["components"]]
    refs = [part.get("bom-ref") for part in parts]
    found += [f"{ref} stands there twice" for ref in sorted({ref for ref in refs if refs.count(ref) > 1})]
    for part in parts:
        found += [f"{part.get('bom-ref')} has no {key}" for key in ("type", "name", "version", "purl")
                  if not part.get(key)]
        if part.get("type") not in ("application", "library") or part.get("scope") not in ("required", "excluded"):
            found.append(f"{part.get('bom-ref')} has an unknown type or scope")
        if not re.fullmatch(r"pkg:(deb/debian|generic|pypi|maven/[\w.]+)/[\w.%+~-]+@[\w.%+~-]+(\?arch=\w+)?",
                            part.get("purl", "")):
            found.append(f"{part.get('purl')} is no package URL")
        found += [f"{part['bom-ref']} has a hash that is none" for each in part.get("hashes", [])
                  if each["alg"] != "SHA-256" or not re.fullmatch("[0-9a-f]{64}", each["content"])]
    for each in made["dependencies"]:
        found += [f"{each['ref']} needs {ref}, which is not there" for ref in [each["ref"], *each["dependsOn"]]
                  if ref not in refs]
    return found


def same_bytes(one, other):
    """What differs between two trees of the same text, built in different directories."""
    made = ["exact_databricks.so", *sorted(path.name for path in one.glob("exact_databricks--*.sql"))]
    if len(made) < 2:
        raise Nothing("no install script was built")
    return [f"{name} differs from one that was built in another directory" for name in made
            if not (other / name).exists() or (one / name).read_bytes() != (other / name).read_bytes()]


def main(out):
    tree = pathlib.Path(__file__).resolve().parents[2]
    made = bill(tree, tree / "exact_databricks.so")
    text = json.dumps(made, indent=1) + "\n"
    if out == "-":
        sys.stdout.write(text)
    else:
        pathlib.Path(out).write_text(text)
    for fault in faults(made):
        print(f"scripts/sbom: {fault}", file=sys.stderr)
    return 1 if faults(made) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
