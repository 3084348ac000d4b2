"""The figures of a benchmark as tables that people read."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from fhir_coder.lookup.figures import ANCESTOR, Accuracy, Speed, Way


def speed_table(speeds: Sequence[Speed]) -> Table:
    """Return how fast requests were answered, with the ancestor's figures under each code system."""
    table = Table(title=f"Speed, {speeds[0].concurrent} concurrent requests", title_justify="left")
    table.add_column("code system")
    for column in ("names", "requests", "lookups/s", "mean ms", "P50 ms", "P95 ms", "P99 ms", "CPU ms", "answered"):
        table.add_column(column, justify="right")
    for each in speeds:
        times = (each.mean, each.p50, each.p95, each.p99)
        table.add_row(
            each.name,
            f"{each.names:,}",
            f"{each.requests:,}",
            f"{each.per_second:,.0f}",
            *(f"{milliseconds:,.1f}" for milliseconds in times),
            "" if each.cpu_ms is None else f"{each.cpu_ms:.2f}",
            f"{each.success:.2%}",
        )
        published = ANCESTOR.get(each.name)
        if published:
            table.add_row(
                "  its ancestor, on other hardware",
                f"{published.names:,}",
                "1,000",
                f"{published.per_second:,.0f}",
                f"{published.mean:,.0f}",
                "",
                f"{published.p95:,.0f}",
                *("", "", ""),
                style="dim",
                end_section=True,
            )
    table.caption = "The ancestor's figures are its authors': 100 concurrent, Apple M2 Max. It publishes no accuracy."
    table.caption_justify = "left"
    return table


def accuracy_table(accuracies: Sequence[Accuracy]) -> Table:
    """Return how right the answers were."""
    table = Table(title="Accuracy: the code is that of the concept whose name was changed", title_justify="left")
    table.add_column("code system")
    table.add_column("query")
    columns = ["queries", "right", "answered", "right of answered"]
    is_ranked = any(each.first is not None for each in accuracies)
    columns += ["ranked: acc@1", "acc@5"] if is_ranked else []
    has_baseline = any(each.dense_first is not None for each in accuracies)
    columns += ["dense only: acc@1"] if has_baseline else []
    for column in columns:
        table.add_column(column, justify="right")
    for each in accuracies:
        shares = [each.right, each.answered, each.right_of_answered]
        shares += [each.first, each.in_five] if is_ranked else []
        shares += [each.dense_first] if has_baseline else []
        shown = ("" if share is None else f"{share:.3f}" for share in shares)
        is_last = each.kind == "all"
        table.add_row(each.system, each.kind, f"{each.queries:,}", *shown, end_section=is_last)
    table.caption = "What is answered without a code (abstained) counts as not right." + (
        " Ranked: in this process, before abstention." if is_ranked else ""
    )
    if has_baseline:
        table.caption += (
            " Dense only: the code of the nearest vector of the same encoder; brands, index terms and "
            "ICD-10-CM codes with a seventh character have none."
        )
    table.caption_justify = "left"
    return table


def ways_table(ways: Sequence[Way]) -> Table:
    """Return what the cascade costs beside its baseline."""
    table = Table(title="Without the protocol, in this process, in batches of 32", title_justify="left")
    table.add_column("way")
    for column in ("queries", "CPU ms a query", "queries / CPU s"):
        table.add_column(column, justify="right")
    for way in ways:
        table.add_row(way.name, f"{way.queries:,}", f"{way.cpu_ms:.2f}", f"{1000 / max(way.cpu_ms, 1e-6):,.0f}")
    return table
