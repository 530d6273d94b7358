"""Rows of figures: ratios between contenders, and Markdown tables."""

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]

COLUMNS = (
    *("images", "precision", "contender", "computed_in", "seconds", "cpu_seconds", "peak_mb"),
    *("study_mb", "features_mb", "disk_write_mb", "forward_passes", "flops", "trials", "epochs"),
    *("best_val_loss", "first_trial_seconds", "outside_trials_seconds", "note"),
)


def ratios(rows: Sequence[Row]) -> Row:
    """One comparison's ratios; None where a contender did not run."""
    by_name = {row["contender"]: row for row in rows}
    ours, again = by_name["ours"], by_name.get("ours-again", {})
    baseline, bound = by_name.get("baseline", {}), by_name.get("lower-bound", {})

    def ratio(upper: float | None, lower: float | None) -> float | None:
        return upper / lower if upper and lower else None

    return {
        "images": ours["images"],
        "precision": ours["precision"],
        "baseline / ours": ratio(baseline.get("seconds"), ours["seconds"]),
        "baseline / ours-again": ratio(baseline.get("seconds"), again.get("seconds")),
        "baseline, resumed / ours": ratio(baseline.get("resumed_seconds"), ours["seconds"]),
        "ray-tune / ours": ratio(by_name.get("ray-tune", {}).get("seconds"), ours["seconds"]),
        "ours / lower-bound": ratio(ours["seconds"], bound.get("seconds")),
        "baseline / ours, CPU": ratio(baseline.get("cpu_seconds"), ours["cpu_seconds"]),
        "baseline / ours, FLOPs": ratio(baseline.get("flops"), ours["flops"]),
        "baseline / ours, study MB": ratio(baseline.get("study_mb"), ours["study_mb"]),
        "note": remark(baseline),
    }


def remark(row: Row) -> str:
    """Names what is extrapolated."""
    if not row.get("extrapolated"):
        return ""
    times = f", times {row['executions']} executions" if row.get("executions", 1) > 1 else ""
    trials = f"{row['trained_trials']} of {row['trials']} trials"
    return f"{row['contender']} extrapolated from {trials}{times}"


def table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Rows in Markdown; three digits, or whole numbers from 100 on."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
        return "" if value is None else str(value)

    lines = [columns, ["---"] * len(columns)]
    lines += [[cell(row.get(column)) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
