"""Values that are typed as text: image sizes, times."""


def parse_sizes(text: str) -> list[int]:
    """Parses image sizes such as `224` or `112,224`.

    Raises:
        UsageError: If one is no whole number.
    """
    from concrete_study.datasets.errors import UsageError

    try:
        return [int(size) for size in text.split(",")]
    except ValueError as error:
        raise UsageError(
            f"{text} is no image size.",
            "Expected a whole number, or several as 112,224.",
            parameter="image_size",
        ) from error


def parse_budget(text: str) -> float:
    """Parses a duration such as `2h`, `90m`, `1h30m` or `45s`.

    Returns:
        Seconds, above 0.

    Raises:
        UsageError: If `text` is no duration, or 0.
    """
    import re

    from concrete_study.datasets.errors import UsageError

    found = re.fullmatch(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", text.strip().lower())
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    if not (budget := 3600 * hours + 60 * minutes + seconds):
        raise UsageError(
            f"{text} is not a duration.",
            "Expected hours, minutes or seconds, e.g. 2h, 90m, 1h30m or 45s.",
            parameter="time_budget",
        )
    return float(budget)
