"""Live figure: three numbers of dimensions for the same features, and what makes them disagree."""

from __future__ import annotations

import torch

from ...analysis import covariance_rank, rankme
from ..live import LiveFigure, Slider
from ..vega.frame import formula, signal, table
from ..vega.panels import Plot, two_plots
from ..vega.plot import axis, line, rule, symbols

WIDTH = 64
ROWS = (16, 64, 512)
DECAYS = (0.0, 0.5, 1.0, 1.5, 2.0)
OFFSETS = tuple(10 ** (k / 2) for k in range(-2, 7))
LEGEND = (
    ("'singular values as they are (RankMe)'", "subject"),
    ("'centred; dashed: rank of the covariance'", "path"),
)
READOUT = (
    "format(sizes[rows], ',') + ' rows of 64 features, variances falling with the power '"
    " + format(decay, '.1f') + ' of the rank, ' + format(offsets[massive + 2], ',.2~f')"
    " + ' added to one of them: RankMe ' + format(now.raw, '.1f') + ' as they are, '"
    " + format(now.centred, '.1f') + ' centred; effective rank of the covariance '"
    " + format(now.covariance, '.1f') + '. No number can be above '"
    " + min(sizes[rows], 64) + '.'"
)


def dimension_features(decay: float, rows: int, offset: float = 0.0) -> torch.Tensor:
    """Normal features (N, 64) whose variances fall as rank^-decay, and a number added to the first.

    They are always drawn from the same seed: fewer rows are the first of more.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(max(ROWS), WIDTH, generator=generator, dtype=torch.float64)
    features = drawn[:rows] * torch.arange(1, WIDTH + 1) ** (-decay / 2)
    features[:, 0] += offset
    return features


def dimensions() -> LiveFigure:
    """Shares of singular values over their rank, and effective ranks over one large offset.

    Controls are the number added to one feature, how fast the variances of the others fall, and how
    many rows there are. The numbers are those of `lossviz.analysis.rankme` and `covariance_rank`.
    """
    raw, centred, ranks = [], [], []
    for decay in DECAYS:
        plain = [dimension_features(decay, rows) for rows in ROWS]
        moved = [[dimension_features(decay, rows, o) for o in OFFSETS] for rows in ROWS]
        raw.append([[_shares(x) for x in each] for each in moved])
        centred.append([_shares(x - x.mean(0)) for x in plain])
        ranks.append(
            [
                {
                    "raw": [rankme(x).item() for x in each],
                    "centred": rankme(x, centred=True).item(),
                    "covariance": covariance_rank(x).item(),
                }
                for x, each in zip(plain, moved, strict=True)
            ]
        )
    controls = (
        Slider(
            "massive", "added to one feature", -2, 6, 1, 6, "0.1", "1,000",
            shows="format(offsets[massive + 2], ',.2~f')",
        ),
        Slider(
            "decay", "decay of the variances", 0, 2, 0.5, 0, "all alike", "rank\u207b\u00b2",
        ),
        Slider("rows", "rows", 0, 2, 1, 2, "16", "512", shows="format(sizes[rows], ',')"),
    )  # fmt: skip
    return two_plots(
        controls,
        LEGEND,
        _plots(),
        panes=("spectrum", "effective ranks"),
        signals=[
            {"name": "sizes", "value": list(ROWS)},
            {"name": "offsets", "value": list(OFFSETS)},
            {"name": "raw_shares", "value": raw},
            {"name": "centred_shares", "value": centred},
            {"name": "ranks", "value": ranks},
            signal("found", "ranks[round(2 * decay)][rows]"),
            signal(
                "now",
                "{raw: found.raw[massive + 2], centred: found.centred,"
                " covariance: found.covariance}",
            ),
        ],
        readout=READOUT,
        data=[
            *(_spectrum(name, chosen) for name, chosen in (
                ("raw", "raw_shares[round(2 * decay)][rows][massive + 2]"),
                ("centred", "centred_shares[round(2 * decay)][rows]"),
            )),
            table(
                "over_offsets",
                len(OFFSETS),
                formula("offset", "offsets[datum.index]"),
                formula("raw", "found.raw[datum.index]"),
                formula("centred", "found.centred"),
                formula("covariance", "found.covariance"),
            ),
        ],
        alt=(
            "Left, the shares of the singular values of 512 rows of 64 normal features with 1,000 "
            "added to one of them: the first takes almost everything, the others lie far below; "
            "centred they are all about alike. Right, the effective rank over the number added: "
            "RankMe falls from above 60 to below 2, the centred numbers stay."
        ),
        caption=(
            "Left: the share of each singular value in their sum, by rank. Right: how many "
            "dimensions that makes (exp of the entropy of the shares) against the number that is "
            "added to one of the 64 features, which changes nothing that tells two rows apart."
        ),
    )  # fmt: skip


def _shares(x: torch.Tensor) -> list[float]:
    """Shares of the singular values that are not rounding, to six digits."""
    values = torch.linalg.svdvals(x)
    shares = values[values > 1e-9 * values[0]] / values.sum()
    return [float(f"{share:.6g}") for share in shares.tolist()]


def _spectrum(name: str, shares: str) -> dict[str, object]:
    return table(
        name,
        WIDTH,
        {"type": "filter", "expr": f"datum.index < {shares}.length"},
        formula("rank", "datum.index + 1"),
        formula("share", f"{shares}[datum.index]"),
    )


def _plots() -> tuple[Plot, Plot]:
    spectra = [
        line("centred", "datum.rank", "datum.share", "path"),
        line("raw", "datum.rank", "datum.share", "subject"),
        symbols(
            "raw", "datum.rank", "datum.share", size=14, fill="subject", stroke="surface"
        ),
    ]  # fmt: skip
    dashed = {"strokeDash": {"value": [4, 3]}}
    ranks = [
        line("over_offsets", "datum.offset", "datum.covariance", "path", 1.5, **dashed),
        line("over_offsets", "datum.offset", "datum.centred", "path"),
        line("over_offsets", "datum.offset", "datum.raw", "subject"),
        rule(("offsets[massive + 2]",) * 2, ("0", "66"), "muted", 1),
    ]
    ten = {"tickCount": 4, "grid": True, "format": "~g"}
    return (
        (
            axis("rank", f"[0, {WIDTH + 1}]"),
            axis("share of the sum", "[0.00001, 1]", type="log", look=ten | {"format": "~e"}),
            spectra,
        ),
        (
            axis("added to one feature", "[0.1, 1000]", type="log", look=ten),
            axis("effective rank", f"[0, {WIDTH + 2}]"),
            ranks,
        ),
    )
