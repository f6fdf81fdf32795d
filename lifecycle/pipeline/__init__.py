"""From a pipeline file to a run: what to do, what is done already, and doing the rest."""
