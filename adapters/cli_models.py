"""``wardstream models``: judge, train, export, compare and promote note readers. Heavy imports stay inside the commands."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli_flags import flags
from engine.errors import SettingsError
from engine.settings import Nlp

if TYPE_CHECKING:
    from engine.ports import EntityExtractor
    from models.corpora.reading import Corpus

app = typer.Typer(
    name="models",
    help="Judge, train, export and promote note readers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(flags, name="flags")

Data = Annotated[
    list[Path], typer.Option("--data", help="folder or file: brat, IOB/TSV or JSONL; may be repeated")
]
Labels = Annotated[
    str, typer.Option(help="NAME=LABEL,... on top of the built-in names of well-known corpora")
]
Model = Annotated[
    str, typer.Argument(help="default, rules, both, or an artifact's folder", show_default=False)
]
_FAULTS_TOLD = 10
AsJson = Annotated[bool, typer.Option("--json", help="print the whole report as JSON")]


@app.command("evaluate")
def evaluate_command(
    model: Model,
    data: Data,
    baseline: Annotated[str, typer.Option(help="the reader to beat; none leaves it out")] = "rules",
    labels: Labels = "",
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option(help="write every error, in context, to this page")] = None,
    limit: Annotated[int, typer.Option(min=0, help="read the first so many documents only; 0 reads all")] = 0,
) -> None:
    """Strict and partial F1 per label and stratum, calibration, speed, the baseline beside it, and the gate's verdict."""
    if html is not None and (html.is_dir() or not html.absolute().parent.is_dir()):
        raise SettingsError(
            f"The page {html} can't be written",
            location="--html",
            action="Name a file in a folder that is there.",
        )
    corpus = _read(data, labels)
    documents = corpus.documents[:limit] if limit else corpus.documents
    settings = _settings()
    report, answers = _evaluate(model, documents, settings, baseline)
    if not report["labels"]:
        print("WARNING: no text has an annotation of a known label: the scores say nothing.", file=sys.stderr)
    report["unknown_labels"] = sorted(corpus.unknown)
    report["left_out"] = len(corpus.faults)
    if html is not None:
        from models.error_page import page

        html.write_text(page(report, documents, answers), encoding="utf-8")
        print(f"{html} holds text of the notes: keep it as such.", file=sys.stderr)
    print(json.dumps(report, indent=2) if as_json else _table(report))


@app.command()
def agreement(
    first: Annotated[Path, typer.Argument(help="one annotator's folder or file", show_default=False)],
    second: Annotated[Path, typer.Argument(help="the other's", show_default=False)],
    labels: Labels = "",
    as_json: AsJson = False,
) -> None:
    """Cohen's kappa on words and pairwise F1 of two annotators of the same texts."""
    from models.agreement import ENOUGH
    from models.agreement import agreement as compare

    result = compare(_read([first], labels).documents, _read([second], labels).documents)
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        print(
            f"documents {result['documents']}   kappa {result['kappa']:.3f}   pairwise F1 {result['f1']:.3f}"
        )
        for name, value in result["per_label"].items():
            print(f"  {name:11} {value:.3f}")
    if not result["enough"]:
        print(
            f"WARNING: under {ENOUGH}: agree on written rules and annotate again before training on this.",
            file=sys.stderr,
        )


def _store(named: Path | None, settings: Nlp) -> Path:
    """The models folder that a command works on."""
    from models.registry import store_of

    folder = named or store_of(settings)
    if folder is None:
        raise SettingsError(
            "No models folder is named", location="--store", action="Name it, or set WARDSTREAM_NLP__MODELS."
        )
    return folder


@app.command()
def promote(
    model: Annotated[Path, typer.Argument(help="an artifact's folder", show_default=False)],
    data: Data,
    store: Annotated[
        Path | None, typer.Option(help="the site's models folder; nlp.models by default")
    ] = None,
    labels: Labels = "",
) -> None:
    """Evaluate a model and make it the site's default; refused where the gate refuses."""
    from models.artifact import Artifact
    from models.promote import promote as put_to_work

    settings = _settings()
    folder = _store(store, settings)
    with _told_at("MODEL"):
        artifact = Artifact(model)
    report, _ = _evaluate(str(model), _read(data, labels).documents, settings, "rules")
    print(_table(report))
    where = put_to_work(artifact, folder, report, settings)
    print(
        f"\nPromoted: {where}. Workers with nlp.models={folder.resolve()} take it up within {settings.models_poll:g} s."
    )


@app.command()
def rollback(
    store: Annotated[
        Path | None, typer.Option(help="the site's models folder; nlp.models by default")
    ] = None,
) -> None:
    """Take the last promotion back: what was the default before it is the default again."""
    from models.promote import rollback as take_back

    settings = _settings()
    folder = _store(store, settings)
    where = take_back(folder)
    print(
        f"Default again: {where or 'the model that ships'}. Workers take it up within {settings.models_poll:g} s."
    )


@app.command("list")
def list_command(
    store: Annotated[
        Path | None, typer.Option(help="the site's models folder; nlp.models by default")
    ] = None,
) -> None:
    """The artifacts there are; * marks the default."""
    from models.artifact import Artifact
    from models.registry import DEFAULT, folder_of, store_of, stored

    folder = store or store_of(_settings())
    if folder is not None and not folder.is_dir():
        raise SettingsError(
            f"There is no models folder {folder}", location="--store", action="Correct the path."
        )
    chosen = folder_of(DEFAULT, folder).resolve()
    for path in stored(folder):
        artifact = Artifact(path)
        mark = "*" if path.resolve() == chosen else " "
        print(f"{mark} {artifact.model_id:28} {artifact.version:24} {path}")


@app.command()
def show(model: Model = "default") -> None:
    """An artifact's manifest and model card."""
    from models.artifact import CARD, MANIFEST, Artifact
    from models.registry import folder_of, store_of

    with _told_at("MODEL"):
        artifact = Artifact(folder_of(model, store_of(_settings())))
    print(artifact.path(MANIFEST).read_text(encoding="utf-8"))
    print(artifact.path(CARD).read_text(encoding="utf-8"))


@app.command("export")
def export_command(
    source: Annotated[
        str, typer.Argument(help="hub id or folder of a token-classification model", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="new folder for the artifact")],
    labels: Labels = "",
    scheme: Annotated[
        str, typer.Option(help="BIO, BILOU, IOB1 or IO; told from the labels if not given")
    ] = "",
    name: Annotated[str, typer.Option(help="the model's name; the folder's by default")] = "",
    version: Annotated[str, typer.Option(help="your version of it")] = "1.0.0",
    precision: Annotated[str, typer.Option(help="some of int8,fp16,fp32")] = "int8,fp16",
    language: Annotated[str, typer.Option(help="BCP 47 tags of the languages it reads")] = "en",
) -> None:
    """Turn a token-classification model into an artifact. Needs the train extra."""
    from models.export import PRECISIONS, Wanted, export
    from models.outputs import Scheme

    wanted = Wanted(
        model_id=name or out.name,
        version=version,
        labels=labels,
        scheme=_chosen(Scheme, scheme.upper(), "--scheme") if scheme else None,
        precisions=tuple(_one_of(each.strip(), PRECISIONS, "--precision") for each in precision.split(",")),
        languages=tuple(language.split(",")),
    )
    artifact = export(source, out, wanted)
    print(
        f"{artifact.model_id} {artifact.version} is in {out}. Judge it: wardstream models evaluate {out} --data ..."
    )


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="new folder for the artifact")],
    base: Annotated[
        str, typer.Option(help="hub id or folder of an encoder; the packaged MiniLM by default")
    ] = "",
    dev: Annotated[list[Path] | None, typer.Option(help="dev texts; else 80/10/10 by patient")] = None,
    labels: Labels = "",
    folds: Annotated[
        int, typer.Option(min=0, help="cross-validate in so many folds instead of making a model")
    ] = 0,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="a choice of the recipe: epochs=4; repeated")
    ] = None,
    repeat: Annotated[
        str, typer.Option(help="LABELS:TIMES,...: texts annotated with so many labels count so often")
    ] = "",
    name: Annotated[str, typer.Option(help="the model's name; the folder's by default")] = "",
    version: Annotated[str, typer.Option(help="your version of it")] = "1.0.0",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all")] = 0,
) -> None:
    """Fine-tune an encoder on annotated texts. Needs the train extra; run it again to go on after a stop."""
    import torch

    from models.export import Wanted, require_new
    from models.train import Plan, Trainer, cross_validate, packaged_encoder, plan_parts
    from models.training.recipe import Recipe

    if threads:
        torch.set_num_threads(threads)
    recipe = Recipe.with_choices(option or [])
    if not folds:
        require_new(out)  # before the hours of training, not after them
    documents = _read(data, labels).documents
    stops = _read(dev or [], labels).documents
    times = _times(repeat)
    plan = Plan(
        plan_parts(documents, stops, recipe.seed),
        base or str(packaged_encoder()),
        out.with_name(f"{out.name}.work"),
        recipe,
        Wanted(model_id=name or out.name, version=version),
        times,
    )
    with _progress() as told:
        if folds:
            print(json.dumps(cross_validate(documents, folds, plan, told), indent=2))
            return
        trainer = Trainer(plan, told)
        artifact = trainer.save(out, trainer.run())
    print(f"{artifact.model_id} {artifact.version} is in {out}; curves and checkpoint in {plan.work}.")


def _times(repeat: str) -> dict[int, int]:
    """``LABELS:TIMES,...`` as numbers. Raises SettingsError."""
    parts = [part.partition(":") for part in repeat.split(",") if part]
    if not all(a.isdecimal() and b.isdecimal() for a, _, b in parts):
        raise SettingsError(
            f"{repeat!r} is no list of LABELS:TIMES",
            location="--repeat",
            action="Write, for example, 2:3,5:1.",
        )
    return {int(a): int(b) for a, _, b in parts}


def _chosen(kind: type[Any], text: str, option: str) -> Any:
    """A member of an enumeration. Raises SettingsError with those there are."""
    return kind(_one_of(text, [member.value for member in kind], option))


def _one_of(text: str, names: Sequence[str], option: str) -> str:
    if text not in names:
        raise SettingsError(
            f"{text!r} is none of them", location=option, action=f"Use one of: {', '.join(names)}."
        )
    return text


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar an epoch, and a line of dev scores behind each."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=False) as bars:
        known: dict[int, Any] = {}

        def told(event: dict[str, Any]) -> None:
            if "scores" in event:
                bars.console.print("  ".join(f"{k} {v:.3f}" for k, v in event["scores"].items()))
                return
            number = event["epoch"]
            if number not in known:
                known[number] = bars.add_task(f"epoch {number + 1}", total=event["batches"])
            bars.update(
                known[number],
                completed=event["batch"],
                description=f"epoch {number + 1} loss {event['loss']:.3f}",
            )

        yield told


def _settings() -> Nlp:
    from adapters.configuration import load_settings

    return load_settings().nlp


def _read(paths: list[Path], labels: str) -> Corpus:
    from models.corpora.reading import read_corpora

    corpus = read_corpora(paths, labels)
    if corpus.unknown:
        names = ", ".join(sorted(corpus.unknown))
        print(
            f"Left out, since no label of ours is known for them: {names}. Map them with --labels.",
            file=sys.stderr,
        )
    for guess in corpus.guesses[:_FAULTS_TOLD]:
        print(f"Note: {guess}.", file=sys.stderr)
    for fault in corpus.faults[:_FAULTS_TOLD]:
        print(f"Left out: {fault}", file=sys.stderr)
    if len(corpus.faults) > _FAULTS_TOLD:
        print(f"... and {len(corpus.faults) - _FAULTS_TOLD} more were left out.", file=sys.stderr)
    return corpus


def _evaluate(model: str, documents: Any, settings: Nlp, baseline: str) -> tuple[dict[str, Any], Any]:
    from models.evaluate import evaluate

    # Nobody waits for an answer here: time-outs and full queues would only break off a long evaluation.
    patient = settings.model_copy(update={"timeout": 86_400.0, "queue_pieces": 10**9})
    reader = _loaded(model, patient, "MODEL")
    beside = _loaded(baseline, patient, "--baseline") if baseline not in {"", "none", model} else None
    result = asyncio.run(evaluate(reader, documents, settings, baseline=beside))
    return result.report, result.answers


def _loaded(name: str, settings: Nlp, place: str) -> EntityExtractor:
    """A reader. Raises SettingsError at the argument that names it."""
    from models.registry import load_extractor

    with _told_at(place):
        return load_extractor(name, settings)


@contextmanager
def _told_at(place: str) -> Iterator[None]:
    """An artifact that can't be used is told at the argument that names it."""
    try:
        yield
    except SettingsError as error:
        where = place if error.location == "nlp.extractor" else error.location
        raise SettingsError(error.message, location=where, action=error.action) from None


def _table(report: dict[str, Any]) -> str:
    model, micro = report["model"], report["strict"]["micro"]
    lines = [
        f"{model['id']} {model['version']} on {model['provider']}: {report['documents']} documents",
        "{:.1f} documents a second, p50 {p50:.0f} ms, p99 {p99:.0f} ms".format(
            report["notes_per_second"], **({"p50": 0.0, "p99": 0.0} | report["latency_ms"])
        ),
        f"{'':12}{'P':>7}{'R':>7}{'F1':>7}{'partial':>9}{'annotated':>11}",
    ]
    rows = [("all", micro, report["partial"]["micro"])]
    rows += [(n, row, report["partial"]["per_label"][n]) for n, row in report["strict"]["per_label"].items()]
    lines += [
        f"{name:12}{row['precision']:7.3f}{row['recall']:7.3f}{row['f1']:7.3f}{loose['f1']:9.3f}{row['support']:11}"
        for name, row, loose in rows
    ]
    lines.append(
        f"95 % of strict F1: {micro['f1_low']:.3f} to {micro['f1_high']:.3f}   ECE {report['ece']:.3f}"
    )
    for name, values in report["strata"].items():
        lines += [
            f"{name}={value}: F1 {row['f1']:.3f} ({row['f1_low']:.3f} to {row['f1_high']:.3f}), "
            f"{row['documents']} documents, {row['support']} annotated"
            for value, row in values.items()
        ]
    if report["baseline"]:
        beside = report["baseline"]["strict"]["micro"]["f1"]
        lines.append(
            f"baseline {report['baseline']['model']['id']}: F1 {beside:.3f}, {100 * (micro['f1'] - beside):+.1f} points"
        )
    verdict = report["gate"]
    lines.append("gate: passed" if verdict["passed"] else "gate: refused: " + "; ".join(verdict["reasons"]))
    return "\n".join(lines)
