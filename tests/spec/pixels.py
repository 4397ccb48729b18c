"""Keys of masks as wholes: their skeletons, their topology, sets of them, images without labels."""

from __future__ import annotations

import torch

from lossviz import losses

from .adapters import Call, Inputs, Params, given


def of_clouds(distance: str, *names: str) -> Call:
    """What else the record says is what the distance is, not a number of it."""
    numbers = ("blur", "scaling")

    def call(i: Inputs, p: Params, r: str) -> torch.Tensor:
        clouds = (i[name].double() for name in names)
        return getattr(losses, distance)(*clouds, **{n: p[n] for n in numbers if n in p})

    return call


def repri(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor]:
    """With the small numbers that the published code adds inside logarithms."""
    terms = losses.repri(
        i["support_fg_prob"].double().clamp(1e-10, 1 - 1e-10), i["support_mask"],
        i["query_fg_prob"].double(), i["prior"].double(),
    )  # fmt: skip
    ce, kl, entropy = p.get("weights", (1.0, 1.0, 1.0))
    total = terms.loss(ce_weight=ce, kl_weight=kl, entropy_weight=entropy)
    return {**terms._asdict(), "total": total}


def betti_matching(i: Inputs, p: Params, r: str) -> dict[str, torch.Tensor | int]:
    found = losses.betti_matching(
        i["pred"].double(), i["target"].double(),
        superlevel=p.get("filtration", "superlevel") == "superlevel",
        essential_death=p.get("essential_death"),
    )  # fmt: skip
    return {
        "loss": found.loss,
        "matched": found.matched,
        "unmatched_pred": found.unmatched_prediction,
        "unmatched_gt": found.unmatched_target,
    }


def over_tie_orders(i: Inputs, p: Params, r: str) -> dict[str, list[float]]:
    """All values that orders of equal cubes give; the published order is only one of them."""
    ties = torch.Generator().manual_seed(0)
    images = i["pred"].double(), i["target"].double()
    superlevel = p.get("filtration", "superlevel") == "superlevel"
    values = {
        round(losses.betti_matching(*images, superlevel=superlevel, ties=ties).loss.item(), 6)
        for _ in range(200)
    }
    return {"all_values_over_80_random_tie_orders": sorted(values)}


CALLS: dict[str, Call] = {
    "betti_matching": betti_matching,
    "betti_matching_tie_range": over_tie_orders,
    "cldice_metric": lambda i, p, r: losses.cldice_score(
        i["pred"], i["target"],
        prediction_skeleton=i.get("pred_skeleton"), target_skeleton=i.get("target_skeleton"),
    ),
    "tubed_skeleton": lambda i, p, r: (
        losses.tubed_skeleton(i["mask"] != 0, **given(p)) * i["mask"]
    ),
    "pulaski_energy": of_clouds("energy_distance", "samples", "raters"),
    "pulaski_sinkhorn": of_clouds("sinkhorn_divergence", "samples", "raters"),
    "pulaski_frechet": of_clouds("frechet_distance", "features_pred", "features_raters"),
    "repri": repri,
}  # fmt: skip
