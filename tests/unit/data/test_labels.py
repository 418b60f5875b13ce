"""Labels of pictures: of subfolders and of a CSV; each is used, or refused in a sentence."""

import unicodedata

import numpy as np
import pytest

from dasbench.data import folder, labels
from dasbench.errors import UserError
from picture_folders import names, picture, read


@pytest.fixture
def home(tmp_path):
    return tmp_path / "pictures"


def test_numbers_keep_their_order(home):
    for name in ("10", "9", "2"):
        picture(home / name / "a.png", int(name))
    source = read(home)
    assert [source.classes[i] for i in range(3)] == ["2", "9", "10"]
    assert source.images[np.argsort(source.labels), 0, 0, 0].tolist() == [2, 9, 10]


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        ({"-1", "10", "2.5"}, ["-1", "2.5", "10"]),
        ({"01", "02", "10"}, ["01", "02", "10"]),
        ({"class 10", "class 9"}, ["class 10", "class 9"]),
        ({"1", "x", "10"}, ["1", "10", "x"]),
        ({"", "10", "9"}, ["", "9", "10"]),
    ],
)
def test_the_order_of_labels(given, ordered):
    assert folder.ordered(given) == ordered


@pytest.mark.parametrize("pair", [("1", "01"), ("1", "1.0"), ("7", "+7")])
def test_one_number_has_one_spelling(pair):
    with pytest.raises(UserError, match="are the same number"):
        folder.ordered({*pair, "5"})


@pytest.fixture
def table(home, tmp_path):
    """Read a folder of three pictures by a table: text -> file -> label."""
    for i, name in enumerate(("cats/a.png", "dogs/b.png", "c.png")):
        picture(home / name, i)

    def by(text, encoding="utf-8", place=tmp_path):
        path = place / "labels.csv"
        path.write_bytes(text.encode(encoding))
        return labels.read(path, home)

    return by


ALL = {"cats/a.png": "x", "c.png": "y"}


@pytest.mark.parametrize(
    "text",
    [
        "file,label\ncats/a.png,x\nc.png,y\n",
        "file,label\n./cats/a.png,x\n./c.png,y\n",
        "file,label\ncats//a.png,x\ncats/../c.png,y\n",
        "file,label\r\ncats/a.png,x\r\nc.png,y\r\n",
        "file,label\rcats/a.png,x\rc.png,y\r",
        "\ufefffile,label\ncats/a.png,x\nc.png,y\n",
        "file;label\ncats/a.png;x\nc.png;y\n",
        "file\tlabel\ncats/a.png\tx\nc.png\ty\n",
        "File, Label\ncats/a.png, x\nc.png,y \n",
        "label,size,file\nx,1,cats/a.png\ny,2,c.png\n",
        "file;label;long, full, note\ncats/a.png;x;\nc.png;y;\n",
        "file,label\ncats\\a.png,x\n.\\c.png,y\n",
        'file,label\n"cats/a.png","x"\n\n"c.png","y"\n,\n',
        "file,label\ncats/a.png,x\nc.png,y\n./c.png,y\n",
        "file,label\npictures/cats/a.png,x\npictures/c.png,y\n",
    ],
)
def test_tables_that_mean_the_same(table, text):
    assert table(text) == ALL


def test_absolute_paths_and_paths_through_links(table, home, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(home)
    for place in (home, link):
        assert table(f"file,label\n{place}/cats/a.png,x\n{place}/c.png,y\n") == ALL
        assert labels.read(tmp_path / "labels.csv", link) == ALL


def test_letters_are_compared_by_what_they_are(table, home):
    picture(home / unicodedata.normalize("NFD", "Zoë.png"))
    text = unicodedata.normalize("NFC", "file,label\nZoë.png,é\nc.png,e\u0301\n")
    read_ = table(text)
    assert len(read_) == 2
    assert set(read_.values()) == {"é"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("file,label\nc.png\n", "has rows without a label.*line 2: c.png"),
        ("file,label\nc.png,\ncats/a.png,  \n", "line 2: c.png, line 3: cats/a.png"),
        ("file,label\nc.png,x\nc.png,y\n", "gives one file two labels.*c.png: x, y"),
        ("file,label\nc.png,x\n./c.png,y\n", "gives one file two labels"),
        ("file,label\nc.png,x, y\n", "line 2 has 3 cells, expected 2"),
        ("file,label\nd.png,x\nnone/e.png,x\n", "'d.png', which is not in .*d.png, none/e.png"),
        ("file,label\n,x\n", "names '', which is not in"),
        ("file,label\n../outside.png,x\n", "which is not in"),
        ("file,label\n/etc/passwd,x\n", "which is not in"),
        ("file,label\ncats,x\n", "which is not in"),
        ("name,Class\nc.png,x\n", "first line name, class, expected one column file"),
        ("file,label,label\nc.png,x,y\n", "first line file, label, label, expected one column"),
        ("file,label\n", "has no rows below its first line"),
        ("", "has no first line, expected one column file and one column label"),
        ('file,label\n"c.png,x\n', "cannot be read"),
    ],
)
def test_tables_that_are_refused(table, tmp_path, text, told):
    picture(tmp_path / "outside.png")
    with pytest.raises(UserError, match=told) as error:
        table(text)
    assert len(str(error.value).splitlines()) == 1


def test_a_table_in_another_encoding_is_refused(table):
    with pytest.raises(UserError, match="expected a CSV in UTF-8"):
        table("file,label\nc.png,é\n", "utf-16")


def test_a_missing_table_is_missing(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"the CSV of labels .*labels.csv is missing; check the p"):
        folder.listing(tmp_path, tmp_path / "labels.csv")


def test_pictures_that_a_table_does_not_list_are_counted_and_named(table, home, capsys):
    table("file,label\nc.png,x\n", place=home)
    source = read(home, labels=str(home / "labels.csv"))
    assert names(source) == ["x"]
    assert "does not list them: 2 pictures (cats/a.png, dogs/b.png)" in capsys.readouterr().out


def test_a_table_may_list_files_with_any_name(table, home):
    picture(home / ".hidden.png", 7)
    picture(home / "d.dat", 8)
    table("file,label\n.hidden.png,x\nd.dat,y\n", place=home)
    assert names(read(home, labels=str(home / "labels.csv"))) == ["x", "y"]


def test_long_numbers_are_compared_exactly():
    names = {"10000000000000001", "10000000000000000", "9"}
    assert folder.ordered(names) == ["9", "10000000000000000", "10000000000000001"]
