"""Types of the rows of ``figure_table``: a figure, and a drawing that makes one or more of them.

Vocabulary: a *drawing* is a job that draws one figure or a few from the same files; its script has
the name of its rule. A *stem* is the name of a figure's files without the suffix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Figure(NamedTuple):
    """One figure.

    Attributes:
        stem: Its files are ``figures/<stem>.svg`` and ``figures/<stem>.png``.
        section: Its section of the report. Empty if the report leaves it out, such as a figure of
            measured seconds, which differ from run to run.
        alt: Alternative text for readers who cannot see the figure, without a full stop.
        caption: Text below the figure.
        flag: Option of the script for the figure's files; if empty, the stem is the option.
        needs: As that of ``Drawing``, for one figure of a drawing.
    """

    stem: str
    section: str
    alt: str
    caption: str
    flag: str = ""
    needs: str = ""

    @property
    def option(self) -> str:
        """Option of the script, without its dashes."""
        return self.flag or self.stem


class Drawing(NamedTuple):
    """One row: a rule that draws figures.

    Attributes:
        rule: Name of the rule and of its script, ``plot_...``.
        figures: The figures that it draws.
        needs: Key of ``parts``: the part of an experiment that the figures show. An experiment
            without this part has no such figures. Empty if every experiment has them.
        reads: Option of the script -> file of the experiment.
        shares: Option of the script -> file that a child shares with its parent.
        by_hand: Whether ``workflow/rules/figures.smk`` spells out the rule, because its files
            depend on more than the experiment's name.
    """

    rule: str
    figures: tuple[Figure, ...]
    needs: str = ""
    reads: Mapping[str, str] = {}
    shares: Mapping[str, str] = {}
    by_hand: bool = False

    def flags(self) -> str:
        """The script's options, with ``{input.NAME}`` and ``{output.NAME}`` for its files."""
        read = [(option, "input") for option in (*self.reads, *self.shares)]
        written = [(figure.option, "output") for figure in self.figures]
        return " ".join(f"--{name} {{{files}.{keyword(name)}}}" for name, files in read + written)


def keyword(option: str) -> str:
    """Name of an option's file in a rule: ``by_models`` for the option ``by-models``."""
    return option.replace("-", "_")
