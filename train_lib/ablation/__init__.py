"""The papers' ablation tables, trained and measured: `python -m train_lib.ablation`."""
