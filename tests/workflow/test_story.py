"""Two people share results; docs/sharing.md shows what they typed and saw.

``DASBENCH_WRITE_DOCS=1 ./run test tests/workflow/test_story.py`` writes the page's transcript.
"""

import pytest
import yaml
from transcript import Transcript, compare

from clones import ROOT, Clone, cloned, copied
from dasbench.reports import index_page

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

PAGE = ROOT / "docs/sharing.md"
OPTION = "s/das_l1: {}/das_l1: {leverage: false}/"
FILE = "config/experiments/smoke.yaml"


@pytest.fixture
def people(made, tmp_path):
    """A, who made smoke and has pushed it to a store; B, who has nothing; the hub between them."""
    hub = tmp_path / "das-bench.git"
    a = Clone(copied(made.folder, tmp_path / "a"))
    record_smoke_alone(a)
    a.call("git", "init", "-q", "--bare", "-b", "main", hub)
    a.call("git", "remote", "add", "origin", hub)
    a.call("git", "push", "-q", "-u", "origin", "main")
    b = cloned(hub, tmp_path / "b")
    a.log, b.log = making(made.log), [(("git", "clone", "-q", hub, "."), "")]
    a.log.append((("git", "push", "-q"), ""))
    store = {made.folder.parent / "store": "/lab/store", hub: "/lab/das-bench.git"}
    places = {made.folder: "~/das-bench", a.folder: "~/das-bench", b.folder: "~/das-bench"}
    return a, b, Transcript(store | places)


def record_smoke_alone(clone):
    """So that a bare ``dvc status`` has nothing to say of results that were not fetched."""
    file = clone.folder / "dvc.yaml"
    content = yaml.safe_load(file.read_text())
    content["vars"] = [{"recorded": {"smoke": "digits"}, "pools": ["digits"]}]
    content["plots"] = [plot for plot in content["plots"] if "LDS of smoke" in plot]
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    clone.call("git", "commit", "-qam", "smoke alone is recorded")


def making(log):
    """From the first run to the first push; later tests may have asked the same clone more."""
    commands = [command for command, _ in log]
    return log[commands.index(("./run", "smoke")) : commands.index(("./run", "push", "smoke")) + 1]


def look(person):
    """Nothing to do, nothing changed."""
    plan = person.run("smoke", "-n")
    assert "Nothing to be done" in plan.stdout + plan.stderr
    person.call("git", "status", "--short")
    status = person.call("dvc", "status").stdout
    assert status == "Data and pipelines are up to date.\n"
    assert person.clean()
    del person.log[-2:]  # much the same once more


def indexed(person):
    """The page of all experiments is up to date."""
    page = (person.folder / index_page.FILE).read_text()
    assert page == index_page.render(person.folder)
    assert 'href="smoke/report.html"' in page


def test_two_people_share_results(people):
    a, b, transcript = people

    def tell(person, name, sentence=None):
        if sentence:
            transcript.say(sentence)
        transcript.add(name, person.log)
        person.log.clear()

    look(a)
    indexed(a)
    tell(a, "A", "A makes the results, records them, and shares code (git) and results (DVC)")
    b.run("pull", "smoke")
    look(b)
    indexed(b)
    assert b.hashes() == a.hashes()
    tell(b, "B", "B has them without computing anything")
    b.call("sed", "-i", OPTION, FILE)
    plan = b.plan()
    assert set(plan) == REDONE
    b.log.pop()
    b.run("smoke", "-n")
    b.run("smoke")
    b.call("dvc", "params", "diff")
    b.call("dvc", "metrics", "diff", "--md", "--targets", "results/smoke/metrics.json")
    tell(b, "B", "B changes one option of one method: no training, no features")
    b.run("save", "smoke")
    b.call("git", "commit", "-qam", "das_l1 without leverage")
    b.run("push", "smoke")
    b.call("git", "push", "-q")
    look(b)
    indexed(b)
    tell(b, "B", "B records and shares the new results")
    a.call("git", "pull", "-q")
    a.run("pull", "smoke")
    look(a)
    assert a.hashes() == b.hashes()
    tell(a, "A", "A has them, too")
    compare(PAGE, transcript.text())


REDONE = {
    "select_damping",
    "score",
    "evaluate_lds",
    "summarise_lds",
    "plot_beyond",
    "plot_lds",
    "tabulate_lds",
    "write_metrics",
    "gather_explorer",
    "render_report",
}
