"""The house of src/: who includes whom, by src/floors.txt; each finding is a sentence that names the place."""
import collections
import itertools
import re

import c_text
from tree import Nothing, files, read

MOST_FILES = 30
# They are called by SQL or by the postmaster alone, and need no header; those in src/ itself are the doors.
DOORS = {"worker/probe.c", "worker/control.c", "worker/launcher.c", "auth/credential_sql.c"}


class Floors:
    """src/floors.txt: the floor of each folder and door, and where the headers of other libraries may stand."""

    def __init__(self, tree):
        self.number, self.foreign = {}, {}
        page = tree / "src" / "floors.txt"
        for number, line in enumerate(page.read_text().splitlines() if page.exists() else [], 1):
            floor = re.match(r"(\d+) ([\w. ]+)$", line)
            library = re.match(r"(\S+) in (.+)$", line)
            if floor:
                self.number.update(dict.fromkeys(floor.group(2).split(), int(floor.group(1))))
            elif library:
                self.foreign[library.group(1)] = library.group(2).split()
            elif line.strip() and not line.startswith("#"):
                raise Nothing(f"src/floors.txt:{number} is neither a floor nor a library: {line}")
        if not self.number or not self.foreign:
            raise Nothing("src/floors.txt names no floor or no library")

    def of(self, name):
        """The floor of a file below src/."""
        return self.number.get(name.split("/")[0])


def _sources(tree):
    """{path below src: text} of all C files."""
    return {str(path.relative_to(tree / "src")): read(path) for path in files(tree, "src/**/*.c", "src/**/*.h")}


def _own(sources, name, line, mark, target):
    """The own file that an include names, with or without its folder; None for one of others."""
    if target in sources:
        return target
    return next((other for other in sources if mark == '"' and other.rpartition("/")[2] == target), None)


def own_includes(tree):
    """Own headers are included by path, and upwards or sideways never."""
    floors, sources, found, seen = Floors(tree), _sources(tree), [], 0
    for name, text in sources.items():
        if floors.of(name) is None:
            found.append(f"src/{name}:1 stands on no floor of src/floors.txt")
            continue
        for line, mark, target in c_text.includes(text):
            own = _own(sources, name, line, mark, target)
            if own is None:
                if mark == '"' and floors.number.get(target.split("/")[0]):
                    found.append(f"src/{name}:{line} includes {target}, which does not exist")
                continue
            seen += 1
            here, there = floors.of(name), floors.of(own)
            if target != own or mark != '"':
                found.append(f"src/{name}:{line} includes {target} without its folder: write \"{own}\"")
            if "/" not in own:
                found.append(f"src/{name}:{line} includes {own}, a door, which nothing may include")
            elif there is not None and there >= here and own.split("/")[0] != name.split("/")[0]:
                found.append(f"src/{name}:{line} (floor {here}) includes {own} of floor {there}, "
                             f"which is {'above' if there > here else 'beside'} it")
    return found if seen else ["no include of an own header was found in src/"]


def _circle(ties, group):
    """A shortest way round within a group of rooms that all lead to each other."""
    start, todo, came = min(group), collections.deque([min(group)]), {}
    while todo:
        room = todo.popleft()
        for other in sorted(ties[room]):
            if other == start:
                way = [room]
                while way[0] != start:
                    way.insert(0, came[way[0]])
                return [*way, start]
            if other in group and other not in came:
                came[other] = room
                todo.append(other)
    return [start]


def _groups(ties):
    """The rooms that lead to each other, by the order in which a walk leaves them (Kosaraju)."""
    order, seen, back = [], set(), collections.defaultdict(set)
    for room in list(ties):
        walk = [(room, iter(sorted(ties[room])))] if room not in seen else []
        seen.add(room)
        while walk:
            others = walk[-1][1]
            other = next((o for o in others if o not in seen), None)
            if other is None:
                order.append(walk.pop()[0])
            else:
                seen.add(other)
                walk.append((other, iter(sorted(ties[other]))))
    for room, others in ties.items():
        for other in others:
            back[other].add(room)
    groups, taken = [], set()
    for room in reversed(order):
        group, todo = set(), [room]
        while todo:
            each = todo.pop()
            if each not in taken:
                taken.add(each)
                group.add(each)
                todo += back[each]
        if len(group) > 1:
            groups.append(group)
    return groups


def circles(tree):
    """
    A .c and its header are one room: no way leads from a room by what it calls back into it. Types may be shared, but
    headers that include each other are a circle too.
    """
    sources, ties, places = _sources(tree), collections.defaultdict(set), {}
    home = {symbol: name[:-2] for name, text in sources.items() if name.endswith(".c")
            for symbol in c_text.defined(text)}

    def tie(one, other, place):
        if one != other:
            ties[one].add(other)
            ties[other] |= set()
            places.setdefault((one, other), place)
    for name, text in sources.items():
        for token in c_text.tokens(text):
            if token.kind == "word" and token.value in home and name.endswith(".c"):
                tie(name[:-2], home[token.value], f"src/{name}:{token.line}")
        for line, mark, target in c_text.includes(text) if name.endswith(".h") else []:
            own = _own(sources, name, line, mark, target)
            if own:
                tie(name, own, f"src/{name}:{line}")
    if not ties:
        raise Nothing("no file of src/ calls another")
    found = []
    for group in _groups(ties):
        way = _circle(ties, group)
        steps = ", ".join(f"{a} needs {b} ({places[a, b]})" for a, b in itertools.pairwise(way))
        others = f"; in the same knot: {', '.join(sorted(group - set(way)))}" if group - set(way) else ""
        found.append(f"{places[way[0], way[1]]} is part of a circle: {steps}{others}")
    return found


def headers(tree):
    """Every .c that exports has a header of its name, and a header declares what its .c defines and nothing else."""
    sources, found, seen = _sources(tree), [], 0
    made = {name: c_text.defined(text) for name, text in sources.items() if name.endswith(".c")}
    home = {symbol: name for name, symbols in made.items() for symbol in symbols}
    for name, text in sources.items():
        if name.endswith(".h"):
            mine = made.get(name[:-1] + "c", {})
            for symbol, line in c_text.declared(text).items():
                seen += 1
                if symbol not in mine:
                    where = f"src/{home[symbol]} defines" if symbol in home else "no file of src/ defines"
                    found.append(f"src/{name}:{line} declares {symbol}, which {where}")
            continue
        door = "/" not in name or name in DOORS
        promised = c_text.declared(sources.get(name[:-1] + "h", ""))
        for symbol, line in made[name].items():
            if door:
                found.append(f"src/{name}:{line} exports {symbol}, but SQL and the postmaster alone may call this file")
            elif name[:-1] + "h" not in sources:
                found.append(f"src/{name}:{line} exports {symbol}, but there is no header src/{name[:-1]}h")
            elif symbol not in promised:
                found.append(f"src/{name}:{line} exports {symbol}, which its header does not declare: make it static")
    return found if seen else ["no declaration was found in a header of src/"]


def foreign_headers(tree):
    """Each library of others is known where floors.txt says, and every line of floors.txt is used."""
    floors, found, used = Floors(tree), [], set()
    for name, text in _sources(tree).items():
        for line, _, target in c_text.includes(text):
            library = next((each for each in floors.foreign if target == each or
                            (each.endswith("/") and target.startswith(each))), None)
            if library is None:
                continue
            places = floors.foreign[library]
            used |= {(library, place) for place in places if name == place or name.startswith(place + "/")}
            if not any(name == place or name.startswith(place + "/") for place in places):
                found.append(f"src/{name}:{line} includes {target}, which belongs into {' or '.join(places)} alone")
    return found + [f"src/floors.txt allows {library} in {place}, where nothing includes it"
                    for library, places in floors.foreign.items() for place in places if (library, place) not in used]


def folder_sizes(tree):
    """No folder of src/ holds more files than an eye can take in."""
    count = collections.Counter(name.rpartition("/")[0] for name in _sources(tree))
    return [f"src/{folder} holds {n} C files, {MOST_FILES} are the most" for folder,
            n in count.items() if n > MOST_FILES]


CHECKS = [
    ("own includes go by path and never upwards", own_includes),
    ("no files that need each other in a circle", circles),
    ("every file that exports has its own header", headers),
    ("headers of other libraries stand where floors.txt says", foreign_headers),
    ("no folder of src/ is too full", folder_sizes),
]
