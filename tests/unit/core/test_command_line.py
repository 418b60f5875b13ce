"""Numbers on command lines."""

import pytest

from dasbench.core.command_line import Parser


def parser():
    cli = Parser(prog="./run attribute")
    cli.add_argument("--damping", type=float)
    cli.add_argument("--range", type=float, nargs=2)
    cli.add_argument("--quick", action="store_true")
    return cli


@pytest.mark.parametrize("text", ["-1", "-1e-4", "-.5", "-2.", "-3.5E+2", "-inf", "1e-4"])
def test_a_negative_number_is_a_value(text):
    assert parser().parse_args(["--damping", text]).damping == float(text)
    assert parser().parse_args(["--range", text, "-1e0"]).range == [float(text), -1.0]


@pytest.mark.parametrize("text", ["-e4", "-1e", "--1", "-q", "-quick"])
def test_what_is_no_number_is_an_unknown_option(text, capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--damping", text])
    assert "--damping: expected one argument" in capsys.readouterr().err


def test_options_are_not_abbreviated(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--qui"])
    assert "unrecognized arguments: --qui" in capsys.readouterr().err
