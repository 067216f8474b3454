"""The report: a document built once from records, its writers, figures and exports. No torch here."""
