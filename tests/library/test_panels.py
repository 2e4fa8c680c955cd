from resnet_lib.panels import Choice, Panel, Slider, jupyter


def test_jupyter_shows_any_panel_and_follows_its_controls():
    controls = (Slider("n", "how many", 0, 9, 4), Choice("what", "of what", ("apples", "pears"), "pears"))
    panel = Panel(controls, lambda n, what: f"<p>{n} {what}</p>")
    controls, page = jupyter(panel).children
    (slider,), (choice,) = (column.children for column in controls.children)
    assert (slider.min, slider.max, slider.value, slider.description) == (0, 9, 4, "how many")
    assert (choice.options, choice.value, choice.description) == (("apples", "pears"), "pears", "of what")
    assert page.value == "<p>4 pears</p>" and "jp-RenderedHTMLCommon" in page._dom_classes
    slider.value = 7
    assert page.value == "<p>7 pears</p>"
    choice.value = "apples"
    assert page.value == "<p>7 apples</p>"
