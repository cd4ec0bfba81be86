"""
Versions: what was released is kept and leads to the current version, and an updated installation is a new one.

install/released has the install script of each released version, install/update the scripts between versions.
"""
import difflib
import hashlib
import pathlib
import re
import shutil
import subprocess

from catalog import catalog
from cluster import Cluster
from tree import read

NAME = "exact_databricks"
FIRST_LINE = f'\\echo Use "ALTER EXTENSION {NAME} UPDATE" to load this file. \\quit'


def current(tree):
    return re.search(r"^default_version = '(.+)'", read(tree / f"{NAME}.control"), re.M).group(1)


def released(tree):
    """{version: its install script}, the oldest first."""
    scripts = {path.stem.split("--")[1]: path for path in (tree / "install" / "released").glob(f"{NAME}--*.sql")}
    return dict(sorted(scripts.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


def steps(tree):
    """{(from, to): its script}"""
    return {tuple(path.stem.split("--")[1:]): path for path in (tree / "install" / "update").glob(f"{NAME}--*--*.sql")}


def _leads(pairs, start, end):
    seen, todo = {start}, [start]
    while todo:
        here = todo.pop()
        for one, other in pairs:
            if one == here and other not in seen:
                seen.add(other)
                todo.append(other)
    return end in seen


def problems(tree):
    """What is wrong with the versions of a tree, each as a sentence."""
    now, old, ways, found = current(tree), released(tree), steps(tree), []
    sums = tree / "install" / "released" / "SHA256SUMS"
    known = dict(reversed(line.split()) for line in read(sums).splitlines()) if sums.exists() else {}
    for version, path in old.items():
        if known.pop(path.name, None) != hashlib.sha256(path.read_bytes()).hexdigest():
            found.append(f"install/released/{path.name} is not what was released, by SHA256SUMS")
        if version != now and not _leads(ways, version, now):
            found.append(f"no update leads from {version}, which was released, to {now}")
    found += [f"install/released/SHA256SUMS names {name}, which is not there" for name in known]
    for (one, other), path in ways.items():
        text = read(path)
        if one not in old or other not in (*old, now):
            found.append(f"install/update/{path.name} leads from a version that was not released, or to none that is")
        if not text.startswith(FIRST_LINE) or "SELECT exact._quiesce();" not in text:
            found.append(f"install/update/{path.name} lacks its first line or exact._quiesce()")
    made = tree / f"{NAME}--{now}.sql"
    if now in old and made.exists() and made.read_bytes() != old[now].read_bytes():
        found.append(f"version {now} was released, and its install script is another now: it needs a new version")
    heading = re.search(rf"^## {re.escape(now)} \((.*)\)$", read(tree / "CHANGELOG.md"), re.M)
    if not heading or (heading.group(1) == "unreleased") != (now not in old):
        found.append(f"CHANGELOG.md needs a heading for {now}, (unreleased) or with the day of its release")
    return found


def add_released(tree, pg_config):
    """Puts the released install scripts into a server's directory, so that CREATE EXTENSION … VERSION finds them."""
    share = subprocess.run([pg_config, "--sharedir"], capture_output=True, text=True, check=True).stdout.strip()
    for version, path in released(tree).items():
        if version != current(tree):
            shutil.copy(path, pathlib.Path(share) / "extension" / path.name)


def differing(updated, fresh):
    """Lines of two catalogs that only one of them has."""
    lines = difflib.unified_diff(fresh.splitlines(), updated.splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def differences(directory, old):
    """
    An installation of a released version that was updated, and a new one, in clusters of their own, as roles belong to
    clusters: what differs in their catalogs, and which rights that others had granted are gone.
    """
    texts, gone = [], []
    for name in ("updated", "fresh"):
        cluster = Cluster(directory / name, {"shared_preload_libraries": ""})
        try:
            cluster.make()
            cluster.start()
            if name == "updated":
                gone = _rights_gone(cluster, old)
                cluster.psql(f"CREATE EXTENSION {NAME} VERSION '{old}'; ALTER EXTENSION {NAME} UPDATE")
            else:
                cluster.psql(f"CREATE EXTENSION {NAME}")
            texts.append(catalog(cluster))
        finally:
            cluster.remove()
    return differing(*texts) + gone


def _rights_gone(cluster, old):
    """After an update in another database: what a visitor might do with an object, and cannot do any more."""
    cluster.psql("CREATE DATABASE visited; CREATE ROLE visitor")
    cluster.psql(f"CREATE EXTENSION {NAME} VERSION '{old}'; GRANT SELECT ON ALL TABLES IN SCHEMA exact TO visitor; "
                 "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA exact TO visitor; CREATE SCHEMA kept; "
                 "CREATE TABLE kept.name AS SELECT oid::regclass::text AS name, 'table' AS kind FROM pg_class "
                 "WHERE relnamespace = 'exact'::regnamespace AND relkind IN ('r', 'v', 'm', 'p') "
                 "UNION ALL SELECT oid::regprocedure::text, 'function' FROM pg_proc "
                 "WHERE pronamespace = 'exact'::regnamespace; "
                 f"ALTER EXTENSION {NAME} UPDATE", "visited")
    lost = cluster.query("SELECT kind, name FROM kept.name WHERE CASE kind "
                         "WHEN 'table' THEN NOT has_table_privilege('visitor', to_regclass(name), 'SELECT') "
                         "ELSE NOT has_function_privilege('visitor', to_regprocedure(name), 'EXECUTE') END", "visited")
    cluster.psql("DROP DATABASE visited")
    # the roles of the extension were made by the old version there; they are made again for what follows
    roles = cluster.query(r"SELECT rolname FROM pg_roles WHERE rolname ~ '^exact_'")
    cluster.psql(f"DROP ROLE visitor, {', '.join(row['rolname'] for row in roles)}")
    return [f"gone: what somebody granted on {row['kind']} {row['name']}" for row in lost]
