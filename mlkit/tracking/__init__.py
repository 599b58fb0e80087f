"""The one door to MLflow's runs and logged models: explicit ids, no ambient run."""
