"""Every figure of the cards: out-of-fold, by dataset and subset, with intervals over subjects.

``python -m models.report --root ../shared/data`` reads the kept runs of ``models.crossval``, makes
the missing ones, writes ``models/figures.json`` and the tables between the markers of the cards.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.calibration import cross_fitted, least_heart
from models.crossval import CLASSIFIERS, LEFT_OUT, RUNS, SITES, leave_site_out, out_of_fold
from models.data import read_labels
from models.figures import (
    Figure,
    Statistic,
    auc,
    by_patient,
    mean,
    sensitivity,
    specificity,
    with_interval,
)
from models.registry import SHORTEST
from models.training import Features, read_features
from workers.inference.audio import Audio, read_audio
from workers.inference.heart_rate import heart_rate_bpm
from workers.inference.quality import rule

Numbers = npt.NDArray[np.float64]
Tables = dict[str, dict[str, Figure]]
"""Title, then row, then figure."""

CINC = ("training-a", "training-b", "training-e", "training-f")
SUBSETS = (*CINC, "CC2014", "CC2015", "set_a", "set_b")
MURMUR, ABNORMAL = 0, 1


class Evidence:
    """Recordings with their features, audio and out-of-fold logits, which all figures read."""

    def __init__(self, root: Path, seed: int) -> None:
        self.recordings = read_labels(root)
        self.features: Features = read_features(root, self.recordings, RUNS / "features.npz")
        self.audios: list[Audio] = [
            read_audio((root / r.path).read_bytes()) for r in self.recordings
        ]
        self.lasting = np.array([a.samples.size >= SHORTEST for a in self.audios])
        self.logits = {
            name: out_of_fold(name, self.features, self.recordings, seed) for name in CLASSIFIERS
        }
        self.logits["both"] = np.mean([self.logits[name] for name in CLASSIFIERS], axis=0)
        self.heart = out_of_fold("gate", self.features, self.recordings, seed)[:, 0]

    def figure(
        self, statistic: Statistic, labels: Numbers, scores: Numbers, rows: npt.NDArray[np.bool_]
    ) -> Figure:
        """``statistic`` over ``rows`` that last 3 s and have a label."""
        kept = np.flatnonzero(rows & self.lasting & ~np.isnan(labels))
        subjects = [f"{self.recordings[i].dataset}/{self.recordings[i].subject}" for i in kept]
        return with_interval(statistic, labels[kept], scores[kept], subjects)

    def column(self, name: str) -> npt.NDArray[np.str_]:
        """A column of labels.csv."""
        return np.array([getattr(r, name) for r in self.recordings])


def macro_auc(groups: npt.NDArray[np.str_]) -> Statistic:
    """Mean over CinC's sites of the AUC; labels carry the site's number times ten."""
    sites = sorted(set(groups.tolist()))

    def statistic(coded: Numbers, scores: Numbers) -> float:
        return float(
            np.mean([auc(coded[here] % 10, scores[here]) for i in range(len(sites))
                     if (here := coded // 10 == i).any()])
        )  # fmt: skip

    return statistic


def classifier_tables(evidence: Evidence, name: str) -> Tables:
    """AUC of both heads, by patient for CirCor and by site for the rest."""
    logits = evidence.logits[name]
    subset, dataset = evidence.column("subset"), evidence.column("dataset")
    return {
        "Murmur, CirCor, AUC by patient (mean over positions)": circor(evidence, logits[:, MURMUR]),
        "Murmur, PASCAL, AUC by recording": {
            name: evidence.figure(
                auc,
                np.array([r.murmur for r in evidence.recordings]),
                logits[:, MURMUR],
                (subset == name) | (dataset == name),
            )
            for name in ("pascal", "set_a", "set_b")
        },
        "Abnormal, CinC, AUC by recording": cinc(evidence, logits[:, ABNORMAL]),
    }


def circor(evidence: Evidence, scores: Numbers) -> dict[str, Figure]:
    """AUC by patient; the patient's label, all positions, "unknown" left out."""
    found = {}
    for name in ("circor", "CC2014", "CC2015"):
        kept = [
            i
            for i, r in enumerate(evidence.recordings)
            if name in (r.dataset, r.subset) and r.label != "unknown"
        ]
        labels = np.array([float(evidence.recordings[i].label == "present") for i in kept])
        patients = by_patient(labels, scores[kept], [evidence.recordings[i].subject for i in kept])
        found[name] = with_interval(auc, *patients)
    return found


def cinc(evidence: Evidence, scores: Numbers) -> dict[str, Figure]:
    """AUC by site, and the means over four and over three sites."""
    subset = evidence.column("subset")
    labels = np.array([r.abnormal for r in evidence.recordings])
    found = {name: evidence.figure(auc, labels, scores, subset == name) for name in CINC}
    for sites in (CINC, ("training-a", "training-b", "training-f")):
        coded = labels.copy()
        for number, site in enumerate(sites):
            coded[subset == site] += 10 * number
        rows = np.isin(subset, sites)
        title = "mean of " + ", ".join(site[-1] for site in sites)
        found[title] = evidence.figure(macro_auc(np.array(sites)), coded, scores, rows)
    return found


def sound_tables(evidence: Evidence) -> Tables:
    """The sound score as served, its scale and operating point fitted without the fold."""
    recordings = evidence.recordings
    z, _ = cross_fitted(evidence.logits["both"], recordings)
    subset = evidence.column("subset")
    labels = np.array([r.finding for r in recordings])
    tables: Tables = {
        title: {name: evidence.figure(statistic, labels, z, subset == name) for name in SUBSETS}
        for title, statistic in (
            ("Sound score, AUC by recording", auc),
            ("Sound score, sensitivity at the operating point", sensitivity),
            ("Sound score, specificity at the operating point", specificity),
        )
    }
    kept = [i for i, r in enumerate(recordings) if r.dataset == "circor" and r.label != "unknown"]
    patients = by_patient(
        np.array([float(recordings[i].label == "present") for i in kept]),
        z[kept],
        [recordings[i].subject for i in kept],
    )
    tables["Sound score, CirCor by patient (mean over positions)"] = {
        "AUC": with_interval(auc, *patients),
        "sensitivity": with_interval(sensitivity, *patients),
        "specificity": with_interval(specificity, *patients),
    }
    return tables


def left_out_tables(evidence: Evidence) -> dict[str, Tables]:
    """By network: AUC on a site that it never heard, or how many of its hearts the gate refuses."""
    recordings, features = evidence.recordings, evidence.features
    threshold = gate_threshold(evidence)
    labels = np.array([r.finding for r in recordings])
    hearts = np.array([r.label != "artifact" for r in recordings])
    by_network: dict[str, Tables] = {}
    for network in LEFT_OUT:
        rows_of: dict[str, Figure] = {}
        for site in SITES:
            rows = np.array([site in (r.subset, r.dataset) for r in recordings])
            logits = leave_site_out(network, site, features, recordings)
            scores = np.zeros(len(recordings))
            if network == "gate":
                scores[rows] = logits[:, 0] < threshold
                rows_of[site] = evidence.figure(mean, np.zeros(len(rows)), scores, rows & hearts)
            else:
                scores[rows] = logits[:, MURMUR if site == "pascal" else ABNORMAL]
                rows_of[site] = evidence.figure(auc, labels, scores, rows)
        what = "share of its hearts refused" if network == "gate" else "AUC by recording"
        by_network[network] = {f"Trained without the site, {what}": rows_of}
    return by_network


def gate_threshold(evidence: Evidence) -> float:
    """The threshold as models.train sets it."""
    kept = [r for r, ok in zip(evidence.recordings, evidence.lasting, strict=True) if ok]
    return least_heart(evidence.heart[evidence.lasting], kept)


def gate_tables(evidence: Evidence) -> Tables:
    """Share of recordings called unreadable; the network out-of-fold, the rules as they are."""
    reasons = [rule(audio) for audio in evidence.audios]
    threshold = gate_threshold(evidence)
    refused = np.array(
        [reason is not None or h < threshold
         for reason, h in zip(reasons, evidence.heart, strict=True)]
    ).astype(float)  # fmt: skip
    subset, artifact = evidence.column("subset"), evidence.column("label") == "artifact"
    nothing = np.zeros(len(refused))
    lasting = {
        name: evidence.figure(mean, nothing, refused, (subset == name) & ~artifact)
        for name in SUBSETS
    }
    lasting["all of them"] = evidence.figure(mean, nothing, refused, ~artifact)
    by_reason = {
        reason: with_interval(mean, nothing[~artifact], np.array(
            [float(r == reason) for r in reasons])[~artifact],
            [r.subject for r in evidence.recordings if r.label != "artifact"])
        for reason in ("too_short", "silent", "clipped", "noise")
    }  # fmt: skip
    return {
        "Real hearts of at least 3 s called unreadable, share": lasting,
        "PASCAL artifacts called unreadable, share": {
            "set_a artifact": evidence.figure(mean, nothing, refused, artifact)
        },
        "Real hearts of any length refused by a rule, share": by_reason,
    }


def heart_rate_tables(evidence: Evidence) -> Tables:
    """Against CirCor's annotated rate."""
    annotated = np.array([r.heart_rate_bpm or np.nan for r in evidence.recordings])
    gap = np.full(len(annotated), np.nan)
    for i in np.flatnonzero(~np.isnan(annotated)):
        gap[i] = abs(heart_rate_bpm(evidence.audios[i].samples) - annotated[i])
    subset, dataset = evidence.column("subset"), evidence.column("dataset")
    fold = evidence.column("fold").astype(int)
    rows = {
        "circor": dataset == "circor",
        "CC2014": subset == "CC2014",
        "CC2015": subset == "CC2015",
        "folds 2 to 4": fold >= 2,
        "slower than 120 bpm": annotated < 120,
        "120 bpm and faster": annotated >= 120,
    }
    within = (gap <= 5).astype(float)
    return {
        "Heart rate within 5 bpm, share of recordings": {
            name: evidence.figure(mean, annotated, within, kept) for name, kept in rows.items()
        },
        "Heart rate, mean error in bpm": {
            name: evidence.figure(mean, annotated, gap, kept) for name, kept in rows.items()
        },
    }


def markdown(tables: Tables) -> str:
    """The tables as the cards show them."""
    lines = []
    for title, rows in tables.items():
        lines += [
            "",
            f"| {title} | figure (95% interval) | n | subjects |",
            "| --- | --- | --- | --- |",
        ]
        lines += [f"| {name} | {f} | {f.count} | {f.subjects} |" for name, f in rows.items()]
    return "\n".join(lines) + "\n"


def fill(card: Path, tables: Tables) -> None:
    """Replaces what stands between the card's markers."""
    before, _, rest = card.read_text(encoding="utf-8").partition("<!-- figures -->")
    _, _, after = rest.partition("<!-- /figures -->")
    body = f"<!-- figures -->\n{markdown(tables)}\n<!-- /figures -->"
    card.write_text(before + body + after, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder with labels.csv")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    evidence = Evidence(arguments.root, arguments.seed)
    left_out = left_out_tables(evidence)
    cards = {
        name: classifier_tables(evidence, name) | left_out.get(name, {}) for name in CLASSIFIERS
    }
    cards["gate"] = gate_tables(evidence) | left_out["gate"]
    cards["sound"] = classifier_tables(evidence, "both") | sound_tables(evidence)
    cards["heart_rate"] = heart_rate_tables(evidence)
    folder = Path(__file__).parent
    plain = {
        card: {title: {name: asdict(f) for name, f in rows.items()} for title, rows in t.items()}
        for card, t in cards.items()
    }
    (folder / "figures.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    for card, tables in cards.items():
        fill(folder / "cards" / f"{card}.md", tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
