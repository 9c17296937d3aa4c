"""The graph as coordinates."""

import dataclasses

from ringfence.apps.report.picture import Node, pictures
from ringfence.control.layout import MOST_NODES
from ringfence.control.view import AgentView, RunView

Views = dict[str, RunView]


def overlap(one: Node, two: Node) -> bool:
    """Say whether two boxes cover a common point."""
    apart_x = one.x + one.width <= two.x or two.x + two.width <= one.x
    apart_y = one.y + one.height <= two.y or two.y + two.height <= one.y
    return not (apart_x or apart_y)


def test_every_agent_has_a_box_that_covers_no_other(views: Views) -> None:
    """Forty agents or one: each is inside the picture and touches nobody."""
    for view in views.values():
        for picture in pictures(view):
            agents = [node for node in picture.nodes if node.agent is not None]
            assert len(agents) == len(view.agents)
            for index, node in enumerate(picture.nodes):
                assert node.x >= 0
                assert node.x + node.width <= picture.width
                assert node.y + node.height <= picture.height
                assert not any(overlap(node, other) for other in picture.nodes[index + 1 :])


def test_every_edge_is_drawn_and_says_whether_it_fired(views: Views) -> None:
    """As many lines as edges, solid where the event is on the record."""
    picture = pictures(views["waiting"])[0]
    assert len(picture.lines) == len(views["waiting"].edges)
    assert {line.title: line.fired for line in picture.lines} == {
        "start to collector: chain:start": True,
        "collector to writer: facts:ready": True,
        "collector to checker: facts:ready": True,
        "writer to publisher: draft:ready": True,
        "checker to publisher: sources:checked": True,
        "publisher to end: chain:complete": False,
    }


def test_a_narrow_chain_has_a_picture_for_narrow_screens(views: Views) -> None:
    """Two side by side fit a telephone (390 px less the margins); nine do not."""
    assert [p.upright for p in pictures(views["benign"])] == [False, True]
    assert pictures(views["benign"])[1].width <= 350
    assert [p.upright for p in pictures(views["large"])] == [False]


def test_long_and_hidden_names_fit_their_box(views: Views) -> None:
    """A label is short and visible whatever the name is."""
    view = views["attack"]
    agent = dataclasses.replace(view.agents[0], name="\u202e" * 100)
    picture = pictures(dataclasses.replace(view, agents=(agent,), edges=()))[0]
    label = next(node.label for node in picture.nodes if node.agent)
    assert len(label) <= 17
    assert "\u202e" not in label


def test_a_crowd_gives_no_picture(views: Views) -> None:
    """Too many agents to draw: the table has to do."""
    crowd = tuple(
        AgentView(name=f"a{n}", type="cli", triggers=(), emits=(), steps=())
        for n in range(MOST_NODES)
    )
    assert pictures(dataclasses.replace(views["benign"], agents=crowd, edges=())) == ()
