"""A trace of a sender's controller as a picture: what it saw, and what it did about it. (Sources: TraceLine.swift)"""

import json
import textwrap

# Seconds over which rates and loss are taken, as the controller's shortest windows.
WINDOW = 1.0
# Reasons that are written out; of more changes than that every so-manieth.
REASONS = 40


class BadTrace(Exception):
    pass


def read(path):
    """[decision, ...] with `t` in seconds and `session`; sessions stand one behind the other."""
    decisions, offset, session, last = [], 0.0, 0, 0.0
    with open(path) as lines:
        for number, line in enumerate(lines, 1):
            try:
                made = json.loads(line)
                kind, seconds = made["kind"], made["time_ns"] / 1e9
            except (ValueError, KeyError, TypeError) as error:
                raise BadTrace(f"{path}:{number}: no line of a trace: {error}") from None
            if kind == "settings" and made["time_ns"] == 0:
                session, offset = session + 1, last
            last = offset + seconds
            if kind == "decision":
                made["t"], made["session"] = last, session
                decisions.append(made)
    if not decisions:
        raise BadTrace(f"{path}: there is no decision in it")
    return decisions


def over_window(decisions, total):
    """Of a running total by decision (None: unknown): its rate per second over the last `WINDOW`."""
    rates, first = [], 0
    for place, made in enumerate(decisions):
        while decisions[first]["session"] != made["session"] or (
            made["t"] - decisions[first]["t"] > WINDOW and first < place - 1
        ):
            first += 1
        seconds = made["t"] - decisions[first]["t"]
        ends = total[first], total[place]
        rates.append((ends[1] - ends[0]) / seconds if seconds > 0 and None not in ends else float("nan"))
    return rates


def running(decisions, name):
    totals, total = [], 0
    for made in decisions:
        total += made[name]
        totals.append(total)
    return totals


def changes(decisions):
    """Places where something of what a chunk is made by became another."""
    found = []
    for place in range(1, len(decisions)):
        was, now = decisions[place - 1], decisions[place]
        if any(was[name] != now[name] for name in ("chunk", "codec", "level", "session")) or "set_congestion" in now:
            found.append(place)
    return found


def draw(decisions, title):
    """A matplotlib figure."""
    from matplotlib.figure import Figure

    t = [made["t"] for made in decisions]
    figure = Figure(figsize=(14, 12), layout="constrained")
    rtts, rates, chunks, flight, words = figure.subplots(5, 1, sharex=True, height_ratios=[2, 2, 2, 2, 2.4])
    figure.suptitle(title)

    rtts.plot(t, [made.get("rtt_ns", float("nan")) / 1e6 for made in decisions], label="RTT")
    rtts.plot(t, [made.get("min_rtt_ns", float("nan")) / 1e6 for made in decisions], label="min RTT", linestyle="--")
    rtts.set_ylabel("ms")
    rtts.set_ylim(bottom=0)
    losses = rtts.twinx()
    sent = over_window(decisions, [made.get("bytes_sent") for made in decisions])
    again = over_window(decisions, [made.get("bytes_retransmitted") for made in decisions])
    losses.plot(t, [100 * a / s if s > 0 else 0 for a, s in zip(again, sent)], color="tab:red", alpha=0.6, label="loss")
    losses.set_ylabel("loss, %")
    losses.set_ylim(bottom=0)

    wire = over_window(decisions, [made.get("bytes_acknowledged") for made in decisions])
    plain = over_window(decisions, running(decisions, "acknowledged_bytes"))
    rates.plot(t, [rate / 1e6 for rate in plain], label="goodput (plain)")
    rates.plot(t, [rate / 1e6 for rate in wire], label="wire")
    rates.set_ylabel("MB/s")
    rates.set_ylim(bottom=0)

    chunks.step(t, [made["chunk"] / 1024 for made in decisions], where="post", label="chunk")
    chunks.set_yscale("log", base=2)
    chunks.yaxis.set_major_formatter("{x:g}")
    chunks.set_ylabel("chunk, KiB")
    levels = chunks.twinx()
    level = [made["level"] if made["codec"] != "none" else float("nan") for made in decisions]
    levels.step(t, level, where="post", color="tab:orange", label="level")
    levels.set_ylabel("zstd level")
    for start, end in spans(decisions, lambda made: made["codec"] == "none"):
        chunks.axvspan(start, end, color="tab:gray", alpha=0.25, label="codec none")

    flight.plot(t, [made["bytes_in_flight"] / 1e6 for made in decisions], label="in flight")
    flight.step(t, [made["in_flight"] / 1e6 for made in decisions], where="post", linestyle="--", label="limit")
    flight.set_ylabel("MB, plain")
    # A limit far above is no reason to flatten what is below it.
    flight.set_ylim(0, 1.3 * max(max(made["bytes_in_flight"] for made in decisions) / 1e6, 0.1))

    places = changes(decisions)
    for axis in (rtts, rates, chunks, flight, words):
        for place in places:
            axis.axvline(t[place], color="black", alpha=0.15, linewidth=0.7)
        axis.grid(alpha=0.2)
    write_reasons(words, decisions, places)
    words.set_xlabel("seconds")
    for axis, other in ((rtts, losses), (rates, None), (chunks, levels), (flight, None)):
        handles, labels = axis.get_legend_handles_labels()
        if other is not None:
            more = other.get_legend_handles_labels()
            handles, labels = handles + more[0], labels + more[1]
        unique = dict(zip(labels, handles))
        axis.legend(unique.values(), unique.keys(), loc="upper right", fontsize=8)
    return figure


def spans(decisions, is_so):
    found, start = [], None
    for made in decisions:
        if is_so(made) and start is None:
            start = made["t"]
        elif not is_so(made) and start is not None:
            found.append((start, made["t"]))
            start = None
    if start is not None:
        found.append((start, decisions[-1]["t"]))
    return found


def write_reasons(axis, decisions, places):
    axis.set_yticks([])
    axis.set_ylim(0, 1)
    axis.set_ylabel("reasons" if len(places) <= REASONS else f"reasons, {REASONS} of {len(places)}")
    least = (decisions[-1]["t"] - decisions[0]["t"]) / REASONS
    last = float("-inf")
    for place in [0] + places:
        made = decisions[place]
        if made["t"] - last < least:
            continue
        last = made["t"]
        codec = "none" if made["codec"] == "none" else f"{made['codec']} {made['level']}"
        text = textwrap.shorten(f"{made['chunk'] / 1024:g}K {codec}: {made['reason']}", 46, placeholder="…")
        axis.text(made["t"], 0.98, text, rotation=90, fontsize=7, va="top", ha="left", clip_on=True)


def save(path, png, adorn=lambda figure: None):
    """`adorn` may draw on the figure before it is written."""
    decisions = read(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = draw(decisions, f"{path}, {decisions[-1]['t']:.1f} s")
    adorn(figure)
    FigureCanvasAgg(figure).print_png(png)
    return len(decisions), len(changes(decisions))
