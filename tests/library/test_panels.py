import json

from resnet_lib.panels import Choice, Panel, Pin, Preset, Slider, Step, Text, jupyter


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


def test_a_preset_sets_others_a_text_is_typed_and_a_switch_keeps_what_they_say():
    presets = {"few": {"n": 1, "what": "kiwis"}, "many": {"n": 9, "what": "figs"}}
    controls = (
        Preset("size", "size", presets),
        Slider("n", "n", 0, 9, 4),
        Text("what", "what", "pears"),
        Pin("pin", "pin"),
    )
    panel = Panel(controls, lambda n, what, pin: f"{n} {what} {pin}")
    assert panel.start() == {"n": 4, "what": "pears", "pin": ""}
    assert panel.described()[2] == {"kind": "text", "name": "what", "label": "what", "value": "pears", "rows": 6}
    assert json.loads(json.dumps(panel.described()))[0]["presets"] == presets
    columns, page = jupyter(panel).children
    (size, n), (what, pin) = (column.children for column in columns.children)
    assert page.value == "4 pears "
    size.value = "many"
    assert page.value == "9 figs "
    pin.value = True
    what.value = "plums"
    assert page.value == '9 plums {"n": 9, "what": "figs"}'
    pin.value = False
    assert page.value == "9 plums "


def test_a_step_sets_others_by_a_function_of_them_while_there_is_what_it_needs():
    def doubled(n, pin):
        if n > 4:
            raise ValueError("n: more than <9> there are not")
        return {"n": 2 * n}

    controls = (Slider("n", "n", 0, 9, 2), Pin("pin", "pin"), Step("double", "double it", "pin"))
    panel = Panel(controls, lambda n, pin: f"{n}", {"double": doubled})
    assert panel.start() == {"n": 2, "pin": ""}
    assert panel.described()[2] == {"kind": "step", "name": "double", "label": "double it", "needs": "pin"}
    columns, page = jupyter(panel).children
    (n,), (pin, double) = (column.children for column in columns.children)
    assert double.disabled
    pin.value = True
    assert not double.disabled
    double.click()
    assert (n.value, page.value) == (4, "4")
    double.click()
    double.click()
    assert (n.value, page.value) == (8, "<p><b>n: more than &lt;9&gt; there are not</b></p>")
    pin.value = False
    assert double.disabled
