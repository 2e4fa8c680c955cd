"""Panels: whatever a reader moves, apart from the screen that it is shown on.

A Panel is controls and a function from their values to a page, in the standard library alone, so that it runs in a browser as
it is. `jupyter` is the shell around one for JupyterLab. `exploration.explorer_panel` makes the first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

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


class Panel(NamedTuple):
    """What a reader moves, without a screen to show it on.

    controls: in the order in which they stand; show: the page, an HTML text, for a value of each control by its name. It
    raises for no combination of values: what is wrong with one is the page then.
    """

    controls: tuple[Slider | Choice, ...]
    show: Callable[..., str]

    def start(self) -> dict[str, int | str]:
        """The value of each control at first."""
        return {control.name: control.value for control in self.controls}


def jupyter(panel: Panel) -> ipywidgets.VBox:
    """A panel in JupyterLab: an ipywidgets.VBox, first the controls in two columns, then the page."""
    import ipywidgets

    widgets = {}
    for control in panel.controls:
        if isinstance(control, Slider):
            made = ipywidgets.IntSlider(control.value, control.low, control.high, description=control.label)
        else:
            made = ipywidgets.Dropdown(options=control.options, value=control.value, description=control.label)
        widgets[control.name] = made
    page = ipywidgets.HTML()
    page.add_class("jp-RenderedHTMLCommon")  # the look of JupyterLab's own tables

    def show(_=None):
        page.value = panel.show(**{name: widget.value for name, widget in widgets.items()})

    for widget in widgets.values():
        widget.observe(show, "value")
    show()
    column = list(widgets.values())
    middle = len(column) // 2
    columns = [ipywidgets.VBox(column[:middle]), ipywidgets.VBox(column[middle:])]
    return ipywidgets.VBox([ipywidgets.HBox(columns), page])
