"""`scripts/proposals.py`: the proposals of a data set, computed once, and what they are worth."""

from __future__ import annotations

from detector.data.options import Proposals
from detector.data.proposals.compute import open_proposals
from detector.data.proposals.recall import Recall, measure_recall
from detector.data.read import has_test, read_index

PUBLISHED = (
    "Uijlings et al. 2013, VOC 2007 test, for comparison: fast, 2,134 boxes an image: recall at 0.5 0.98, MABO 0.804; "
    "quality, 10,097 boxes: 0.99, 0.879"
)


def report(settings: Proposals) -> dict[str, Recall]:
    """Computes what is missing, prints recall and seconds an image for each split, and gives the recall by split.

    Raises:
        UserError: the data, an image or a setting is not what it should be.
    """
    search = settings.build_search()
    splits = ["train", "val", *(["test"] if has_test(settings.data) else [])]
    class_names = read_index(settings.data, "train").class_names
    recalls = {}
    for split in splits:
        index = read_index(settings.data, split, class_names)
        proposals = open_proposals(index, search, settings.data.proposals)
        recall = recalls[split] = measure_recall(index, proposals.boxes)
        seconds = sum(proposals.found(i).seconds for i in range(len(index))) / len(index)
        print(
            f"{split}: {len(index)} images, {recall.objects} objects, {recall.proposals:.0f} proposals and "
            f"{seconds:.2f} s an image\n{recall}"
        )
    print(PUBLISHED)
    return recalls
