"""The picture: valid SVG with every tensor, legible labels inside their rectangles."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from litecompress.artifact_file import save_artifact
from litecompress.errors import InputError
from litecompress.sizes import svg
from litecompress.sizes.account import account
from litecompress.sizes.labels import FONT_SIZES, label
from litecompress.sizes.picture import COLOURS, HEIGHT, WIDTH, check_place, picture, write_picture
from litecompress.sizes.sheet import GROUPS, Part, Sheet, stored_bytes
from litecompress.sizes.treemap import Rect
from tests import models

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def sheet(tmp_path_factory) -> Sheet:
    path = tmp_path_factory.mktemp("artifact") / "a.litec"
    save_artifact(models.compressed(embed_dim=64, ffn_dim=128, share_embeddings=False), path)
    return account(path).sheet


def sheet_of(name: str, group: str = "ffn") -> Sheet:
    return Sheet("x", "artifact", (Part(name, group, "values", 7, 7, "f"),), {"f": 7})


def test_every_tensor_is_drawn_and_named(sheet):
    root = ElementTree.fromstring(picture(sheet))
    titles = [title.text for title in root.iter(f"{SVG}title")]
    for name in {part.name for part in sheet.parts}:
        size = stored_bytes(part for part in sheet.parts if part.name == name)
        assert sum(t.startswith(f"{name} in a.litec: {size:,} bytes") for t in titles) == 1
    for group in sheet.groups():
        assert any(title.startswith(f"{group.replace('_', '-')}: ") for title in titles)


def test_everything_is_within_the_picture(sheet):
    root = ElementTree.fromstring(picture(sheet))
    assert (root.get("width"), root.get("height")) == (str(WIDTH), str(HEIGHT))
    for rect in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(rect.get(k, 0)) for k in ("x", "y", "width", "height"))
        assert min(x, y, w, h) >= 0
        assert x + w <= WIDTH
        assert y + h <= HEIGHT


def test_the_legend_has_every_component_with_its_share(sheet):
    root = ElementTree.fromstring(picture(sheet))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts[0].endswith("a.litec")
    assert f"artifact_bytes {sheet.total_bytes:,} bytes" in texts[1]
    shares = [float(t.split(", ")[1].removesuffix(" %")) for t in texts if t.endswith(" %")]
    assert len(shares) == len(sheet.groups())
    assert sum(shares) == pytest.approx(100, abs=0.05 * len(shares))
    for group in sheet.groups():
        assert group.replace("_", "-") in texts


def test_equal_sheets_give_equal_bytes(sheet):
    assert picture(sheet) == picture(sheet)
    assert set(COLOURS) == set(GROUPS)


@pytest.mark.parametrize("name", ["<script>&\"'</text>", "a\x00b\x1b[31m\ud800", "x" * 5000, ""])
def test_names_from_a_file_cannot_break_the_picture(name):
    text = picture(sheet_of(name))
    root = ElementTree.fromstring(text.encode("utf-8"))
    assert "<script>" not in text
    assert "\x1b" not in text
    assert not list(root.iter(f"{SVG}script"))


@pytest.mark.parametrize(
    ("width", "height"), [(200, 100), (60, 60), (41, 40), (20, 120), (30, 9), (3, 3), (0, 0)]
)
@pytest.mark.parametrize("name", ["encoder.3.cross_attention.query.weight", "160x80 #12", "<b>"])
def test_a_label_stays_in_its_rectangle(name, width, height):
    elements = label(name, 12345, Rect(10, 20, width, height))
    upright = bool(elements) and elements[0].startswith("<g")
    root = ElementTree.fromstring("<r>" + "".join(elements) + "</r>")
    along, across = (height, width) if upright else (width, height)
    lines = [(float(t.get("y")), int(t.get("font-size")), t.text) for t in root.iter("text")]
    for y, font, text in lines:
        assert font in FONT_SIZES
        assert svg.GLYPH * font * len(text) <= along
        middle = 20 + height / 2
        assert middle - across / 2 <= y - 0.7 * font
        assert y + 0.2 * font <= middle + across / 2
    for (above, font, _), (below, _, _) in pairwise(lines):
        assert below - above >= font


def test_it_is_written_whole_and_only_as_svg(sheet, tmp_path):
    write_picture(sheet, tmp_path / "new" / "p.svg")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["p.svg"]
    assert (tmp_path / "new" / "p.svg").read_text("utf-8") == picture(sheet)
    with pytest.raises(InputError, match=r"expected a picture named \.svg, got .*p\.png"):
        check_place(tmp_path / "p.png")
