"""Figures shared by the notebooks: one colour for one thing, and a text for those who cannot see it. Changes no setting."""

import base64
import html
import io

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLORS = {
    "plain": "#7f7f7f",
    "highway": "#e69f00",
    "residual": "#0072b2",
    "shortcut": "#009e73",
    "published": "#cc79a7",
    "accent": "#d55e00",
}


class Picture:
    """A finished figure as Jupyter shows it: a PNG at twice the size, with its alternative text and a caption."""

    def __init__(self, png, alt, width, caption=None):
        self.png, self.alt, self.width, self.caption = png, alt, width, caption

    def _repr_html_(self):
        data = base64.b64encode(self.png).decode()
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        image = f'<img src="data:image/png;base64,{data}" alt="{html.escape(self.alt)}" width="{self.width}">'
        return f"<figure>{image}{caption}</figure>"

    def __repr__(self):
        return self.alt


def show(figure, alt, caption=None):
    """The last line of a cell that draws: the matplotlib figure as a Picture with its alternative text.

    Raises ValueError for an empty alt text: who cannot see the figure should still get its claim.
    """
    if not alt.strip():
        raise ValueError("alt must say what the figure shows, got an empty text")
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    png = buffer.getvalue()
    width = int.from_bytes(png[16:20], "big") // 2  # the width in the PNG's header, in pixels
    return Picture(png, alt, width, caption)
