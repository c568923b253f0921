"""`shoal models`: what the registry holds."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from shoal_cli.commands import Commands
    from shoal_cli.session import Session
    from shoal_client import Alias, Model
    from shoal_common.inference.contract import PoseContract


def add_to(commands: "Commands") -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "models", help="import, list, show and remove models", description="The model registry."
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    add = actions.add_parser("import", help="import trained models")
    add.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="model folder; two for two stages"
    )
    add.add_argument("--name", required=True, help="name to import under")
    add.set_defaults(run=run_import)
    actions.add_parser("list", help="list the models").set_defaults(run=run_list)
    show = actions.add_parser("show", help="show one model")
    show.add_argument("name", metavar="NAME")
    show.set_defaults(run=run_show)
    tune = actions.add_parser(
        "tune", help="choose the fastest runtime and precision that finds the same, on this machine"
    )
    tune.add_argument("name", metavar="NAME[@ALIAS]")
    tune.add_argument("video", nargs="?", type=Path, metavar="VIDEO", help="frames to measure on")
    tune.add_argument(
        "--backend", metavar="B", help="pin a backend instead, for example onnxruntime-fp32"
    )
    tune.set_defaults(run=run_tune)
    promote = actions.add_parser("promote", help="point an alias at a version")
    promote.add_argument("name", metavar="NAME[@ALIAS]", help="the latest version, or an alias's")
    promote.add_argument("alias", metavar="ALIAS", help="for example prod, then flies@prod")
    promote.add_argument("--version", metavar="N", help="this version instead of the latest")
    promote.set_defaults(run=run_promote)
    roll_back = actions.add_parser("rollback", help="point an alias at what it named before")
    roll_back.add_argument("name", metavar="NAME@ALIAS")
    roll_back.set_defaults(run=run_roll_back)
    compare = actions.add_parser("compare", help="run two models on the same frames")
    compare.add_argument("names", nargs=2, metavar="NAME[@ALIAS]")
    compare.add_argument("video", type=Path, metavar="VIDEO")
    compare.add_argument("--json", action="store_true", help="print one JSON object")
    compare.set_defaults(run=run_compare)
    export = actions.add_parser("export", help="write a model for other programs")
    export.add_argument("name", metavar="NAME[@ALIAS]")
    export.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    export.add_argument(
        "--format",
        choices=("onnx", "triton"),
        default="onnx",
        help="one ONNX graph with an example, or a repository for Triton (onnx)",
    )
    export.set_defaults(run=run_export)
    remove = actions.add_parser("rm", help="remove a model with all its versions")
    remove.add_argument("name", metavar="NAME")
    remove.set_defaults(run=run_remove)


def run_import(arguments: argparse.Namespace) -> int:
    """Imports; returns the exit status."""
    from shoal_cli.model_reference import model_folders
    from shoal_common.names import check_id

    check_id("model", arguments.name)
    folders = model_folders(arguments.folders)
    with _session(arguments) as session:
        session.progress.step("importing the model")
        paths = [str(path) for path in folders]
        version = session.patiently(
            lambda: session.shoal.models.import_(paths, name=arguments.name)
        )
    print(f"{version.name}  {version.kind}  {len(version.skeleton.nodes)} nodes")
    return 0


def run_list(arguments: argparse.Namespace) -> int:
    """Lists; returns the exit status."""
    from shoal_cli.table import table_text

    with _session(arguments) as session:
        models = session.patiently(lambda: list(session.shoal.models.list()))
    if not models:
        print("no models; `shoal models import DIR... --name NAME` adds one")
        return 0
    print(
        table_text(("NAME", "KIND", "NODES", "VERSIONS", "ALIASES", "IMPORTED"), map(_row, models))
    )
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """Shows; returns the exit status."""
    from shoal_cli.model_tuning import tuning_lines
    from shoal_common.names import check_id

    with _session(arguments) as session:
        name = f"models/{check_id('model', arguments.name)}"
        model = session.patiently(lambda: session.shoal.models.get(name))
    print(_id(model.name))
    for alias in model.aliases:
        print("  alias ", end="")
        _print_alias(alias)
    for version in model.versions:
        skeleton = version.skeleton
        print(
            f"  version {_id(version.name)}: {version.kind}, {version.create_time:%Y-%m-%d %H:%M}"
        )
        for source in version.source_uris:
            print(f"    from {source}")
        print(f"    nodes {', '.join(skeleton.nodes)}")
        names = (f"{skeleton.nodes[a]}→{skeleton.nodes[b]}" for a, b in skeleton.edges)
        print(f"    edges {', '.join(names) or 'none'}")
        for line in [*_contract_lines(version.contract), *tuning_lines(version)]:
            print(f"    {line}")
    return 0


def _contract_lines(contract: "PoseContract") -> list[str]:
    """Returns what the pose contract says about thresholds, and about what they were found by."""
    lines = [f"trained by {contract.source}"] if contract.source else []
    crops = contract.crop_peak_threshold
    of_crops = "" if crops is None else f", of nodes in crops {crops:g}"
    lines.append(f"peaks exceed {contract.peak_threshold:g}{of_crops}")
    for stage in contract.stages:
        if (parity := stage.parity) is not None:
            lines.append(
                f"{stage.name} as in training: {parity.node_count} nodes of "
                f"{parity.frame_count} frames, {parity.median_px:.2g} px off in the median, "
                f"{parity.p99_px:.2g} px at the 99th percentile"
            )
    return lines


def run_tune(arguments: argparse.Namespace) -> int:
    """Tunes; returns the exit status."""
    from shoal_cli import model_tuning
    from shoal_cli.model_reference import resource_name

    name = resource_name(arguments.name)
    with _session(arguments) as session:
        return model_tuning.run_tune(arguments, session, name)


def run_compare(arguments: argparse.Namespace) -> int:
    """Compares two models; returns the exit status."""
    from shoal_cli import model_comparison
    from shoal_cli.model_reference import resource_name

    left, right = map(resource_name, arguments.names)
    with _session(arguments) as session:
        return model_comparison.run_compare(arguments, session, (left, right))


def run_export(arguments: argparse.Namespace) -> int:
    """Exports; returns the exit status."""
    from shoal_cli.model_reference import resource_name

    name = resource_name(arguments.name)
    with _session(arguments) as session:
        session.shoal.models.export(name, arguments.output, export_format=arguments.format)
    print(arguments.output)
    return 0


def run_promote(arguments: argparse.Namespace) -> int:
    """Points an alias at a version; returns the exit status."""
    from shoal_cli.model_reference import resource_name
    from shoal_common.names import check_id

    source = resource_name(arguments.name)
    model = "/".join(source.split("/")[:2])
    alias = f"{model}/aliases/{check_id('alias', arguments.alias)}"
    with _session(arguments) as session:
        models = session.shoal.models
        if arguments.version is not None:
            version = f"{model}/versions/{check_id('version', arguments.version)}"
        else:
            version = _named_version(session.patiently(lambda: models.get(model)), source)
        _print_alias(models.set_alias(alias, version))
    return 0


def run_roll_back(arguments: argparse.Namespace) -> int:
    """Points an alias at the version before; returns the exit status."""
    from shoal_cli.model_reference import resource_name
    from shoal_core.errors import InvalidArgument

    name = resource_name(arguments.name)
    if "/aliases/" not in name:
        raise InvalidArgument(
            "ALIAS_MISSING", f"{arguments.name!r} names no alias; write {arguments.name}@prod."
        )
    with _session(arguments) as session:
        _print_alias(session.shoal.models.roll_back_alias(name))
    return 0


def _named_version(model: "Model", source: str) -> str:
    """Returns the version that the name of a model (its latest), or of an alias, means."""
    from shoal_core.errors import NotFound

    if source == model.name:
        return model.versions[-1].name
    versions = {alias.name: alias.version for alias in model.aliases}
    if source not in versions:
        known = ", ".join(map(_id, versions)) or "none"
        raise NotFound(
            "ALIAS_NOT_FOUND",
            f"Model {_id(model.name)!r} has no alias {_id(source)!r}; it has {known}.",
        )
    return versions[source]


def _print_alias(alias: "Alias") -> None:
    model = alias.name.split("/")[1]
    before = ", ".join(map(_id, reversed(alias.earlier_versions)))
    print(f"{model}@{_id(alias.name)} → version {_id(alias.version)}", end="")
    print(f" (before: {before})" if before else "")


def run_remove(arguments: argparse.Namespace) -> int:
    """Removes; returns the exit status."""
    from shoal_common.names import check_id

    with _session(arguments) as session:
        session.shoal.models.delete(f"models/{check_id('model', arguments.name)}")
    return 0


def _session(arguments: argparse.Namespace) -> "AbstractContextManager[Session]":
    from shoal_cli.ensemble.home import current_home
    from shoal_cli.ensemble.services import MODEL_SERVICES
    from shoal_cli.progress import standard_progress
    from shoal_cli.session import session

    return session(current_home(), MODEL_SERVICES, arguments.command_line, standard_progress())


def _row(model: "Model") -> tuple[str, ...]:
    latest = model.versions[-1]
    return (
        _id(model.name),
        latest.kind,
        str(len(latest.skeleton.nodes)),
        str(len(model.versions)),
        ", ".join(f"{_id(alias.name)}→{_id(alias.version)}" for alias in model.aliases) or "-",
        f"{latest.create_time:%Y-%m-%d %H:%M}",
    )


def _id(name: str) -> str:
    return name.rpartition("/")[2]
