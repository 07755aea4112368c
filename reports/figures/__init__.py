"""Drawing only: a figure a file, from numbers that `reports.analysis` has computed. Nothing else imports matplotlib."""
