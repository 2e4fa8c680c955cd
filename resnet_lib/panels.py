"""Panels: whatever a reader moves, apart from the screen that it is shown on.

A Panel is controls and a function from their values to a page, in the standard library alone, so that it runs in a browser as
it is. `jupyter` is the shell around one for JupyterLab; the web book has another, in JavaScript, which knows the controls from
`described`. `exploration.explorer_panel` makes the first. `svg` and `table` write what the pages show.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import ipywidgets


class Slider(NamedTuple):
    """A control for a whole number from low to high; value: where it stands at first."""

    name: str
    label: str
    low: int
    high: int
    value: int


class Choice(NamedTuple):
    """A control for one of some texts; value: the one that is chosen at first."""

    name: str
    label: str
    options: tuple[str, ...]
    value: str


class Text(NamedTuple):
    """A box for a text of so many lines; value: what stands there at first."""

    name: str
    label: str
    value: str
    rows: int = 6


class Preset(NamedTuple):
    """A control that sets others: presets holds for each text to choose the values of these by their names. It has no value of
    its own, and shows the preset that the others make up, if any."""

    name: str
    label: str
    presets: Mapping[str, Mapping[str, int | str]]


class Pin(NamedTuple):
    """A switch that keeps what the other controls say now. Its value is that, as JSON, or nothing, which it is at first."""

    name: str
    label: str
    value: str = ""


class Step(NamedTuple):
    """A button that sets the other controls by a function of their values, `Panel.steps[name]`. needs: the name of a control
    without whose value there is nothing to press it for."""

    name: str
    label: str
    needs: str


Control = Slider | Choice | Text | Preset | Pin | Step


class Panel(NamedTuple):
    """What a reader moves, without a screen to show it on.

    controls: in the order in which they stand; show: the page, an HTML text, for a value of each control by its name. It
    raises for no combination of values: what is wrong with one is the page then. steps: for the name of each Step, the
    function from the same values to those that change; ValueError says why there are none.
    """

    controls: tuple[Control, ...]
    show: Callable[..., str]
    steps: Mapping[str, Callable[..., dict[str, int | str]]] = MappingProxyType({})

    def start(self) -> dict[str, int | str]:
        """The value of each control at first."""
        return {control.name: control.value for control in self.controls if not isinstance(control, Preset | Step)}

    def described(self) -> list[dict[str, Any]]:
        """The controls as JSON has them: "kind" ("slider", "choice", ...) and the fields of each."""
        return [{"kind": type(control).__name__.lower(), **control._asdict()} for control in self.controls]


def in_words(page: Callable[..., str]) -> Callable[..., str]:
    """A page that never raises, as `Panel.show` must be: a ValueError or TypeError, which says what is wrong, is the page."""

    def show(**values: int | str) -> str:
        try:
            return page(**values)
        except (TypeError, ValueError) as error:
            return _sentence(error)

    return show


def _sentence(error: Exception) -> str:
    return f"<p><b>{html.escape(str(error))}</b></p>"


def svg(width: float, height: float, parts: Iterable[str], font_size: float | None = None) -> str:
    """A drawing as an SVG text: its parts, the first at the bottom, in a frame so many pixels wide and high. font_size: of the
    texts that have none of their own."""
    size = f' font-size="{font_size}"' if font_size else ""
    frame = f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif"{size}'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>{"".join(parts)}</svg>'


def sheet(width: int, height: int) -> str:
    """White paper for a drawing: its lowest part."""
    return f'<rect width="{width}" height="{height}" fill="white"/>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], look: str | None = "dataframe") -> str:
    """A table as HTML, of plain texts: what heads each column, and rows, each with its own heading first. A line break in a
    text is one in its cell. look: the class by which the book's style sheet knows it."""
    lines = ["".join(f'<th scope="col">{html.escape(head)}</th>' if head else "<td></td>" for head in heads)]
    for row in rows:
        name, *cells = (html.escape(text).replace("\n", "<br>") for text in row)
        lines.append(f'<th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}')
    start = f'<table class="{look}">' if look else "<table>"
    return f"{start}{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def jupyter(panel: Panel) -> ipywidgets.VBox:
    """A panel in JupyterLab: an ipywidgets.VBox, first the controls in two columns, then the page."""
    import ipywidgets

    widgets = {control.name: _widget(control) for control in panel.controls}
    values = {name: widgets[name] for name in panel.start()}
    page = ipywidgets.HTML()
    page.add_class("jp-RenderedHTMLCommon")  # the look of JupyterLab's own tables
    for control in panel.controls:
        if isinstance(control, Preset):
            _set_others(widgets[control.name], control, values)
        if isinstance(control, Pin):
            _keep_others(widgets[control.name], values)
        if isinstance(control, Step):
            _set_by_function(widgets[control.name], control, panel.steps[control.name], values, page)

    def show(_=None):
        page.value = panel.show(**_all(values))

    for widget in values.values():
        widget.observe(show, "value")
    show()
    column = list(widgets.values())
    middle = len(column) // 2
    columns = [ipywidgets.VBox(column[:middle]), ipywidgets.VBox(column[middle:])]
    return ipywidgets.VBox([ipywidgets.HBox(columns), page])


def _widget(control: Control) -> ipywidgets.Widget:
    import ipywidgets

    match control:
        case Slider():
            return ipywidgets.IntSlider(control.value, control.low, control.high, description=control.label)
        case Choice():
            return ipywidgets.Dropdown(options=control.options, value=control.value, description=control.label)
        case Text():
            return ipywidgets.Textarea(control.value, rows=control.rows, description=control.label)
        case Preset():
            return ipywidgets.Dropdown(options=[*control.presets], value=None, description=control.label)
        case Pin():
            return ipywidgets.ToggleButton(description=control.label)
        case Step():
            return ipywidgets.Button(description=control.label, disabled=True)


def _all(widgets: dict[str, ipywidgets.Widget]) -> dict[str, int | str]:
    return {name: _value(widget) for name, widget in widgets.items()}


def _value(widget: ipywidgets.Widget) -> int | str:
    """What a widget stands at; of a switch, what it keeps."""
    return getattr(widget, "kept", widget.value)


def _set_others(dropdown: ipywidgets.Dropdown, control: Preset, values: dict[str, ipywidgets.Widget]) -> None:
    """Lets the choice of a preset set the others."""

    def choose(_):
        for name, value in control.presets.get(dropdown.value, {}).items():
            values[name].value = value

    dropdown.observe(choose, "value")


def _keep_others(switch: ipywidgets.ToggleButton, values: dict[str, ipywidgets.Widget]) -> None:
    """Lets a switch keep what the others say at the moment."""
    switch.kept = ""

    def keep(_):
        others = {name: widget.value for name, widget in values.items() if widget is not switch}
        switch.kept = json.dumps(others) if switch.value else ""

    switch.observe(keep, "value")


def _set_by_function(
    button: ipywidgets.Button,
    control: Step,
    function: Callable[..., dict],
    values: dict[str, ipywidgets.Widget],
    page: ipywidgets.HTML,
) -> None:
    """Lets a button set the others, while there is what it needs. Why it cannot is then the page."""

    def enable(_):
        button.disabled = not _value(values[control.needs])

    def press(_):
        try:
            changed = function(**_all(values))
        except ValueError as error:
            page.value = _sentence(error)
            return
        for name, value in changed.items():
            values[name].value = value

    values[control.needs].observe(enable, "value")
    button.on_click(press)
