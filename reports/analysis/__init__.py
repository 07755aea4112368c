"""Numbers and enums from a study's rows: statistics, verdicts, rankings. No words, no drawing."""
