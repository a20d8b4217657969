"""The report: facts in, one self-contained HTML page out."""
