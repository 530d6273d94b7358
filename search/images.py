"""A study's images: loaded by its options, and checked against its stored `split.csv`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from concrete_study.datasets.archives import open_archive
from concrete_study.datasets.decoding import limit_pixels
from concrete_study.datasets.errors import DataError, StudyError, StudyStateError
from concrete_study.datasets.files import file_sha256
from concrete_study.datasets.folders import ImageFolder, Roots, locate
from concrete_study.datasets.loading import LoadingOptions, StudyData, load_images
from concrete_study.datasets.progress import Progress
from concrete_study.datasets.reading import name_datasets
from concrete_study.datasets.sample import sample_folder
from concrete_study.datasets.splits import SplitRow, parse_shares, write_split
from concrete_study.results.folder import StudyFolder
from concrete_study.results.records import SearchOptions, StudyRecord
from concrete_study.results.runs import list_studies

# Options that decide a split.
SPLIT_OPTIONS = (
    "data",
    "seed",
    "split",
    "groups",
    "split_by",
    "keep_conflicts",
    "class_map",
    "labels",
    "max_megapixels",
    "test",
    "validate_on",
)


def load_data(options: SearchOptions, study: StudyFolder, progress: Progress) -> StudyData:
    """Loads and splits the images of a study that has not begun yet, or is resumed.

    Raises:
        StudyError: If they cannot be studied.
    """
    if not options.data:
        progress.log("No images in datasets/: using the built-in sample of 240 synthetic images.")
    limit_pixels(options.max_megapixels)
    loading = LoadingOptions(
        seed=options.seed,
        shares=parse_shares(options.split, test_given=options.test is not None),
        near_duplicates=options.groups,
        split_by=options.split_by,
        keep_conflicts=options.keep_conflicts,
        class_map=options.class_map,
        labels=Path(options.labels) if options.labels else None,
        test=Path(options.test) if options.test else None,
        validate_on=Path(options.validate_on) if options.validate_on else None,
        external_test=[Path(path) for path in options.external_test],
        earlier=_earlier_split(options, study),
    )
    roots = [Path(path) for path in options.data] or [sample_folder(progress)]
    return load_images(roots, loading, progress)


def _earlier_split(options: SearchOptions, study: StudyFolder) -> Mapping[str, str]:
    """Subsets by SHA-256 from this study, if it was begun before, or the last one like it.

    Images of a folder that has grown since then keep their subsets, so that no study tests on
    what another study of the same folder trained on.
    """
    for other in (study, *reversed(list_studies(study.path.parent))):
        try:
            stored = other.manifest().options
            if all(getattr(stored, name) == getattr(options, name) for name in SPLIT_OPTIONS):
                return {row.sha256: row.subset for row in other.split()}
        except (StudyError, OSError):
            continue  # not begun yet, or damaged
    return {}


def store_split(study: StudyFolder, data: StudyData) -> None:
    """Writes `split.csv`, or, on resume, compares it with the images.

    Raises:
        StudyStateError: If the images are not those that the study began with.
    """
    if study.manifest_path.exists():
        require_split(study, data)
    else:
        write_split(study.split_path, data.rows)


def require_split(study: StudyFolder, data: StudyData) -> None:
    """Raises StudyStateError if the images are not those that a study began with."""
    roots = data.folder.roots
    if _within_folders(study.split(), roots) != _within_folders(data.rows, roots):
        folders = " and ".join(str(root) for root in roots.values())
        raise StudyStateError(
            f"the images of study {study.name} have changed.",
            f"Expected those of {study.split_path} in {folders}.",
            "put the images back, or start a new study.",
            study=study.name,
        )


def _within_folders(rows: Sequence[SplitRow], roots: Roots) -> list[SplitRow]:
    """A split without the names of several datasets, which change when folders are moved."""
    if "" in roots:
        return list(rows)
    return sorted(row._replace(file=row.file.partition("/")[2]) for row in rows)


def given_folders(options: SearchOptions) -> list[str]:
    """Folders or zip files of a study, in the order of its roots."""
    one_each = filter(None, [options.test, options.validate_on])
    return [*options.data, *one_each, *options.external_test]


def stored_roots(manifest: StudyRecord) -> Roots:
    """The folders of a study's images, by dataset name."""
    return {name: Path(root) for name, root in manifest.data.items()}


def require_folders(study: StudyFolder, roots: Roots, options: SearchOptions) -> None:
    """Raises DataError if a folder of a study's images is not there; extracts archives again."""
    if not all(root.is_dir() for root in roots.values()):  # the cache was cleared
        for given in given_folders(options):
            open_archive(Path(given))
    if missing := [root for root in roots.values() if not root.is_dir()]:
        raise DataError(
            f"no folder {missing[0]}.",
            f"Expected the images of study {study.name}, which were there when it began.",
            "the folder to which they have moved.",
            parameter="data",
        )


def resume_data(options: SearchOptions, study: StudyFolder, progress: Progress) -> StudyData:
    """The images of a study that is resumed.

    Raises:
        StudyError: If they are missing, or cannot be studied.
    """
    manifest = study.manifest()
    roots = stored_roots(manifest)
    if options.data:  # the sample is drawn again
        require_folders(study, roots, options)
    if len(roots) > 1 and name_datasets(list(roots.values())) != roots:
        return reopen_data(study, manifest)  # moved to folders of other names
    return load_data(options, study, progress)


def reopen_data(study: StudyFolder, manifest: StudyRecord) -> StudyData:
    """The images of a stored split, after a check of each file's content.

    Raises:
        DataError: If a file is missing or has changed: a score on other images, or on images
            that have moved between subsets, would not be this study's.
    """
    options = manifest.options
    limit_pixels(options.max_megapixels)
    rows, roots = study.split(), stored_roots(manifest)
    require_folders(study, roots, options)
    for row in rows:
        path = locate(roots, row.file)
        if not path.is_file() or file_sha256(path) != row.sha256:
            found = "other content" if path.is_file() else "no file"
            raise DataError(
                f"the images of study {study.name} have changed.",
                f"Expected {path} as listed in {study.split_path}; found {found}.",
                "put the images back, or start a new study.",
            )
    return StudyData(ImageFolder(roots, manifest.classes, [], []), rows, [])
