"""The model card: what is known of a model, said in one page, and nothing that is not known."""
