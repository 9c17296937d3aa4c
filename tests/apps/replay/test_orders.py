from ringfence.apps.replay.orders import order, orders


def test_an_order_is_json_between_marks() -> None:
    """The text can be hidden anywhere a string can be."""
    assert order("say", text="hi", as_="x") == '@@DO {"do": "say", "text": "hi", "as": "x"}@@'


def test_orders_are_lines() -> None:
    """Several orders keep their order."""
    assert orders("a", "b") == "a\nb\n"
