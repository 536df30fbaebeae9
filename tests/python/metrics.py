"""Computes metrics with scikit-learn and scipy.

Usage: python metrics.py QUESTION.json ANSWER.json

The question is {"labels": [[int]], "predicted": [[int]], "numbers": [[float]], "guesses": [[float]], "count": int}, lists of
cases; the answer has a list of values for each of "classes" and "regression".
"""

import json
import sys
import warnings
from pathlib import Path

from scipy import stats
from sklearn import metrics


def classes(labels: list[int], predicted: list[int], count: int) -> dict:
    every = list(range(count))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0
    )
    return {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro", zero_division=0),
        "micro_f1": metrics.f1_score(labels, predicted, average="micro", zero_division=0),
        "mcc": metrics.matthews_corrcoef(labels, predicted),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "support": support.tolist(),
        "confusion": metrics.confusion_matrix(labels, predicted, labels=every).tolist(),
    }


def regression(numbers: list[float], guesses: list[float]) -> dict:
    return {
        "pearson": stats.pearsonr(numbers, guesses).statistic,
        "spearman": stats.spearmanr(numbers, guesses).statistic,
        "mse": metrics.mean_squared_error(numbers, guesses),
    }


def main() -> None:
    source, out = map(Path, sys.argv[1:])
    question = json.loads(source.read_text())
    warnings.simplefilter("ignore")
    cases = zip(question["labels"], question["predicted"], strict=True)
    lists = zip(question["numbers"], question["guesses"], strict=True)
    answer = {
        "classes": [classes(labels, predicted, question["count"]) for labels, predicted in cases],
        "regression": [regression(numbers, guesses) for numbers, guesses in lists],
    }
    out.write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
