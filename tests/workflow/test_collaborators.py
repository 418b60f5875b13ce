"""Two collaborators, with the dvc.yaml and dvc.lock of the repository, which record much more.

test_story.py shows what they type with names; here they leave them out.
"""

import shutil

import pytest
import yaml

from clones import ROOT, Clone, cloned, copied, stored

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

OTHERS = {"digits", "fashion", "emoji"}


@pytest.fixture(scope="module")
def sender(made, tmp_path_factory):
    """A made and saved smoke alone; the lock file names the repository's other experiments."""
    home = tmp_path_factory.mktemp("people")
    person = Clone(copied(made.folder, home / "a"))
    shutil.copy(ROOT / "dvc.yaml", person.folder)
    ours = yaml.safe_load((person.folder / "dvc.lock").read_text())
    whole = yaml.safe_load((ROOT / "dvc.lock").read_text())
    assert {name.partition("@")[2] for name in whole["stages"]} >= OTHERS | {"smoke"}
    whole["stages"] |= ours["stages"]
    (person.folder / "dvc.lock").write_text(yaml.safe_dump(whole, sort_keys=False))
    person.call("git", "commit", "-qam", "as in the repository", "--allow-empty")
    person.call("dvc", "remote", "modify", "store", "url", home / "store")
    person.call("git", "commit", "-qam", "our store")
    person.pushed = person.run("push")
    return person


@pytest.fixture
def receiver(sender, tmp_path):
    return cloned(sender.folder, tmp_path / "b")


def test_a_push_without_names_sends_what_is_here_and_names_the_rest(sender, made):
    (told,) = [line for line in sender.pushed.stderr.splitlines() if line.startswith("run: ")]
    assert "not here, so not sent: " in told
    assert all(f"results/{name}" in told for name in OTHERS)
    assert "smoke" not in told
    assert "md5" not in sender.pushed.stderr + sender.pushed.stdout
    store = sender.folder.parent / "store"
    theirs = made.folder.parent / "store"
    assert {p.relative_to(store) for p in stored(store)} <= {
        p.relative_to(theirs) for p in stored(theirs)
    }
    assert len(stored(store)) > 300


def test_a_pull_without_names_fetches_what_is_there_and_names_the_rest(sender, receiver):
    pulled = receiver.run("pull")
    (told,) = [line for line in pulled.stderr.splitlines() if line.startswith("run: ")]
    assert "does not have " in told
    assert all(f"results/{name}" in told for name in OTHERS)
    assert receiver.plan() == {}
    assert receiver.hashes() == sender.hashes()
    assert receiver.clean()
    assert not any((receiver.folder / "results" / name).exists() for name in OTHERS)
    # with nothing new, and the other way round
    assert receiver.run("push").returncode == 0
    assert receiver.run("verify").stdout.endswith(" 0 problems\n")


def test_what_was_named_and_left_out_is_an_error(sender, receiver):
    for person, command, reason in (
        (sender, "push", "not here, so not sent: results/digits"),
        (receiver, "pull", "does not have results/digits"),
    ):
        done = person.run(command, "digits", check=False)
        assert done.returncode == 1
        assert reason in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert person.run(command, "smoke").returncode == 0
    both = receiver.run("pull", "smoke", "digits", check=False)
    assert both.returncode == 1
    assert receiver.plan() == {}  # what the remote has is here all the same


def test_part_of_an_experiment_is_sent_and_fetched(sender, receiver, tmp_path):
    """After a partial pull, to a store of one's own."""
    receiver.run("pull", "smoke", "--only", "tables")
    receiver.add_remote("mine", tmp_path / "mine")
    pushed = receiver.run("push", "-r", "mine")
    assert "results/smoke/models/eval" in pushed.stderr
    assert "results/smoke/lds" not in pushed.stderr
    third = cloned(sender.folder, tmp_path / "c")
    third.add_remote("mine", tmp_path / "mine")
    pulled = third.run("pull", "-r", "mine")
    assert "results/smoke/models/eval" in pulled.stderr
    assert (third.folder / "results/smoke/lds/summary.csv").is_file()
    assert third.plan() == {}


def test_what_is_nowhere_is_an_error(sender, receiver, tmp_path):
    (tmp_path / "empty").mkdir()
    receiver.add_remote("empty", tmp_path / "empty")
    for command in ("push", "pull"):
        done = receiver.run(command, "-r", "empty", check=False)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "results/smoke" in line
        assert done.stdout == ""


def test_results_that_were_not_saved_are_told_apart(sender, tmp_path):
    copy = Clone(copied(sender.folder, tmp_path / "d"))
    shutil.rmtree(copy.folder / ".dvc/cache")
    done = copy.run("push", "smoke", check=False)
    assert done.returncode == 1
    assert "here, but not in DVC's cache as dvc.lock records them" in done.stderr
    copy.run("save", "smoke")
    assert copy.run("push", "smoke").returncode == 0


def test_links_into_the_cache_lock_nobody_out(receiver):
    """``cache.type symlink``: pulled, saved, changed, made again."""
    receiver.call("dvc", "config", "--local", "cache.type", "symlink")
    receiver.run("pull", "smoke")
    table = receiver.folder / "results/smoke/lds/summary.csv"
    assert table.is_symlink()
    assert receiver.plan() == {}
    receiver.run("save", "smoke")
    cached, content = table.resolve(), table.read_bytes()
    assert receiver.run("verify", "smoke").stdout.endswith(" 0 problems\n")
    receiver.run("smoke", "--forcerun", "summarise_lds")
    assert not table.is_symlink()
    assert cached.read_bytes() == content
    assert receiver.plan() == {}


def test_dvc_says_why_it_refuses(receiver):
    with (receiver.folder / ".dvc/config.local").open("a") as file:
        file.write("[cache]\n    type = bogus\n")
    done = receiver.run("pull", "smoke", check=False)
    assert done.returncode == 1
    assert "Unsupported cache type(s): bogus" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_copied_folder_blocks_nothing(receiver):
    receiver.run("pull", "smoke")
    home = receiver.folder / "results"
    copied(home / "smoke", home / "smoke_backup")
    planned = receiver.run("smoke", "-n")
    assert "warning: results/smoke_backup is ignored: no experiment has it" in planned.stderr
    assert "Nothing to be done" in planned.stderr
    for words in (["smoke"], ["verify"], ["save", "smoke"], ["prune"], ["bundle", "smoke"]):
        receiver.run(*words)


def test_studies_are_not_pruned(receiver):
    receiver.run("pull", "smoke")
    receiver.call("snakemake", "--quiet", "all", "--", "tuning_smoke")
    receiver.run("verify", "smoke")  # records it
    assert (receiver.folder / "results/smoke/search/tuning.csv").is_file()
    assert receiver.run("prune", "smoke").stdout == "nothing to prune\n"


def test_a_plan_is_a_table_and_a_line(receiver):
    planned = receiver.run("-n", "digits")
    lines = planned.stderr.splitlines()
    assert len(lines) < 50
    assert "Job stats:" in lines
    assert lines[-1].endswith("; `./run digits` makes them, `./run digits -n -p` prints each job")
    assert len(receiver.run("digits", "-n", "-p").stdout.splitlines()) > 1000
