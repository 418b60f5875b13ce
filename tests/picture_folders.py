"""Folders of small pictures, read as a data set."""

from PIL import Image

from dasbench.data import folder

OPTIONS = {
    **{"labels": None, "size": 4, "resize": "crop", "background": [255, 255, 255], "channels": 3},
    **{"skip_bad": False, "classes": "all", "limit": None, "range": None, "held_out": None},
}


def picture(path, shade=0, form=None, size=(5, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 20, 200)).save(path, form or "PNG")
    return path


def read(place, **changes):
    return folder.read({**OPTIONS, "path": str(place), **changes})


def names(source):
    return [source.classes[label] for label in source.labels]
