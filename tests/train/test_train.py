"""Training and export with tiny models made on the spot. Needs the train extra (``make test-train``)."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra: make test-train")
pytest.importorskip("optimum.exporters.onnx", reason="needs the train extra: make test-train")
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np  # noqa: E402 - the extra is looked for first
import onnxruntime  # noqa: E402
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers  # noqa: E402
from transformers import (  # noqa: E402
    BertConfig,
    BertForTokenClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForTokenClassification,
)

from engine.errors import SettingsError  # noqa: E402
from engine.records import Label, Note  # noqa: E402
from engine.settings import Nlp  # noqa: E402
from models.artifact import FP32, INT8  # noqa: E402
from models.corpora.document import Document, Gold  # noqa: E402
from models.corpora.splits import Parts  # noqa: E402
from models.export import Wanted, export  # noqa: E402
from models.ner import OnnxExtractor  # noqa: E402
from models.outputs import Scheme  # noqa: E402
from models.tags import TAGS  # noqa: E402
from models.train import Plan, Trainer, cross_validate, plan_parts  # noqa: E402
from models.training.examples import allowed_outside, make_examples  # noqa: E402
from models.training.loop import difference, partial_loss, share_of_peak  # noqa: E402
from models.training.recipe import Recipe  # noqa: E402
from models.words import Pieced  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

DRUGS = ("aspirin", "warfarin", "insulin", "heparin", "digoxin", "atenolol")
FINDINGS = ("fever", "cough", "oedema", "rash", "nausea", "vertigo")
TEXTS = [f"The patient has {finding} and takes {drug} daily." for finding in FINDINGS for drug in DRUGS]


def documents() -> list[Document]:
    out = []
    for number, text in enumerate(TEXTS):
        gold = [Gold(16, text.index(" and"), Label.PROBLEM)]
        start = text.index("takes ") + 6
        gold.append(Gold(start, text.index(" daily"), Label.MEDICATION))
        out.append(
            Document(
                f"d{number}",
                text,
                tuple(gold),
                frozenset({Label.PROBLEM, Label.MEDICATION}),
                f"patient:{number}",
            )
        )
    return out


def wordpiece(*, lower: bool) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=120, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=64,
    )  # fmt: skip


def with_roberta_pieces(tokenizer: Tokenizer, trainer: Any) -> PreTrainedTokenizerFast:
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", cls_token="<s>", sep_token="</s>",
        bos_token="<s>", eos_token="</s>", mask_token="<mask>", model_max_length=64,
    )  # fmt: skip


SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def byte_level() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return with_roberta_pieces(tokenizer, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL))


def sentencepiece() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return with_roberta_pieces(
        tokenizer, trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>")
    )


def save(folder: Path, tokenizer: PreTrainedTokenizerFast, names: list[str], *, roberta: bool) -> Any:
    torch.manual_seed(1)
    sizes = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": 66, "pad_token_id": tokenizer.pad_token_id,
        "id2label": dict(enumerate(names)), "label2id": {name: at for at, name in enumerate(names)},
    }  # fmt: skip
    kind, config = (
        (RobertaForTokenClassification, RobertaConfig)
        if roberta
        else (BertForTokenClassification, BertConfig)
    )
    model = kind(config(**sizes))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval()


BIO = ["O", "B-Chemical", "I-Chemical", "B-Disease", "I-Disease"]
BILOU = ["O", *(f"{mark}-{name}" for name in ("Chemical", "Disease") for mark in "BILU")]
IO = ["O", "Chemical", "Disease"]


@pytest.mark.parametrize(
    ("make", "roberta"),
    [
        (lambda: wordpiece(lower=True), False),
        (lambda: wordpiece(lower=False), False),
        (byte_level, True),
        (sentencepiece, True),
    ],
    ids=["wordpiece-uncased", "wordpiece-cased", "byte-level-bpe", "sentencepiece"],
)
@pytest.mark.parametrize(
    ("names", "scheme"), [(BIO, "BIO"), (BILOU, "BILOU"), (IO, "IO")], ids=["BIO", "BILOU", "IO"]
)
def test_any_model_becomes_an_artifact_that_reads(
    tmp_path: Path, make: Any, roberta: bool, names: list[str], scheme: str
) -> None:
    """Scheme told from the names, offsets in the text's own code points, whatever the tokenizer does inside."""
    save(tmp_path / "hub", make(), names, roberta=roberta)
    artifact = export(str(tmp_path / "hub"), tmp_path / "out", Wanted("tiny", precisions=("int8", "fp32")))
    assert artifact.outputs.scheme is Scheme(scheme)
    extractor = OnnxExtractor(tmp_path / "out", Nlp(device="cpu"))
    text = "Fi\u0301eber \U0001f637, a\u00adspirin\r\n" + TEXTS[0] * 5 + "病人发烧。"
    (spans,) = asyncio.run(extractor.extract([Note(note_id="n", text=text)]))
    assert all(text[span.start : span.end] == text[span.start : span.end].strip() for span in spans)
    assert {span.label for span in spans} <= {Label.MEDICATION, Label.PROBLEM}


@pytest.mark.parametrize("make", [byte_level, sentencepiece], ids=["byte-level-bpe", "sentencepiece"])
def test_the_graph_answers_as_the_model_does(tmp_path: Path, make: Any) -> None:
    """fp32 graph against torch on the same pieces: the export changed nothing."""
    model = save(tmp_path / "hub", make(), BIO, roberta=True)
    artifact = export(str(tmp_path / "hub"), tmp_path / "out", Wanted("tiny", precisions=("fp32",)))
    from models.session import Device, Session

    ids = np.array([0, *range(5, 30), 2], np.int32)
    with torch.no_grad():
        wanted = model(input_ids=torch.from_numpy(ids[None].astype(np.int64))).logits.numpy()
    assert np.abs(Session(artifact, Device.CPU).run([ids]) - wanted).max() < 1e-3


def test_int8_survives_channels_that_run_ahead(tmp_path: Path) -> None:
    """One loud channel, as every BERT has, must not take the steps of all the others: plain int8 loses the answer."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = save(tmp_path / "hub", wordpiece(lower=True), BIO, roberta=False)
    with torch.no_grad():
        for layer in model.bert.encoder.layer:
            layer.intermediate.dense.bias[0] = 200.0
            layer.output.dense.weight[:, 0] /= 200.0
            layer.attention.output.LayerNorm.weight[1] *= 30.0
            layer.intermediate.dense.weight[:, 1] /= 30.0
    model.save_pretrained(tmp_path / "hub")
    artifact = export(str(tmp_path / "hub"), tmp_path / "out", Wanted("tiny", precisions=("int8", "fp32")))
    plain = tmp_path / "plain.onnx"
    quantize_dynamic(
        str(artifact.path(FP32)),
        str(plain),
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        extra_options={"DefaultTensorType": 1},  # a float
    )
    ids = np.array([[2, *range(5, 30), 3]], np.int64)
    answers = [_logits(path, ids) for path in (artifact.path(FP32), artifact.path(INT8), plain)]
    ours, theirs = (float(np.abs(each - answers[0]).mean()) for each in answers[1:])
    assert ours < theirs / 2


def _logits(path: Path, ids: Any) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    known = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return session.run(None, {each.name: known[each.name] for each in session.get_inputs()})[0]


def test_a_full_folder_and_unknown_labels_are_refused(tmp_path: Path) -> None:
    """Nothing is overwritten, and a model of which no label is known would read every note as empty."""
    save(tmp_path / "hub", wordpiece(lower=True), ["O", "B-Gadget"], roberta=False)
    with pytest.raises(SettingsError, match="None of the model's labels"):
        export(str(tmp_path / "hub"), tmp_path / "out", Wanted("tiny"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(SettingsError, match="not empty"):
        export(str(tmp_path / "hub"), tmp_path / "full", Wanted("tiny"))


def test_what_a_killed_export_left_is_no_obstacle(tmp_path: Path) -> None:
    """The artifact's folder appears when it is whole; the pieces of an earlier try are cleared away."""
    save(tmp_path / "hub", wordpiece(lower=True), ["O", "B-problem", "I-problem"], roberta=False)
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "tokenizer.json").write_text("{")
    made = export(str(tmp_path / "hub"), tmp_path / "out", Wanted("tiny", precisions=("int8",)))
    assert made.path(INT8).parent == tmp_path / "out"
    assert not (tmp_path / "out.part").exists()


def plan(tmp_path: Path, **choices: Any) -> Plan:
    save(tmp_path / "base", wordpiece(lower=True), list(TAGS), roberta=False)
    recipe = Recipe(**{
        "epochs": 30, "patience": 30, "learning_rate": 5e-3, "head_rate": 5e-3, "layer_decay": 1.0,
        "word_noise": 0.0, "synonym_swaps": 0.0, "batch_pieces": 128, "dropout": 0.0, **choices,
    })  # fmt: skip
    docs = documents()
    parts = Parts(tuple(docs), tuple(docs[:6]), ())
    return Plan(
        parts, str(tmp_path / "base"), tmp_path / "work", recipe, Wanted("tiny", precisions=("int8",)), {}
    )


def test_a_model_learns_and_ships_with_its_record(tmp_path: Path) -> None:
    """From texts to an int8 artifact that finds what it was taught, with curves, calibration and the recipe."""
    trainer = Trainer(plan(tmp_path), lambda _: None)
    record = trainer.run()
    assert record["history"][-1]["f1"] > 0.95
    artifact = trainer.save(tmp_path / "out", record)
    assert artifact.has(INT8)
    manifest = json.loads((tmp_path / "out" / "artifact.json").read_text())
    assert manifest["training"]["recipe"]["learning_rate"] == 5e-3
    assert (tmp_path / "work" / "learning-curves.png").read_bytes().startswith(b"\x89PNG")
    (spans,) = asyncio.run(OnnxExtractor(tmp_path / "out").extract([Note(note_id="n", text=TEXTS[7])]))
    assert [TEXTS[7][span.start : span.end] for span in spans] == ["cough", "warfarin"]


def test_readings_with_different_dropout_are_drawn_together(tmp_path: Path) -> None:
    """``consistency`` is no idle choice: the same seed leaves a model whose dropout readings differ less."""
    texts = documents()
    ids = torch.tensor([wordpiece(lower=True)(doc.text).input_ids[:12] for doc in texts])
    apart = []
    for weight in (0.0, 20.0):
        trainer = Trainer(
            plan(tmp_path / str(weight), epochs=3, dropout=0.3, consistency=weight), lambda _: None
        )
        trainer.run()
        model = trainer._model.train()
        torch.manual_seed(5)
        with torch.no_grad():
            readings = [model(input_ids=ids).logits.flatten(0, 1) for _ in range(20)]
        apart.append(sum(float(difference(a, b)) for a, b in zip(readings[::2], readings[1::2], strict=True)))
    assert apart[1] < 0.7 * apart[0]
    assert difference(readings[0], readings[0]) == 0


def test_a_broken_off_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """Stopped after two of four epochs and started again: the same losses as an unbroken run."""
    whole_plan = plan(tmp_path, epochs=4)
    broken_plan = replace(whole_plan, work=tmp_path / "broken")
    whole = Trainer(whole_plan, lambda _: None).run()

    class Stop(Exception):  # noqa: N818 - a signal, not an error
        pass

    def stop(event: dict[str, Any]) -> None:
        if event.get("epoch") == 2:
            raise Stop

    with pytest.raises(Stop):
        Trainer(broken_plan, stop).run()
    resumed = Trainer(broken_plan, lambda _: None).run()
    assert resumed["resumed"]
    losses = [[row["loss"] for row in record["history"]] for record in (whole, resumed)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_other_texts_in_the_same_folder_are_trained_on_anew(tmp_path: Path) -> None:
    """A site adds notes and trains again: what was left of the last run knows none of them."""
    first = plan(tmp_path, epochs=1)
    Trainer(first, lambda _: None).run()
    assert Trainer(first, lambda _: None).run()["resumed"]
    more = replace(first.parts, train=first.parts.train[:-1])
    assert not Trainer(replace(first, parts=more), lambda _: None).run()["resumed"]


def test_a_short_run_is_judged_by_weights_that_have_moved(tmp_path: Path) -> None:
    """With a fixed share the average of a few steps would be the weights it began with."""
    choices = {"average_from": 0.1, "average_decay": 0.9999, "epochs": 12}
    record = Trainer(plan(tmp_path, **choices), lambda _: None).run()
    assert record["history"][-1]["f1"] > 0.9


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    """Rather than hours later, with a model of no numbers."""
    trainer = Trainer(plan(tmp_path, epochs=1), lambda _: None)
    trainer._model.classifier.weight.data[0, 0] = torch.nan
    with pytest.raises(SettingsError, match="no number at step 1"):
        trainer.run()


@pytest.mark.parametrize("choice", ["epochs=0", "learning_rate=nan", "dropout=1", "seed=-1", "word_noise=2"])
def test_choices_out_of_range_are_refused(choice: str) -> None:
    with pytest.raises(SettingsError, match="out of range"):
        Recipe.with_choices([choice])


def test_dev_texts_share_no_patient_and_no_text_with_training() -> None:
    """``--dev`` is the caller's split, and may tear a patient apart or hold the very texts."""
    docs = documents()
    assert plan_parts(docs[6:], docs[:6], 1).train == tuple(docs[6:])
    with pytest.raises(SettingsError, match=r"1 patient\(s\)"):
        plan_parts(docs[6:], [replace(docs[0], group=docs[7].group)], 1)
    with pytest.raises(SettingsError, match=r"1 text\(s\)"):
        plan_parts(docs[6:], [replace(docs[7], group="")], 1)


def test_frozen_layers_stay_as_they_were(tmp_path: Path) -> None:
    """Frozen for the whole run: the embeddings do not move, the head does."""
    trainer = Trainer(plan(tmp_path, epochs=1, frozen_layers=2, unfreeze_every=0), lambda _: None)
    before = {name: value.clone() for name, value in trainer._model.state_dict().items()}
    trainer.run()
    after = trainer._model.state_dict()
    assert torch.equal(
        before["bert.embeddings.word_embeddings.weight"], after["bert.embeddings.word_embeddings.weight"]
    )
    assert not torch.equal(before["classifier.weight"], after["classifier.weight"])


def test_cross_validation_scores_every_fold(tmp_path: Path) -> None:
    """One row a fold, none of it on texts that fold was trained on (see the splits' own tests)."""
    result = cross_validate(documents(), 3, plan(tmp_path, epochs=2), lambda _: None)
    assert len(result["folds"]) == 3
    assert result["lowest_f1"] <= result["mean_f1"] <= result["highest_f1"]


def test_labels_nobody_looked_for_cost_nothing() -> None:
    """Outside of entities, all of the probability may lie on a label the corpus does not annotate."""
    allowed = torch.from_numpy(allowed_outside(frozenset({Label.PROBLEM})))[None]
    logits = torch.full((1, len(TAGS)), -20.0)
    logits[0, TAGS.index("B-ANATOMY")] = 20.0
    assert partial_loss(logits, allowed, 1.0) < 1e-4
    logits[0, TAGS.index("B-PROBLEM")] = 40.0
    assert partial_loss(logits, allowed, 1.0) > 10


def test_words_an_entity_only_touches_belong_to_it() -> None:
    """Annotators cut inside of words where the runtime can't: the whole word is the nearest it can say."""
    doc = Document("d", "non-smoker", (Gold(2, 10, Label.PROBLEM),), frozenset({Label.PROBLEM}))
    (example,) = make_examples([doc], Pieced(wordpiece(lower=True).backend_tokenizer))
    assert [TAGS[tag] for tag in example.tags] == ["B-PROBLEM", "I-PROBLEM", "I-PROBLEM"]


def test_the_rate_rises_and_falls() -> None:
    """Up to the peak over the warm-up, and down to nothing at the end."""
    shares = [share_of_peak(step, 100, 0.1) for step in range(101)]
    assert max(shares) == 1.0
    assert shares.index(1.0) == 9
    assert shares[100] == 0.0
