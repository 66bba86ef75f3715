"""Pictures of runs of bench/serve, drawn as SVG by hand: each run is a colour."""
import html

COLOURS = ["#1f6feb", "#d1662b", "#2da44e", "#8250df", "#bf3989", "#57606a"]
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 460, 250, 58, 40, 34


def nice_ticks(top):
    """About five round numbers from 0 to `top`."""
    step = 10.0 ** len(str(int(top)))
    for divisor in (1, 2, 4, 5, 10, 20, 25, 40, 50, 100, 200, 400, 500, 1000):
        if top / (step / divisor) >= 4:
            step /= divisor
            break
    ticks = [i * step for i in range(7) if i * step <= top * 1.25]
    return ticks if len(ticks) > 1 else [0, top or 1]


def label(x, y, text, anchor="start", size=11, bold=False, colour="#24292f"):
    weight = ' font-weight="600"' if bold else ""
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"{weight}>'
            f"{html.escape(text)}</text>")


class Panel:
    """Axes from 0 to (x_top, y_top), with a title."""

    def __init__(self, title, x_label, y_label, x_top, y_top, x, y):
        self.x_ticks, self.y_ticks = nice_ticks(x_top), nice_ticks(y_top)
        self.x_top, self.y_top = max(x_top, self.x_ticks[-1]), max(y_top, self.y_ticks[-1])
        self.x, self.y, self.parts = x, y, []
        self.text(WIDTH / 2, 18, title, "middle", 13, bold=True)
        for t in self.y_ticks:
            self.line(LEFT, self.py(t), WIDTH - 12, self.py(t), "#d0d7de")
            self.text(LEFT - 6, self.py(t) + 4, f"{t:g}", "end")
        for t in self.x_ticks:
            self.text(self.px(t), HEIGHT - BOTTOM + 15, f"{t:g}", "middle")
        self.text(WIDTH / 2, HEIGHT - 8, x_label, "middle")
        self.parts.append(f'<text x="14" y="{HEIGHT / 2}" transform="rotate(-90 14 {HEIGHT / 2})" '
                          f'text-anchor="middle" font-size="11">{html.escape(y_label)}</text>')

    def px(self, value):
        return LEFT + (WIDTH - 12 - LEFT) * value / self.x_top

    def py(self, value):
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / self.y_top

    def line(self, x1, y1, x2, y2, colour, dash=""):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                          f'stroke-dasharray="{dash}"/>')

    def text(self, x, y, text, anchor="start", size=11, bold=False, colour="#24292f"):
        self.parts.append(label(x, y, text, anchor, size, bold, colour))

    def curve(self, points, colour):
        if not points:
            return
        path = " ".join(f"{self.px(min(x, self.x_top)):.1f},{self.py(min(y, self.y_top)):.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')

    def svg(self):
        return f'<g transform="translate({self.x} {self.y})">{"".join(self.parts)}</g>'


def document(panels, names, title):
    rows = (len(panels) + 1) // 2
    height = 34 + rows * HEIGHT + 16 + 18 * ((len(names) + 3) // 4)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {height}" '
           'font-family="system-ui, sans-serif"><rect width="100%" height="100%" fill="#ffffff"/>',
           label(WIDTH, 22, title, "middle", 15, bold=True)]
    out += [panel.svg() for panel in panels]
    for i, name in enumerate(names):
        x, y = 30 + (i % 4) * 220, 34 + rows * HEIGHT + 12 + 18 * (i // 4)
        out.append(f'<rect x="{x}" y="{y - 9}" width="14" height="10" fill="{COLOURS[i % len(COLOURS)]}"/>')
        out.append(label(x + 20, y, name, size=12))
    return "\n".join(out) + "\n</svg>\n"


def place(i):
    return (i % 2) * WIDTH, 34 + (i // 2) * HEIGHT


def share_curve(values, scale=1.0):
    """Sorted values against the share (percent) of all that are not larger; at most 200 points."""
    values = sorted(values)
    step = max(1, len(values) // 200)
    picked = list(range(0, len(values), step)) + ([len(values) - 1] if values else [])
    return [(values[i] * scale, 100 * (i + 1) / len(values)) for i in picked]


def tokens_per_second(run):
    """(second, pieces that came in it), for the course of a run."""
    counts = [0] * (int(run["summary"]["seconds"]) + 1)
    for t in run["arrivals"]:
        if 0 <= t < len(counts):
            counts[int(t)] += 1
    return [(i + 0.5, n) for i, n in enumerate(counts[:-1])]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def draw_runs(runs, title):
    """Four panels for [(name, run)]: throughput by second, gaps, first tokens, a bar per run."""
    gaps = [[g * 1e3 for g in run["gaps"]] for _, run in runs]
    firsts = [[t * 1e3 for t in run["first_tokens"]] for _, run in runs]
    courses = [tokens_per_second(run) for _, run in runs]
    top = lambda lists, share: max((percentile(v, share) for v in lists), default=1) * 1.15 or 1
    most = max((n for c in courses for _, n in c), default=1) or 1
    longest = max(run["summary"]["seconds"] for _, run in runs)
    rates = [run["summary"]["output_tokens_per_s"] for _, run in runs]
    panels = [
        Panel("Pieces of answers per second", "seconds", "pieces", longest, most, *place(0)),
        Panel("Time between tokens", "milliseconds", "% not above", top(gaps, 0.995), 100, *place(1)),
        Panel("Time to first token", "milliseconds", "% not above", top(firsts, 1), 100, *place(2)),
        Panel("Output tokens per second, whole run", "", "tokens/s", len(runs), max(rates) or 1, *place(3)),
    ]
    panels[3].parts = [p for p in panels[3].parts if f'y="{HEIGHT - BOTTOM + 15:.1f}"' not in p]
    for i, (name, _) in enumerate(runs):
        colour = COLOURS[i % len(COLOURS)]
        panels[0].curve(courses[i], colour)
        panels[1].curve(share_curve(gaps[i]), colour)
        panels[2].curve(share_curve(firsts[i]), colour)
        x1, x2 = panels[3].px((i + 0.2) * panels[3].x_top / len(runs)), panels[3].px((i + 0.8) * panels[3].x_top / len(runs))
        y = panels[3].py(rates[i])
        panels[3].parts.append(f'<rect x="{x1:.1f}" y="{y:.1f}" width="{x2 - x1:.1f}" '
                               f'height="{HEIGHT - BOTTOM - y:.1f}" fill="{colour}"/>')
        panels[3].text((x1 + x2) / 2, y - 5, f"{rates[i]:.0f}", "middle")
    return document(panels, [name for name, _ in runs], title)


def draw_course(title, series, x_label, y_label):
    """One wide picture of [(name, [(x, y)])], for values over time."""
    x_top = max((x for _, points in series for x, _ in points), default=1)
    y_top = max((y for _, points in series for _, y in points), default=1)
    panel = Panel(title, x_label, y_label, x_top, y_top * 1.1, *place(0))
    for i, (_, points) in enumerate(series):
        panel.curve(points, COLOURS[i % len(COLOURS)])
    return document([panel], [name for name, _ in series], "")
