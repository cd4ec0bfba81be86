"""bench/RESULTS.md: each benchmark writes its own section and leaves the others as they are."""
import os
import pathlib
import platform
import re
import time


def machine():
    with open("/proc/cpuinfo") as lines:
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
                     platform.machine())
    return f"{os.cpu_count()} cores, {model}"


def made_by(command, server):
    load, busy = os.getloadavg()[0], ""
    if load >= os.cpu_count():
        busy = " The machine was busy with other work: what depends on time is worse than it would be on a quiet one."
    return (f"Made by `{command}` on {time.strftime('%Y-%m-%d')}, {machine()}, PostgreSQL {server.split()[0]}, "
            f"load at the start {load:.1f}.{busy}")


def write(path, heading, text):
    """Replaces the section `## heading`, or appends it."""
    path = pathlib.Path(path)
    old = path.read_text() if path.exists() else "# Measurements\n"
    head, *sections = re.split(r"^(?=## )", old, flags=re.M)
    new = f"## {heading}\n\n{text.strip()}\n\n"
    places = [i for i, section in enumerate(sections) if section.startswith(f"## {heading}\n")]
    if places:
        sections[places[0]] = new
    else:
        sections.append(new)
    path.write_text((head.rstrip() + "\n\n" + "".join(section.rstrip() + "\n\n" for section in sections)).rstrip()
                    + "\n")
