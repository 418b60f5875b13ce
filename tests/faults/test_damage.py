"""Damaged artifacts: found by verify, refused or let through by readers, mended by a rerun."""

import importlib
import json
import os
import random
import shlex
import sys
from collections import Counter
from pathlib import Path

import pytest

from campaign import WAYS, refusals
from damage import MARKER, attempt, damages, kind
from dasbench.errors import UserError
from dasbench.sharing import provenance

pytestmark = [pytest.mark.slow, pytest.mark.workflow]


REFUSED, MISFIT = "refused by name", "refused as not fitting another"
TRACEBACK = "stopped by an error that the run explains at its end"
THROUGH, UNREAD = "went through", "read by no job"
KNOWN = (REFUSED, MISFIT, THROUGH, UNREAD)


class Patient:
    """A clone whose artifacts are damaged one at a time and put right again."""

    def __init__(self, clone, experiment, twin=None):
        self.root, self.experiment, self.twin = clone.folder, experiment, twin
        self.entries = {}
        for folder in (f"results/{experiment}", "data/digits"):
            self.entries |= json.loads((self.root / folder / "provenance.json").read_text())
        self.readers = {}
        for output, entry in self.entries.items():
            for source in provenance.inputs_of(entry):
                self.readers.setdefault(source, []).append(output)

    def representatives(self, rng):
        """One artifact of each type."""
        groups = {}
        for path in sorted(self.entries):
            groups.setdefault(kind(path), []).append(path)
        return [rng.choice(paths) for paths in groups.values()]

    def other(self, path):
        """The content of another experiment's file of the same name."""
        file = self.root / path.replace(f"results/{self.experiment}", f"results/{self.twin}")
        return file.read_bytes() if self.twin and file.is_file() else None

    def damaged(self, path, function, rng):
        content = (self.root / path).read_bytes()
        return attempt(function, content, rng, self.other(path)) if content else None

    def verdict(self):
        return provenance.verify(self.root, [self.experiment]).problems

    def read(self, path, rng):
        """Run a script that reads the artifact: refused, went through, or what it raised."""
        readers = self.readers.get(path)
        if not readers:
            return UNREAD
        entry = self.entries[rng.choice(readers)]
        mine = [o for o, e in self.entries.items() if e["shellcmd"] == entry["shellcmd"]]
        kept = {output: (self.root / output).read_bytes() for output in mine}
        try:
            execute(entry["shellcmd"])
        except UserError as error:
            (sentence,) = str(error).splitlines()
            return REFUSED if names(sentence, Path(path)) else MISFIT
        except Exception as error:
            return f"{entry['rule']}: {type(error).__name__}: {error}"
        finally:
            for output, content in kept.items():
                (self.root / output).write_bytes(content)
        return THROUGH


def names(sentence, path):
    """Whether a refusal names the file, or the model's folder."""
    folder = next((str(p.parent) for p in path.parents if p.name == "unet"), str(path.parent))
    return path.name in sentence or folder in sentence


def execute(command):
    """Run a recorded shell command's script in this process."""
    words = shlex.split(command.split(" > ")[0])
    words = words[words.index("python") + 1 :]
    name = words[0].removeprefix("scripts/").removesuffix(".py")
    before = sys.argv
    sys.argv = words
    try:
        importlib.import_module(name).run()
    finally:
        sys.argv = before


def trials(patient, rng, most=None):
    """Damage one artifact of each type in each way: (damage, path, what its reader did)."""
    chosen = [(p, *d) for p in patient.representatives(rng) for d in damages(Path(p)).items()]
    rng.shuffle(chosen)
    done = 0
    for path, name, function in chosen:
        content = patient.damaged(path, function, rng)
        if content is None or done == most:
            continue
        done += 1
        file = patient.root / path
        sound, stamp = file.read_bytes(), file.stat()
        file.write_bytes(content)
        os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # as a failing disk does
        try:
            problems = patient.verdict()
            assert any(p.startswith(f"{path} is damaged") for p in problems), (path, name, problems)
            what = patient.read(path, rng)
            assert not (patient.root / MARKER).exists(), (path, name, what)
            yield name, path, what
        finally:
            file.write_bytes(sound)
    assert patient.verdict() == []


def told(outcomes):
    """Counts of outcomes as the table shows them."""
    found = Counter(what if what in KNOWN else TRACEBACK for what in outcomes)
    return ", ".join(f"{found[what]} {what}" for what in (*KNOWN, TRACEBACK) if found[what])


def campaign(patient, monkeypatch, rng, most=None):
    """Outcomes of all trials by damage."""
    monkeypatch.chdir(patient.root)
    outcomes = {}
    for name, _, what in trials(patient, rng, most):
        outcomes.setdefault(name, []).append(what)
    return outcomes


def test_some_damages_are_found_and_told(copy, monkeypatch):
    outcomes = campaign(Patient(copy, "smoke"), monkeypatch, random.Random(3), most=30)
    everything = [what for found in outcomes.values() for what in found]
    assert len(everything) == 30
    assert everything.count(REFUSED) >= 5


@pytest.mark.campaign
def test_every_type_of_artifact_damaged_in_every_way(sound, monkeypatch, fault):
    rows = {way: f"artifact of every type: {way}" for way in WAYS}
    for row in rows.values():
        fault(row)
    outcomes = campaign(Patient(sound, "small", "other"), monkeypatch, random.Random(4))
    assert set(outcomes["pickled"]) <= {REFUSED, UNREAD}
    for way, row in rows.items():
        found = outcomes[way]
        run = "; none was executed" if way == "pickled" else ""
        fault(row, len(found), f"all found by `./run verify`; their readers: {told(found)}{run}")


@pytest.mark.campaign
def test_damages_of_every_type_at_once_are_mended_by_what_verify_says(sound, undisturbed, fault):
    """All but the manifest, which knows what the others should be."""
    name = "one artifact of every type damaged at once"
    fault(name)
    rng, patient = random.Random(5), Patient(sound, "small", "other")
    chosen = []
    for path in patient.representatives(rng):
        for way in rng.sample(sorted(damages(Path(path))), 3):
            content = patient.damaged(path, damages(Path(path))[way], rng)
            if content is not None:
                (sound.folder / path).write_bytes(content)
                chosen.append(path)
                break
    shown = sound.run("verify", "small", check=False).stdout
    assert {p for p in chosen if f"{p} is damaged: " in shown} == set(chosen)
    warned = sound.run("small", "-n").stderr
    assert "changed after being made; do not trust" in warned
    sound.run("small", "--forcerun", *chosen)
    assert not (sound.folder / MARKER).exists()
    assert sound.plan("small") == {}
    assert sound.hashes("small") == undisturbed.hashes("small")
    assert sound.run("verify").stdout.endswith(" 0 problems\n")
    outcome = (
        "`./run` warns; `./run verify` names each; `--forcerun` as it says gives the same bytes"
    )
    fault(name, len(chosen), outcome)


def test_what_a_reader_cannot_word_is_told_at_the_end_of_the_run(copy, made, fault):
    """A table without a column stops a script with a traceback in its log; the run says why."""
    name = "artifact whose damage its reader cannot name"
    fault(name)
    path = "results/smoke/removal/images.csv"
    lines = (copy.folder / path).read_text().splitlines()
    (copy.folder / path).write_text("\n".join(line.split(",", 1)[1] for line in lines))
    failed = copy.run("smoke", check=False)
    assert failed.returncode == 1
    again = f"`./run smoke --forcerun {path}` makes it again"
    sentence = f"error: {path} is damaged: its bytes are not the recorded ones; {again}"
    assert sentence in refusals(failed.stderr)
    refused = copy.run("save", "smoke", check=False)
    assert refused.returncode == 1
    (bundled,) = refusals(copy.run("bundle", "smoke", check=False).stderr)
    assert bundled.endswith(" is missing or damaged; `./run verify smoke` tells more")
    copy.run("smoke", "--forcerun", path)
    assert copy.plan() == {}
    assert copy.hashes() == made.hashes()
    fault(name, 1, "the failed run ends with its name and remedy; save and bundle refuse")
