from __future__ import annotations

from xml.etree import ElementTree

from lifecycle.report.plot import Point, bars_svg, points_svg

SVG = "{http://www.w3.org/2000/svg}"


def test_a_bar_is_as_long_as_its_value() -> None:
    root = ElementTree.fromstring(bars_svg("lost <by> layer", [("a", 0.5), ("b & c", 0.25), ("d", 0.0)]))
    bars = [float(each.attrib["width"]) for each in root.iter(f"{SVG}rect") if "x" in each.attrib]
    assert bars[0] == 2 * bars[1] > bars[2] == 0
    assert {"lost <by> layer", "b & c", "0.25"} <= {each.text for each in root.iter(f"{SVG}text")}


def test_points_stand_in_order_and_the_front_stands_out() -> None:
    points = [Point(x=1, y=0.9, label="small", best=True), Point(x=2, y=0.99, label="large")]
    root = ElementTree.fromstring(points_svg("t", "ms", "val_acc", points))
    small, large = root.iter(f"{SVG}circle")
    assert float(small.attrib["cx"]) < float(large.attrib["cx"])
    assert float(small.attrib["cy"]) > float(large.attrib["cy"]), "better is higher"
    assert small.attrib["fill"] != large.attrib["fill"]


def test_one_point_and_none_are_no_harm() -> None:
    for points in ([], [Point(x=1, y=1, label="alone")]):
        ElementTree.fromstring(points_svg("t", "x", "y", points))
    ElementTree.fromstring(bars_svg("t", []))
