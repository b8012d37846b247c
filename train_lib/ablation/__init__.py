"""The papers' ablation tables, trained and measured: `byola ablation`."""
