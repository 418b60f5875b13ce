"""A transcript for the documentation: what people typed and saw, without machine paths."""

import os
import re
import shlex
from pathlib import Path

BEGIN, END = "<!-- transcript:begin -->\n```text\n", "```\n<!-- transcript:end -->"
LONG = 14  # lines


class Transcript:
    """Commands of several people, in order.

    Args:
        places: path on this machine -> what stands for it; longer paths are replaced first.
    """

    def __init__(self, places):
        self.places = sorted(places.items(), key=lambda place: -len(str(place[0])))
        self.blocks = []

    def say(self, text):
        """A sentence between commands."""
        self.blocks.append(f"# {text}")

    def add(self, person, log):
        """Commands of one person with their output, as ``Clone.log`` has them."""
        for command, output in log:
            typed = shlex.join(map(str, command))
            shown = [f"{person}$ {self.tidy(typed)}", *shorten(self.tidy(output))]
            self.blocks.append("\n".join(shown))

    def tidy(self, text):
        for path, name in self.places:
            text = text.replace(str(path), name)
        return text

    def text(self):
        return "\n".join(self.blocks) + "\n"


def shorten(output):
    """Lines of an output: of Snakemake's the table of jobs, of a long one the ends."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    if "Building DAG of jobs..." in lines:
        return [line for line in lines if line.startswith("restored the provenance")] + jobs(lines)
    if any(line.startswith("Using profiles") for line in lines) and not any(
        "jobs done" in line for line in lines
    ):  # a plan
        return [line for line in lines if not line.startswith("Using profiles")]
    if len(lines) > LONG:
        return [*lines[:4], f"[... {len(lines) - 8} lines ...]", *lines[-4:]]
    return lines


def jobs(lines):
    """What is planned or was done, and where the result is."""
    ends = [line for line in lines if line.startswith(("Nothing to be done", "the report is"))]
    if "Job stats:" not in lines:
        return ends
    start = lines.index("Job stats:")
    end = next(i for i in range(start, len(lines)) if lines[i].startswith("total"))
    return [*lines[start : end + 1], *ends]


def commands(text):
    """The typed lines of a transcript."""
    return re.findall(r"^\w+\$ .*$", text, flags=re.M)


def counts(text):
    """The lines of a transcript that tell jobs and models: of a plan's table, of a run's ends."""
    table = r"[a-z]\w* +\d+$"
    ends = r"\d+ jobs?(?:, \d+ models? to train)?(?=, about)|\d+ of \d+ jobs? done(?=,)"
    found = re.findall(rf"^(?:{table}|{ends})", text, flags=re.M)
    return sorted(" ".join(line.split()) for line in found)


def compare(page, text):
    """The page shows these commands and numbers of jobs, and, once asked for, all they print."""
    assert str(Path.home()) not in text
    assert "/tmp" not in text
    before, rest = page.read_text().split(BEGIN)
    shown, after = rest.split(END)
    if os.environ.get("DASBENCH_WRITE_DOCS"):
        page.write_text(f"{before}{BEGIN}{text}{END}{after}")
    else:
        assert commands(shown) == commands(text)
        assert counts(shown) == counts(text)
