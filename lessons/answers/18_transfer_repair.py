"""Answers for lesson 18, second part: three hundred images, and shorter steps."""

from answers import Answers

answers = Answers("18_transfer_repair")


def means(old, new):
    """Way -> mean PSNR over the seeds after each of PARTS, with one line changed."""
    names = answers.lesson({old: new})
    found = {name: rows.mean(axis=0) for name, rows in names["psnr"].items()}
    for name, decibels in found.items():
        print(f"{name:<16}{decibels.round(2)}")
    return found
