"""What `tools/bench adapt` found, as a picture: for each cell the best fixed settings, `threshold` and `model`, as shares of
the best fixed one."""

POLICIES = ("threshold", "model")
# A label that begins with "_" is not told in a legend.
FIXED = ("best three fixed settings", "_second", "_third")


def save(rows, png):
    """`rows`: (cell, {setting or policy: goodput}, of `model` to the best)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(7, 1.5 * len(rows)), 6), layout="constrained")
    axis = figure.subplots()
    bars = {}
    for place, (_, medians, _) in enumerate(rows):
        fixed = sorted(((value, name) for name, value in medians.items() if name not in POLICIES), reverse=True)
        shown = [(value, name, kind) for (value, name), kind in zip(fixed, FIXED)]
        shown += [(medians[name], "", name) for name in POLICIES]
        for column, (value, text, kind) in enumerate(shown):
            share = value / fixed[0][0]
            bars.setdefault(kind, []).append((place + 0.17 * (column - 2), share))
            label = f"{text} {value / 1e6:.2f}".strip()
            axis.text(place + 0.17 * (column - 2), 0.02, label, rotation=90, ha="center", va="bottom", fontsize=7)
    colours = ("lightsteelblue", "lightsteelblue", "lightsteelblue", "burlywood", "seagreen")
    for (kind, figures), colour in zip(bars.items(), colours):
        places, shares = zip(*figures)
        axis.bar(places, shares, width=0.16, color=colour, label=kind)
    for share, style in ((1, "-"), (0.95, ":"), (0.88, ":")):
        axis.axhline(share, color="black", linewidth=0.7, linestyle=style)
    axis.set_xticks(range(len(rows)), [f"{name}\n{ratio:.2f}" for name, _, ratio in rows])
    axis.set_ylabel("goodput, of the best fixed setting; in the bars: MB/s")
    axis.set_title("under a cell: model, of the best; lines at 1, 0.95 (the median's law) and 0.88 (the worst's)", fontsize=9)
    axis.set_ylim(0, 1.3)
    axis.legend(loc="upper right", fontsize=8, ncols=3)
    FigureCanvasAgg(figure).print_png(png)
